/*
 * Two lone nodes (lone_node.h) on one wire, which is the test's: it says which frame goes next, sees what crosses, and
 * cuts where it likes. Time stands still unless the test lets it pass.
 */
#ifndef TEST_BRIDGES_PAIR_H
#define TEST_BRIDGES_PAIR_H

#include "bridges/item.h"
#include "lone_node.h"

#define PAIR_ACCEPTED 1000u /* a connection's number there, above what it is here, where it was made */

struct pair {
    struct lone sides[2]; /* the first calls */
    uint64_t connected;   /* of its connections */
    uint64_t frames;      /* of data, that have crossed */
    uint64_t packed;      /* of them compressed */
    uint64_t bytes;       /* and theirs */
    size_t largest;
    uint64_t items[ITEM_LAST + 1]; /* what was in those that were not, by kind */
};

static inline void pair_count(struct pair *pair, const struct lone_frame *frame, int from)
{
    struct reader reader = {frame->bytes, frame->bytes + frame->size};
    uint64_t here = pair->sides[!from].system->node, there = pair->sides[from].system->node, number, acked;
    enum frame_kind kind;
    uint32_t count;
    struct item item;
    if (frame->kind != FRAME_DATA && frame->kind != FRAME_PACKED)
        return;
    pair->frames++;
    pair->bytes += frame->size;
    pair->largest = pair->largest > frame->size ? pair->largest : frame->size;
    pair->packed += frame->kind == FRAME_PACKED;
    if (frame->kind == FRAME_PACKED)
        return;
    REQUIRE(frame_unseal(&reader) && !frame_open(&reader, &kind, &count) &&
            !data_read(&reader, count, &number, &acked));
    while (reader_left(&reader)) {
        REQUIRE(!item_read(&reader, here, there, &item));
        pair->items[item.kind]++;
    }
}

/* The oldest frame of a side arrives at the other; false if there is none. */
static inline bool pair_step(struct pair *pair, int from)
{
    struct lone *to = &pair->sides[!from];
    struct lone_frame *frame = lone_take(&pair->sides[from]);
    if (!frame)
        return false;
    pair_count(pair, frame, from);
    worker_enter(to->bridge->worker);
    bridge_received(to->bridge, frame->connection + (from ? -(uint64_t)PAIR_ACCEPTED : PAIR_ACCEPTED), frame->bytes,
                    frame->size);
    lone_settle(to);
    free(frame);
    return true;
}

/* Both do what there is to do; a connection that was begun stands. */
static inline void pair_turn(struct pair *pair, uint64_t nanoseconds)
{
    for (int side = 0; side < 2; side++)
        lone_pass(&pair->sides[side], nanoseconds);
    if (pair->connected != pair->sides[0].dials) {
        pair->connected = pair->sides[0].dials;
        worker_enter(pair->sides[0].bridge->worker);
        bridge_connected(pair->sides[0].bridge, pair->connected);
    }
}

/* Until nothing is on its way. */
static inline void pair_run(struct pair *pair)
{
    do
        pair_turn(pair, 0);
    while ((int)pair_step(pair, 0) | (int)pair_step(pair, 1));
}

/* What is on its way is lost, and the first soon calls again. */
static inline void pair_cut(struct pair *pair)
{
    for (int side = 0; side < 2; side++)
        for (struct lone_frame *frame; (frame = lone_take(&pair->sides[side]));)
            free(frame);
    worker_enter(pair->sides[0].bridge->worker);
    bridge_broken(pair->sides[0].bridge, pair->connected);
    pair_turn(pair, SOMA_SECOND / 2);
}

/* What has crossed is counted from here on. */
static inline void pair_count_anew(struct pair *pair)
{
    pair->frames = pair->packed = pair->bytes = pair->largest = 0;
    memset(pair->items, 0, sizeof(pair->items));
}

static inline struct peer *pair_peer(struct pair *pair, int of)
{
    return peers_find(&pair->sides[of].bridge->peers, pair->sides[!of].system->node);
}

/* Joined. */
static inline void pair_open(struct pair *pair, soma_bridge_options first, const soma_bridge_options *second)
{
    static const char *const connect[] = {"second", NULL};
    *pair = (struct pair){0};
    first.connect = connect;
    lone_open_as(&pair->sides[0], 1, &first);
    lone_open_as(&pair->sides[1], 2, second);
    for (int side = 0; side < 2; side++)
        pair->sides[side].keeps = true;
    pair_run(pair);
    REQUIRE(pair_peer(pair, 0) && pair_peer(pair, 0)->joined);
    pair_count_anew(pair);
}

static inline void pair_close(struct pair *pair)
{
    for (int side = 0; side < 2; side++)
        lone_close(&pair->sides[side]);
}

#endif
