/*
 * What leaves by a line's socket: at once, from the turn of who sends it, if nothing waits before it and nobody else
 * uses the socket; else by the porter, which then finds it in the queue. See line.h.
 */
#include "channels/porter.h"
#include "runtime/spin.h"
#include "runtime/timer.h"
#include <errno.h>
#include <stdlib.h>

#define SEND_MOST 256u /* messages of one line, before the others get their turn */

int line_events(const struct line *line)
{
    int error = errno, events = 0;
    size_t size = sizeof(events);
    zmq_getsockopt(line->socket, ZMQ_EVENTS, &events, &size);
    errno = error;
    return events;
}

/* A message that the socket of a publisher takes only if all who want it can: else it goes to those who can, and is
 * counted. ZeroMQ then passes over who could not, until it has caught up by half, without telling. */
static bool part_publish(struct line *line, zmq_msg_t *part, int flags)
{
    const int all = 0, some = 1;
    zmq_setsockopt(line->socket, ZMQ_XPUB_NODROP, &all, sizeof(all));
    bool sent = zmq_msg_send(part, line->socket, flags) >= 0;
    zmq_setsockopt(line->socket, ZMQ_XPUB_NODROP, &some, sizeof(some));
    u64_add(&line->counts.missed, sent); // by somebody; its other parts go to the rest as any
    return sent;
}

/* ZeroMQ may say no without a look at its mail, which may say that there is room, and is told of once: so it is looked
 * at before anybody waits. */
static bool part_go(struct line *line, zmq_msg_t *part, bool more)
{
    int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
    if (zmq_msg_send(part, line->socket, flags) >= 0)
        return true;
    if (errno == EAGAIN && line_events(line) & ZMQ_POLLOUT && zmq_msg_send(part, line->socket, flags) >= 0)
        return true;
    return errno == EAGAIN && pattern_publishes(line->pattern) && part_publish(line, part, flags);
}

/* False if it must wait. Of what can't be sent the rest is left out, too. */
static bool part_send(struct line *line, struct parcel *parcel)
{
    bool skipped = line->skips;
    line->skips = skipped && parcel->more;
    if (skipped || part_go(line, &parcel->part, parcel->more))
        return true;
    if (errno == EAGAIN)
        return false;
    u64_add(&line->counts.missed, 1);
    line->skips = parcel->more;
    return true;
}

/* To send may have taken the word that there is something to be read, and to look for that may take the word that there
 * is room: is any of it so? A line that streams is told of it all the same, and to one that pushes nothing comes. What
 * nobody `reads` any more is none. */
static bool has_come(struct line *line, bool reads, bool blocked)
{
    if (line->pattern == SOMA_PUSH || line_streams(line))
        return false;
    int events = line_events(line);
    if (ptr_cas(&line->porter->owing, line, NULL)) // the look that was owed; if there is something, it is listed
        line->alone = !(events & ZMQ_POLLIN);
    return (events & ZMQ_POLLIN && reads && !u32_load(&line->stalled)) || (events & ZMQ_POLLOUT && blocked);
}

/* ---- at once ---- */

/* Under the lock of the queue, so that nothing gets into it meanwhile; the socket's is taken behind it nowhere else. */
static bool socket_seize(struct line *line)
{
    spin_lock(&line->busy);
    bool mine = !line->closing && !line->waiting && !pthread_mutex_trylock(&line->use);
    spin_unlock(&line->busy);
    return mine;
}

bool line_send_at_once(struct line *line, zmq_msg_t *parts, uint32_t count)
{
    if (!socket_seize(line))
        return false;
    bool sent = part_go(line, &parts[0], count > 1); // then there is nothing left of it to be closed
    for (uint32_t i = 1; i < count && sent; i++)     // ZeroMQ takes them, once it has taken the first,
        if (!part_go(line, &parts[i], i + 1 < count))
            zmq_msg_close(&parts[i]);         // unless it is at its end
    bool stirs = has_come(line, true, false); // what has not left is listed in any case
    pthread_mutex_unlock(&line->use);
    if (stirs)
        line_stir(line);
    return sent;
}

/* ---- from the queue ---- */

/* So many of the first crate's are done with. */
static void parcels_next(struct line *line, uint32_t count)
{
    struct crate *crate = line->sending;
    line->sent += count;
    if (line->sent < crate->count)
        return;
    line->sending = crate->next;
    line->sent = 0;
    free(crate);
}

static void parcels_send(struct line *line)
{
    uint32_t messages = 0;
    uint64_t bytes = 0;
    while (line->sending && messages < SEND_MOST && !line->blocked) {
        struct parcel *parcel = &line->sending->parcels[line->sent];
        size_t size = zmq_msg_size(&parcel->part);
        bool more = parcel->more;
        line->blocked = !part_send(line, parcel);
        if (line->blocked)
            break;
        zmq_msg_close(&parcel->part);
        parcels_next(line, 1);
        bytes += size + (more ? 0 : LINE_PART_COST);
        messages += !more;
    }
    if (bytes)
        line_relieve(line, messages, bytes);
}

/* The same for one that answers: message by message, as each is for one asker alone. */
static void parcels_answer(struct line *line)
{
    uint32_t done = 0;
    uint64_t bytes = 0;
    for (uint32_t messages = 0; line->sending && messages < SEND_MOST; messages++) {
        struct parcel *parcels = &line->sending->parcels[line->sent];
        uint64_t weight = LINE_PART_COST;
        uint32_t count = 0;
        do
            weight += zmq_msg_size(&parcels[count].part);
        while (parcels[count++].more); // a message is within one crate
        bool gone = answer_send(line, parcels, count, weight);
        done += gone;
        bytes += gone ? weight : 0;
        parcels_next(line, count);
    }
    if (done)
        line_relieve(line, done, bytes);
}

void line_send(struct line *line, uint64_t *until)
{
    pthread_mutex_lock(&line->use);
    (pattern_answers(line->pattern) ? parcels_answer : parcels_send)(line);
    if (line->askers)
        answers_retry(line, system_now(line->porter->system), until);
    bool reads = !line->deadline && !u32_load(&line->porter->stopping);
    line->stirred |= has_come(line, reads, line->blocked);
    pthread_mutex_unlock(&line->use);
}
