/*
 * Answers for who reads them slowly. ZeroMQ takes an answer only if there is room for it at the connection of who
 * asked. One that it does not take waits here, and so do all to the same asker that follow, so that others get theirs;
 * they are tried again some milliseconds later, as ZeroMQ does not tell when there is room at one connection. Who has
 * left too many unread, or is gone, misses them.
 */
#include "channels/porter.h"
#include <errno.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>

#define HOLD_ASKERS 15u                 /* that answers may wait for, */
#define HOLD_MOST (UINT64_C(4) << 20)   /* the bytes of one of them, unless it is a single answer, */
#define HOLD_ALL (LINE_QUEUE_MOST / 2)  /* and of all: there is room in the line for who reads */
#define HOLD_PAUSE (2 * SOMA_MS)        /* between two tries; twice as long after each that was in vain, */
#define HOLD_PAUSE_MOST (100 * SOMA_MS) /* up to this */

struct held {
    struct held *next;
    uint64_t weight;
    uint32_t count;
    struct parcel parcels[];
};

struct asker {
    struct asker *next;
    struct held *first; /* there is one */
    struct held **end;
    uint64_t bytes;
};

static void parcels_end(struct parcel *parcels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        zmq_msg_close(&parcels[i].part);
}

/* It is lost; the 1st, 2nd, 4th, 8th … is logged. */
static void answer_miss(struct line *line, struct parcel *parcels, uint32_t count, const char *why)
{
    uint64_t before = u64_add(&line->counts.missed, 1);
    parcels_end(parcels, count);
    if (!(before & (before + 1)))
        soma_log_warning(line->porter->system, "channels: an answer is lost, as who asked %s (%llu so far)", why,
                         (unsigned long long)before + 1);
}

/* 0, SOMA_EAGAIN (there is no room), SOMA_EGONE. If not SOMA_EAGAIN, the parcels are done with. */
static int answer_try(struct line *line, struct parcel *parcels, uint32_t count)
{
    if (zmq_msg_send(&parcels[0].part, line->socket, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        if (errno == EAGAIN)
            return SOMA_EAGAIN;
        answer_miss(line, parcels, count, "is gone");
        return SOMA_EGONE;
    }
    for (uint32_t i = 1; i < count; i++) // ZeroMQ takes them, once it has taken the first
        zmq_msg_send(&parcels[i].part, line->socket, ZMQ_DONTWAIT | (parcels[i].more ? ZMQ_SNDMORE : 0));
    parcels_end(parcels, count);
    return 0;
}

static struct asker *asker_find(const struct line *line, zmq_msg_t *id)
{
    struct asker *asker = line->askers;
    for (; asker; asker = asker->next) {
        zmq_msg_t *own = &asker->first->parcels[0].part;
        if (zmq_msg_size(own) == zmq_msg_size(id) && !memcmp(zmq_msg_data(own), zmq_msg_data(id), zmq_msg_size(id)))
            break;
    }
    return asker;
}

static struct asker *asker_new(struct line *line)
{
    struct asker *asker = line->asker_count < HOLD_ASKERS ? calloc(1, sizeof(*asker)) : NULL;
    if (!asker)
        return NULL;
    asker->end = &asker->first;
    asker->next = line->askers;
    line->askers = asker;
    line->asker_count++;
    line->retry = line->pause = 0; // it may be quick
    return asker;
}

/* False if it can't be kept. */
static bool answer_hold(struct line *line, struct asker *asker, struct parcel *parcels, uint32_t count, uint64_t weight)
{
    bool fits = line->held + weight <= HOLD_ALL && (!asker || asker->bytes + weight <= HOLD_MOST);
    struct held *held = fits ? malloc(sizeof(*held) + count * sizeof(*parcels)) : NULL;
    if (held && !asker)
        asker = asker_new(line);
    if (!held || !asker) {
        free(held);
        return false;
    }
    *held = (struct held){.weight = weight, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        zmq_msg_init(&held->parcels[i].part);
        zmq_msg_move(&held->parcels[i].part, &parcels[i].part);
        held->parcels[i].more = parcels[i].more;
    }
    parcels_end(parcels, count);
    *asker->end = held;
    asker->end = &held->next;
    asker->bytes += weight;
    line->held += weight;
    return true;
}

bool answer_send(struct line *line, struct parcel *parcels, uint32_t count, uint64_t weight)
{
    struct asker *asker = asker_find(line, &parcels[0].part);
    if (!asker && answer_try(line, parcels, count) != SOMA_EAGAIN)
        return true;
    if (answer_hold(line, asker, parcels, count, weight))
        return false;
    answer_miss(line, parcels, count, "does not read");
    return true;
}

/* Sends what an asker has room for. False if there is more. */
static bool asker_send(struct line *line, struct asker *asker)
{
    for (struct held *held; (held = asker->first);) {
        if (answer_try(line, held->parcels, held->count) == SOMA_EAGAIN)
            return false;
        asker->first = held->next;
        asker->bytes -= held->weight;
        line->held -= held->weight;
        line_relieve(line, 1, held->weight);
        free(held);
    }
    return true;
}

void answers_retry(struct line *line, uint64_t now, uint64_t *until)
{
    if (now >= line->retry) {
        uint64_t before = line->held, longer = line->pause < HOLD_PAUSE_MOST / 2 ? 2 * line->pause : HOLD_PAUSE_MOST;
        for (struct asker **link = &line->askers, *asker; (asker = *link);) {
            if (!asker_send(line, asker)) {
                link = &asker->next;
                continue;
            }
            *link = asker->next;
            line->asker_count--;
            free(asker);
        }
        line->pause = line->held < before || !line->pause ? HOLD_PAUSE : longer;
        line->retry = now + line->pause;
    }
    if (line->askers && line->retry < *until)
        *until = line->retry;
}

void answers_drop(struct line *line)
{
    for (struct asker *asker; (asker = line->askers);) {
        for (struct held *held; (held = asker->first);) {
            asker->first = held->next;
            parcels_end(held->parcels, held->count);
            free(held);
        }
        line->askers = asker->next;
        free(asker);
    }
}
