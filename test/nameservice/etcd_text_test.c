/* What is said to etcd, and what is made of its answers, whatever they are. No etcd runs. */
#include "nameservice/etcd/base64.h"
#include "nameservice/etcd/text.h"
#include "test_support.h"
#include <soma/error.h>
#include <string.h>

static json_t *json_of(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(json);
    return json;
}

/* ---- base64 ---- */

static void test_base64(void **state)
{
    static const char *const texts[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"}; // of RFC 4648
    static const char *const bad[] = {"A", "AA", "AAA", "A===", "====", "AA=A", "AA!A", "AAAA=", "A\xffzz"};
    unsigned char all[256], back[ETCD_BASE64_LENGTH(sizeof(all)) / 4 * 3];
    char text[ETCD_BASE64_LENGTH(sizeof(all)) + 1];
    size_t size;
    (void)state;
    for (size_t i = 0; i <= 6; i++) {
        etcd_base64_write(text, "foobar", i);
        assert_string_equal(text, texts[i]);
        assert_int_equal(strlen(text), ETCD_BASE64_LENGTH(i));
        assert_true(etcd_base64_read(back, &size, text, strlen(text)));
        assert_int_equal(size, i);
        assert_memory_equal(back, "foobar", i);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(etcd_base64_read(back, &size, bad[i], strlen(bad[i])));
    assert_false(etcd_base64_read(back, &size, "AA\0A", 4));
    for (unsigned i = 0; i < sizeof(all); i++)
        all[i] = (unsigned char)i;
    etcd_base64_write(text, all, sizeof(all));
    assert_true(etcd_base64_read(back, &size, text, strlen(text)));
    assert_int_equal(size, sizeof(all));
    assert_memory_equal(back, all, size);
}

/* ---- addresses ---- */

static void test_addresses(void **state)
{
    struct etcd_address address;
    char url[ETCD_URL_MOST];
    (void)state;
    assert_int_equal(etcd_address_read("etcd://10.0.0.1:2379", &address), 0);
    assert_int_equal(address.member_count, 1);
    assert_string_equal(address.prefix, "/soma");
    etcd_url(&address, 0, ETCD_TXN, url);
    assert_string_equal(url, "http://10.0.0.1:2379/v3/kv/txn");
    assert_int_equal(etcd_address_read("etcd://a:1,b.example:22,[::1]:333/one/two//", &address), 0);
    assert_int_equal(address.member_count, 3);
    assert_string_equal(address.prefix, "/one/two");
    etcd_url(&address, 2, "/x", url);
    assert_string_equal(url, "http://[::1]:333/x");
    static const char *const bad[] = {"",
                                      "etcd://",
                                      "etcd://a",
                                      "etcd://a:",
                                      "etcd://:1",
                                      "tcp://a:1",
                                      "etcd://a:1,",
                                      "etcd://a:1,,b",
                                      "etcd://a:x",
                                      "etcd://a:123456",
                                      "etcd://a:99999",
                                      "etcd://a:0",
                                      "etcd://a b:1",
                                      "etcd://u@a:1",
                                      "etcd://a?b:1",
                                      "etcd://a:1/a b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(etcd_address_read(bad[i], &address), SOMA_EINVAL);
}

/* ---- numbers ---- */

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        int error;
        int64_t number;
    } cases[] = {
        {"{}", 0, 0},
        {"{\"n\": \"12\"}", 0, 12},
        {"{\"n\": 12}", 0, 12},
        {"{\"n\": \"9223372036854775799\"}", 0, INT64_C(9223372036854775799)},
        {"{\"n\": \"9223372036854775900\"}", SOMA_EFORMAT, 0},
        {"{\"n\": \"99999999999999999999999\"}", SOMA_EFORMAT, 0},
        {"{\"n\": \"\"}", SOMA_EFORMAT, 0},
        {"{\"n\": \"-1\"}", SOMA_EFORMAT, 0},
        {"{\"n\": -1}", SOMA_EFORMAT, 0},
        {"{\"n\": \"1x\"}", SOMA_EFORMAT, 0},
        {"{\"n\": 1.5}", SOMA_EFORMAT, 0},
        {"{\"n\": null}", SOMA_EFORMAT, 0},
        {"{\"n\": {}}", SOMA_EFORMAT, 0},
        {"[]", SOMA_EFORMAT, 0},
        {"7", SOMA_EFORMAT, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t number;
        json_t *json = json_of(cases[i].text);
        assert_int_equal(text_number(json, "n", &number), cases[i].error);
        if (!cases[i].error)
            assert_int_equal(number, cases[i].number);
        json_decref(json);
    }
    int64_t revision;
    assert_int_equal(text_revision(NULL, &revision), SOMA_EFORMAT);
}

/* ---- an entry, there and back ---- */

static const char *const places[] = {"tcp://127.0.0.1:7000", "ipc:///tmp/x"};
static const struct soma_alias aliases[] = {{"main", "tcp://127.0.0.1:1"}};
static const struct etcd_entry example = {
    .name = {.name = "it", .agent = {7, 8, 9}, .aliases = {aliases, 1}}, .client = {7, 1, 1}, .addresses = {places, 2}};

/* The key and value that are put, as etcd gives them back. */
static json_t *kv_of(const char *prefix, const struct etcd_entry *entry, const char *revision)
{
    char *text = text_put(prefix, entry, 5, 3);
    json_t *put = json_of(text);
    json_t *request = json_object_get(json_array_get(json_object_get(put, "success"), 0), "request_put");
    json_t *kv = json_deep_copy(request);
    json_object_set_new(kv, "mod_revision", json_string(revision));
    json_decref(put);
    free(text);
    return kv;
}

static void test_entry(void **state)
{
    struct etcd_kv *kvs;
    uint32_t count;
    (void)state;
    json_t *answer = json_pack("{s:[o]}", "kvs", kv_of("/p", &example, "12"));
    assert_int_equal(text_kvs(answer, "/p", &kvs, &count), 0);
    assert_int_equal(count, 1);
    assert_string_equal(kvs->name, "it");
    assert_true(kvs->there);
    assert_int_equal(kvs->revision, 12);
    assert_int_equal(kvs->lease, 5);
    assert_true(etcd_entry_equal(&kvs->entry, &example));
    kvs_free(kvs, count);
    assert_int_equal(text_kvs(answer, "/other", &kvs, &count), 0); // not below this prefix
    assert_string_equal(kvs->name, "");
    kvs_free(kvs, count);
    json_decref(answer);
    answer = json_pack("{s:[{}, {s:{s:[o]}}], s:{}}", "responses", "response_range", "kvs", kv_of("/p", &example, "12"),
                       "header");
    assert_int_equal(text_txn_kvs(answer, "/p", &kvs, &count), 0); // only the first counts
    assert_int_equal(count, 0);
    json_decref(answer);
}

/* Whoever may write to etcd can put anything there: it is no name. */
static void test_junk(void **state)
{
    struct etcd_kv *kvs;
    uint32_t count;
    struct etcd_entry wrong[5];
    (void)state;
    for (int i = 0; i < 5; i++)
        wrong[i] = example;
    wrong[0].name.name = "a b";
    wrong[1].name.agent = SOMA_REF_NULL;
    wrong[2].client = SOMA_REF_NULL;
    static const struct soma_alias slash[] = {{"a/b", "x"}};
    wrong[3].name.aliases.items = slash;
    static const char *const nothing[] = {NULL, NULL};
    wrong[4].addresses.items = nothing;
    for (int i = 0; i < 5; i++) {
        json_t *answer = json_pack("{s:[o]}", "kvs", kv_of("/p", &wrong[i], "12"));
        assert_int_equal(text_kvs(answer, "/p", &kvs, &count), 0);
        assert_int_equal(count, 1);
        assert_false(kvs->there);
        kvs_free(kvs, count);
        json_decref(answer);
    }
    static const char *const values[] = {"", "AAAA", "kw==", "3f////8="};
    for (int i = 0; i < 4; i++) {
        json_t *kv = kv_of("/p", &example, "12");
        json_object_set_new(kv, "value", json_string(values[i]));
        json_t *answer = json_pack("{s:[o]}", "kvs", kv);
        assert_int_equal(text_kvs(answer, "/p", &kvs, &count), 0);
        assert_string_equal(kvs->name, "it");
        assert_false(kvs->there);
        kvs_free(kvs, count);
        json_decref(answer);
    }
}

/* Another name's entry, under a key that it was copied to. */
static void test_copied(void **state)
{
    struct etcd_kv *kvs;
    uint32_t count;
    (void)state;
    json_t *kv = kv_of("/p", &example, "12");
    json_object_set_new(kv, "key", json_string("L3AvYXQ=")); // /p/at
    json_t *answer = json_pack("{s:[o]}", "kvs", kv);
    assert_int_equal(text_kvs(answer, "/p", &kvs, &count), 0);
    assert_string_equal(kvs->name, "at");
    assert_false(kvs->there);
    kvs_free(kvs, count);
    json_decref(answer);
}

/* ---- answers that are none ---- */

static void test_malformed(void **state)
{
    static const char *const answers[] = {
        "{\"kvs\": {}}",
        "{\"kvs\": \"x\"}",
        "{\"kvs\": [7]}",
        "{\"kvs\": [{}]}",
        "{\"kvs\": [{\"key\": 7}]}",
        "{\"kvs\": [{\"key\": \"L3AvaXQ=\"}]}",                          // no revision
        "{\"kvs\": [{\"key\": \"L3AvaXQ\", \"mod_revision\": \"1\"}]}",  // cut
        "{\"kvs\": [{\"key\": \"L3!vaXQ=\", \"mod_revision\": \"1\"}]}", // no base64
        "{\"kvs\": [{\"key\": \"L3AvaXQ=\", \"mod_revision\": \"x\"}]}",
        "{\"kvs\": [{\"key\": \"L3AvaXQ=\", \"mod_revision\": \"1\", \"lease\": []}]}",
        "{\"kvs\": [{\"key\": \"L3AvaXQ=\", \"mod_revision\": \"1\", \"value\": 7}]}",
        "{\"kvs\": [{\"key\": \"L3AvaXQ=\", \"mod_revision\": \"1\", \"value\": \"A\"}]}",
    };
    static const char *const events[] = {
        "{\"events\": {}}",
        "{\"events\": [{\"type\": \"DELETE\"}]}",
        "{\"events\": [{\"type\": 7, \"kv\": {\"key\": \"L3AvaXQ=\", \"mod_revision\": \"1\"}}]}",
        "{\"events\": [{\"type\": \"WHAT\", \"kv\": {\"key\": \"L3AvaXQ=\", \"mod_revision\": \"1\"}}]}",
    };
    struct etcd_kv *kvs;
    uint32_t count;
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        json_t *json = json_of(answers[i]);
        assert_int_equal(text_kvs(json, "/p", &kvs, &count), SOMA_EFORMAT);
        assert_null(kvs);
        assert_int_equal(count, 0);
        json_decref(json);
    }
    for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++) {
        json_t *json = json_of(events[i]);
        assert_int_equal(text_events(json, "/p", &kvs, &count), SOMA_EFORMAT);
        json_decref(json);
    }
}

static void test_events(void **state)
{
    struct etcd_kv *kvs;
    uint32_t count;
    (void)state;
    json_t *gone = json_pack("{s:s, s:s}", "key", "L3AvaXQ=", "mod_revision", "13");
    json_t *result =
        json_pack("{s:[{s:o}, {s:s, s:o}]}", "events", "kv", kv_of("/p", &example, "12"), "type", "DELETE", "kv", gone);
    assert_int_equal(text_events(result, "/p", &kvs, &count), 0);
    assert_int_equal(count, 2);
    assert_true(kvs[0].there);
    assert_false(kvs[1].there);
    assert_string_equal(kvs[1].name, "it");
    assert_int_equal(kvs[1].revision, 13);
    kvs_free(kvs, count);
    json_decref(result);
}

/* ---- pages ---- */

static void test_pages(void **state)
{
    char *from;
    (void)state;
    json_t *last = json_of("{\"kvs\": [{\"key\": \"L3AvaXQ=\"}]}");
    assert_int_equal(text_page_next(last, &from), 0);
    assert_null(from);
    json_object_set_new(last, "more", json_true());
    assert_int_equal(text_page_next(last, &from), 0);
    assert_string_equal(from, "L3AvaXQA"); // with a zero at its end
    char *text = text_page("/p", from, 9, 7, false);
    json_t *page = json_of(text);
    assert_string_equal(json_string_value(json_object_get(page, "key")), from);
    assert_string_equal(json_string_value(json_object_get(page, "range_end")), "L3Aw"); // /p0
    assert_int_equal(json_integer_value(json_object_get(page, "revision")), 9);
    assert_int_equal(json_integer_value(json_object_get(page, "limit")), 7);
    json_decref(page);
    free(text);
    free(from);
    json_decref(last);
    static const char *const bad[] = {"{\"more\": true}", "{\"more\": 1}", "{\"more\": true, \"kvs\": [{\"key\": 7}]}",
                                      "{\"more\": true, \"kvs\": [{\"key\": \"A\"}]}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        json_t *json = json_of(bad[i]);
        assert_int_equal(text_page_next(json, &from), SOMA_EFORMAT);
        assert_null(from);
        json_decref(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),    cmocka_unit_test(test_addresses), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_entry),     cmocka_unit_test(test_junk),      cmocka_unit_test(test_copied),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_events),    cmocka_unit_test(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
