/* Clerks; see clerk.h. */
#include "channels/clerk.h"
#include "runtime/port.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

#define LAST_MOST 2u /* frames of an answer behind those that it begins with */

/* One that waits for its answer, with the frames that this begins with. It counts as mail of the channel's agent until
 * then: so they are bounded. */
struct question {
    struct question *next; /* of its clerk's */
    struct question *before;
    soma_handle handle;
    struct arrival *arrival; /* in the same block */
};

struct clerk {
    soma_ref agent;
    struct question *questions; /* under the lock of all questions, as what follows */
    uint32_t users;             /* the channel, and who answers at the moment: the last one closes the line */
    bool closed;
    pthread_mutex_t speaks; /* guards what follows: any agent may answer */
    struct speech speech;
};

/* ---- those that wait ---- */

/* Under the lock. */
static void clerk_note(struct clerk *clerk, struct question *question)
{
    question->next = clerk->questions;
    question->before = NULL;
    if (question->next)
        question->next->before = question;
    clerk->questions = question;
}

/* The same, where there is a free place. */
static soma_handle question_put(struct questions *questions, struct clerk *clerk, struct question *question)
{
    uint32_t number = questions->free;
    struct question_place *place = place_of(questions, number);
    questions->free = place->next_free;
    place->question = question;
    question->handle = (soma_handle)place->generation << 32 | number;
    clerk_note(clerk, question);
    return question->handle;
}

/* By who has the porter's turn. From then on the question is whose who takes it out, and may be gone. 0, SOMA_EGONE,
 * SOMA_ENOMEM. */
static int question_enter(struct questions *questions, struct clerk *clerk, struct question *question,
                          soma_handle *handle)
{
    for (;;) {
        spin_lock(&questions->busy);
        bool closed = clerk->closed, enters = !closed && questions->free;
        if (enters)
            *handle = question_put(questions, clerk, question);
        spin_unlock(&questions->busy);
        if (closed || enters)
            return closed ? SOMA_EGONE : 0;
        if (!places_grow(questions))
            return SOMA_ENOMEM;
    }
}

/* Under the lock. Its place is kept for it until it ends. */
static void question_leave(struct questions *questions, struct clerk *clerk, struct question *question)
{
    place_of(questions, (uint32_t)question->handle)->question = NULL;
    if (question->next)
        question->next->before = question->before;
    if (clerk->questions == question)
        clerk->questions = question->next;
    else
        question->before->next = question->next;
    clerk->users++;
}

/* Whoever takes it out answers it. NULL if somebody has, or it is another clerk's. */
static struct question *question_take(struct questions *questions, soma_ref clerk, soma_handle handle)
{
    uint32_t number = (uint32_t)handle;
    struct question *question = NULL;
    spin_lock(&questions->busy);
    if (handle > 0 && number && number <= questions->capacity)
        question = place_of(questions, number)->question;
    if (question && (question->handle != handle || !soma_ref_equal(question->arrival->line->clerk->agent, clerk)))
        question = NULL;
    if (question)
        question_leave(questions, question->arrival->line->clerk, question);
    spin_unlock(&questions->busy);
    return question;
}

/* It was not answered after all, and may be later. False if its clerk has ended meanwhile. */
static bool question_return(struct question *question)
{
    struct clerk *clerk = question->arrival->line->clerk;
    struct questions *questions = &question->arrival->line->porter->questions;
    spin_lock(&questions->busy);
    bool open = !clerk->closed; // then its channel is, too, and is not the last user
    if (open) {
        place_of(questions, (uint32_t)question->handle)->question = question;
        clerk_note(clerk, question);
        clerk->users--;
    }
    spin_unlock(&questions->busy);
    return open;
}

/* A question that was taken out has ended; or, 0, the channel. What that has found answered by somebody is on its way
 * before the line closes, however long that takes. */
static void line_leave(struct line *line, soma_handle question)
{
    struct questions *questions = &line->porter->questions;
    spin_lock(&questions->busy);
    if (question)
        place_free(questions, (uint32_t)question);
    bool last = !--line->clerk->users;
    spin_unlock(&questions->busy);
    if (last)
        line_close(line);
}

static void question_free(struct question *question)
{
    arrival_end(question->arrival);
    free(question);
}

static void question_end(struct question *question)
{
    line_leave(question->arrival->line, question->handle); // the arrival has the line still
    question_free(question);
}

/* ---- answering ---- */

/* Where an answer's last frames are made, behind those that it begins with. */
static zmq_msg_t *question_last(const struct question *question)
{
    return &question->arrival->parts[question->arrival->count];
}

/* Sends the answer, whose last frames, so many, have been made: the question ends. */
static void question_send(struct worker *worker, struct question *question, uint32_t count)
{
    struct arrival *arrival = question->arrival;
    count += arrival->count;
    arrival->count = 0; // they are the line's
    if (line_put(arrival->line, worker, arrival->parts, count))
        u64_add(&arrival->line->counts.missed, 1);
    question_end(question);
}

/* An empty message, and behind it what went wrong. */
static void question_fail(struct worker *worker, struct question *question, int error, const char *text)
{
    const struct soma_failure failure = {.error = error, .text = text};
    zmq_msg_t *last = question_last(question);
    void *data = NULL;
    size_t size = 0;
    if (soma_type_pack(&soma_failure_type, &failure, &data, &size) || !part_make(&last[1], data, size)) {
        u64_add(&question->arrival->line->counts.missed, 1);
        question_end(question); // who asks will see that its time is over
    } else {
        zmq_msg_init(&last[0]);
        question_send(worker, question, 2);
    }
    free(data);
}

/* Does it begin with who asks and a name that the message may follow in the same frame? */
static bool question_joins(const struct question *question)
{
    zmq_msg_t *name = &question->arrival->parts[1];
    return question->arrival->count == 3 && zmq_msg_size(name) == NAME_SIZE &&
           !memcmp(zmq_msg_data(name), NAME_MARK, NAME_MARK_SIZE);
}

/* Makes the last frame of an answer. One that the name makes too large has a frame of its own. */
static int answer_write(struct worker *worker, const struct question *question, const soma_type *type,
                        const void *message)
{
    struct arrival *arrival = question->arrival;
    struct line *line = arrival->line;
    struct speech *speech = &line->clerk->speech;
    zmq_msg_t *name = &arrival->parts[1], *last = question_last(question);
    bool joins = question_joins(question);
    pthread_mutex_lock(&line->clerk->speaks);
    int error = speech_write(speech, line, worker, joins ? zmq_msg_data(name) : NULL, joins ? NAME_SIZE : 0, type,
                             message, last);
    joins = joins && !error;
    if (error == SOMA_ETOOBIG)
        error = speech_write(speech, line, worker, NULL, 0, type, message, last);
    pthread_mutex_unlock(&line->clerk->speaks);
    if (joins) {
        zmq_msg_move(name, last); // which is sent from there
        zmq_msg_close(&arrival->parts[2]);
        arrival->count = 1;
    }
    return error;
}

int question_answer(struct porter *porter, struct worker *worker, soma_ref clerk, soma_handle handle,
                    const soma_type *type, const void *message)
{
    struct question *question = question_take(&porter->questions, clerk, handle);
    if (!question) {
        count_outside_or(porter->system, worker, offsetof(struct counters, late_replies));
    } else if (type_same(type, &soma_failure_type)) {
        const struct soma_failure *failure = message;
        question_fail(worker, question, failure->error ? failure->error : SOMA_ETYPE, failure->text);
    } else {
        int error = answer_write(worker, question, type, message);
        if (error == SOMA_ENOMEM && question_return(question))
            return error;
        if (error)
            question_fail(worker, question, error, "the answer can't be serialized, or is too large");
        else
            question_send(worker, question, 1);
    }
    return 0;
}

void question_drop(const struct line *line, soma_handle handle)
{
    struct question *question =
        line->clerk ? question_take(&line->porter->questions, line->clerk->agent, handle) : NULL;
    if (question)
        question_end(question);
}

/* ---- asking ---- */

/* What a question is made of: frames that the answer begins with, in what came or made of it; behind them, or in the
 * same frame, is the message. */
struct head {
    zmq_msg_t *parts;
    uint32_t count;
    uint32_t taken; /* of what came */
    zmq_msg_t made[3];
};

/* Who asks and what he wants back, up to an empty frame. 0, SOMA_EFORMAT. */
static int envelope_take(zmq_msg_t *parts, uint32_t count, struct head *head)
{
    uint32_t at = 1; // the first is who asks
    while (at < count && zmq_msg_size(&parts[at]))
        at++;
    *head = (struct head){.parts = parts, .count = at + 1, .taken = at + 1};
    return at < count ? 0 : SOMA_EFORMAT;
}

/* Where a subscriber's message begins in its frame, see ASK_MARK; 0 if it is malformed. */
static size_t asking_head(zmq_msg_t *part)
{
    const unsigned char *data = zmq_msg_data(part);
    size_t size = zmq_msg_size(part), topic = size > ASK_HEAD ? data[ASK_HEAD - 1] : 0;
    bool whole = topic && topic <= SOMA_TOPIC_MOST && size >= ASK_HEAD + topic && *data == ASK_MARK &&
                 data[ASK_HEAD] == ANSWER_MARK;
    return whole ? ASK_HEAD + topic : 0;
}

/* Its answer begins with its topic for answers, what it knows the question by, and an empty frame. 0, SOMA_EFORMAT,
 * SOMA_ENOMEM. */
static int asking_take(zmq_msg_t *parts, uint32_t count, struct head *head)
{
    size_t size = count == 1 ? asking_head(&parts[0]) : 0;
    const char *data = zmq_msg_data(&parts[0]);
    *head = (struct head){.parts = head->made, .count = size ? 3 : 0};
    for (uint32_t i = 0; i < head->count; i++)
        zmq_msg_init(&head->made[i]);
    if (!size)
        return SOMA_EFORMAT;
    bool made = part_make(&head->made[0], data + ASK_HEAD, size - ASK_HEAD) &&
                part_make(&head->made[1], data + 1, sizeof(soma_handle));
    return made ? 0 : SOMA_ENOMEM;
}

/* Keeps the head, and the line. NULL when memory is out. */
static struct question *question_new(struct line *line, const struct head *head, uint64_t weight)
{
    size_t size = sizeof(struct question) + sizeof(struct arrival) + (head->count + LAST_MOST) * sizeof(zmq_msg_t);
    struct question *question = malloc(size);
    if (!question)
        return NULL;
    question->arrival = (struct arrival *)(question + 1);
    *question->arrival = (struct arrival){.line = line, .weight = weight, .count = head->count};
    u32_add(&line->references, 1);
    parts_move(question->arrival->parts, head->parts, head->count);
    return question;
}

/* Nobody asks any more, so it fails at once: 1. SOMA_EGONE if nobody answers, either, as the channel has ended. */
static int question_refuse(struct questions *questions, struct clerk *clerk, struct question *question)
{
    spin_lock(&questions->busy);
    bool answers = clerk->users;
    clerk->users += answers;
    spin_unlock(&questions->busy);
    question->arrival->weight = 0; // it was not counted yet, and has no place
    question->handle = 0;
    if (answers)
        question_fail(NULL, question, SOMA_EGONE, "who asks in its name has ended");
    else
        question_free(question);
    return answers ? 1 : SOMA_EGONE;
}

int question_open(struct line *line, zmq_msg_t *parts, uint32_t *count, uint64_t weight, soma_handle *handle)
{
    struct head head;
    int error = (pattern_publishes(line->pattern) ? asking_take : envelope_take)(parts, *count, &head);
    struct question *question = error ? NULL : question_new(line, &head, weight);
    if (head.parts == head.made)
        parts_close(head.made, head.count);
    if (!question)
        return error ? error : SOMA_ENOMEM;
    *count -= head.taken;
    if (head.taken)
        parts_move(parts, parts + head.taken, *count);
    error = question_enter(&line->porter->questions, line->clerk, question, handle);
    if (error == SOMA_EGONE)
        return question_refuse(&line->porter->questions, line->clerk, question);
    if (error) {
        question->arrival->weight = 0; // it was not counted yet
        question_free(question);
    }
    return error;
}

/* The bytes of the message; false if there is none, or more than one frame of it. */
static bool question_data(const struct arrival *arrival, const char **data, size_t *size)
{
    zmq_msg_t *part = (zmq_msg_t *)arrival->parts;
    if (arrival->count != 1)
        return false;
    size_t head = pattern_publishes(arrival->line->pattern) ? asking_head(part) : 0;
    *data = (const char *)zmq_msg_data(part) + head;
    *size = zmq_msg_size(part) - head;
    return true;
}

static int question_ask(soma_agent *self, void *state, struct channel *channel, struct arrival *arrival)
{
    struct line *line = arrival->line;
    struct speech *speech = &channel->remote->speech;
    struct reading reading = {0}; // of no type yet
    const char *data;
    size_t size;
    bool whole = question_data(arrival, &data, &size);
    int error = whole ? speech_read_rows(speech, channel->rows, data, size, &reading) : SOMA_EFORMAT;
    if (error) {
        const struct soma_failure failure = {.error = error, .text = "nobody here can make a message of the question"};
        line_unread(line, whole ? speech->serializer->name : NULL, reading.type, error);
        question_answer(line->porter, worker_or_outside(self->worker), line->clerk->agent, arrival->question,
                        &soma_failure_type, &failure);
        return 0;
    }
    arrival_names(self, reading.type);
    error = port_ask(self, state, &channel->port, line->clerk->agent, arrival->question, reading.type, reading.message);
    channel = owner_find(self, arrival); // a handler may have closed it
    speech_done(channel ? &channel->remote->speech : NULL, &reading);
    return error;
}

int question_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    struct channel *channel = owner_find(self, arrival);
    int result = 0;
    if (channel)
        result = question_ask(self, state, channel, arrival);
    else
        arrival_dead(arrival); // it has failed with the channel
    arrival_end(arrival);
    return result;
}

/* ---- the end: the channel's, or the clerk's own ---- */

/* Whatever waits: it is answered no more. NULL if nothing does, and from then on nothing will. */
static struct question *question_last_take(struct questions *questions, struct clerk *clerk)
{
    spin_lock(&questions->busy);
    struct question *question = clerk->questions;
    clerk->closed = true;
    if (question)
        question_leave(questions, clerk, question);
    spin_unlock(&questions->busy);
    return question;
}

static void questions_close(soma_agent *self, struct line *line, const char *text)
{
    struct worker *worker = worker_or_outside(self->worker);
    bool tells = !u32_load(&soma_agent_system(self)->stopping);
    for (struct question *question; (question = question_last_take(&line->porter->questions, line->clerk));)
        if (tells)
            question_fail(worker, question, SOMA_EGONE, text);
        else
            question_end(question);
}

/* ---- a clerk's life ---- */

static int clerk_init(soma_agent *self, void *state, const void *arg)
{
    struct line *line = *(struct line **)state = *(struct line *const *)arg;
    u32_add(&line->references, 1);
    stand_in_begin(self);
    return 0;
}

/* Whoever ends it, as anybody may who has its ref: the channel may live on, and what comes then is a dead letter. */
static void clerk_stop(soma_agent *self, void *state, int reason)
{
    struct line *line = *(struct line **)state;
    (void)reason;
    questions_close(self, line, "who asks in its name has ended");
    line_unref(line);
}

static const soma_behavior clerk_behavior = {
    .name = "clerk", .state_size = sizeof(struct line *), .init = clerk_init, .stop = clerk_stop};

int clerk_open(soma_system *system, struct line *line, const soma_channel_options *options)
{
    struct clerk *clerk = calloc(1, sizeof(*clerk));
    if (!clerk)
        return SOMA_ENOMEM;
    clerk->users = 1;
    pthread_mutex_init(&clerk->speaks, NULL);
    speech_open(&clerk->speech, system, options);
    line->clerk = clerk; // whose it is from here on
    return soma_system_spawn(system, &clerk_behavior, &line, &clerk->agent);
}

/* Who watches it hears of no failure. */
static int farewell_run(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    soma_agent_exit(self, 0);
    return 0;
}

void clerk_close(soma_agent *self, struct line *line)
{
    soma_system *system = soma_agent_system(self);
    const soma_ref clerk = line->clerk->agent;
    questions_close(self, line, "its channel is closed");
    if (soma_post(system, clerk, farewell_run, NULL, NULL) == SOMA_ENOMEM)
        soma_kill(system, clerk);
    line_leave(line, 0);
}

void clerk_free(struct clerk *clerk)
{
    if (!clerk)
        return;
    speech_close(&clerk->speech);
    pthread_mutex_destroy(&clerk->speaks);
    free(clerk);
}
