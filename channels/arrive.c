/* Messages that the sockets have for the porter: they go on as they are to who reads them. See porter.h. */
#include "channels/clerk.h"
#include "channels/porter.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>

#define RECEIVE_MOST 256u /* messages of one line, before the others get their turn */
#define BURY_MOST 10000u  /* of one that ends */

/* ---- credit ---- */

bool line_has_room(struct line *line)
{
    if (line->conflates || line->taken - u64_load(&line->handled) < LINE_WINDOW)
        return true;
    u32_store(&line->stalled, 1);
    fence_full(); // pairs with arrival_end: either it sees the mark, or we see what it has handled
    bool room = line->taken - u64_load(&line->handled) < LINE_WINDOW;
    if (room) // we go on ourselves; if arrival_end was first to take the mark, the line is looked at once too often
        u32_store(&line->stalled, 0); // who is late and takes a later mark has it set again; any order will do: `use`
    return room;                      // is held, under which has_come asks
}

/* ---- messages ---- */

/*
 * What has come, and nobody handles: as within a system that is a dead letter, or, if it is an answer, late. Its type
 * nobody has read. What is answered among publications is mostly for others, and the question has failed.
 */
static void parts_dead(const struct line *line, zmq_msg_t *parts, uint32_t count)
{
    static const soma_type unknown = {.name = "unknown"};
    soma_system *system = line->porter->system;
    if (pattern_subscribes(line->pattern) && parts_are_answer(parts, count))
        return;
    if (pattern_asks(line->pattern) && !pattern_subscribes(line->pattern))
        u64_add(&system->outside.late_replies, 1);
    else
        letter_dead(system, NULL, SOMA_REF_NULL, line->owner.agent, &unknown, SOMA_EGONE);
}

void arrival_dead(const struct arrival *arrival)
{
    if (arrival->came)
        parts_dead(arrival->line, (zmq_msg_t *)arrival->parts, arrival->count);
}

/* Who was to get it has ended. */
static void arrival_drop(void *argument)
{
    arrival_take(argument);
    arrival_dead(argument);
    arrival_end(argument);
}

struct message *arrival_new(struct worker *worker, struct line *line, int (*run)(soma_agent *, void *, void *),
                            uint32_t count)
{
    size_t size = sizeof(struct callback) + sizeof(struct arrival) + count * sizeof(zmq_msg_t);
    struct message *message = message_new(worker, MESSAGE_CALLBACK, size);
    if (!message)
        return NULL;
    struct arrival *arrival = arrival_of(message);
    const struct callback callback = {run, arrival_drop, arrival};
    memcpy(message->body, &callback, sizeof(callback));
    *arrival = (struct arrival){.line = line, .count = count};
    u32_add(&line->references, 1);
    return message;
}

struct arrival *arrival_of(struct message *message)
{
    return (struct arrival *)((char *)message->body + sizeof(struct callback));
}

/* Puts a message into the place of the one before, if that has not been taken yet. */
static bool newest_replace(struct line *line, zmq_msg_t *parts, uint32_t count)
{
    zmq_msg_t before[LINE_PARTS];
    uint32_t passed = 0;
    spin_lock(&line->busy);
    struct arrival *newest = line->newest;
    if (newest) {
        passed = newest->count;
        parts_move(before, newest->parts, passed);
        parts_close(newest->parts, passed);
        newest->count = count;
        parts_move(newest->parts, parts, count);
    }
    spin_unlock(&line->busy);
    parts_close(before, passed);
    u64_add(&line->counts.missed, passed > 0);
    return passed > 0;
}

static void newest_set(struct line *line, struct arrival *arrival)
{
    spin_lock(&line->busy);
    line->newest = arrival;
    spin_unlock(&line->busy);
}

/* True if it needs no mail of its own, or none at all: what others are answered is nothing to a SUB. */
static bool conflate(struct line *line, zmq_msg_t *parts, uint32_t count)
{
    return (pattern_subscribes(line->pattern) && parts_are_answer(parts, count)) || newest_replace(line, parts, count);
}

/* Of a question what its answer needs is kept apart, and has its weight, which is taken with it. False if that can't
 * be: it is done with. */
static bool question_note(struct line *line, zmq_msg_t *parts, uint32_t *count, uint64_t weight, soma_handle *question)
{
    int error = question_open(line, parts, count, weight, question);
    line->taken += error ? 0 : weight;
    if (error == SOMA_EFORMAT)
        line_malformed(line, error);
    else if (error == SOMA_EGONE)
        parts_dead(line, parts, *count);
    else if (error < 0)
        u64_add(&line->counts.missed, 1);
    return !error;
}

/* Takes the parts, which have so many bytes. */
static void message_arrive(struct line *line, zmq_msg_t *parts, uint32_t count, uint64_t size)
{
    struct porter *porter = line->porter;
    bool conflates = line->conflates;
    uint64_t weight = conflates ? 0 : LINE_PART_COST + size; // of those there is one
    soma_handle question = 0;
    if ((conflates && conflate(line, parts, count)) ||
        (line->clerk && !question_note(line, parts, &count, weight, &question))) {
        parts_close(parts, count);
        return;
    }
    struct message *message =
        arrival_new(porter->worker, line, question ? question_run : arrival_run, conflates ? LINE_PARTS : count);
    if (!message) {
        u64_add(&line->counts.missed, 1);
        question_drop(line, question);
        parts_close(parts, count);
        return;
    }
    struct arrival *arrival = arrival_of(message);
    arrival->count = count;
    arrival->came = true;
    arrival->question = question;
    arrival->weight = question ? 0 : weight; // a question has it until it is answered
    line->taken += arrival->weight;
    parts_move(arrival->parts, parts, count);
    if (conflates)
        newest_set(line, arrival);
    message_push_along(porter->system, porter->worker, line->owner.agent, message);
}

/* ---- receiving ---- */

/* The frames of one message: how many there were, and bytes; only so many are kept. 0 if there is none. */
static uint32_t parts_receive(struct line *line, zmq_msg_t parts[LINE_PARTS], uint64_t *size)
{
    uint32_t count = 0;
    *size = 0;
    bool more = true;
    while (more) {
        zmq_msg_t rest, *part = count < LINE_PARTS ? &parts[count] : &rest;
        zmq_msg_init(part);
        if (zmq_msg_recv(part, line->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(part);
            break;
        }
        more = zmq_msg_more(part);
        *size += zmq_msg_size(part);
        count++;
        if (part == &rest)
            zmq_msg_close(&rest);
    }
    return count;
}

static bool is_topic(const struct line *line, zmq_msg_t *part)
{
    return pattern_publishes(line->pattern) && zmq_msg_size(part) && *(const unsigned char *)zmq_msg_data(part) < 2;
}

void line_bury(struct line *line)
{
    zmq_msg_t parts[LINE_PARTS];
    uint64_t size, most = (line->connections + UINT64_C(1)) * line->high_water;
    if (line->pattern == SOMA_PUSH || line->pattern == SOMA_PUB)
        return;
    for (uint32_t i = 0, count; i < BURY_MOST && i < most && (count = parts_receive(line, parts, &size)); i++) {
        count = count < LINE_PARTS ? count : LINE_PARTS;
        if (!is_topic(line, &parts[0]))
            parts_dead(line, parts, count);
        parts_close(parts, count);
    }
}

void line_unread(struct line *line, const char *serializer, const soma_type *type, int error)
{
    if (error == SOMA_ENOMEM) { // which is not the sender's fault
        u64_add(&line->counts.missed, 1);
        return;
    }
    uint64_t before = u64_add(&line->counts.malformed, 1);
    if (!(before & (before + 1))) // the 1st, 2nd, 4th, 8th …
        soma_log_warning(
            line->porter->system, "channel '%s' of agent %u.%u: a message makes no sense %s%s%s%s: %s%s (%llu so far)",
            line->alias, line->owner.agent.slot, line->owner.agent.generation, serializer ? "as " : "here",
            serializer ? serializer : "", type ? " of type " : "", type ? type->name : "", soma_strerror(error),
            serializer && error == SOMA_EFORMAT ? "; is that what the other side speaks?" : "",
            (unsigned long long)before + 1);
}

void line_malformed(struct line *line, int error)
{
    line_unread(line, NULL, NULL, error);
}

/*
 * ZeroMQ tells of the next message only once somebody has looked and found none, with two system calls. Who has read
 * a question, or an answer, mostly sends next, and then has to look as well, as to send may have taken the word of what
 * came meanwhile. So if one message comes at a time, a worker leaves it at that, and owes the look: to send pays for it
 * (has_come), or else the worker does before it rests, and at the latest the thread, which comes by itself. Nobody may
 * wait beside it by then: he would not be told; who comes later sees what is owed. And the last words of a connection
 * that has ended are read to their end.
 */
static bool line_defers(const struct line *line)
{
    struct porter *porter = line->porter;
    bool sends = pattern_answers(line->pattern) || (pattern_asks(line->pattern) && !pattern_subscribes(line->pattern));
    return sends && line->alone && !line->left && porter->lends && !ptr_load(&porter->owing);
}

bool line_receive(struct line *line)
{
    zmq_msg_t parts[LINE_PARTS];
    bool more = true;
    pthread_mutex_lock(&line->use);
    for (uint32_t i = 0; i < RECEIVE_MOST && (more = line_has_room(line)); i++) {
        uint64_t size;
        uint32_t count = parts_receive(line, parts, &size), kept = count < LINE_PARTS ? count : LINE_PARTS;
        bool large = count > LINE_PARTS || size > line->message_most + LINE_HEAD_MOST;
        more = count > 0;
        if (!more) {
            line->alone = i <= 1;
            line_emptied(line);
            break;
        }
        bool topic = is_topic(line, &parts[0]);
        if (!topic && !large && line->pattern != SOMA_PUB) {
            if (pattern_answers(line->pattern))
                asker_arrive(line, &parts[0]);
            message_arrive(line, parts, count, size);
            if (!i && line_defers(line)) {
                line->alone = more = false;
                ptr_store(&line->porter->owing, line);
                break;
            }
            continue;
        }
        if (topic)
            topic_arrive(line, &parts[0]);
        else
            line_malformed(line, large ? SOMA_ETOOBIG : SOMA_EFORMAT);
        parts_close(parts, kept);
    }
    pthread_mutex_unlock(&line->use);
    return more;
}
