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
    speech_open(&remote->speech, soma_agent_system(self), options);
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
    else
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
    for (const struct subscription *s = channel->subscriptions; s && error && error != SOMA_ENOMEM; s = s->next)
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
    struct reading reading = {0}; // of no type yet
    struct speech *speech = &channel->remote->speech;
    bool subscribes = pattern_subscribes(channel->pattern);
    bool framed = subscribes ? publication_split(channel, arrival, topic, &data, &size) : arrival->count == 1;
    int error = SOMA_EFORMAT;
    if (framed)
        error = subscribes ? publication_read(channel, topic, data, size, &reading)
                           : speech_read_rows(speech, channel->rows, data, size, &reading);
    if (error < 0)
        line_unread(arrival->line, framed ? speech->serializer->name : NULL, reading.type, error);
    if (error)
        return 0;
    arrival_names(self, reading.type);
    error = port_show(self, state, &channel->port, topic, reading.type, reading.message);
    channel = owner_find(self, arrival); // a handler may have closed it
    speech_done(channel ? &channel->remote->speech : NULL, &reading);
    return error;
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
