/* The porter's thread; see porter.h. */
#include "channels/porter.h"
#include "runtime/send.h"
#include "runtime/thread.h"
#include "runtime/timer.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/timer.h>
#include <stdlib.h>

#define ZAP_ADDRESS "inproc://zeromq.zap.01"
/* The post's: who asks to come in; and the lines, two each: something at the socket, or at the monitor. */
#define KEY_ZAP 1u
#define KEY_OF(line) (2 + UINT64_C(2) * (line)->number)
#define KEY_MONITOR 1u
#define MOMENT 250000u             /* ns: the thread dozes for one, */
#define DOZE_MOST 4u               /* or twice as long each time that nothing was left to it, up to so many, */
#define DOZES_IDLE 8u              /* and waits to be told when for so many nothing has happened */
#define CLOCK_COARSE (2 * SOMA_MS) /* so much earlier ZeroMQ's timers may be over */

static uint64_t porter_now(const struct porter *porter)
{
    return system_now(porter->system);
}

/* ---- the lines ---- */

/* Until when what is left in a line that ends now may leave. What the porter has waited, when it was stopped, is over.
 */
static uint64_t line_until(const struct line *line, uint64_t now)
{
    uint64_t linger = u32_load(&line->linger) * SOMA_MS, waited = line->porter->waited;
    return now + (linger > waited ? linger - waited : 0);
}

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
        }
        line->stirred = true;
        if (line_take(line) && !line->deadline) {
            line->deadline = line_until(line, porter_now(porter));
            line_relieve(line, 0, 0);
        }
        line_unref(line); // the list's
    }
}

/* Under its use, as line_watched. */
static void line_forget(const struct line *line)
{
    post_forget(&line->porter->post, line->monitor);
    post_forget(&line->porter->post, line->socket);
}

/* Whoever waits is told of what happens at its sockets. Without memory for that they are looked at again and again. */
static bool line_watched(const struct line *line)
{
    struct post *post = &line->porter->post;
    bool watched = post_watch_first(post, line->monitor, KEY_OF(line) + KEY_MONITOR) &&
                   (line_streams(line) ? post_watch_used : post_watch)(post, line->socket, KEY_OF(line));
    if (!watched)
        line_forget(line);
    return watched;
}

/* The end of a line: of what its socket has taken, the rest of its time is left to ZeroMQ. */
static void line_end(struct line *line, uint64_t now)
{
    uint64_t left = line->deadline > now ? (line->deadline - now) / SOMA_MS : 0;
    if (line->sending || line->askers) {
        line->porter->left |= u32_load(&line->porter->stopping);
        soma_log_warning(line->porter->system, "channels: %u messages were left when their channel had ended",
                         line->waiting);
    }
    uint64_t until = left && !pattern_subscribes(line->pattern) ? now + left * SOMA_MS : 0;
    line->porter->lingers = until > line->porter->lingers ? until : line->porter->lingers;
    pthread_mutex_lock(&line->use); // who answers may be sending
    line_forget(line);
    if (!u32_load(&line->porter->stopping)) // then nobody counts any more
        line_bury(line);
    socket_close(line, (uint32_t)left);
    pthread_mutex_unlock(&line->use);
    if (line->dam)
        soma_kill(line->porter->system, line->dam_ref);
    line_unref(line);
}

static bool line_reads(const struct line *line)
{
    return line->pattern != SOMA_PUSH && !line->deadline;
}

/* Something may have happened at its sockets: looks what. */
static void line_attend(struct line *line, bool reads)
{
    line->stirred = false;
    line->blocked = false;
    if (line->changed)
        line_watch(line); // who comes is known before what he says
    line->changed = false;
    if (reads && line_reads(line))
        line->stirred = line_receive(line);
    line_tell(line);
}

/* Connects a line again that ZeroMQ has given up, when it is time for that. */
static void line_retry(struct line *line, uint64_t *until)
{
    uint64_t due = line->lost + LINE_RETRY * SOMA_MS;
    if (porter_now(line->porter) < due) {
        *until = due < *until ? due : *until;
        return;
    }
    line->lost = 0;
    pthread_mutex_lock(&line->use);
    socket_retry(line);
    pthread_mutex_unlock(&line->use);
    line->stirred = true; // it has looked at its mail
}

/* A line is passed over. True if there is something to do for it at once; `until` becomes the time of when there is, if
 * that is earlier. */
static bool line_rests(const struct line *line, uint64_t *until)
{
    uint64_t due = line->askers ? line->retry : UINT64_MAX;
    if (line->lost && !line->deadline && line->lost + LINE_RETRY * SOMA_MS < due)
        due = line->lost + LINE_RETRY * SOMA_MS;
    *until = due < *until ? due : *until;
    return line->stirred || !line->watched || (line->sending && !line->blocked) ||
           (due != UINT64_MAX && due <= porter_now(line->porter));
}

/* It is not. True if there is more to do, and `until`, as before. */
static bool line_turn(struct line *line, bool reads, uint64_t *until)
{
    if (!line->watched) {
        pthread_mutex_lock(&line->use);
        line->watched = line_watched(line);
        pthread_mutex_unlock(&line->use);
        line->stirred = line->changed = true;
    }
    if (line->stirred)
        line_attend(line, reads);
    if (line->lost && !line->deadline)
        line_retry(line, until);
    if ((line->sending && !line->blocked) || line->askers)
        line_send(line, until);
    return !line->watched || line->stirred || (line->sending && !line->blocked);
}

/* ---- rounds ---- */

/* Nobody else has looked at it. */
static void owed_take(struct porter *porter)
{
    struct line *line = ptr_exchange(&porter->owing, NULL);
    if (line)
        line->stirred = true;
}

uint64_t porter_round(struct porter *porter, bool all, bool *waits)
{
    bool reads = !u32_load(&porter->stopping);
    uint64_t until = UINT64_MAX;
    u32_store(&porter->asleep, 0);
    porter->looks = *waits = false;
    owed_take(porter);
    listed_take(porter);
    while (porter->asks && zap_answer(porter))
        ;
    porter->asks = false;
    for (struct line **link = &porter->lines; *link;) {
        struct line *line = *link;
        bool passed = !all && porter->worker->sending;
        porter->looks |= passed ? line_rests(line, &until) : line_turn(line, reads, &until);
        bool rest = line->sending || line->askers;
        *waits |= rest;
        uint64_t now = line->deadline ? porter_now(porter) : 0;
        if (line->deadline && (!rest || now >= line->deadline)) {
            *link = line->next;
            line_end(line, now);
            continue;
        }
        if (line->deadline && line->deadline < until)
            until = line->deadline;
        link = &line->next;
    }
    if (porter->worker->sending)
        outbox_flush(porter->worker);
    return until;
}

/* From here on who lists a line rings. False if one was listed before. */
static bool round_rest(struct porter *porter)
{
    u32_store(&porter->asleep, 1);
    fence_full(); // pairs with porter_list
    return !ptr_load(&porter->listed);
}

void porter_list(struct line *line)
{
    struct porter *porter = line->porter;
    u32_add(&line->references, 1); // the list's: its channel may end, and its mail be handled, before it is taken
    do
        line->listed_next = ptr_load(&porter->listed);
    while (!ptr_cas(&porter->listed, line->listed_next, line)); // release: the taker sees the line whole
    fence_full(); // pairs with round_rest: either it sees the line, or we see that nobody would
    if (u32_load(&porter->asleep) && u32_cas(&porter->asleep, 1, 0))
        post_ring(&porter->post);
}

/* What somebody was told of is to be looked at. If there may be more, a monitor may be among that. */
static bool keys_note(void *context, const uint64_t *keys, uint32_t count)
{
    struct porter *porter = context;
    for (uint32_t i = 0; i < count; i++) {
        porter->asks |= keys[i] == KEY_ZAP;
        struct line *line = porter->lines;
        while (line && KEY_OF(line) != (keys[i] & ~(uint64_t)KEY_MONITOR)) // it may have ended
            line = line->next;
        if (line) {
            line->stirred = true;
            line->changed |= keys[i] & KEY_MONITOR;
        }
        porter->looks |= line || porter->asks;
    }
    for (struct line *line = porter->lines; line && count == POST_MOST; line = line->next)
        line->changed = true;
    return porter->looks || ptr_load(&porter->owing); // who owes sets it under the turn, as we have it
}

/* How long what waits in the lines may take to leave once the system closes. */
static uint64_t stopping_time(const struct porter *porter)
{
    uint32_t longest = 0;
    for (const struct line *line = porter->lines; line; line = line->next) {
        uint32_t linger = u32_load(&line->linger);
        longest = linger > longest ? linger : longest;
    }
    return longest * SOMA_MS;
}

static uint32_t porter_wait(struct porter *porter, bool presses, uint64_t keys[POST_MOST])
{
    uint32_t count = post_wait(&porter->post, presses, keys);
    porter->idle = 0;
    porter->doze = 1;
    porter->dozes = true;
    return count;
}

/*
 * Where much comes and goes, the thread would be told of each little of it, wake up beside a worker that is about to
 * see to it anyway, or sends, and take the core of ZeroMQ's thread. So once it was told of something it only comes by
 * now and then, until nothing has happened for a while. Before it waits again it goes a whole round: that sees what
 * those have left who had the turn before, and did not ring.
 */
static uint32_t porter_doze(struct porter *porter, uint64_t keys[POST_MOST])
{
    struct post *post = &porter->post;
    for (;;) {
        uint32_t count = post_doze(post, porter->doze * MOMENT, keys);
        bool beside = post->taken,
             idle = !count && !porter->looks && !ptr_load(&porter->listed) && !ptr_load(&porter->owing);
        porter->idle = idle ? porter->idle + porter->doze : 0;
        porter->doze = !idle ? 1 : porter->doze < DOZE_MOST ? 2 * porter->doze : DOZE_MOST;
        if (porter->idle >= DOZES_IDLE) {
            porter->dozes = false;
            post_clear(post);
        }
        if (!beside || porter->idle >= DOZES_IDLE || u32_load(&porter->stopping))
            return count;
    }
}

static void *porter_main(void *argument)
{
    struct porter *porter = argument;
    struct post *post = &porter->post;
    uint64_t keys[POST_MOST], stopped = 0, deadline = UINT64_MAX;
    worker_enter(porter->worker);
    pthread_mutex_lock(&post->turn);
    for (;;) {
        bool waits, stopping = u32_load(&porter->stopping);
        uint64_t until = porter_round(porter, true, &waits);
        if (stopping && deadline == UINT64_MAX) {
            stopped = porter_now(porter);
            deadline = stopped + stopping_time(porter);
        }
        porter->drained = !waits && !porter->left;
        if (stopping && (!waits || porter_now(porter) >= deadline))
            break;
        until = until < deadline ? until : deadline;
        if (porter->looks)
            post_share(post);
        else if (until != UINT64_MAX)
            post_set_alarm(post, porter_now(porter), until);
        bool rests = round_rest(porter) && !porter->looks && !ptr_load(&porter->owing);
        bool dozes = rests && porter->dozes;
        keys_note(porter, keys, dozes ? porter_doze(porter, keys) : porter_wait(porter, !rests, keys));
    }
    porter->over = true;
    porter->waited = porter_now(porter) - stopped;
    pthread_mutex_unlock(&post->turn);
    worker_enter(NULL);
    return NULL;
}

/* ---- a worker in the thread's place ---- */

static bool porter_await(void *context, const shared_u32 *awake, bool *mail)
{
    struct porter *porter = context;
    return post_await(&porter->post, awake, keys_note, porter, mail);
}

/* What it brings is for this worker, so others need not be woken for it. It does not read for long, as agents here wait
 * for it: if there is more, that is the thread's. */
static void porter_attend(void *context, struct worker *worker)
{
    struct porter *porter = context;
    struct post *post = &porter->post;
    bool waits, more = false;
    if (pthread_mutex_trylock(&post->turn)) { // somebody sees to it, and what we were told of is noted
        post_ring(post);
        return;
    }
    if (!porter->over) {
        porter->idle = 0;
        worker_enter(porter->worker);
        porter->worker->lent = true;
        porter->lends = porter->dozes && !post->taken;
        uint64_t until = porter_round(porter, false, &waits);
        porter->worker->lent = porter->lends = false;
        worker_enter(worker);
        if (until != UINT64_MAX)
            post_set_alarm(post, porter_now(porter), until);
        porter->looks |= !round_rest(porter);
        more = porter->looks && (!porter->dozes || post->taken); // else the thread, or who comes next, sees it
    }
    pthread_mutex_unlock(&post->turn);
    if (more)
        post_ring(post);
}

static void porter_rouse(void *context)
{
    post_call(&((struct porter *)context)->post);
}

/* ---- opening and closing ---- */

int porter_open(soma_system *system, struct porter **result)
{
    struct porter *porter = calloc(1, sizeof(*porter));
    if (!porter)
        return SOMA_ENOMEM;
    porter->system = system;
    part_sources_init(porter);
    porter->rest = (struct rest){porter_await, porter_attend, porter_rouse, porter};
    bool whole = !post_open(&porter->post);
    porter->context = zmq_ctx_new();
    if (porter->context) // before the first socket: then it is too late
        zmq_ctx_set(porter->context, ZMQ_MAX_SOCKETS, zmq_ctx_get(porter->context, ZMQ_SOCKET_LIMIT));
    porter->worker = aligned_alloc(64, sizeof(*porter->worker));
    if (porter->worker)
        worker_init(porter->worker, system, WORKER_OWN, false);
    porter->zap = porter->context ? zmq_socket(porter->context, ZMQ_REP) : NULL;
    pthread_mutex_init(&porter->lock, NULL);
    bool zap = porter->zap && !zmq_bind(porter->zap, ZAP_ADDRESS); // without it all keys would do
    whole = whole && zap && porter->worker && post_watch(&porter->post, porter->zap, KEY_ZAP);
    int error = whole ? 0 : SOMA_ENOMEM;
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
    post_shut(&porter->post);
    post_ring(&porter->post);
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
        uint64_t until = UINT64_MAX;
        while (line->sending && !line->blocked)
            line_send(line, &until);
        line->deadline = line->deadline ? line->deadline : line_until(line, now);
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
    bool lingers = porter->lingers > porter_now(porter);
    if (porter->context)
        post_end_context(porter->context); // until what lingers has left, or its time is over: it does not tell which
    if (lingers && porter_now(porter) + CLOCK_COARSE >= porter->lingers)
        soma_log_warning(porter->system, "channels: the time is over for what was sent to leave (linger_ms), and it "
                                         "may not have left");
    post_close(&porter->post);
    for (uint32_t i = 0; i < PLACE_SHELVES; i++)
        free(porter->questions.shelves[i]);
    free(porter->worker);
    free(porter);
}
