/* Addresses of channels: what is one, what is not, and that text and value are the same. */
#include "test_support.h"
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

static const soma_pattern all[] = {SOMA_PUSH, SOMA_PULL,      SOMA_PUB,       SOMA_SUB,      SOMA_REQ,     SOMA_REP,
                                   SOMA_PAIR, SOMA_ASYNC_REQ, SOMA_ASYNC_REP, SOMA_SYNC_PUB, SOMA_SYNC_SUB};

/* A text that is an address, its parts, and how it is written. */
static const struct {
    const char *text;
    soma_transport transport;
    const char *host;
    uint16_t port;
    soma_pattern pattern;
    const char *written; /* NULL: as it was read */
} good[] = {
    {"tcp://127.0.0.1:7000", SOMA_TCP, "127.0.0.1", 7000, SOMA_ANY_PATTERN, NULL},
    {"tcp://127.0.0.1", SOMA_TCP, "127.0.0.1", 0, SOMA_ANY_PATTERN, NULL},
    {"tcp://0.0.0.0:*", SOMA_TCP, "0.0.0.0", 0, SOMA_ANY_PATTERN, "tcp://0.0.0.0"},
    {"tcp://10.0.0.2:65535 push", SOMA_TCP, "10.0.0.2", 65535, SOMA_PUSH, NULL},
    {"tcp://[::1]:1 SUB", SOMA_TCP, "::1", 1, SOMA_SUB, "tcp://[::1]:1 sub"},
    {"tcp://[::1]", SOMA_TCP, "::1", 0, SOMA_ANY_PATTERN, NULL},
    {"tcp://[2001:DB8:0:0::1]:80 pair", SOMA_TCP, "2001:db8::1", 80, SOMA_PAIR, "tcp://[2001:db8::1]:80 pair"},
    {"ipc:///run/soma/jobs", SOMA_IPC, "/run/soma/jobs", 0, SOMA_ANY_PATTERN, NULL},
    {"ipc://here:7 rep", SOMA_IPC, "here:7", 0, SOMA_REP, NULL},
    {"inproc://a async-rep", SOMA_INPROC, "a", 0, SOMA_ASYNC_REP, NULL},
    {"inproc://a/b#c sync-pub", SOMA_INPROC, "a/b#c", 0, SOMA_SYNC_PUB, NULL},
};

static void test_reads_and_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        soma_address address, again;
        char text[SOMA_ADDRESS_TEXT_SIZE];
        assert_int_equal(soma_address_parse(good[i].text, &address), 0);
        assert_int_equal(address.transport, good[i].transport);
        assert_string_equal(address.host, good[i].host);
        assert_int_equal(address.port, good[i].port);
        assert_int_equal(address.pattern, good[i].pattern);
        const char *written = good[i].written ? good[i].written : good[i].text;
        assert_int_equal(soma_address_print(&address, text, sizeof(text)), (int)strlen(written));
        assert_string_equal(text, written);
        assert_int_equal(soma_address_parse(text, &again), 0);
        assert_true(soma_address_equal(&address, &again));
    }
}

static const char *const bad[] = {
    "",
    "push",
    "tcp:/127.0.0.1:1",
    "udp://127.0.0.1:1",
    "TCP://127.0.0.1:1",
    "tcp://",
    "tcp://:1",
    "tcp://localhost:1",
    "tcp://127.0.0:1",
    "tcp://127.0.0.256:1",
    "tcp://127.0.0.1:",
    "tcp://127.0.0.1:0",
    "tcp://127.0.0.1:01",
    "tcp://127.0.0.1:65536",
    "tcp://127.0.0.1:100000",
    "tcp://127.0.0.1:-1",
    "tcp://127.0.0.1:+1",
    "tcp://127.0.0.1:1x",
    "tcp://127.0.0.1:**",
    "tcp://::1:7000",
    "tcp://[::1",
    "tcp://[::1]7000",
    "tcp://[127.0.0.1]:1",
    "tcp://[]:1",
    "ipc://",
    "ipc:// push",
    "inproc://",
    "inproc://a ",
    "inproc://a  push",
    "inproc://a push ",
    "inproc://a push pull",
    "inproc://a pusher",
    "inproc://a\tb",
    "inproc://\xc3\xa4",
};

static void test_what_is_none_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        soma_address address;
        memset(&address, 0x55, sizeof(address));
        if (soma_address_parse(bad[i], &address) != SOMA_EFORMAT)
            fail_msg("'%s' was not refused", bad[i]);
        assert_false(soma_address_valid(&address));
    }
    soma_address address;
    assert_int_equal(soma_address_parse(NULL, &address), SOMA_EINVAL);
    assert_int_equal(soma_address_parse("inproc://a", NULL), SOMA_EINVAL);
}

static void test_lengths_are_bounded(void **state)
{
    (void)state;
    char text[300], written[SOMA_ADDRESS_TEXT_SIZE];
    soma_address address;
    for (int length = 1; length < 150; length++) {
        int size = snprintf(text, sizeof(text), "inproc://%0*d async-rep", length, 0);
        int error = soma_address_parse(text, &address);
        assert_int_equal(error, length < SOMA_HOST_SIZE ? 0 : SOMA_ETOOBIG);
        if (error)
            continue;
        assert_int_equal(soma_address_print(&address, written, sizeof(written)), size);
        assert_string_equal(written, text);
        assert_int_equal(soma_address_print(&address, written, 5), size);
        assert_string_equal(written, "inpr");
        assert_int_equal(soma_address_print(&address, NULL, 0), size);
    }
    snprintf(text, sizeof(text), "tcp://%0200d:1", 0);
    assert_int_equal(soma_address_parse(text, &address), SOMA_EFORMAT);
}

static void test_equality_is_of_all_parts(void **state)
{
    (void)state;
    static const char *const unlike[] = {"tcp://127.0.0.1:1 push", "tcp://127.0.0.1:2 push", "tcp://127.0.0.2:1 push",
                                         "tcp://127.0.0.1:1 pull", "tcp://127.0.0.1:1",      "ipc://127.0.0.1 push",
                                         "inproc://127.0.0.1 push"};
    const size_t count = sizeof(unlike) / sizeof(*unlike);
    soma_address a, b, none = {0};
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            assert_int_equal(soma_address_parse(unlike[i], &a), 0);
            assert_int_equal(soma_address_parse(unlike[k], &b), 0);
            assert_int_equal(soma_address_equal(&a, &b), i == k);
        }
    assert_false(soma_address_equal(&none, &none));
    assert_false(soma_address_equal(&a, NULL));
    memset(a.host + strlen(a.host) + 1, 'x', 8); // what stands behind the text means nothing
    assert_true(soma_address_equal(&a, &b));
}

static void test_twins(void **state)
{
    (void)state;
    soma_address address, twin;
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
        soma_pattern other = soma_pattern_twin(all[i]);
        assert_int_equal(soma_pattern_twin(other), all[i]);
        assert_int_equal(other == all[i], all[i] == SOMA_PAIR);
        assert_int_equal(soma_pattern_find(soma_pattern_name(all[i])), all[i]);
        assert_int_equal(soma_address_parse("tcp://10.0.0.2:7000", &address), 0);
        address.pattern = all[i];
        assert_int_equal(soma_address_twin(&address, &twin), 0);
        assert_int_equal(twin.pattern, other);
        assert_int_equal(soma_address_twin(&twin, &twin), 0);
        assert_true(soma_address_equal(&twin, &address));
    }
    assert_int_equal(soma_pattern_twin(SOMA_ANY_PATTERN), SOMA_ANY_PATTERN);
    assert_int_equal(soma_pattern_twin((soma_pattern)99), SOMA_ANY_PATTERN);
    assert_null(soma_pattern_name((soma_pattern)99));
    assert_int_equal(soma_pattern_find("Push"), SOMA_PUSH);
    assert_int_equal(soma_pattern_find(""), SOMA_ANY_PATTERN);
    assert_int_equal(soma_pattern_find(NULL), SOMA_ANY_PATTERN);
    address.pattern = SOMA_ANY_PATTERN;
    assert_int_equal(soma_address_twin(&address, &twin), SOMA_EINVAL);
}

static void test_values_made_by_hand(void **state)
{
    (void)state;
    char text[SOMA_ADDRESS_TEXT_SIZE];
    soma_address tcp = {.transport = SOMA_TCP, .pattern = SOMA_PUSH, .port = 5, .host = "127.0.0.1"};
    assert_true(soma_address_valid(&tcp));
    soma_address wrong[] = {
        {.transport = SOMA_TCP, .host = "localhost"},
        {.transport = SOMA_TCP, .host = "0::1"},
        {.transport = SOMA_IPC, .host = "a b"},
        {.transport = SOMA_IPC, .port = 1, .host = "a"},
        {.transport = (soma_transport)7, .host = "a"},
        {.pattern = (soma_pattern)99, .host = "a"},
        {.transport = SOMA_INPROC},
        {.transport = SOMA_INPROC},
    };
    memset(wrong[7].host, 'a', SOMA_HOST_SIZE); // without an end
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_false(soma_address_valid(&wrong[i]));
        assert_int_equal(soma_address_print(&wrong[i], text, sizeof(text)), SOMA_EINVAL);
        assert_false(soma_address_equal(&wrong[i], &wrong[i]));
    }
    assert_false(soma_address_valid(NULL));
    assert_int_equal(soma_address_print(&tcp, NULL, 5), SOMA_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_and_writes),
        cmocka_unit_test(test_what_is_none_is_refused),
        cmocka_unit_test(test_lengths_are_bounded),
        cmocka_unit_test(test_equality_is_of_all_parts),
        cmocka_unit_test(test_twins),
        cmocka_unit_test(test_values_made_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
