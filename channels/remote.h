/*
 * Channels over ipc and tcp, as their agents have them: what is sent becomes frames for the line, and frames that come
 * become messages, by the channel's serializer. Both in the turns of the agent; what others answer, in theirs
 * (clerk.c).
 */
#ifndef CHANNELS_REMOTE_H
#define CHANNELS_REMOTE_H

#include "channels/line.h"
#include "channels/serializer.h"
#include "runtime/worker.h"

/* How a channel speaks. */
struct speech {
    const struct serializer *serializer;
    soma_framing framing;
    msgpack_sbuffer out;
    struct arena arena;
};

/*
 * What a SYNC_SUB asks is one frame: ASK_MARK, the question's name, the length of the topic that it wants the answer
 * under, that topic, which begins with ANSWER_MARK and is its alone, and the message. No subscription begins with such
 * a mark, and no topic that is published.
 */
#define ASK_MARK 2u
#define ANSWER_MARK 3u
#define ASK_HEAD (2 + sizeof(soma_handle))
#define ANSWER_TOPIC 17u /* bytes: the mark, and a random number in hexadecimal */

/*
 * What others know a question of a REQ or ASYNC_REQ by is a frame: a mark, and its name. Who answers, and knows that
 * mark, puts the message behind it into the same frame, as each frame is work for four threads.
 */
#define NAME_MARK "soma"
#define NAME_MARK_SIZE (sizeof(NAME_MARK) - 1)
#define NAME_SIZE (NAME_MARK_SIZE + sizeof(soma_handle))

struct remote {
    struct line *line;
    struct speech speech;
    uint32_t peers;
    soma_handle salt; /* random: a request's handle by exclusive or with it is what others know the question by. Handles
                         alone come again when a program does, and with its identity answers to the dead one would */
    char answers[ANSWER_TOPIC + 1]; /* of a SYNC_SUB: its topic for them */
    soma_handle *asked; /* and a ring of its questions, from the first on that may wait in ZeroMQ; NULL: others' */
    uint32_t asked_first;
    uint32_t asked_count;
    uint32_t asked_most; /* as ZeroMQ itself has no limit here */
};

/* What the runtime knows the place by that a request went to: the line, as a channel may move to another one. */
static inline soma_ref line_mark(const struct line *line)
{
    return (soma_ref){0, line->number, 1};
}

/* Binds or connects a channel at its address. As soma_bind(). */
int remote_channel_open(soma_agent *self, struct channel *channel, const soma_channel_options *options);
void remote_channel_close(soma_agent *self, struct channel *channel);

/* As soma_channel_send() and soma_channel_request(), of a channel whose pattern can. */
int remote_send(soma_agent *self, struct channel *channel, const char *topic, const soma_type *type, const void *body);
soma_handle remote_request(soma_agent *self, struct channel *channel, uint64_t timeout, const soma_then *then,
                           const soma_type *type, const void *body);

/* Tells the publisher of a topic that is wanted, or is not any more. */
int remote_topic(soma_agent *self, const struct channel *channel, const char *topic, bool wanted);

/* Callbacks of the reader of a line, which get an arrival. */
int arrival_run(soma_agent *self, void *state, void *arg);
int peers_run(soma_agent *self, void *state, void *arg);

/* What comes for who has asked; as a handler's, the result. Answers among publications are to this channel, or to
 * another one of whom it gets all. */
int answers_arrive(soma_agent *self, struct channel *channel, struct arrival *arrival, bool published);

/* The channel of an arrival, if it still has the line: it may have been closed, or have moved to another address. */
struct channel *owner_find(const soma_agent *self, const struct arrival *arrival);

/* A block with a callback of somebody's, who gets an arrival with so many parts, which the caller fills in. `worker` as
 * in send.h. NULL when memory is out. */
struct message *arrival_new(struct worker *worker, struct line *line, int (*run)(soma_agent *, void *, void *),
                            uint32_t count);
struct arrival *arrival_of(struct message *message);

/* It came, and nobody handles it. Any thread. */
void arrival_dead(const struct arrival *arrival);

/* Is it an answer among publications? */
bool parts_are_answer(zmq_msg_t *parts, uint32_t count);

/* Names what of an arrival is handled now, for the log, if the agent ends by it. */
static inline void arrival_names(const soma_agent *self, const soma_type *type)
{
    self->worker->current->type = type;
}

/* Counts a message that came, and logs some of them: its frames make no sense. */
void line_malformed(struct line *line, int error);

/* The same: its bytes are none of the type that was tried last, NULL if there was none, by that serializer. */
void line_unread(struct line *line, const char *serializer, const soma_type *type, int error);

/* ---- speech.c ---- */

/* By options that fit a channel, see options.h. */
void speech_open(struct speech *speech, soma_system *system, const soma_channel_options *options);
void speech_close(struct speech *speech);

/* A message as a part for a line, behind `before` (of a size) in the same frame. By an agent of the worker's. */
int speech_write(struct speech *speech, const struct line *line, struct worker *worker, const void *before, size_t size,
                 const soma_type *type, const void *message, zmq_msg_t *part);

/* A message as it was read, to be given back by speech_done(): it lives in the speech's arena, and points into the
 * bytes that it was read from. */
struct reading {
    const soma_type *type;
    void *message;
    bool owns; /* as the serializer */
    struct arena arena;
};

/* The bytes as a message of a type, or of the first of the rows' that they can be. 0, or why they are of none. */
int speech_read(struct speech *speech, const soma_type *type, const void *data, size_t size, struct reading *reading);
int speech_read_rows(struct speech *speech, const struct rows *rows, const void *data, size_t size,
                     struct reading *reading);

/* NULL for one that has been closed since. */
void speech_done(struct speech *speech, struct reading *reading);

#endif
