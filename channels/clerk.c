/* Clerks; see clerk.h. */
#include "channels/clerk.h"
#include "runtime/request.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* One that waits for its answer, with the frames that this begins with. It counts as mail of the clerk's until then: so
 * they are bounded. */
struct question {
    struct question *next;
    struct question **link;
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
    return speech_open(&my->speech, order->options);
}

static void question_end(struct question *question)
{
    if (question->next)
        question->next->link = question->link;
    *question->link = question->next;
    arrival_end(question->arrival);
    free(question);
}

static void clerk_stop(soma_agent *self, void *state, int reason)
{
    struct clerk *my = state;
    (void)self, (void)reason;
    while (my->questions)
        question_end(my->questions);
    speech_close(&my->speech);
    free(my->rows);
}

static const soma_behavior clerk_behavior = {
    .name = "clerk", .state_size = sizeof(struct clerk), .init = clerk_init, .stop = clerk_stop};

int clerk_open(soma_system *system, struct line *line, const struct rows *rows, const soma_channel_options *options)
{
    const struct order order = {rows, options};
    return soma_system_spawn(system, &clerk_behavior, &order, &line->reader);
}

/* ---- asking ---- */

/* Where the message is: behind the first empty frame, which ends what the answer must begin with. 0 if it is none. */
static uint32_t body_find(struct arrival *arrival)
{
    for (uint32_t i = 1; i + 1 < arrival->count; i++) // the first is who asks
        if (!zmq_msg_size(&arrival->parts[i]))
            return i + 2 == arrival->count ? i + 1 : 0;
    return 0;
}

/* Keeps what an answer begins with, and the line. NULL when memory is out. */
static struct question *question_new(struct clerk *my, struct arrival *arrival, uint32_t head)
{
    struct question *question = malloc(sizeof(*question) + sizeof(*arrival) + head * sizeof(zmq_msg_t));
    if (!question)
        return NULL;
    question->arrival = (struct arrival *)(question + 1);
    *question->arrival = (struct arrival){.line = arrival->line, .weight = arrival->weight, .count = head};
    u32_add(&arrival->line->references, 1);
    for (uint32_t i = 0; i < head; i++) {
        zmq_msg_init(&question->arrival->parts[i]);
        zmq_msg_move(&question->arrival->parts[i], &arrival->parts[i]);
    }
    arrival->weight = 0; // it counts on
    question->next = my->questions;
    question->link = &my->questions;
    if (question->next)
        question->next->link = &question->next;
    my->questions = question;
    return question;
}

/* Sends the answer, whose last frames are the caller's, and which ends the question. */
static void question_answer(const soma_agent *self, struct question *question, zmq_msg_t *last, uint32_t count)
{
    zmq_msg_t parts[LINE_PARTS + 2];
    uint32_t head = question->arrival->count;
    for (uint32_t i = 0; i < head + count; i++) {
        zmq_msg_init(&parts[i]);
        zmq_msg_move(&parts[i], i < head ? &question->arrival->parts[i] : &last[i - head]);
    }
    if (line_put(question->arrival->line, self->worker, parts, head + count))
        u64_add(&question->arrival->line->counts.missed, 1);
    parts_close(last, count);
    question_end(question);
}

/* An empty message, and behind it what went wrong. */
static void question_fail(const soma_agent *self, struct question *question, int error, const char *text)
{
    const struct soma_failure failure = {.error = error, .text = text};
    zmq_msg_t parts[2];
    void *data = NULL;
    size_t size = 0;
    if (soma_type_pack(&soma_failure_type, &failure, &data, &size) || !part_make(&parts[1], data, size)) {
        question_end(question); // who asks will see that its time is over
    } else {
        zmq_msg_init(&parts[0]);
        question_answer(self, question, parts, 2);
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
    zmq_msg_t part;
    int error = speech_write(&my->speech, NULL, 0, self->worker->current->type, answer, &part);
    if (error)
        question_fail(self, question, error, "the answer can't be serialized");
    else
        question_answer(self, question, &part, 1);
    return 0;
}

static int on_failure(soma_agent *self, void *state, const void *error)
{
    (void)state;
    question_fail(self, question_asked(self), *(const int *)error, soma_error_text(self));
    return 0;
}

static void question_ask(soma_agent *self, struct clerk *my, struct question *question, zmq_msg_t *body)
{
    struct line *line = question->arrival->line;
    const soma_then then = {.on_reply = on_answer, .on_error = on_failure, .tag = (uintptr_t)question};
    struct reading reading;
    int error = speech_read_rows(&my->speech, my->rows, zmq_msg_data(body), zmq_msg_size(body), &reading);
    if (error) {
        line_malformed(line, error);
        question_fail(self, question, error, NULL);
        return;
    }
    soma_handle handle = port_request(self, &line->owner, SOMA_NEVER, &then, reading.type, reading.message);
    speech_done(&my->speech, &reading);
    if (handle < 0)
        question_fail(self, question, (int)handle, NULL);
}

int question_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    uint32_t body = body_find(arrival);
    struct question *question = body ? question_new(state, arrival, body) : NULL;
    if (question)
        question_ask(self, state, question, &arrival->parts[body]);
    else
        line_malformed(arrival->line, body ? SOMA_ENOMEM : SOMA_EFORMAT);
    arrival_end(arrival);
    return 0;
}
