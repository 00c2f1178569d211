/* The porter's thread; see porter.h. */
#include "channels/porter.h"
#include "runtime/send.h"
#include "runtime/thread.h"
#include "runtime/timer.h"
#include <errno.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ZAP_ADDRESS "inproc://zeromq.zap.01"
#define SEND_MOST 256u /* messages of one line, before the others get their turn */
#define ITEMS_OWN 2u   /* poll items before those of the lines */
#define ITEMS_LINE 2u

static uint64_t porter_now(const struct porter *porter)
{
    return system_now(porter->system);
}

/* ---- sending ---- */

/* A message that the socket of a publisher takes only if all who want it can: else it goes to those who can, and is
 * counted. ZeroMQ then passes over who could not, until it has caught up by half, without telling. */
static bool part_publish(struct line *line, zmq_msg_t *part, int flags)
{
    const int all = 0, some = 1;
    zmq_setsockopt(line->socket, ZMQ_XPUB_NODROP, &all, sizeof(all));
    bool sent = zmq_msg_send(part, line->socket, flags) >= 0;
    zmq_setsockopt(line->socket, ZMQ_XPUB_NODROP, &some, sizeof(some));
    return sent;
}

/* False if it must wait. Of what can't be sent the rest is left out, too. */
static bool part_send(struct line *line, struct parcel *parcel)
{
    int flags = ZMQ_DONTWAIT | (parcel->more ? ZMQ_SNDMORE : 0);
    bool skipped = line->skips;
    line->skips = skipped && parcel->more;
    if (skipped || zmq_msg_send(&parcel->part, line->socket, flags) >= 0)
        return true;
    if (errno == EAGAIN && pattern_publishes(line->pattern) && part_publish(line, &parcel->part, flags)) {
        u64_add(&line->counts.missed, 1); // by somebody; its other parts go to the rest as any
        return true;
    }
    if (errno == EAGAIN)
        return false;
    u64_add(&line->counts.missed, 1);
    line->skips = parcel->more;
    return true;
}

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

/* Sends what a line has, up to a number of messages. */
static void line_send(struct line *line)
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
static void line_answer(struct line *line)
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

/* ---- the lines ---- */

/* Takes what is new of those that are listed. */
static void listed_take(struct porter *porter)
{
    struct line *line = ptr_exchange(&porter->listed, NULL), *next;
    for (; line; line = next) {
        next = line->listed_next; // from line_take on it may be listed anew
        bool known = line->known;
        line->known = true;
        if (!known) {
            line->next = porter->lines;
            porter->lines = line;
            porter->line_count++;
        }
        if (line_take(line) && !line->deadline) {
            line->deadline = porter_now(porter) + line->linger * SOMA_MS;
            line_relieve(line, 0, 0);
        }
        line_unref(line); // the list's
    }
}

/* The end of a line: of what its socket has taken, the rest of its time is left to ZeroMQ. */
static void line_end(struct line *line, uint64_t now)
{
    uint64_t left = line->deadline > now ? (line->deadline - now) / SOMA_MS : 0;
    if (line->sending || line->askers)
        soma_log_warning(line->porter->system, "channels: %u messages were left when their channel had ended",
                         line->waiting);
    socket_close(line, (uint32_t)left);
    if (line->dam)
        soma_kill(line->porter->system, line->dam_ref);
    if (!soma_ref_equal(line->reader, line->owner.agent))
        soma_kill(line->porter->system, line->reader);
    line_unref(line);
}

/* Connects a line again that ZeroMQ has given up, when it is time for that. */
static void line_retry(struct line *line, uint64_t *until)
{
    uint64_t due = line->lost + LINE_RETRY * SOMA_MS;
    if (porter_now(line->porter) >= due) {
        line->lost = 0;
        socket_retry(line);
    } else if (due < *until) {
        *until = due;
    }
}

/* Sends, and ends what has nothing more to send. True if there is more to do at once. */
static bool lines_turn(struct porter *porter, bool *waits, uint64_t *until)
{
    bool busy = false;
    *waits = false;
    for (struct line **link = &porter->lines; *link;) {
        struct line *line = *link;
        if (pattern_answers(line->pattern))
            line_answer(line);
        else if (!line->blocked)
            line_send(line);
        if (line->askers)
            answers_retry(line, porter_now(porter), until);
        if (line->lost && !line->deadline)
            line_retry(line, until);
        if (line->left && !line->deadline)
            line_receive(line);
        busy |= (line->sending && !line->blocked) || (line->left && !line->deadline && line_has_room(line));
        bool rest = line->sending || line->askers;
        *waits |= rest;
        uint64_t now = line->deadline ? porter_now(porter) : 0;
        if (line->deadline && (!rest || now >= line->deadline)) {
            *link = line->next;
            porter->line_count--;
            line_end(line, now);
            continue;
        }
        if (line->deadline && line->deadline < *until)
            *until = line->deadline;
        link = &line->next;
    }
    return busy;
}

/* ---- waiting ---- */

static bool items_room(struct porter *porter)
{
    uint32_t count = ITEMS_OWN + ITEMS_LINE * porter->line_count;
    if (count <= porter->item_capacity)
        return true;
    zmq_pollitem_t *grown = realloc(porter->items, (size_t)count * 2 * sizeof(*grown));
    if (!grown)
        return false;
    porter->items = grown;
    porter->item_capacity = count * 2;
    return true;
}

static bool line_reads(const struct line *line)
{
    return line->pattern != SOMA_PUSH && !line->deadline;
}

/* The bell, who asks to come in, then each line's monitor and socket. How many; 0 when memory is out. */
static uint32_t items_fill(struct porter *porter, bool reads)
{
    if (!items_room(porter))
        return 0;
    uint32_t at = ITEMS_OWN;
    porter->items[0] = (zmq_pollitem_t){NULL, porter->bell, ZMQ_POLLIN, 0};
    porter->items[1] = (zmq_pollitem_t){porter->zap, 0, ZMQ_POLLIN, 0};
    for (struct line *line = porter->lines; line; line = line->next) {
        short events = line->blocked ? ZMQ_POLLOUT : 0;
        if (reads && line_reads(line) && line_has_room(line))
            events |= ZMQ_POLLIN;
        porter->items[at++] = (zmq_pollitem_t){line->monitor, 0, ZMQ_POLLIN, 0};
        porter->items[at++] = (zmq_pollitem_t){line->socket, 0, events, 0};
    }
    return at;
}

static void bell_ring(const struct porter *porter)
{
    const uint64_t one = 1;
    if (write(porter->bell, &one, sizeof(one)) != sizeof(one))
        return; // it rings already
}

void porter_list(struct line *line)
{
    struct porter *porter = line->porter;
    u32_add(&line->references, 1); // the list's: its channel may end, and its mail be handled, before it is taken
    do
        line->listed_next = ptr_load(&porter->listed);
    while (!ptr_cas(&porter->listed, line->listed_next, line)); // release: the thread sees the line whole
    fence_full(); // pairs with round_wait: either it sees the line, or we see it asleep
    if (u32_load(&porter->asleep) && u32_cas(&porter->asleep, 1, 0))
        bell_ring(porter);
}

/* Waits until something happens; milliseconds, -1 for ever. What has: how many items, or 0. */
static int round_wait(struct porter *porter, uint32_t count, long timeout)
{
    if (timeout) {
        u32_store(&porter->asleep, 1);
        fence_full();
        if (ptr_load(&porter->listed) || u32_load(&porter->stopping))
            timeout = 0;
    }
    int happened = zmq_poll(porter->items, (int)count, timeout);
    u32_store(&porter->asleep, 0);
    return happened;
}

static void round_run(struct porter *porter, bool busy, bool reads, uint64_t until)
{
    uint64_t rings, now = until == UINT64_MAX ? 0 : porter_now(porter);
    uint32_t count = items_fill(porter, reads), at = ITEMS_OWN;
    long timeout = busy ? 0 : until == UINT64_MAX ? -1 : until <= now ? 0 : (long)((until - now) / SOMA_MS + 1);
    if (!count) {
        sched_yield();
        return;
    }
    if (round_wait(porter, count, timeout) <= 0)
        return;
    if (porter->items[0].revents && read(porter->bell, &rings, sizeof(rings)) < 0)
        return;
    while (porter->items[1].revents && zap_answer(porter))
        ;
    for (struct line *line = porter->lines; line && at < count; line = line->next, at += ITEMS_LINE) {
        short events = porter->items[at + 1].revents;
        if (porter->items[at].revents)
            line_watch(line); // who comes is known before what he says
        if (events & ZMQ_POLLOUT)
            line->blocked = false;
        if (events & ZMQ_POLLIN)
            line_receive(line);
        line_tell(line);
    }
    if (porter->worker->sending)
        outbox_flush(porter->worker);
}

static void *porter_main(void *argument)
{
    struct porter *porter = argument;
    uint64_t deadline = UINT64_MAX; // of stopping
    worker_enter(porter->worker);
    for (;;) {
        bool waits;
        uint64_t until = deadline;
        listed_take(porter);
        bool busy = lines_turn(porter, &waits, &until), stopping = u32_load(&porter->stopping);
        if (stopping && deadline == UINT64_MAX) {
            uint32_t longest = 0;
            for (const struct line *line = porter->lines; line; line = line->next)
                longest = line->linger > longest ? line->linger : longest;
            deadline = until = porter_now(porter) + longest * SOMA_MS;
        }
        porter->drained = !waits;
        if (stopping && (!waits || porter_now(porter) >= deadline))
            break;
        round_run(porter, busy, !stopping, until);
    }
    worker_enter(NULL);
    return NULL;
}

/* ---- opening and closing ---- */

int porter_open(soma_system *system, struct porter **result)
{
    struct porter *porter = calloc(1, sizeof(*porter));
    if (!porter)
        return SOMA_ENOMEM;
    porter->system = system;
    porter->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    porter->context = zmq_ctx_new();
    if (porter->context) // before the first socket: then it is too late
        zmq_ctx_set(porter->context, ZMQ_MAX_SOCKETS, zmq_ctx_get(porter->context, ZMQ_SOCKET_LIMIT));
    porter->worker = aligned_alloc(64, sizeof(*porter->worker));
    if (porter->worker)
        worker_init(porter->worker, system, WORKER_OWN, false);
    porter->zap = porter->context ? zmq_socket(porter->context, ZMQ_REP) : NULL;
    pthread_mutex_init(&porter->lock, NULL);
    bool zap = porter->zap && !zmq_bind(porter->zap, ZAP_ADDRESS); // without it all keys would do
    int error = porter->bell < 0 || !zap || !porter->worker ? SOMA_ENOMEM : 0;
    if (!error)
        error = thread_start(&porter->thread, porter_main, porter);
    if (error)
        porter_free(porter);
    else
        *result = porter;
    return error;
}

bool porter_stop(struct porter *porter)
{
    u32_store(&porter->stopping, 1);
    fence_full(); // pairs with round_wait
    bell_ring(porter);
    pthread_join(porter->thread, NULL);
    return porter->drained;
}

/* In place of the thread, which is gone. */
static void lines_end(struct porter *porter)
{
    listed_take(porter); // of agents that have ended since
    for (struct line *line; (line = porter->lines);) {
        uint64_t now = porter_now(porter);
        porter->lines = line->next;
        while (line->sending && !line->blocked)
            (pattern_answers(line->pattern) ? line_answer : line_send)(line);
        line->deadline = line->deadline ? line->deadline : now + line->linger * SOMA_MS;
        line_end(line, now);
    }
}

void porter_free(struct porter *porter)
{
    if (porter->worker) {
        lines_end(porter);
        pool_flush(&porter->worker->pool);
    }
    if (porter->zap)
        zmq_close(porter->zap);
    pthread_mutex_destroy(&porter->lock);
    if (porter->context)
        zmq_ctx_term(porter->context); // until what lingers has left
    if (porter->bell >= 0)
        close(porter->bell);
    free(porter->items);
    free(porter->worker);
    free(porter);
}
