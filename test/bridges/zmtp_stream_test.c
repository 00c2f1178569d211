/*
 * The streams of a node without keys, in one thread and in a time of the test's own: who has how long, how much is
 * owed to whom, and what can't be sent.
 */
#include "bridges/zmtp_parts.h"
#include "lone_node.h"
#include "raw_peer.h"
#include <netdb.h>
#include <sched.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdatomic.h>

static struct lone lone;
static struct wire own; /* the lone node's, which it has again in the end */
static struct zmtp_wire *wire;
static char address[64];
static char heard[1024]; /* what was logged last */

static void on_log(void *context, const soma_log_record *record)
{
    (void)context;
    snprintf(heard, sizeof(heard), "%s", record->text);
}

/* The keeper's rounds, until there is nothing to do. */
static void turn(void)
{
    struct keeper *keeper = &wire->keeper;
    uint64_t keys[POST_MOST];
    uint32_t count;
    pthread_mutex_lock(&keeper->post.turn);
    do {
        count = post_wait(&keeper->post, true, keys);
        keeper->ways->note(keeper, keys, count);
        keeper->ways->look(keeper, true);
        do
            bridge_turn(lone.bridge);
        while (keeper->ways->tell(keeper));
        keeper->ways->watch(keeper);
    } while (count || keeper->looks);
    pthread_mutex_unlock(&keeper->post.turn);
}

static void pass(uint64_t time)
{
    lone.now += time;
    turn();
}

static int open_with(const char *connect)
{
    const char *const bind[] = {address, NULL}, *const there[] = {connect, NULL};
    const soma_bridge_options options = {
        .name = "here", .bind = bind, .connect = connect ? there : NULL, .heartbeat_ms = 3600000, .down_ms = 36000000};
    snprintf(address, sizeof(address), "ipc://@soma-stream-%d", (int)getpid());
    lone_open(&lone, &options);
    lone.heard = on_log;
    heard[0] = '\0';
    own = lone.bridge->wire;
    REQUIRE(!zmtp_wire_open(lone.bridge));
    wire = (struct zmtp_wire *)lone.bridge->keeper;
    lone.bridge->keeper = NULL; // it is the test's
    turn();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    return open_with(NULL);
}

static int teardown(void **state)
{
    (void)state;
    while (lone.bridge->connections)
        connection_end(lone.bridge, lone.bridge->connections, true);
    keeper_free(&wire->keeper);
    lone.bridge->wire = own;
    lone_close(&lone);
    return 0;
}

/* ---- the resolver ---- */

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found);

static atomic_uint asks;
static atomic_bool stands; /* it does not answer */

/* It knows nobody. */
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found)
{
    (void)host, (void)port, (void)wanted, (void)found;
    atomic_fetch_add(&asks, 1);
    while (atomic_load(&stands))
        sched_yield();
    return EAI_AGAIN;
}

/* What it says once nobody waits any more counts for who asks next, and for nobody after him. */
static void test_late_resolver(void **state)
{
    (void)state;
    struct stream *streams[3];
    for (int i = 0; i < 3; i++) {
        streams[i] = stream_new(wire, -1, STREAM_SEEKS);
        assert_non_null(streams[i]);
    }
    atomic_store(&stands, true);
    assert_true(stream_seek(wire, streams[0], "somewhere", 1));
    stream_end(wire, streams[0]);
    turn();
    atomic_store(&stands, false);
    while (!lookup_is_over(wire->lookups))
        sched_yield();
    turn();
    assert_false(stream_seek(wire, streams[1], "somewhere", 1));
    assert_int_equal(atomic_load(&asks), 1);
    atomic_store(&stands, true);
    assert_true(stream_seek(wire, streams[2], "somewhere", 1));
    while (atomic_load(&asks) < 2)
        sched_yield();
    atomic_store(&stands, false);
}

/* ---- the others ---- */

static struct raw come(void)
{
    struct raw raw;
    raw_open(&raw, address, 0);
    turn();
    return raw;
}

static void say(const struct raw *raw, const void *bytes, size_t size)
{
    assert_true(raw_say(raw, bytes, size));
    turn();
}

static void greet(struct raw *raw, bool called)
{
    unsigned char both[ZMTP_GREETING + ZMTP_READY_MOST];
    zmtp_greet(both);
    say(raw, both, ZMTP_GREETING + zmtp_ready(both + ZMTP_GREETING, called));
    assert_true(raw_take(raw, both, ZMTP_GREETING) && raw_hear(raw));
}

static void say_hello(struct raw *raw, uint64_t node)
{
    uint32_t count;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    raw->node = node;
    hello_of(raw, &frame);
    assert_true(raw_say_frame(raw, &frame));
    msgpack_sbuffer_destroy(&frame);
    turn();
    raw_expect(raw, FRAME_HELLO, &count);
    raw_expect(raw, FRAME_SESSION, &count);
}

/* Has the node ended it? Nothing is unread. */
static bool is_over(const struct raw *raw)
{
    char byte;
    ssize_t size = recv(raw->socket, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return !size || (size < 0 && errno != EAGAIN);
}

static bool raw_hear_is(const struct raw *raw, const char *command)
{
    return raw->command && raw->size == strlen(command) && !memcmp(raw->bytes, command, raw->size);
}

static struct stream *stream_last(void)
{
    struct stream *stream = wire->streams;
    while (stream && stream->next)
        stream = stream->next;
    return stream;
}

/* ---- time ---- */

/* Each has the time of a handshake, whatever it has said of one, but a node that has said who it is. */
static void test_time(void **state)
{
    (void)state;
    unsigned char greeting[ZMTP_GREETING];
    struct raw raws[4];
    for (int i = 0; i < 4; i++) {
        raws[i] = come();
        if (i > 1)
            greet(&raws[i], false);
    }
    assert_true(raw_take(&raws[0], greeting, ZMTP_GREETING_FIRST));
    assert_true(raw_take(&raws[1], greeting, ZMTP_GREETING_FIRST));
    say(&raws[1], "\xff", 1);
    say_hello(&raws[3], 77);
    assert_int_equal(wire->waiting, 3);
    pass(HANDSHAKE - 1);
    for (int i = 0; i < 4; i++)
        assert_false(is_over(&raws[i]));
    assert_int_equal(lone.bridge->counts.cut_off, 0);
    pass(1);
    for (int i = 0; i < 3; i++)
        assert_true(is_over(&raws[i]));
    assert_true(strstr(heard, "before it said who it is"));
    assert_int_equal(lone.bridge->counts.cut_off, 3);
    assert_int_equal(lone.bridge->counts.failed, 3);
    assert_int_equal(wire->waiting, 0);
    assert_null(wire->streams->next);
    for (int i = 0; i < 4; i++)
        raw_close(&raws[i]);
    turn();
    assert_null(wire->streams);
}

/* Too many have come: the oldest goes that has not said who it is. */
static void test_crowd(void **state)
{
    (void)state;
    struct raw known = come(), first = come(), others[256];
    unsigned char greeting[ZMTP_GREETING];
    greet(&known, false);
    say_hello(&known, 77);
    assert_true(raw_take(&first, greeting, ZMTP_GREETING_FIRST));
    for (int i = 0; i < 256; i++) {
        assert_false(is_over(&first));
        others[i] = come();
    }
    assert_true(is_over(&first));
    assert_int_equal(wire->waiting, 256);
    say(&known, "\4\7\4PING\0", 9);
    assert_true(raw_hear(&known) && raw_hear_is(&known, "\4PONG"));
    for (int i = 0; i < 256; i++) {
        assert_true(raw_take(&others[i], greeting, ZMTP_GREETING_FIRST));
        assert_false(is_over(&others[i]));
        raw_close(&others[i]);
    }
    turn();
    assert_int_equal(wire->waiting, 0);
    raw_close(&known);
    raw_close(&first);
}

/* Who was shown out has a moment to go by itself; one that goes on to talk has none. */
static void test_shown_out(void **state)
{
    (void)state;
    for (int talks = 0; talks < 2; talks++) {
        struct raw raw = come();
        greet(&raw, false);
        say(&raw, "\0\3bad", 5);
        assert_int_equal(lone.bridge->counts.bad_frames, talks + 1);
        assert_false(is_over(&raw));
        if (talks)
            say(&raw, "more", 4);
        else
            pass(GOODBYE_MS * SOMA_MS - 1);
        assert_int_equal(is_over(&raw), talks);
        pass(1);
        assert_true(is_over(&raw));
        raw_close(&raw);
        turn();
        assert_null(wire->streams);
    }
}

/* ---- how much ---- */

/* Little bytes by little: what has no end is as much as what is large. */
static void test_much_of_stranger(void **state)
{
    (void)state;
    struct raw raw = come();
    size_t said = 0;
    greet(&raw, false);
    while (!is_over(&raw) && said < 2 * UNSAID_MOST) {
        say(&raw, "\4\7\4PONG\0", 9);
        said += 9;
    }
    assert_true(said <= UNSAID_MOST && said > UNSAID_MOST - 200);
    assert_true(strstr(heard, "has said much"));
    raw_close(&raw);
}

/* One who asks whether this node is there, and does not hear the answers, is not owed ever more of them. */
static void test_pings_unheard(void **state)
{
    (void)state;
    unsigned char pings[25 * 400];
    struct raw raw = come();
    uint32_t waits = 0;
    greet(&raw, false);
    say_hello(&raw, 77);
    for (size_t i = 0; i < 400; i++)
        memcpy(pings + 25 * i,
               "\4\x17\4PING\0\0"
               "0123456789abcdef",
               25);
    for (int i = 0; i < 200; i++)
        say(&raw, pings, sizeof(pings));
    const struct stream *stream = stream_last();
    for (const struct unsent *unsent = stream->first; unsent; unsent = unsent->next)
        waits++;
    assert_true(waits && waits < 100);
    while (stream->first) { // it listens again
        assert_true(raw_hear(&raw));
        turn();
    }
    say(&raw, "\4\x9\4PING\0\0me", 11);
    do
        assert_true(raw_hear(&raw) && raw.command);
    while (raw.size != 7);
    assert_memory_equal(raw.bytes, "\4PONGme", 7);
    raw_close(&raw);
}

/* ---- who is called ---- */

static int listener;

/* The node calls, where the test listens. */
static int setup_call(void **state)
{
    (void)state;
    char there[64];
    struct sockaddr_storage name;
    snprintf(there, sizeof(there), "ipc://@soma-there-%d", (int)getpid());
    const socklen_t size = raw_place(there, &name);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(!bind(listener, (struct sockaddr *)&name, size) && !listen(listener, 1));
    return open_with(there);
}

static int teardown_call(void **state)
{
    close(listener);
    return teardown(state);
}

static struct raw called(void)
{
    struct raw raw = {.socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC), .node = 77};
    assert_true(raw.socket >= 0);
    turn();
    return raw;
}

/* What a node begins with is a command, and none of those is large. */
static void test_large_in_place_of_ready(void **state)
{
    (void)state;
    unsigned char greeting[ZMTP_GREETING + 9];
    struct raw raw = called();
    zmtp_greet(greeting);
    memcpy(greeting + ZMTP_GREETING, "\2\0\0\0\0\0\x10\0\0", 9); // 1 MiB
    say(&raw, greeting, sizeof(greeting));
    assert_true(raw_take(&raw, greeting, ZMTP_GREETING) && raw_hear(&raw));
    assert_true(is_over(&raw));
    assert_true(strstr(heard, "not as a node does"));
    raw_close(&raw);
}

/* Who takes the connection has the time of a handshake, too; then another one is made. */
static void test_silent(void **state)
{
    (void)state;
    unsigned char greeting[ZMTP_GREETING];
    for (int says = 0; says < 2; says++) {
        struct raw raw = called();
        zmtp_greet(greeting);
        if (says)
            say(&raw, greeting, sizeof(greeting));
        assert_true(raw_take(&raw, greeting, says ? ZMTP_GREETING : ZMTP_GREETING_FIRST));
        assert_true(!says || raw_hear(&raw));
        heard[0] = '\0';
        pass(HANDSHAKE - 1);
        assert_false(is_over(&raw));
        pass(1);
        assert_true(is_over(&raw));
        raw_close(&raw);
        pass(30 * SOMA_SECOND);
    }
    struct raw raw = called();
    greet(&raw, true);
    assert_true(raw_hear(&raw)); // a hello
    pass(HANDSHAKE - 1);
    assert_false(is_over(&raw));
    raw_close(&raw);
}

/* The bridge has hung up on one to which it had much to say. */
static uint64_t hung_up(struct raw *raw, size_t size)
{
    static char content[1 << 20];
    *raw = called();
    greet(raw, true);
    assert_true(raw_hear(raw)); // a hello
    const msgpack_sbuffer head = {.data = content, .size = 1};
    const struct pieces frame = frame_pieces(&head, content, size - head.size - sizeof(frame.sum));
    const struct stream *stream = stream_last();
    lone.bridge->wire.send(wire, stream->id, &frame);
    assert_non_null(stream->first);
    connection_end(lone.bridge, connection_find(lone.bridge, stream->id), true);
    say(raw, "\4\7\4PING\0", 9); // that is not heard
    return stream->id;
}

/* What was said before is heard all the same. */
static void test_hung_up(void **state)
{
    (void)state;
    const size_t size = 1 << 20;
    struct raw raw;
    char some[4096];
    const uint64_t id = hung_up(&raw, size);
    for (size_t left = ZMTP_HEAD_MOST + size; left;) {
        ssize_t come = recv(raw.socket, some, sizeof(some), MSG_DONTWAIT);
        assert_true(come > 0 || (come < 0 && errno == EAGAIN));
        left -= come > 0 ? (size_t)come : 0;
        if (come < 0)
            turn();
    }
    assert_true(is_over(&raw));
    assert_null(stream_find(wire, id));
    raw_close(&raw);
}

/* But not for long. */
static void test_hung_up_unheard(void **state)
{
    (void)state;
    struct raw raw;
    const uint64_t id = hung_up(&raw, 1 << 20);
    pass(GOODBYE_MS * SOMA_MS - 1);
    assert_non_null(stream_find(wire, id));
    pass(1);
    assert_null(stream_find(wire, id));
    raw_close(&raw);
}

/* ---- what can't be sent ---- */

/* There was no memory for the rest of a frame: nothing may follow in its place. */
static void test_failed(void **state)
{
    (void)state;
    struct raw raw = come();
    msgpack_sbuffer frame;
    greet(&raw, false);
    say_hello(&raw, 77);
    struct stream *stream = stream_last();
    msgpack_sbuffer_init(&frame);
    assert_true(bye_write(&frame));
    const struct pieces pieces = frame_pieces(&frame, NULL, 0);
    stream_fail(wire, stream);
    lone.bridge->wire.send(wire, stream->id, &pieces);
    assert_false(is_over(&raw));
    char byte;
    assert_int_equal(recv(raw.socket, &byte, 1, MSG_DONTWAIT), -1);
    turn();
    assert_true(is_over(&raw));
    msgpack_sbuffer_destroy(&frame);
    raw_close(&raw);
}

int main(void)
{
#define CALLING(test) cmocka_unit_test_setup_teardown(test, setup_call, teardown_call)
#define WITH_NODE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_NODE(test_time),          WITH_NODE(test_crowd),
        WITH_NODE(test_shown_out),     WITH_NODE(test_much_of_stranger),
        WITH_NODE(test_pings_unheard), CALLING(test_large_in_place_of_ready),
        CALLING(test_silent),          CALLING(test_hung_up),
        CALLING(test_hung_up_unheard), WITH_NODE(test_failed),
        WITH_NODE(test_late_resolver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
