/*
 * How soon the flow between two nodes goes on after a cut that ends no connection: such as of a cable, where TCP tries
 * again ever less often. Time is simulated, and so is that.
 */
#include "pair.h"
#include "test_support.h"

SOMA_MESSAGE(note, (u64, number))

#define LINES 64u
#define TICK (10 * SOMA_MS)
#define RETRY (200 * SOMA_MS)  /* of TCP: the first wait of what is on its way, */
#define RETRY_DIAL SOMA_SECOND /* and of a connection that is to be; each is twice the one before */

/* What is on its way, or (of a line that is to be) a call. */
struct way {
    struct lone_frame *first;
    struct lone_frame *last;
    uint64_t wait; /* 0: it passes */
    uint64_t due;  /* when it is tried again */
};

/* A connection, which the first has made. */
struct line {
    struct way call;
    struct way ways[2]; /* by who sends */
    bool connected;
    bool over; /* for the first, which has hung up or is told */
};

static struct pair pair;
static struct line lines[LINES]; /* by their number there */
static bool up;                  /* the path between the two */
static uint64_t now, notes, next;
static soma_ref readers[2];

/* ---- the path ---- */

/* Can it pass now? If not, it is tried again later. */
static bool way_passes(struct way *way, uint64_t wait)
{
    if (way->wait && now < way->due)
        return false;
    if (up) {
        way->wait = 0;
        return true;
    }
    way->wait = way->wait ? way->wait * 2 : wait;
    way->due = now + way->wait;
    return false;
}

static void way_clear(struct way *way)
{
    for (struct lone_frame *frame; (frame = way->first);) {
        way->first = frame->next;
        free(frame);
    }
}

static void line_end(struct line *line)
{
    line->over = true;
    way_clear(&line->ways[0]);
    way_clear(&line->ways[1]);
}

static uint64_t number_here(const struct lone *lone, uint64_t connection)
{
    return lone == &pair.sides[0] ? connection : connection - PAIR_ACCEPTED;
}

/* Who was called is told nothing, and who has called only if the path is up. */
static void hang_up(void *context, uint64_t connection)
{
    struct lone *lone = context;
    struct line *line = &lines[number_here(lone, connection)];
    lone_hang_up(context, connection);
    if (!line->over && lone == &pair.sides[1] && up)
        bridge_broken(pair.sides[0].bridge, number_here(lone, connection));
    line_end(line);
}

/* Frames that were sent go to their lines. */
static void frames_sort(int side)
{
    struct lone *lone = &pair.sides[side];
    for (struct lone_frame *frame; (frame = lone_take(lone));) {
        struct line *line = &lines[number_here(lone, frame->connection)];
        struct way *way = &line->ways[side];
        frame->next = NULL;
        if (line->over) {
            free(frame);
            continue;
        }
        *(way->first ? &way->last->next : &way->first) = frame;
        way->last = frame;
    }
}

static void frames_arrive(uint64_t number, int from)
{
    struct way *way = &lines[number].ways[from];
    struct lone *to = &pair.sides[!from];
    while (way->first && way_passes(way, RETRY)) {
        struct lone_frame *frame = way->first;
        way->first = frame->next;
        worker_enter(to->bridge->worker);
        bridge_received(to->bridge, from ? number : number + PAIR_ACCEPTED, frame->bytes, frame->size);
        lone_settle(to);
        free(frame);
    }
}

static void lines_turn(void)
{
    assert_in_range(pair.sides[0].dials, 1, LINES - 1);
    for (uint64_t number = 1; number <= pair.sides[0].dials; number++) {
        struct line *line = &lines[number];
        if (!line->over && !line->connected && way_passes(&line->call, RETRY_DIAL)) {
            line->connected = true;
            worker_enter(pair.sides[0].bridge->worker);
            bridge_connected(pair.sides[0].bridge, number);
        }
        frames_arrive(number, 0);
        frames_arrive(number, 1);
    }
}

static void pass(uint64_t time)
{
    for (uint64_t end = now + time; now < end; now += TICK) {
        for (int side = 0; side < 2; side++) {
            lone_pass(&pair.sides[side], TICK);
            frames_sort(side);
        }
        lines_turn();
        frames_sort(0);
        frames_sort(1);
    }
}

/* ---- the nodes ---- */

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    assert_int_equal(m->number, notes++);
    return 0;
}

static const soma_behavior reader = {.name = "reader", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note))};

static void say(int from)
{
    worker_enter(NULL);
    assert_int_equal(soma_send(pair.sides[from].system, readers[!from], note, .number = next++), 0);
}

static void begin(void)
{
    static const soma_bridge_options plain = {.name = "plain"};
    now = notes = next = 0;
    up = true;
    memset(lines, 0, sizeof(lines));
    pair_open(&pair, plain, &plain);
    lines[1].connected = true;
    for (int side = 0; side < 2; side++) {
        assert_int_equal(soma_spawn(pair.sides[side].system, &reader, NULL, &readers[side]), 0);
        pair.sides[side].bridge->wire.hang_up = hang_up;
    }
}

static void end(void)
{
    for (uint32_t i = 0; i < LINES; i++)
        line_end(&lines[i]);
    pair_close(&pair);
}

/* From the path's return until what was said during the cut is there: all the time, or at its begin. */
static uint64_t recovery(int from, uint64_t phase, uint64_t cut, bool streams)
{
    begin();
    pass(2 * SOMA_SECOND + phase);
    up = false;
    for (uint64_t begun = now; now < begun + cut;) {
        if (streams || now == begun)
            say(from);
        pass(2 * TICK);
    }
    up = true;
    uint64_t begun = now;
    while (notes < next && now < begun + 20 * SOMA_SECOND)
        pass(TICK);
    assert_int_equal(notes, next);
    end();
    return now - begun;
}

static void recovers(int from, bool streams)
{
    for (uint64_t phase = 0; phase < SOMA_SECOND; phase += 290 * SOMA_MS)
        for (uint64_t cut = 100 * SOMA_MS; cut < 4 * SOMA_SECOND; cut += 170 * SOMA_MS)
            assert_in_range(recovery(from, phase, cut, streams), 0, SOMA_SECOND);
}

static void test_caller_speaks(void **state)
{
    (void)state;
    recovers(0, false);
    recovers(0, true);
}

static void test_called_speaks(void **state)
{
    (void)state;
    recovers(1, false);
    recovers(1, true);
}

/* A link that works is not called again, whether it is used or not. */
static void test_no_cut(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 1000; i++) {
        say(i % 2);
        pass(2 * TICK);
    }
    pass(10 * SOMA_SECOND);
    assert_int_equal(notes, 1000);
    assert_int_equal(pair.sides[0].dials, 1);
    end();
}

/* ---- a link in doubt ---- */

#define FAR 100u

static struct lone lone;

static const struct peer *far(void)
{
    return peers_find(&lone.bridge->peers, FAR);
}

static void far_says_hello(uint64_t connection)
{
    struct hello hello = lone_hello(FAR);
    hello.count = connection;
    worker_enter(lone.bridge->worker);
    bridge_connected(lone.bridge, connection);
    lone_receive_hello(&lone, connection, &hello);
    lone_receive_join(&lone, connection, &(struct join){5, far() ? far()->session.mine : 0, 0});
}

static void far_pings(uint64_t acked)
{
    msgpack_sbuffer ping;
    msgpack_sbuffer_init(&ping);
    assert_true(ping_write(&ping, acked, 0));
    lone_receive(&lone, far()->connection, ping.data, ping.size);
    msgpack_sbuffer_destroy(&ping);
}

/* A node of which another has told, and that was called. */
static void far_begin(void)
{
    lone_open(&lone, &(soma_bridge_options){.name = "lone"});
    introduce(&lone, FAR);
    lone_pass(&lone, 0);
    assert_int_equal(lone.dials, 1);
    far_says_hello(1);
    assert_true(far()->joined);
}

/* So long that a beat is missing, and no more. */
static void doubt(void)
{
    lone_pass(&lone, SOMA_SECOND);
    lone_pass(&lone, SOMA_SECOND);
    assert_int_equal(lone.dials, 2);
    assert_true(far()->joined);
}

static void test_heard_again(void **state)
{
    (void)state;
    far_begin();
    doubt();
    far_pings(far()->session.sent);
    worker_enter(lone.bridge->worker);
    bridge_connected(lone.bridge, 2);
    assert_int_equal(lone.last_ended, 2);
    assert_int_equal(far()->connection, 1);
    lone_close(&lone);
}

/* Nothing is left of those that were to take its place, either. */
static void test_leaves_in_doubt(void **state)
{
    (void)state;
    msgpack_sbuffer bye;
    far_begin();
    doubt();
    worker_enter(lone.bridge->worker);
    bridge_connected(lone.bridge, 2); // which has said hello
    lone_pass(&lone, SOMA_SECOND / 2);
    msgpack_sbuffer_init(&bye);
    assert_true(bye_write(&bye));
    lone_receive(&lone, 1, bye.data, bye.size);
    msgpack_sbuffer_destroy(&bye);
    assert_null(lone.bridge->dials);
    assert_null(lone.bridge->connections);
    lone_close(&lone);
}

/* Word comes, but none that what was said has arrived: if a new connection brings none either, that is not left, too.
 */
static void test_slow(void **state)
{
    (void)state;
    far_begin();
    worker_enter(NULL);
    assert_int_equal(soma_send(lone.system, ((soma_ref){FAR, 1, 1}), note, .number = 1), 0);
    for (int i = 0; i < 4; i++) {
        lone_pass(&lone, SOMA_SECOND / 2);
        far_pings(0);
    }
    assert_int_equal(lone.dials, 2);
    far_says_hello(2);
    assert_int_equal(far()->connection, 2);
    for (int i = 0; i < 20; i++) {
        lone_pass(&lone, SOMA_SECOND / 2);
        far_pings(0);
    }
    assert_int_equal(lone.dials, 2);
    far_pings(far()->session.sent);
    lone_close(&lone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_caller_speaks),   cmocka_unit_test(test_called_speaks),
                                       cmocka_unit_test(test_no_cut),          cmocka_unit_test(test_heard_again),
                                       cmocka_unit_test(test_leaves_in_doubt), cmocka_unit_test(test_slow)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
