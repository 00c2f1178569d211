/* Channels over ipc and tcp, in the turns of their agents; see remote.h. */
#include "channels/clerk.h"
#include "channels/options.h"
#include "channels/porter.h"
#include "runtime/interface.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/timer.h"
#include "runtime/type.h"
#include <errno.h>
#include <soma/error.h>
#include <soma/timer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATOR 0x80u /* behind a topic, with SOMA_FRAMES_SEPARATED */

/* What the runtime knows the place by that a request went to: the line, as a channel may move to another one. */
static soma_ref line_mark(const struct line *line)
{
    return (soma_ref){0, line->number, 1};
}

/* ---- opening, closing ---- */

static const soma_behavior dam_behavior = {.name = "line"};

/* Who sends by it can be held up: all but those whose messages are dropped. */
static bool pattern_waits(soma_pattern pattern)
{
    return pattern_pushes(pattern) || pattern_asks(pattern);
}

/* The agents that stand in for those beyond a line. */
static int line_staff(soma_system *system, struct line *line, const soma_channel_options *options)
{
    if (pattern_answers(line->pattern) || line->pattern == SOMA_SYNC_PUB)
        return clerk_open(system, line, options);
    int error = pattern_waits(line->pattern) ? soma_system_spawn(system, &dam_behavior, NULL, &line->dam_ref) : 0;
    if (!error && line->dam_ref.node)
        line->dam = &system->slots.base[line->dam_ref.slot];
    return error;
}

static int line_open(soma_agent *self, struct channel *channel, const soma_channel_options *options,
                     struct line **result)
{
    struct porter *porter;
    if (!files_are_left())
        return socket_error(self, errno);
    const struct port_place here = port_here(self, &channel->port);
    int error = porter_of(soma_agent_system(self), &porter);
    struct line *line = error ? NULL : line_new(porter, channel->pattern, &here);
    if (!line)
        return error ? error : SOMA_ENOMEM;
    memcpy(line->alias, channel->alias, sizeof(line->alias));
    line->bound = channel->bound;
    line->conflates = channel->conflates;
    line->high_water = options->high_water ? options->high_water : LINE_HIGH_WATER;
    line->message_most = options->message_most ? options->message_most : LINE_MESSAGE_MOST;
    line_linger(line, options->linger_ms ? options->linger_ms : LINE_LINGER);
    error = socket_open(self, line, options, &channel->address);
    if (!error)
        error = line_staff(soma_agent_system(self), line, options);
    if (error) {
        socket_close(line, 0);
        line_unref(line);
    } else {
        *result = line;
    }
    return error;
}

int remote_channel_open(soma_agent *self, struct channel *channel, const soma_channel_options *options)
{
    if (soma_agent_system(self)->driver.runnable) // a simulated world has no sockets
        return channel_refuse(self, channel->alias, SOMA_ENOROUTE, "a simulated system has no sockets");
    struct remote *remote = calloc(1, sizeof(*remote));
    if (!remote)
        return SOMA_ENOMEM;
    speech_open(&remote->speech, options);
    int error = line_open(self, channel, options, &remote->line);
    if (error) {
        speech_close(&remote->speech);
        free(remote);
        return error;
    }
    channel->remote = remote;
    remote->salt = (soma_handle)soma_random(self);
    line_begin(remote->line);
    if (channel->pattern == SOMA_SYNC_SUB) {
        // A publisher drops what its queue has no room for, and is told of room when half of that has left.
        remote->asked_most = remote->line->high_water / 2 + 1;
        remote->asked = malloc(remote->asked_most * sizeof(*remote->asked));
        snprintf(remote->answers, sizeof(remote->answers), "%c%016llx", ANSWER_MARK,
                 (unsigned long long)soma_random(self));
        error = remote->asked ? remote_topic(self, channel, remote->answers, true) : SOMA_ENOMEM;
    }
    for (const struct subscription *s = channel->subscriptions; s && !error; s = s->next)
        error = remote_topic(self, channel, s->topic, true);
    return error;
}

/* What it has asked can't be answered any more. In a turn of its own, as handlers hear of it. */
static int unanswered_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    (void)state;
    int result = requests_fail(self, line_mark(arrival->line), SOMA_EGONE);
    arrival_end(arrival);
    return result;
}

static void unanswered_tell(soma_agent *self, struct line *line)
{
    struct worker *worker = worker_or_outside(self->worker);
    soma_system *system = soma_agent_system(self);
    struct message *message = u32_load(&system->stopping) ? NULL : arrival_new(worker, line, unanswered_run, 0);
    if (message) // else they fail in their time; those with SOMA_NEVER have none, and wait for the agent's end
        message_push(system, worker, soma_self(self), message);
}

void remote_channel_close(soma_agent *self, struct channel *channel)
{
    struct remote *remote = channel->remote;
    struct line *line = remote->line;
    if (line->bound) // any order will do: who is told that the channel has ended sees it
        u64_store(&line->porter->vacated, system_now(soma_agent_system(self)));
    if (pattern_asks(channel->pattern))
        unanswered_tell(self, line);
    if (line->clerk)
        clerk_close(self, line);
    line_close(line);
    speech_close(&remote->speech);
    free(remote->asked);
    free(remote);
    channel->remote = NULL;
}

/* ---- sending ---- */

/* A publication's frames. How many, or an error. */
static int frames_write(const soma_agent *self, struct remote *remote, const char *topic, const soma_type *type,
                        const void *body, zmq_msg_t parts[2])
{
    struct speech *speech = &remote->speech;
    char before[SOMA_TOPIC_MOST + 1];
    size_t size = strnlen(topic, SOMA_TOPIC_MOST);
    bool apart = speech->framing == SOMA_FRAMES_APART;
    int error;
    if (speech->framing == SOMA_FRAMES_SEPARATED && !type_utf8_valid(topic, size))
        return SOMA_EINVAL; // nobody could tell where it ends
    memcpy(before, topic, size);
    if (speech->framing == SOMA_FRAMES_SEPARATED)
        before[size++] = (char)SEPARATOR;
    if (!apart)
        return (error = speech_write(speech, remote->line, self->worker, before, size, type, body, &parts[0])) ? error
                                                                                                               : 1;
    if ((error = speech_write(speech, remote->line, self->worker, NULL, 0, type, body, &parts[1])))
        return error;
    if (part_make(&parts[0], topic, size))
        return 2;
    zmq_msg_close(&parts[1]);
    return SOMA_ENOMEM;
}

int remote_send(soma_agent *self, struct channel *channel, const char *topic, const soma_type *type, const void *body)
{
    struct remote *remote = channel->remote;
    zmq_msg_t parts[2];
    bool publishes = pattern_publishes(channel->pattern);
    if (!remote->peers)
        return publishes ? 0 : SOMA_EAGAIN;
    int count = publishes ? frames_write(self, remote, topic, type, body, parts)
                          : speech_write(&remote->speech, remote->line, self->worker, NULL, 0, type, body, &parts[0]);
    if (count < 0)
        return count;
    int error = line_put(remote->line, self->worker, parts, publishes ? (uint32_t)count : 1);
    if (!publishes || error != SOMA_EAGAIN)
        return error;
    u64_add(&remote->line->counts.missed, 1); // by all: a publisher is not to be held up, nor end, for who is slow
    return 0;
}

int remote_topic(soma_agent *self, const struct channel *channel, const char *topic, bool wanted)
{
    char text[SOMA_TOPIC_MOST + 1];
    zmq_msg_t part;
    size_t size = strnlen(topic, SOMA_TOPIC_MOST);
    text[0] = (char)wanted; // what ZeroMQ's subscriptions look like
    memcpy(text + 1, topic, size);
    if (!part_make(&part, text, size + 1))
        return SOMA_ENOMEM;
    return line_put(channel->remote->line, self->worker, &part, 1);
}

/* ---- requests ---- */

/* The question's name, an empty frame, the message: who answers gives back all that stands before the message. Takes
 * that, the third. */
static int request_put(soma_agent *self, struct remote *remote, soma_handle handle, zmq_msg_t parts[3])
{
    const soma_handle name = handle ^ remote->salt;
    char frame[NAME_SIZE] = NAME_MARK;
    memcpy(frame + NAME_MARK_SIZE, &name, sizeof(name));
    if (!part_make(&parts[0], frame, sizeof(frame))) {
        zmq_msg_close(&parts[2]);
        return SOMA_ENOMEM;
    }
    zmq_msg_init(&parts[1]);
    return line_put(remote->line, self->worker, parts, 3);
}

/* So many are asked since the last one that there is an answer to. If the newest waits no more, as its time was over,
 * one more may go: all their answers may be lost, and then only one to a later question tells that they were read. */
static bool asking_waits(const soma_agent *self, const struct remote *remote)
{
    uint32_t newest = remote->asked_first + remote->asked_count - 1;
    return remote->asked && remote->asked_count == remote->asked_most &&
           request_waits(self, remote->asked[newest % remote->asked_most]);
}

/* The same for a SYNC_SUB, whose frame has room for the name. */
static int asking_put(soma_agent *self, struct remote *remote, soma_handle handle, zmq_msg_t parts[3])
{
    uint32_t most = remote->asked_most;
    const soma_handle name = handle ^ remote->salt;
    memcpy((char *)zmq_msg_data(&parts[2]) + 1, &name, sizeof(name));
    int error = line_put(remote->line, self->worker, &parts[2], 1);
    if (error)
        return error;
    if (remote->asked_count == most) { // the oldest is forgotten
        remote->asked_first = (remote->asked_first + 1) % most;
        remote->asked_count--;
    }
    remote->asked[(remote->asked_first + remote->asked_count++) % most] = handle;
    return 0;
}

/* Of a question there is an answer: so it, and all that was asked before, waits nowhere any more. */
static void asking_done(struct remote *remote, soma_handle handle)
{
    uint32_t most = remote->asked_most;
    for (uint32_t i = 0; i < remote->asked_count; i++) {
        if (remote->asked[(remote->asked_first + i) % most] != handle)
            continue;
        remote->asked_first = (remote->asked_first + i + 1) % most;
        remote->asked_count -= i + 1;
        return;
    }
}

static int request_write(const soma_agent *self, const struct channel *channel, const soma_type *type, const void *body,
                         zmq_msg_t *part)
{
    struct remote *remote = channel->remote;
    char head[ASK_HEAD + ANSWER_TOPIC] = {ASK_MARK}; // the name comes later
    bool subscribes = pattern_subscribes(channel->pattern);
    head[ASK_HEAD - 1] = ANSWER_TOPIC;
    memcpy(head + ASK_HEAD, remote->answers, ANSWER_TOPIC);
    return speech_write(&remote->speech, remote->line, self->worker, head, subscribes ? sizeof(head) : 0, type, body,
                        part);
}

soma_handle remote_request(soma_agent *self, struct channel *channel, uint64_t timeout, const soma_then *then,
                           const soma_type *type, const void *body)
{
    struct remote *remote = channel->remote;
    zmq_msg_t parts[3];
    if (!remote->peers || asking_waits(self, remote))
        return SOMA_EAGAIN;
    int error = request_write(self, channel, type, body, &parts[2]);
    if (error)
        return error;
    soma_handle handle = request_open(self, line_mark(remote->line), timeout, then);
    if (handle > 0)
        error = (remote->asked ? asking_put : request_put)(self, remote, handle, parts);
    else
        zmq_msg_close(&parts[2]);
    if (error && handle > 0)
        soma_request_cancel(self, handle);
    return error ? error : handle;
}

/* What says that a request failed: behind an empty message its error, and perhaps a text. */
static struct message *failure_read(soma_agent *self, zmq_msg_t *part)
{
    struct soma_failure failure;
    int error = soma_type_unpack(&soma_failure_type, &failure, zmq_msg_data(part), zmq_msg_size(part));
    if (error)
        return answer_copy(self, NULL, NULL, error);
    if (!failure.error)
        failure.error = SOMA_EFORMAT;
    struct message *answer = answer_copy(self, &soma_failure_type, &failure, 0);
    soma_type_destroy(&soma_failure_type, &failure);
    return answer;
}

/* An answer that nothing waits for; or a question, as ZeroMQ lets two connect that ask: it sees but their sockets. */
static void answer_unasked(const soma_agent *self, struct line *line, zmq_msg_t *part)
{
    const char *peer = zmq_msg_gets(part, "Socket-Type"); // of who has sent it
    if (peer && !strcmp(peer, "DEALER"))
        line_malformed(line, NULL, SOMA_EFORMAT);
    else
        counter_add(&self->worker->counters.late_replies, 1);
}

/* What an answer is: whose, and its message, or what says that there is none. */
struct answered {
    soma_handle name;
    const char *data;
    size_t size;
    zmq_msg_t *failure; /* NULL: there is a message */
};

/* The parts are those from the question's name on, before which so many bytes are a mark. False if they are no answer.
 */
static bool answer_split(zmq_msg_t *parts, uint32_t count, size_t mark, struct answered *answered)
{
    const char *data = zmq_msg_data(&parts[0]);
    size_t size = zmq_msg_size(&parts[0]), head = mark + sizeof(soma_handle);
    bool joined = count == 1 && mark && size >= head,
         apart = (count == 3 || count == 4) && size == head && !zmq_msg_size(&parts[1]);
    if ((!joined && !apart) || memcmp(data, NAME_MARK, mark) != 0)
        return false;
    memcpy(&answered->name, data + mark, sizeof(answered->name));
    answered->data = joined ? data + head : zmq_msg_data(&parts[2]);
    answered->size = joined ? size - head : zmq_msg_size(&parts[2]);
    answered->failure = count == 4 ? &parts[3] : NULL;
    return true;
}

static int answer_arrive(soma_agent *self, struct channel *channel, struct arrival *arrival,
                         const struct answered *answered)
{
    struct remote *remote = channel->remote;
    soma_handle handle = answered->name ^ remote->salt;
    asking_done(remote, handle);
    const soma_type *type = request_expects(self, handle, line_mark(channel->remote->line));
    if (!type) {
        answer_unasked(self, arrival->line, &arrival->parts[0]);
        return 0;
    }
    if (answered->failure)
        return answer_settle(self, handle, failure_read(self, answered->failure));
    struct reading reading;
    int error = speech_read(&remote->speech, type, answered->data, answered->size, &reading);
    if (error) {
        line_malformed(arrival->line, remote->speech.serializer->name, error);
        return answer_settle(self, handle, answer_copy(self, NULL, NULL, error));
    }
    struct message *answer = answer_copy(self, type, reading.message, 0);
    speech_done(&remote->speech, &reading);
    return answer_settle(self, handle, answer);
}

/* ---- messages ---- */

/* Where the topic ends: at the first 0x80 that is not within a character of UTF-8. NULL if there is none. */
static const char *separator_find(const char *text, size_t size)
{
    for (const char *at = text, *end = text + size; at < end;) {
        unsigned char first = (unsigned char)*at;
        size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
        if (first == SEPARATOR)
            return at;
        at += length <= (size_t)(end - at) && type_utf8_valid(at, length) ? length : 1;
    }
    return NULL;
}

/* The topic and the bytes of a publication; false if it is malformed. */
static bool publication_split(const struct channel *channel, struct arrival *arrival, char topic[SOMA_TOPIC_MOST + 1],
                              const char **data, size_t *size)
{
    soma_framing framing = channel->remote->speech.framing;
    const char *whole = zmq_msg_data(&arrival->parts[0]), *end = NULL;
    size_t all = zmq_msg_size(&arrival->parts[0]), length = all;
    if (arrival->count != (framing == SOMA_FRAMES_APART ? 2u : 1u))
        return false;
    if (framing == SOMA_FRAMES_SEPARATED && (end = separator_find(whole, all)))
        length = (size_t)(end - whole);
    if (framing == SOMA_FRAMES_PREFIX) {
        length = 0;
        for (const struct subscription *s = channel->subscriptions; s; s = s->next) {
            size_t own = strlen(s->topic);
            if (!s->ended && own > length && own <= all && !memcmp(s->topic, whole, own))
                length = own;
        }
    }
    if (length > SOMA_TOPIC_MOST || memchr(whole, '\0', length) || (framing == SOMA_FRAMES_SEPARATED && !end))
        return false;
    memcpy(topic, whole, length);
    topic[length] = '\0';
    bool apart = framing == SOMA_FRAMES_APART;
    *data = apart ? zmq_msg_data(&arrival->parts[1]) : end ? end + 1 : whole + length;
    *size = apart ? zmq_msg_size(&arrival->parts[1]) : all - (size_t)(*data - whole);
    return true;
}

/* Reads it as a message that one of those who want it has a handler for. */
static int publication_read(struct channel *channel, const char *topic, const char *data, size_t size,
                            struct reading *reading)
{
    int error = 1; // nobody wants it
    for (const struct subscription *s = channel->subscriptions; s && error; s = s->next)
        if (!s->ended && topic_fits(s->topic, topic))
            error = speech_read_rows(&channel->remote->speech, s->rows, data, size, reading);
    return error;
}

struct channel *owner_find(const soma_agent *self, const struct arrival *arrival)
{
    struct channel *channel = (struct channel *)port_find(self, arrival->line->owner.port);
    return channel && channel->remote && channel->remote->line == arrival->line ? channel : NULL;
}

static int message_arrive(soma_agent *self, void *state, struct channel *channel, struct arrival *arrival)
{
    char topic[SOMA_TOPIC_MOST + 1] = "";
    const char *data = zmq_msg_data(&arrival->parts[0]);
    size_t size = zmq_msg_size(&arrival->parts[0]);
    struct reading reading;
    struct speech *speech = &channel->remote->speech;
    bool subscribes = pattern_subscribes(channel->pattern);
    bool framed = subscribes ? publication_split(channel, arrival, topic, &data, &size) : arrival->count == 1;
    int error = SOMA_EFORMAT;
    if (framed)
        error = subscribes ? publication_read(channel, topic, data, size, &reading)
                           : speech_read_rows(speech, channel->rows, data, size, &reading);
    if (error < 0)
        line_malformed(arrival->line, framed ? speech->serializer->name : NULL, error);
    if (error)
        return 0;
    arrival_names(self, reading.type);
    error = port_show(self, state, &channel->port, topic, reading.type, reading.message);
    channel = owner_find(self, arrival); // a handler may have closed it
    speech_done(channel ? &channel->remote->speech : NULL, &reading);
    return error;
}

/* What comes for who has asked. Answers among publications are to this channel, or to another one of whom it gets all.
 */
static int answers_arrive(soma_agent *self, struct channel *channel, struct arrival *arrival, bool published)
{
    zmq_msg_t *topic = &arrival->parts[0];
    struct answered answered;
    bool own = channel->pattern == SOMA_SYNC_SUB && zmq_msg_size(topic) == ANSWER_TOPIC &&
               !memcmp(zmq_msg_data(topic), channel->remote->answers, ANSWER_TOPIC);
    if (published && !own)
        return 0;
    if (answer_split(arrival->parts + published, arrival->count - published, published ? 0 : NAME_MARK_SIZE, &answered))
        return answer_arrive(self, channel, arrival, &answered);
    line_malformed(arrival->line, NULL, SOMA_EFORMAT);
    return 0;
}

/* By the number of frames, too: the bytes of a publication may begin with anything, if it has no topic before. */
bool parts_are_answer(zmq_msg_t *parts, uint32_t count)
{
    return count > 2 && zmq_msg_size(&parts[0]) && *(const unsigned char *)zmq_msg_data(&parts[0]) == ANSWER_MARK;
}

int arrival_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    struct channel *channel = owner_find(self, arrival);
    bool subscribes = channel && pattern_subscribes(channel->pattern);
    int result = 0;
    arrival_take(arrival);
    bool published = subscribes && parts_are_answer(arrival->parts, arrival->count);
    if (published || (channel && pattern_asks(channel->pattern) && !subscribes))
        result = answers_arrive(self, channel, arrival, published);
    else if (channel)
        result = message_arrive(self, state, channel, arrival);
    else
        arrival_dead(arrival);
    arrival_end(arrival);
    return result;
}

int peers_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    struct channel *channel = owner_find(self, arrival);
    uint32_t peers = arrival->peers;
    int result = 0;
    if (channel)
        channel->remote->peers = peers;
    if (channel && !peers)
        channel->remote->asked_count = 0;                    // with the connection
    if (channel && !peers && pattern_asks(channel->pattern)) // their answers can't come any more
        result = requests_fail(self, line_mark(channel->remote->line), SOMA_EGONE);
    channel = result < 0 ? NULL : owner_find(self, arrival); // a handler may have closed it
    arrival_end(arrival);
    if (!channel)
        return result;
    arrival_names(self, &soma_channel_changed_type);
    return channel_tell(self, state, channel);
}
