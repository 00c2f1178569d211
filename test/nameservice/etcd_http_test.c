/* The thread that speaks HTTP, with a server that does not always. */
#include "nameservice/etcd/http.h"
#include "nameservice/fake_etcd.h"
#include <soma/error.h>

/* What is given is kept, in its order. */
#define KEPT_MOST 256

struct kept {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct http_result *results[KEPT_MOST];
    int count, taken;
};

static void keep(void *context, struct http_result *result)
{
    struct kept *kept = context;
    pthread_mutex_lock(&kept->lock);
    kept->results[kept->count++] = result;
    pthread_cond_signal(&kept->more);
    pthread_mutex_unlock(&kept->lock);
}

static struct http_result *take(struct kept *kept)
{
    pthread_mutex_lock(&kept->lock);
    while (kept->taken == kept->count)
        pthread_cond_wait(&kept->more, &kept->lock);
    struct http_result *result = kept->results[kept->taken++];
    pthread_mutex_unlock(&kept->lock);
    return result;
}

static void expect_big(struct kept *kept, uint64_t id, long status, bool more)
{
    struct http_result *result = take(kept);
    assert_int_equal(result->id, id);
    assert_int_equal(result->status, status);
    assert_int_equal(result->more, more);
    assert_true(result->big);
    assert_null(result->json);
    http_result_free(result);
}

static void expect(struct kept *kept, uint64_t id, long status, bool more, const char *json)
{
    struct http_result *result = take(kept);
    assert_false(result->big);
    char *text = result->json ? json_dumps(result->json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    assert_int_equal(result->id, id);
    assert_int_equal(result->status, status);
    assert_int_equal(result->more, more);
    if (json)
        assert_string_equal(text, json);
    else
        assert_null(text);
    free(text);
    http_result_free(result);
}

#define PATIENT_MS 20000

struct world {
    struct fake fake;
    struct kept kept;
    struct http *http;
};

static void spaces_say(int fd)
{
    static char spaces[1 << 16];
    memset(spaces, ' ', sizeof(spaces) - 1);
    for (size_t said = 0; said <= HTTP_BYTES_MOST; said += strlen(spaces))
        fake_say(fd, spaces);
}

static void many_say(struct fake *fake, int fd)
{
    char line[32];
    fake_answer(fd, 200, "");
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof(line), "{\"n\":%d}\n", i);
        fake_say(fd, line);
    }
    fake_hold(fake, fd);
}

static void serve(struct fake *fake, int fd, const char *path, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : strdup("");
    if (!strcmp(path, "/echo"))
        fake_answer(fd, 200, text);
    else if (!strcmp(path, "/refuse"))
        fake_answer(fd, 404, "{\"code\":5}");
    else if (!strcmp(path, "/truncated"))
        fake_answer(fd, 200, "{\"header\":{\"revision\":\"1");
    else if (!strcmp(path, "/more"))
        fake_answer(fd, 200, "{} {}");
    else if (!strcmp(path, "/text"))
        fake_answer(fd, 404, "404 page not found");
    else if (!strcmp(path, "/empty"))
        fake_answer(fd, 200, "");
    else if (!strcmp(path, "/garbage"))
        fake_say(fd, "\x01\x02nonsense\r\n\r\n");
    else if (!strcmp(path, "/short"))
        fake_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}");
    else if (!strcmp(path, "/huge") || !strcmp(path, "/long_line"))
        fake_answer(fd, 200, ""), spaces_say(fd), fake_say(fd, "\n{\"c\":3}\n");
    else if (!strcmp(path, "/pieces"))
        fake_answer(fd, 200, "{\"a\":1}\n{\"b\""), fake_nap(), fake_say(fd, ":2}\n{\"c\":3}\n{}");
    else if (!strcmp(path, "/bad_line"))
        fake_answer(fd, 200, "{\"a\":1}\n{\"b\"\n{\"c\":3}\n"), fake_hold(fake, fd);
    else if (!strcmp(path, "/many"))
        many_say(fake, fd);
    else if (!strcmp(path, "/silent"))
        fake_hold(fake, fd);
    else if (!strcmp(path, "/stuck"))
        fake_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}"), fake_hold(fake, fd);
    else if (!strcmp(path, "/hold"))
        fake_answer(fd, 200, "{\"begun\":true}\n"), fake_hold(fake, fd);
    free(text);
}

static void world_open(struct world *world)
{
    *world = (struct world){.kept = {.lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER}};
    fake_open(&world->fake, serve, NULL);
    assert_int_equal(http_open(&world->http, keep, &world->kept), 0);
}

static void world_close(struct world *world)
{
    http_close(world->http);
    while (world->kept.taken < world->kept.count)
        http_result_free(take(&world->kept));
    fake_close(&world->fake);
}

/* Without a time it is a stream. */
static void post(struct world *world, uint64_t id, const char *path, uint32_t time_ms)
{
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", world->fake.port, path);
    assert_int_equal(http_post(world->http, id, url, strdup("{\"k\":\"v\"}"), time_ms), 0);
}

static void test_answers(void **state)
{
    static const struct {
        const char *path;
        long status;
        const char *json;
    } cases[] = {{"/echo", 200, "{\"k\":\"v\"}"},
                 {"/refuse", 404, "{\"code\":5}"},
                 {"/truncated", 0, NULL},
                 {"/more", 0, NULL},
                 {"/text", 404, NULL},
                 {"/empty", 0, NULL},
                 {"/garbage", 0, NULL},
                 {"/short", 0, NULL},
                 {"/echo", 200, "{\"k\":\"v\"}"}};
    struct world world;
    (void)state;
    world_open(&world);
    for (uint64_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        post(&world, i, cases[i].path, PATIENT_MS);
        expect(&world.kept, i, cases[i].status, false, cases[i].json);
    }
    post(&world, 98, "/huge", PATIENT_MS);
    expect_big(&world.kept, 98, 0, false);
    int port = world.fake.port;
    fake_close(&world.fake); // nobody listens there any more
    post(&world, 99, "/echo", PATIENT_MS);
    expect(&world.kept, 99, 0, false, NULL);
    fake_open(&world.fake, serve, NULL);
    assert_true(port && world.fake.port);
    world_close(&world);
}

static void test_streams(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    post(&world, 1, "/pieces", 0);
    expect(&world.kept, 1, 200, true, "{\"a\":1}");
    expect(&world.kept, 1, 200, true, "{\"b\":2}");
    expect(&world.kept, 1, 200, true, "{\"c\":3}");
    expect(&world.kept, 1, 200, false, NULL); // the last line has no end
    post(&world, 2, "/bad_line", 0);
    expect(&world.kept, 2, 200, true, "{\"a\":1}");
    expect(&world.kept, 2, 0, false, NULL);
    post(&world, 3, "/long_line", 0);
    expect_big(&world.kept, 3, 200, true); // what comes next is read
    expect(&world.kept, 3, 200, true, "{\"c\":3}");
    expect(&world.kept, 3, 200, false, NULL);
    world_close(&world);
}

/* Nobody is waited for without end, but for a stream that has nothing to tell. */
static void test_silence(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    post(&world, 1, "/hold", 0);
    expect(&world.kept, 1, 200, true, "{\"begun\":true}");
    post(&world, 2, "/silent", 50);
    expect(&world.kept, 2, 0, false, NULL);
    post(&world, 3, "/stuck", 50);
    expect(&world.kept, 3, 0, false, NULL);
    world_close(&world);
}

/* No more is read than is looked at. */
static void test_many(void **state)
{
    struct world world;
    char json[32];
    (void)state;
    world_open(&world);
    post(&world, 1, "/many", 0);
    for (int i = 0; i < 200; i++) {
        snprintf(json, sizeof(json), "{\"n\":%d}", i);
        struct http_result *result = take(&world.kept);
        pthread_mutex_lock(&world.kept.lock);
        assert_true(world.kept.count - i <= (int)HTTP_RESULTS_MOST);
        pthread_mutex_unlock(&world.kept.lock);
        char *text = json_dumps(result->json, JSON_COMPACT);
        assert_string_equal(text, json);
        free(text);
        http_result_free(result);
    }
    world_close(&world);
}

/* Nothing comes of a request that was cancelled; others go on. */
static void test_cancel(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    post(&world, 1, "/hold", 0);
    expect(&world.kept, 1, 200, true, "{\"begun\":true}");
    post(&world, 2, "/hold", 0);
    http_cancel(world.http, 2); // perhaps before it has begun
    http_cancel(world.http, 1);
    while (atomic_load(&world.fake.busy)) // it was hung up
        fake_nap();
    post(&world, 3, "/echo", PATIENT_MS);
    struct http_result *result = take(&world.kept);
    if (result->id == 2) { // its first line was faster
        http_result_free(result);
        result = take(&world.kept);
    }
    assert_int_equal(result->id, 3);
    http_result_free(result);
    world_close(&world);
}

/* Wherever it is on its way to begin, one that was cancelled ends: else it would be held for ever. */
static void test_cancel_soon(void **state)
{
    struct world world;
    (void)state;
    world_open(&world);
    for (uint64_t i = 0; i < 500; i++) {
        post(&world, i, "/hold", 0);
        http_cancel(world.http, i);
    }
    post(&world, 999, "/echo", PATIENT_MS);
    for (uint64_t id = 0; id != 999;) { // some first lines were faster
        struct http_result *result = take(&world.kept);
        id = result->id;
        http_result_free(result);
    }
    while (atomic_load(&world.fake.busy))
        fake_nap();
    world_close(&world);
}

/* Whatever is under way, or was given and not looked at, it ends; and says goodbye. */
static void test_close(void **state)
{
    struct world world;
    char url[64];
    (void)state;
    world_open(&world);
    post(&world, 1, "/hold", 0);
    post(&world, 2, "/many", 0);
    struct http_result *result = take(&world.kept);
    post(&world, 3, "/echo", PATIENT_MS);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/echo", world.fake.port);
    assert_int_equal(http_ask(world.http, url, "{\"bye\":true}", PATIENT_MS), 200);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/silent", world.fake.port);
    assert_int_equal(http_ask(world.http, url, "{\"bye\":true}", 50), 0);
    http_close(world.http);
    http_result_free(result); // later
    while (world.kept.taken < world.kept.count)
        http_result_free(take(&world.kept));
    fake_close(&world.fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_streams),
                                       cmocka_unit_test(test_silence), cmocka_unit_test(test_many),
                                       cmocka_unit_test(test_cancel),  cmocka_unit_test(test_cancel_soon),
                                       cmocka_unit_test(test_close)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
