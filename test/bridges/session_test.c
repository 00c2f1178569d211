/*
 * The handshake and the session under a wire that breaks at any word: two nodes that call each other over connections
 * which a seed ends, with all that is on its way. Whatever goes, what agents send arrives once and in order, and nobody
 * is ever told that the other node were down.
 */
#include "bridges/bridge.h"
#include "nodes.h"
#include "runtime/worker.h"
#include <pthread.h>
#include <soma/monitor.h>
#include <stdio.h>
#include <unistd.h>

SOMA_MESSAGE(numbered, (u64, number))
SOMA_MESSAGE(watch_it, (ref, agent))

#define LINES_MAX 64
#define FRAMES_MAX 4096

/* ---- agents ---- */

static atomic_int arrived[2], wrong;

struct receiver {
    int side;
    uint64_t next;
};

static int receiver_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct receiver *)state)->side = *(const int *)arg;
    return 0;
}

static int on_numbered(soma_agent *self, struct receiver *my, const struct numbered *m)
{
    (void)self;
    if (m->number != my->next++)
        atomic_store(&wrong, 1);
    atomic_store(&arrived[my->side], (int)my->next);
    return 0;
}

static int on_watch_it(soma_agent *self, struct receiver *my, const struct watch_it *m)
{
    (void)my;
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : 0;
}

static int on_down(soma_agent *self, struct receiver *my, const struct soma_down *m)
{
    (void)self, (void)my, (void)m;
    atomic_store(&wrong, 2);
    return 0;
}

static const soma_behavior receiver = {
    .name = "receiver",
    .state_size = sizeof(struct receiver),
    .init = receiver_init,
    .handlers =
        SOMA_HANDLERS(SOMA_ON(numbered, on_numbered), SOMA_ON(watch_it, on_watch_it), SOMA_ON(soma_down, on_down))};

/* ---- the wire: one thread turns both bridges ---- */

struct frame {
    void *bytes;
    size_t size;
};

/* A connection; its two ends have the numbers 2 n + 2 (who called) and 2 n + 3. */
struct line {
    int caller;
    bool alive;
    bool connected;                     /* the caller knows */
    bool told;                          /* the caller knows that it is broken, or has hung up */
    struct frame frames[2][FRAMES_MAX]; /* by the end that sent them */
    uint32_t first[2], last[2];
};

struct end {
    struct soma_bridge *bridge;
    int side;
    uint64_t broken; /* a connection to tell of; 0: none */
};

static struct end ends[2];
static struct line *lines; /* LINES_MAX, used in turn */
static uint64_t line_count;
static uint64_t seed;

static uint32_t chance(uint32_t most)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(seed >> 33) % most;
}

static struct line *line_of(uint64_t connection)
{
    return &lines[(connection / 2 - 1) % LINES_MAX];
}

static void line_break(struct line *line)
{
    line->alive = false;
    for (int end = 0; end < 2; end++)
        while (line->first[end] != line->last[end])
            free(line->frames[end][line->first[end]++ % FRAMES_MAX].bytes);
}

static int fake_dial(void *context, const char *address, uint64_t *connection)
{
    const struct end *end = context;
    struct line *line = &lines[line_count % LINES_MAX];
    (void)address;
    line_break(line);
    *line = (struct line){.caller = end->side, .alive = true};
    *connection = 2 * ++line_count;
    return 0;
}

static void fake_send(void *context, uint64_t connection, const struct pieces *frame)
{
    struct end *end = context;
    struct line *line = line_of(connection);
    bool current = connection / 2 + LINES_MAX > line_count;
    uint32_t called = connection & 1;
    if (!current || !line->alive) {
        end->broken = connection; // who called is told anyway
        return;
    }
    size_t size = pieces_size(frame);
    void *copy = malloc(size);
    pieces_join(frame, copy);
    line->frames[called][line->last[called]++ % FRAMES_MAX] = (struct frame){copy, size};
}

static void fake_hang_up(void *context, uint64_t connection)
{
    (void)context;
    struct line *line = line_of(connection);
    if (connection & 1 || connection / 2 + LINES_MAX <= line_count)
        return; // as with a ROUTER, who was called can't end it
    line->told = true;
    line->alive = false; // what it said before may still arrive
}

static void fake_wake(void *context)
{
    (void)context; // it never sleeps
}

/* One word of a line's, from one end to the other, or that it stands, or is broken. */
static void line_step(struct line *line, uint64_t number, int from)
{
    int to = from ? line->caller : !line->caller;
    uint64_t connection = 2 * number + (from ? 0 : 1);
    if (line->first[from] == line->last[from] || (from && line->told))
        return;
    struct frame frame = line->frames[from][line->first[from]++ % FRAMES_MAX];
    worker_enter(ends[to].bridge->worker);
    bridge_received(ends[to].bridge, connection, frame.bytes, frame.size);
    free(frame.bytes);
}

static void lines_step(void)
{
    uint64_t first = line_count > LINES_MAX ? line_count - LINES_MAX : 0;
    for (uint64_t i = first; i < line_count; i++) {
        struct line *line = &lines[i % LINES_MAX];
        struct soma_bridge *caller = ends[line->caller].bridge;
        if (!line->told && (!line->alive || (!line->connected && !chance(4)))) {
            worker_enter(caller->worker);
            line->told = !line->alive;
            line->connected = true;
            if (line->told)
                bridge_broken(caller, 2 * (i + 1));
            else
                bridge_connected(caller, 2 * (i + 1));
        }
        line_step(line, i + 1, (int)chance(2));
        if (!chance(200))
            line_break(line);
    }
}

static atomic_int stop;

static void *drive(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        for (int side = 0; side < 2; side++) {
            struct end *end = &ends[side];
            worker_enter(end->bridge->worker);
            bridge_turn(end->bridge);
            if (end->broken)
                bridge_broken(end->bridge, end->broken);
            end->broken = 0;
        }
        lines_step();
    }
    for (int side = 0; side < 2; side++) {
        worker_enter(ends[side].bridge->worker);
        bridge_goodbye(ends[side].bridge);
    }
    return NULL;
}

/* ---- the test ---- */

static void release(void *context)
{
    bridge_free(context);
}

static void node_begin(struct node *node, int side)
{
    const char *const connect[] = {side ? "first" : "second", NULL};
    const soma_bridge_options options = {.connect = connect, .retry_most_ms = 1, .down_ms = 600000};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    *node = (struct node){0};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(bridge_new(node->system, &options, &node->bridge), 0);
    ends[side] = (struct end){node->bridge, side, 0};
    node->bridge->wire = (struct wire){
        .dial = fake_dial, .send = fake_send, .hang_up = fake_hang_up, .wake = fake_wake, .context = &ends[side]};
    assert_int_equal(bridge_start(node->bridge, NULL, release), 0);
    assert_int_equal(soma_spawn(node->system, &receiver, &side, &node->agent), 0);
}

static void round_run(uint64_t number)
{
    struct node nodes[2];
    pthread_t thread;
    int count = (int)test_load(100);
    seed = number;
    line_count = 0;
    atomic_store(&wrong, 0); // the goodbyes of the round before have told, too
    atomic_store(&stop, 0);
    for (int side = 0; side < 2; side++) {
        atomic_store(&arrived[side], 0);
        node_begin(&nodes[side], side);
    }
    for (int side = 0; side < 2; side++) // so that either may send from the start
        peer_open(bridge_peer(nodes[side].bridge, nodes[!side].system->node));
    assert_int_equal(pthread_create(&thread, NULL, drive, NULL), 0);
    for (int side = 0; side < 2; side++)
        assert_int_equal(soma_send(nodes[side].system, nodes[side].agent, watch_it, .agent = nodes[!side].agent), 0);
    for (int i = 0; i < count; i++) {
        for (int side = 0; side < 2; side++)
            assert_int_equal(soma_send(nodes[side].system, nodes[!side].agent, numbered, .number = (uint64_t)i), 0);
        sched_yield(); // so that they go in many frames
    }
    wait_word("messages", &arrived[0], count);
    wait_word("messages", &arrived[1], count);
    assert_int_equal(atomic_load(&wrong), 0);
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    for (int i = 0; i < LINES_MAX; i++)
        line_break(&lines[i]);
    for (int side = 0; side < 2; side++)
        assert_int_equal(soma_system_close(&nodes[side].system), 0);
}

static void test_broken_anywhere(void **state)
{
    (void)state;
    lines = calloc(LINES_MAX, sizeof(*lines));
    for (uint32_t number = 1; number <= test_load(30); number++)
        round_run(number);
    free(lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken_anywhere)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
