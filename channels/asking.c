/* Questions over ipc and tcp, and their answers, in the turns of who asks; see remote.h. */
#include "channels/remote.h"
#include "runtime/request.h"
#include <soma/error.h>
#include <string.h>

/* ---- asking ---- */

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

/* ---- what comes back ---- */

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
        line_malformed(line, SOMA_EFORMAT);
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
        line_unread(arrival->line, remote->speech.serializer->name, type, error);
        return answer_settle(self, handle, answer_copy(self, NULL, NULL, error));
    }
    error = answer_show(self, handle, type, reading.message);
    channel = owner_find(self, arrival); // a handler may have closed it
    speech_done(channel ? &channel->remote->speech : NULL, &reading);
    return error;
}

int answers_arrive(soma_agent *self, struct channel *channel, struct arrival *arrival, bool published)
{
    zmq_msg_t *topic = &arrival->parts[0];
    struct answered answered;
    bool own = channel->pattern == SOMA_SYNC_SUB && zmq_msg_size(topic) == ANSWER_TOPIC &&
               !memcmp(zmq_msg_data(topic), channel->remote->answers, ANSWER_TOPIC);
    if (published && !own)
        return 0;
    if (answer_split(arrival->parts + published, arrival->count - published, published ? 0 : NAME_MARK_SIZE, &answered))
        return answer_arrive(self, channel, arrival, &answered);
    line_malformed(arrival->line, SOMA_EFORMAT);
    return 0;
}
