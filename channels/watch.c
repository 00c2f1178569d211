/*
 * Who is there: what a socket's monitor tells of its connections, and what a publisher's subscribers want. See
 * porter.h.
 *
 * ZeroMQ tells the socket's number of a connection that begins and of one that ends. That one has come as far as to
 * speak ZeroMQ it tells without a number, and of one that never does not always anything but its end. So of those that
 * are there it is known how many speak, but not which; and when one ends, not always whether it was one of them. It
 * was if it is too old to have been anything else, and was not if ZeroMQ says so in the same breath. Otherwise it is
 * taken for one that was not, until there are fewer connections than are said to speak: so a stranger never makes the
 * number too small, and one that is too large is right again when there are no strangers any more.
 *
 * Who wants what is noted by that number, too. If a connection ends and the next gets its number before either was read
 * of, what the first wanted and was read late counts for the newcomer: it may have a subscription too many.
 */
#include "bridges/zmq_cut.h"
#include "channels/porter.h"
#include "channels/remote.h"
#include "runtime/hash.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include "runtime/timer.h"
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_SURE (2 * SOMA_MS * LINE_HANDSHAKE) /* one that is older speaks ZeroMQ */

/* ---- connections ---- */

static struct guest *guest_find(struct line *line, int socket)
{
    for (uint32_t i = 0; i < line->guest_count; i++)
        if (line->guests[i].socket == socket)
            return &line->guests[i];
    return NULL;
}

static void guest_add(struct line *line, int socket)
{
    uint32_t count = line->guest_count;
    if (!(count & (count - 1))) { // a power of two, or none: the list is full
        struct guest *grown = realloc(line->guests, (count ? count * 2 : 1) * sizeof(*grown));
        if (!grown) {
            line->unlisted++;
            return;
        }
        line->guests = grown;
    }
    line->guests[line->guest_count++] = (struct guest){.socket = socket,
                                                       .since = system_now(line->porter->system),
                                                       .settled = line->settled,
                                                       .cookie = socket_cookie(socket)};
}

/* No more speak than are there. */
static void connections_set(struct line *line, uint32_t connections)
{
    uint32_t most = line->guest_count - line->cut_count + line->unlisted;
    connections = connections < most ? connections : most;
    bool last = !connections && line->connections;
    spin_lock(&line->busy);
    line->connections = connections;
    spin_unlock(&line->busy);
    line->left |= last && pattern_asks(line->pattern);
    line_relieve(line, 0, 0); // nobody waits for one who is gone
}

static void guest_leave(struct line *line, int socket, bool failed)
{
    struct guest *guest = guest_find(line, socket);
    if (guest && guest->settled == line->settled && !failed) // of this alone ZeroMQ does not say that it failed
        line_refuse(line, REFUSED_PATTERN);
    bool spoke = guest && !failed && !guest->cut && system_now(line->porter->system) - guest->since > GUEST_SURE;
    uint32_t connections = line->connections - (spoke && line->connections);
    line->cut_count -= guest && guest->cut;
    if (guest)
        *guest = line->guests[--line->guest_count];
    else if (line->unlisted)
        line->unlisted--;
    connections_set(line, connections);
}

/*
 * A PAIR speaks with one. ZeroMQ turns another away, also while it has not noticed that the one before is gone, but
 * leaves it connected: who was turned away would wait for ever. A new connection that is the only one can be sent by.
 */
static bool is_turned_away(struct line *line)
{
    if (line->pattern != SOMA_PAIR || !line->bound)
        return false;
    pthread_mutex_lock(&line->use);
    bool open = line_events(line) & ZMQ_POLLOUT;
    pthread_mutex_unlock(&line->use);
    return line->connections || !open;
}

/* ZeroMQ may never tell its end: if it has sent something that nobody takes, its socket is not looked at any more. */
static void guest_cut(struct line *line, struct guest *guest)
{
    socket_cut(guest->socket, guest->cookie);
    line->cut_count += !guest->cut;
    guest->cut = true;
}

/* So it is cut off, and may come again. Which it is ZeroMQ does not tell: one of those who have come since the one that
 * is connected had come as far, so it is all of them; if there are none, whoever has come last. */
static void guests_cut(struct line *line)
{
    struct guest *last = NULL;
    bool found = false;
    for (uint32_t i = 0; i < line->guest_count; i++) {
        struct guest *guest = &line->guests[i];
        bool later = guest->settled >= line->taken_since;
        if (later && !guest->cut)
            guest_cut(line, guest);
        found |= later;
        last = !last || guest->since >= last->since ? guest : last;
    }
    if (last && !found)
        guest_cut(line, last);
}

static void guest_speaks(struct line *line)
{
    if (is_turned_away(line)) {
        guests_cut(line);
        return;
    }
    line->taken_since = line->settled;
    u64_add(&line->counts.connected, 1);
    connections_set(line, line->connections + 1);
}

static enum refusal protocol_refusal(uint32_t error)
{
    switch (error) {
    case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
        return REFUSED_SECURITY;
    case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
        return REFUSED_SERVER;
    case ZMQ_PROTOCOL_ERROR_ZMTP_INVALID_METADATA:
        return REFUSED_PATTERN;
    default:
        return REFUSED_PROTOCOL;
    }
}

/* It has failed to speak ZeroMQ: ZeroMQ says why, or that the other side has closed it, which may have read first. */
static void guest_fails(struct line *line, uint16_t kind, uint32_t value)
{
    line->settled++;
    line->failing = kind != ZMQ_EVENT_HANDSHAKE_FAILED_AUTH; // else it is cut off later
    if (kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        line_refuse(line, REFUSED_ALLOWED);
    else if (kind == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        line_refuse(line, protocol_refusal(value));
    else
        line_refuse(line, REFUSED_CLOSED);
}

static void event_note(struct line *line, uint16_t kind, uint32_t value)
{
    bool failing = line->failing;
    line->failing = false;
    switch (kind) {
    case ZMQ_EVENT_ACCEPTED:
    case ZMQ_EVENT_CONNECTED:
        guest_add(line, (int)value);
        line->lost = 0;
        break;
    case ZMQ_EVENT_CONNECT_RETRIED:
        line->lost = 0;
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        line->settled++;
        guest_speaks(line);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        guest_leave(line, (int)value, failing);
        line->lost = line->bound ? 0 : system_now(line->porter->system);
        break;
    default:
        guest_fails(line, kind, value);
    }
}

void line_watch(struct line *line)
{
    struct {
        uint16_t kind;
        unsigned char value[4];
    } event;
    char address[256];
    while (zmq_recv(line->monitor, &event, sizeof(event), ZMQ_DONTWAIT) == sizeof(event)) {
        uint32_t value;
        memcpy(&value, event.value, sizeof(value));
        zmq_recv(line->monitor, address, sizeof(address), ZMQ_DONTWAIT);
        event_note(line, event.kind, value);
        line_tell(line);
    }
}

/* ---- who wants what of a publisher ---- */

/* One for answers is none for what is published. */
void topic_arrive(struct line *line, zmq_msg_t *part)
{
    const unsigned char *data = zmq_msg_data(part);
    int socket = zmq_msg_get(part, ZMQ_SRCFD);
    struct guest *guest = guest_find(line, socket);
    if (!guest) {
        line_watch(line); // he may have spoken before his coming was read
        guest = guest_find(line, socket);
    }
    if (!guest || (zmq_msg_size(part) > 1 && data[1] == ANSWER_MARK))
        return;
    if (*data)
        guest->topics++;
    else if (guest->topics)
        guest->topics--;
}

/* ---- who asks under which identity ---- */

/*
 * ZeroMQ gives the identity of one who is connected to whoever comes with it, and says nothing of it: the first is cut
 * off, or stays, but nothing comes from him any more. That is seen when the other one asks for the first time.
 */
void asker_arrive(struct line *line, zmq_msg_t *who)
{
    const unsigned char *name = zmq_msg_data(who);
    size_t size = zmq_msg_size(who);
    if (!size || !*name) // of ZeroMQ's own making, so nobody else's
        return;
    uint64_t identity = hash_bytes(HASH_START, name, size) | 1; // 0 is none
    int socket = zmq_msg_get(who, ZMQ_SRCFD);
    struct guest *guest = guest_find(line, socket);
    if (guest && guest->identity == identity)
        return;
    line_watch(line); // he may have spoken before his coming was read, or another one's end
    for (uint32_t i = 0; i < line->guest_count; i++) {
        struct guest *other = &line->guests[i];
        if (other->identity == identity && other->socket != socket) {
            other->identity = 0; // is told once
            line_refuse(line, REFUSED_IDENTITY);
        }
    }
    guest = guest_find(line, socket);
    if (guest)
        guest->identity = identity;
}

static uint32_t guests_ready(const struct line *line)
{
    uint32_t ready = 0;
    for (uint32_t i = 0; i < line->guest_count; i++)
        ready += line->guests[i].topics != 0;
    return ready;
}

/* ---- telling the channel ---- */

static void peers_tell(struct line *line, uint32_t peers)
{
    struct porter *porter = line->porter;
    if (peers == line->told || line->deadline)
        return;
    struct message *message = arrival_new(porter->worker, line, peers_run, 0);
    if (!message)
        return; // it is told the next time
    arrival_of(message)->weight = 0;
    arrival_of(message)->peers = peers;
    line->told = peers;
    message_push_along(porter->system, porter->worker, line->owner.agent, message);
}

void line_tell(struct line *line)
{
    if (!line->left)
        peers_tell(line, pattern_publishes(line->pattern) ? guests_ready(line) : line->connections);
}

void line_emptied(struct line *line)
{
    if (!line->left)
        return;
    peers_tell(line, 0);          // even if somebody has come since: what was asked before gets no answer
    line->left = line->told != 0; // without memory for that it is told when the socket is empty the next time
}
