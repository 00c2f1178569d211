/* Clerks; see clerk.h. */
#include "channels/clerk.h"
#include "runtime/request.h"
#include "runtime/system.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define LAST_MOST 2u /* frames of an answer behind those that it begins with */

/* One that waits for its answer, with the frames that this begins with. It counts as mail of the clerk's until then: so
 * they are bounded. */
struct question {
    struct question *next;
    struct question *before;
    struct arrival *arrival; /* in the same block */
};

struct clerk {
    struct rows *rows;
    struct speech speech;
    struct question *questions;
};

struct order {
    const struct rows *rows;
    const soma_channel_options *options;
};

/* ---- its life ---- */

static int clerk_init(soma_agent *self, void *state, const void *arg)
{
    struct clerk *my = state;
    const struct order *order = arg;
    size_t size = sizeof(*my->rows) + order->rows->count * sizeof(soma_handler);
    (void)self;
    my->rows = malloc(size);
    if (!my->rows)
        return SOMA_ENOMEM;
    memcpy(my->rows, order->rows, size);
    speech_open(&my->speech, order->options);
    return 0;
}

static void question_end(struct clerk *my, struct question *question)
{
    if (question->next)
        question->next->before = question->before;
    if (question->before)
        question->before->next = question->next;
    else
        my->questions = question->next;
    arrival_end(question->arrival);
    free(question);
}

static void clerk_stop(soma_agent *self, void *state, int reason)
{
    struct clerk *my = state;
    (void)self, (void)reason;
    for (struct question *question = my->questions, *next; question; question = next) {
        next = question->next;
        arrival_end(question->arrival);
        free(question);
    }
    speech_close(&my->speech);
    free(my->rows);
}

/* Never muted: answers go through it, too, and must not wait until whoever gives them has caught up with questions.
 * These are bounded by the line's window. */
static const soma_behavior clerk_behavior = {
    .name = "clerk", .state_size = sizeof(struct clerk), .init = clerk_init, .stop = clerk_stop, .unmuted = true};

int clerk_open(soma_system *system, struct line *line, const struct rows *rows, const soma_channel_options *options)
{
    const struct order order = {rows, options};
    return soma_system_spawn(system, &clerk_behavior, &order, &line->reader);
}

/* ---- asking ---- */

/* What a question is made of: frames that the answer begins with, and the message. */
struct parts {
    zmq_msg_t *head; /* in the arrival, or made of it */
    uint32_t count;
    zmq_msg_t made[3];
    uint32_t made_count;
    const char *data; /* NULL: there is no message, or more than one frame of it */
    size_t size;
};

/* Who asks and what he wants back, up to an empty frame; behind it the message. False if nobody can be answered. */
static bool envelope_take(struct arrival *arrival, struct parts *parts)
{
    uint32_t at = 1; // the first is who asks
    while (at < arrival->count && zmq_msg_size(&arrival->parts[at]))
        at++;
    if (at >= arrival->count)
        return false;
    parts->head = arrival->parts;
    parts->count = at + 1;
    if (at + 2 != arrival->count)
        return true;
    parts->data = zmq_msg_data(&arrival->parts[at + 1]);
    parts->size = zmq_msg_size(&arrival->parts[at + 1]);
    return true;
}

/* A subscriber's, see ASK_MARK: the answer begins with its topic for answers, what it knows the question by, and an
 * empty frame. */
static bool asking_take(struct arrival *arrival, struct parts *parts)
{
    const unsigned char *data = zmq_msg_data(&arrival->parts[0]);
    size_t size = zmq_msg_size(&arrival->parts[0]), topic = size > ASK_HEAD ? data[ASK_HEAD - 1] : 0;
    if (arrival->count != 1 || !topic || topic > SOMA_TOPIC_MOST || size < ASK_HEAD + topic || *data != ASK_MARK ||
        data[ASK_HEAD] != ANSWER_MARK)
        return false;
    parts->head = parts->made;
    parts->count = parts->made_count = 3;
    for (uint32_t i = 0; i < 3; i++)
        zmq_msg_init(&parts->made[i]);
    parts->data = (const char *)data + ASK_HEAD + topic;
    parts->size = size - ASK_HEAD - topic;
    return part_make(&parts->made[0], data + ASK_HEAD, topic) &&
           part_make(&parts->made[1], data + 1, sizeof(soma_handle));
}

/* Keeps what an answer begins with, and the line. NULL when memory is out. */
static struct question *question_new(struct clerk *my, struct arrival *arrival, struct parts *parts)
{
    size_t size = sizeof(struct question) + sizeof(*arrival) + (parts->count + LAST_MOST) * sizeof(zmq_msg_t);
    struct question *question = malloc(size);
    if (!question)
        return NULL;
    question->arrival = (struct arrival *)(question + 1);
    *question->arrival = (struct arrival){.line = arrival->line, .weight = arrival->weight, .count = parts->count};
    u32_add(&arrival->line->references, 1);
    for (uint32_t i = 0; i < parts->count; i++) {
        zmq_msg_init(&question->arrival->parts[i]);
        zmq_msg_move(&question->arrival->parts[i], &parts->head[i]);
    }
    arrival->weight = 0; // it counts on
    question->next = my->questions;
    question->before = NULL;
    if (question->next)
        question->next->before = question;
    my->questions = question;
    return question;
}

/* Where an answer's last frames are made, behind those that it begins with. */
static zmq_msg_t *question_last(const struct question *question)
{
    return &question->arrival->parts[question->arrival->count];
}

/* Sends the answer, whose last frames, so many, have been made: the question ends. */
static void question_answer(soma_agent *self, struct clerk *my, struct question *question, uint32_t count)
{
    struct arrival *arrival = question->arrival;
    count += arrival->count;
    arrival->count = 0; // they are the line's
    if (line_put(arrival->line, self->worker, arrival->parts, count))
        u64_add(&arrival->line->counts.missed, 1);
    question_end(my, question);
}

/* An empty message, and behind it what went wrong. */
static void question_fail(soma_agent *self, struct clerk *my, struct question *question, int error, const char *text)
{
    const struct soma_failure failure = {.error = error, .text = text};
    zmq_msg_t *last = question_last(question);
    void *data = NULL;
    size_t size = 0;
    if (soma_type_pack(&soma_failure_type, &failure, &data, &size) || !part_make(&last[1], data, size)) {
        question_end(my, question); // who asks will see that its time is over
    } else {
        zmq_msg_init(&last[0]);
        question_answer(self, my, question, 2);
    }
    free(data);
}

static struct question *question_asked(const soma_agent *self)
{
    return (struct question *)(uintptr_t)soma_tag(self);
}

static int on_answer(soma_agent *self, void *state, const void *answer)
{
    struct clerk *my = state;
    struct question *question = question_asked(self);
    int error = speech_write(&my->speech, question->arrival->line, self->worker, NULL, 0, self->worker->current->type,
                             answer, question_last(question));
    if (error)
        question_fail(self, my, question, error, "the answer can't be serialized, or is too large");
    else
        question_answer(self, my, question, 1);
    return 0;
}

static int on_failure(soma_agent *self, void *state, const void *error)
{
    (void)state;
    question_fail(self, state, question_asked(self), *(const int *)error, soma_error_text(self));
    return 0;
}

static void question_ask(soma_agent *self, struct clerk *my, struct question *question, const struct parts *parts)
{
    struct line *line = question->arrival->line;
    const soma_then then = {.on_reply = on_answer, .on_error = on_failure, .tag = (uintptr_t)question};
    struct reading reading;
    int error =
        parts->data ? speech_read_rows(&my->speech, my->rows, parts->data, parts->size, &reading) : SOMA_EFORMAT;
    if (error) {
        line_malformed(line, parts->data ? my->speech.serializer->name : NULL, error);
        question_fail(self, my, question, error, NULL);
        return;
    }
    soma_handle handle = port_request(self, &line->owner, SOMA_NEVER, &then, reading.type, reading.message);
    speech_done(&my->speech, &reading);
    if (handle < 0)
        question_fail(self, my, question, (int)handle, NULL);
}

int question_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    struct parts parts = {.data = NULL, .made_count = 0};
    bool publisher = pattern_publishes(arrival->line->pattern);
    bool whole = (publisher ? asking_take : envelope_take)(arrival, &parts);
    struct question *question = whole ? question_new(state, arrival, &parts) : NULL;
    if (question)
        question_ask(self, state, question, &parts);
    else
        line_malformed(arrival->line, NULL, whole ? SOMA_ENOMEM : SOMA_EFORMAT);
    parts_close(parts.made, parts.made_count);
    arrival_end(arrival);
    return 0;
}

int publication_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    (void)state;
    if (line_put(arrival->line, self->worker, arrival->parts, arrival->count))
        u64_add(&arrival->line->counts.missed, 1);
    arrival->count = 0;
    arrival_end(arrival);
    return 0;
}

/* ---- the channel's end ---- */

static int farewell_run(soma_agent *self, void *state, void *arg)
{
    struct clerk *my = state;
    for (struct question *question = my->questions, *next; question; question = next) {
        next = question->next;
        question_fail(self, my, question, SOMA_EGONE, "its channel is closed");
    }
    soma_agent_exit(self, 0); // so no answer comes to a question that is gone
    arrival_end(arg);
    return 0;
}

void clerk_close(soma_agent *self, struct line *line)
{
    struct worker *worker = worker_or_outside(self->worker);
    soma_system *system = soma_agent_system(self);
    struct message *message = u32_load(&system->stopping) ? NULL : arrival_new(worker, line, farewell_run, 0);
    if (!message) {
        line_close(line); // what waits for the clerk becomes dead letters
        return;
    }
    soma_ref clerk = line->reader;
    arrival_of(message)->last = true;
    line_unref(line); // the message has a reference of its own
    message->sender = soma_self(self);
    message_push(system, worker, clerk, message);
}
