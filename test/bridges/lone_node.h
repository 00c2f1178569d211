/*
 * A node alone in a test's hands: a system driven in one thread with virtual time, and a bridge whose wire is the test,
 * which says what arrives, and sees what is sent. For tests and fuzz targets.
 */
#ifndef TEST_BRIDGES_LONE_NODE_H
#define TEST_BRIDGES_LONE_NODE_H

#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/agent.h"
#include "runtime/clock.h"
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONE_RUNNABLE 1024

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A frame that a bridge has sent, with its checksum. */
struct lone_frame {
    struct lone_frame *next;
    uint64_t connection;
    uint8_t kind;
    size_t size;
    unsigned char bytes[];
};

struct lone {
    soma_system *system;
    struct soma_bridge *bridge;
    uint64_t now;
    uint64_t seed;
    soma_agent *runnable[LONE_RUNNABLE];
    uint32_t count;
    uint64_t dials;       /* how many the bridge has begun; they are numbered from 1 */
    uint64_t sent;        /* frames */
    uint64_t sent_on;     /* the last one's connection */
    uint8_t kind;         /* and kind */
    uint64_t hung_up;     /* connections that the bridge has ended */
    uint64_t last_ended;  /* the last of them */
    const char *key;      /* whom the wire says all connections are from; NULL: it can't tell */
    soma_log_sink *heard; /* gets what is logged; NULL: nobody does */
    void *hearer;
    bool keeps; /* the frames that are sent; the oldest is the first */
    struct lone_frame *first;
    struct lone_frame *last;
};

/* ---- the driver ---- */

static inline uint64_t lone_now(void *context)
{
    return ((struct lone *)context)->now;
}

static inline uint64_t lone_random(void *context)
{
    struct lone *lone = context;
    lone->seed = lone->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return lone->seed ^ lone->seed >> 33;
}

static inline void lone_runnable(void *context, soma_system *system, soma_agent *agent)
{
    struct lone *lone = context;
    (void)system;
    REQUIRE(lone->count < LONE_RUNNABLE);
    lone->runnable[lone->count++] = agent;
}

/* Lets all agents run that can. In between, the thread is the bridge's. */
static inline void lone_settle(struct lone *lone)
{
    worker_enter(&lone->system->workers[0]);
    for (uint32_t i = 0; i < lone->count; i++) // grows meanwhile
        agent_turn(&lone->system->workers[0], lone->runnable[i], 100);
    worker_enter(lone->bridge->worker);
    lone->count = 0;
}

/* ---- the wire ---- */

static inline int lone_dial(void *context, const char *address, uint64_t *connection)
{
    struct lone *lone = context;
    (void)address;
    *connection = ++lone->dials;
    return 0;
}

static inline void lone_send(void *context, uint64_t connection, const struct pieces *pieces)
{
    struct lone *lone = context;
    size_t size = pieces_size(pieces);
    struct lone_frame *kept = malloc(sizeof(*kept) + size);
    REQUIRE(kept);
    pieces_join(pieces, kept->bytes);
    const char *whole = block_join(pieces); // as a wire has it that does not copy
    REQUIRE(!whole || (!memcmp(whole, kept->bytes, size) && !block_let_go(pieces->block)));
    struct reader reader = {kept->bytes, kept->bytes + size};
    enum frame_kind kind;
    uint32_t count;
    REQUIRE(frame_unseal(&reader) && !frame_open(&reader, &kind, &count));
    lone->sent++;
    lone->sent_on = connection;
    lone->kind = (uint8_t)kind;
    if (!lone->keeps) {
        free(kept);
        return;
    }
    kept->next = NULL;
    kept->connection = connection;
    kept->kind = (uint8_t)kind;
    kept->size = size;
    *(lone->first ? &lone->last->next : &lone->first) = kept;
    lone->last = kept;
}

/* The oldest frame that was kept, to be freed; NULL if there is none. */
static inline struct lone_frame *lone_take(struct lone *lone)
{
    struct lone_frame *frame = lone->first;
    if (frame)
        lone->first = frame->next;
    return frame;
}

/* What a frame of data has behind its head; false for another one. */
static inline bool lone_items(const struct lone_frame *frame, struct reader *items)
{
    enum frame_kind kind;
    uint32_t count;
    uint64_t number, acked;
    *items = (struct reader){frame->bytes, frame->bytes + frame->size};
    REQUIRE(frame_unseal(items) && !frame_open(items, &kind, &count));
    if (kind != FRAME_DATA)
        return false;
    REQUIRE(!data_read(items, count, &number, &acked));
    return true;
}

static inline void lone_hang_up(void *context, uint64_t connection)
{
    ((struct lone *)context)->hung_up++;
    ((struct lone *)context)->last_ended = connection;
}

static inline void lone_wake(void *context)
{
    (void)context;
}

static inline const char *lone_greeted(void *context, uint64_t connection)
{
    (void)connection;
    return ((struct lone *)context)->key;
}

static inline int lone_stop(void *context)
{
    (void)context;
    return 0;
}

static inline void lone_release(void *context)
{
    bridge_free(context);
}

/* ---- the node ---- */

static inline void lone_log(void *context, const soma_log_record *record)
{
    const struct lone *lone = context;
    if (lone->heard)
        lone->heard(lone->hearer, record);
}

/* Its identity, and all else that is drawn, comes of a seed. */
static inline void lone_open_as(struct lone *lone, uint64_t seed, const soma_bridge_options *options)
{
    const soma_options small = {
        .workers = 1, .slots = 4096, .log_sink = lone_log, .log_context = lone, .handler_limit_ms = 0};
    const struct driver driver = {
        .now = lone_now, .date = lone_now, .random = lone_random, .runnable = lone_runnable, .context = lone};
    *lone = (struct lone){.now = SOMA_SECOND, .seed = seed};
    REQUIRE(!system_open_driven(&lone->system, &small, &driver));
    REQUIRE(!bridge_new(lone->system, options, &lone->bridge));
    lone->bridge->wire = (struct wire){.dial = lone_dial,
                                       .send = lone_send,
                                       .hang_up = lone_hang_up,
                                       .wake = lone_wake,
                                       .context = lone,
                                       .greeted = lone_greeted};
    REQUIRE(!bridge_start(lone->bridge, lone_stop, lone_release));
    worker_enter(lone->bridge->worker);
}

static inline void lone_open(struct lone *lone, const soma_bridge_options *options)
{
    lone_open_as(lone, 1, options);
}

/* With what the bridge still had. */
static inline void lone_close(struct lone *lone)
{
    worker_enter(lone->bridge->worker);
    bridge_goodbye(lone->bridge);
    lone_settle(lone);
    worker_enter(NULL);
    REQUIRE(!soma_system_close(&lone->system));
    for (struct lone_frame *frame; (frame = lone_take(lone));)
        free(frame);
}

/* A frame from a connection, without its checksum yet: so more comes of chance than frames that are turned away. */
static inline void lone_receive(struct lone *lone, uint64_t connection, const void *frame, size_t size)
{
    msgpack_sbuffer sealed;
    msgpack_sbuffer_init(&sealed);
    REQUIRE((!size || !msgpack_sbuffer_write(&sealed, frame, size)) && frame_seal(&sealed));
    worker_enter(lone->bridge->worker);
    bridge_received(lone->bridge, connection, sealed.data, sealed.size);
    msgpack_sbuffer_destroy(&sealed);
    lone_settle(lone);
}

/* Time passes, and the bridge does what it has brought. */
static inline void lone_pass(struct lone *lone, uint64_t nanoseconds)
{
    lone->now += nanoseconds;
    worker_enter(lone->bridge->worker);
    clock_fire(lone->system, lone->now);
    lone_settle(lone);
    bridge_turn(lone->bridge);
    lone_settle(lone);
}

/* A hello of another node, as it would be if nothing is wrong with it, to be changed or written. */
static inline struct hello lone_hello(uint64_t node)
{
    return (struct hello){.version = PROTOCOL_VERSION,
                          .least = PROTOCOL_LEAST,
                          .node = node,
                          .agent = {node, 1, 1},
                          .name = {"far", 3},
                          .beat_ms = 1000};
}

static inline void lone_receive_hello(struct lone *lone, uint64_t connection, const struct hello *hello)
{
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    REQUIRE(hello_write(&frame, hello));
    lone_receive(lone, connection, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

/* What a node says of the session next: its half is its own number. It knows ours if there is one. */
static inline void lone_receive_join(struct lone *lone, uint64_t connection, const struct join *join)
{
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    REQUIRE(join_write(&frame, join));
    lone_receive(lone, connection, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

static inline void lone_receive_data(struct lone *lone, uint64_t connection, uint64_t number, uint64_t acked,
                                     const void *items, size_t size)
{
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    REQUIRE(data_write(&frame, number, acked, items, size));
    lone_receive(lone, connection, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

/* A node has called, which reads so much beyond the least, and is joined. */
static inline void join_as(struct lone *lone, uint64_t node, uint64_t connection, uint64_t reads)
{
    struct hello hello = lone_hello(node);
    hello.reads = reads;
    lone_receive_hello(lone, connection, &hello);
    lone_receive_join(lone, connection, &(struct join){.mine = 5});
}

static inline void join_from(struct lone *lone, uint64_t node, uint64_t connection)
{
    join_as(lone, node, connection, 0);
}

/* Another node has told of one, and where it is. */
static inline void introduce(const struct lone *lone, uint64_t node)
{
    static const char address[] = "sim://far";
    const struct item item = {.kind = ITEM_NODE,
                              .node = node,
                              .name = {"far", 3},
                              .addresses = {{address, sizeof(address) - 1}},
                              .address_count = 1};
    REQUIRE(!node_arrive(lone->bridge, &item));
}

static inline struct peer *peer_of(const struct lone *lone, uint64_t node)
{
    return peers_find(&lone->bridge->peers, node);
}

/* Tells of type 0: a note of one number. */
static inline void note_type_write(struct writer *writer)
{
    write_array(writer, 4);
    write_number(writer, ITEM_TYPE);
    write_number(writer, 0);
    write_text(writer, "note", 4);
    write_text(writer, "u64 number", 10);
}

#endif
