/* What a system's channels need of the machine and of their user: many of them, too many, errors of a serializer, and
 * threads that wait in vain. */
#include "channels/channel.h"
#include "player.h"
#include <stdlib.h>
#include <sys/resource.h>

#define MANY 1200u /* four sockets each would be more than ZeroMQ has by default */

static const soma_handler *const notes = SOMA_HANDLERS(SOMA_ON(note, player_note));

/* ---- many, and too many ---- */

static int bind_numbered(soma_agent *self, uint32_t number)
{
    char alias[16];
    snprintf(alias, sizeof(alias), "out%u", number);
    return soma_bind(self, SOMA_PUSH, alias, &(soma_channel_options){.place = "ipc"}, NULL);
}

static int bind_many(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(bind_numbered(self, i), 0);
    assert_int_equal(soma_close_channels(self), 0);
    return 0;
}

static void test_many(soma_test *test)
{
    struct rlimit files;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    player_transport = SOMA_IPC;
    player_do(test, player_open(test, &player_quiet), bind_many, NULL);
    player_transport = SOMA_INPROC;
}

/* When there are no more files for sockets that is said, and those that are there go on. */
static int bind_too_many(soma_agent *self, void *state, void *arg)
{
    struct rlimit before, files;
    uint32_t count = 0;
    int error, next = dup(0);
    (void)state, (void)arg;
    assert_true(next >= 0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    files = before;
    files.rlim_cur = (rlim_t)next + 60;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    while (!(error = bind_numbered(self, count)))
        count++;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, SOMA_EFULL);
    assert_in_range(count, 5, 20);
    return 0;
}

/* Wherever the process is when its files end: ZeroMQ, which would end it for want of one, is not asked then. */
static int bind_to_the_last(soma_agent *self, void *state, const void *arg)
{
    const soma_channel_options options = {.place = "tcp"};
    struct rlimit before, files;
    char alias[16];
    int error = 0;
    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    files = before;
    files.rlim_cur = *(const rlim_t *)arg;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    for (uint32_t i = 0; !error; i++) {
        snprintf(alias, sizeof(alias), "out%u", i);
        error = soma_bind(self, SOMA_PUSH, alias, &options, NULL);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, SOMA_EFULL);
    return soma_bind(self, SOMA_PUSH, "main", &options, NULL);
}

static const soma_behavior binder = {.name = "binder", .init = bind_to_the_last};

static void test_each_limit(void **state)
{
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    int next = dup(0);
    (void)state;
    assert_true(next >= 0);
    close(next);
    for (rlim_t limit = (rlim_t)next, most = limit + 50; limit < most; limit++) {
        soma_system *system;
        assert_int_equal(soma_system_open(&system, &quiet), 0);
        assert_int_equal(soma_spawn(system, &binder, &limit, NULL), 0);
        assert_int_equal(soma_system_close(&system), 0);
    }
}

static int pull_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, SOMA_PULL, "in", "jobs", notes);
    return 0;
}

static int push_connect(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_connect(self, SOMA_PULL, "out", "jobs", NULL);
    return 0;
}

static int push_one(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", note, .number = 1);
}

static void test_too_many(soma_test *test)
{
    player_transport = SOMA_IPC;
    soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &player_quiet);
    player_do(test, takes, pull_bind, NULL);
    player_do(test, sends, push_connect, NULL);
    player_peers(test, sends, "out", 1);
    player_do(test, player_open(test, &player_quiet), bind_too_many, NULL);
    player_do(test, sends, push_one, NULL);
    player_expect(test, takes, "1 ");
    player_transport = SOMA_INPROC;
}

/* ---- a serializer's own errors ---- */

static int pack_badly(const soma_type *type, const void *message, void **data, size_t *size)
{
    (void)type, (void)message, (void)data, (void)size;
    return 12; // no error of Soma's
}

static int unpack_badly(const soma_type *type, const void *data, size_t size, void *message)
{
    (void)type, (void)data, (void)size, (void)message;
    return 12;
}

static const soma_serializer bad = {"bad", pack_badly, unpack_badly};

static int pack_nothing(const soma_type *type, const void *message, void **data, size_t *size)
{
    (void)type, (void)message, (void)data;
    *size = 7; // of no bytes
    return 0;
}

static const soma_serializer empty = {"empty", pack_nothing, unpack_badly};

static int pub_bad(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address at = player_at("bad", SOMA_ANY_PATTERN);
    (void)state, (void)arg;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    return soma_bind(self, SOMA_PUB, "out", &(soma_channel_options){.place = place}, NULL);
}

static int sub_bad(soma_agent *self, void *state, void *arg)
{
    soma_address at = player_at("bad", SOMA_PUB);
    (void)state, (void)arg;
    return soma_connect_with(self, &at, "in", &(soma_channel_options){.serializer = "bad", .handlers = notes});
}

static int publish_fine(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", note, .number = 1);
}

static int pub_worse(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(
        soma_bind(self, SOMA_PUB, "worse", &(soma_channel_options){.place = "ipc", .serializer = "bad"}, arg), 0);
    return 0;
}

static int pub_empty(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {.place = "ipc", .serializer = "empty"};
    (void)state;
    assert_int_equal(soma_bind(self, SOMA_PUB, "empty", &options, arg), 0);
    return 0;
}

static int sub_worse(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_connect(self, arg, "in2", notes);
}

static int sub_empty(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_connect(self, arg, "in3", notes);
}

static int publish_worse(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "worse", note, .number = 1), SOMA_EFORMAT);
    return 0;
}

static int publish_empty(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "empty", note, .number = 1), SOMA_EINVAL);
    return 0;
}

static int look_malformed(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_channel_count(self, "in", arg), 0);
    return 0;
}

/* Ours are negative: one that is not is an error, and nothing else. */
static void test_a_bad_serializer(soma_test *test)
{
    soma_address *worse = soma_test_alloc(test, sizeof(*worse));
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    player_transport = SOMA_IPC;
    soma_ref publisher = player_open(test, &player_quiet), subscriber = player_open(test, &player_quiet);
    assert_int_equal(soma_serializer_register(soma_test_system(test), &bad), 0);
    assert_int_equal(soma_serializer_register(soma_test_system(test), &empty), 0);
    player_do(test, publisher, pub_bad, NULL);
    player_do(test, subscriber, sub_bad, NULL);
    player_peers(test, publisher, "out", 1);
    player_do(test, publisher, publish_fine, NULL);
    do
        player_do(test, subscriber, look_malformed, counts);
    while (!counts->malformed && player_wait(&looks));
    assert_int_equal(counts->malformed, 1);
    player_do(test, publisher, pub_worse, worse);
    player_do(test, subscriber, sub_worse, worse);
    player_peers(test, publisher, "worse", 1);
    player_do(test, publisher, publish_worse, NULL);
    player_do(test, publisher, pub_empty, worse);
    player_do(test, subscriber, sub_empty, worse);
    player_peers(test, publisher, "empty", 1);
    player_do(test, publisher, publish_empty, NULL);
    player_transport = SOMA_INPROC;
}

/* ---- waiting in vain ---- */

static int look_waits(soma_agent *self, void *state, void *arg)
{
    uint32_t *waits = arg;
    (void)state;
    *waits = 0;
    for (const void *wait = channel_find(self, "in")->waits; wait; wait = *(const void *const *)wait) // its first: next
        ++*waits;
    return 0;
}

/* Who has given up waiting is forgotten. */
static void test_waiting_in_vain(soma_test *test)
{
    uint32_t *waits = soma_test_alloc(test, sizeof(*waits));
    soma_ref takes = player_open(test, &player_quiet);
    player_do(test, takes, pull_bind, NULL);
    for (int i = 0; i < 50; i++)
        assert_int_equal(soma_wait_connected(soma_test_system(test), takes, "in", 1, 1), SOMA_ETIMEOUT);
    player_do(test, takes, look_waits, waits);
    assert_in_range(*waits, 0, 1); // the last may not have been seen to end
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_REAL(test_many),
        SOMA_REAL(test_too_many),
        cmocka_unit_test(test_each_limit),
        SOMA_REAL(test_a_bad_serializer),
        SOMA_REAL(test_waiting_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
