/* The round of a wire: the thread's, or a worker's in its place; see keeper.h. */
#include "bridges/keeper.h"
#include "bridges/address.h"
#include "runtime/thread.h"
#include <soma/error.h>
#include <soma/log.h>

/* ---- rounds ---- */

/* The bridge's turn, and the wire's own. When the next one is due. */
static uint64_t turn_run(struct keeper *keeper)
{
    uint64_t next;
    do
        next = bridge_turn(keeper->bridge);
    while (keeper->ways->tell(keeper)); // then there may be something to be done sooner: to look for another way
    return earlier(next, keeper->ways->watch(keeper));
}

/* The bridge closes: is all said, or its time over? Else when that is. */
static uint64_t closing_look(struct keeper *keeper)
{
    struct soma_bridge *bridge = keeper->bridge;
    if (keeper->deadline == UINT64_MAX)
        keeper->deadline = bridge_now(bridge) + bridge->options.close_ms * SOMA_MS;
    bool drained = bridge_is_drained(bridge);
    keeper->late = !drained && bridge_now(bridge) >= keeper->deadline;
    keeper->over = drained || keeper->late;
    return keeper->deadline;
}

static void alarm_set(struct keeper *keeper, uint64_t next)
{
    post_set_alarm(&keeper->post, bridge_now(keeper->bridge), next);
}

static void *keeper_main(void *argument)
{
    struct keeper *keeper = argument;
    struct post *post = &keeper->post;
    uint64_t keys[POST_MOST];
    worker_enter(keeper->bridge->worker);
    pthread_mutex_lock(&post->turn);
    for (;;) {
        uint64_t next = turn_run(keeper);
        if (u32_load(&keeper->bridge->closing))
            next = earlier(next, closing_look(keeper));
        if (keeper->over)
            break;
        alarm_set(keeper, next);
        uint32_t count =
            post_wait(post, keeper->looks, keys); // also if there is much of one: others have something, too
        keeper->ways->note(keeper, keys, count);
        if (keeper->ways->look(keeper, true) && keeper->looks)
            post_share(post);
    }
    keeper->left = bridge_goodbye(keeper->bridge);
    pthread_mutex_unlock(&post->turn);
    return NULL;
}

/* ---- a worker in the thread's place ---- */

static bool keys_note(void *context, const uint64_t *keys, uint32_t count)
{
    struct keeper *keeper = context;
    keeper->ways->note(keeper, keys, count);
    return keeper->looks;
}

static bool keeper_await(void *context, const shared_u32 *awake, bool *mail)
{
    struct keeper *keeper = context;
    return post_await(&keeper->post, awake, keys_note, keeper, mail);
}

/*
 * What it brings is for this worker, so others need not be woken for it. It reads of one end, and not for long, as
 * agents here wait for it: if there is more, that is the thread's.
 */
static void keeper_attend(void *context, struct worker *worker)
{
    struct keeper *keeper = context;
    struct worker *own = keeper->bridge->worker;
    bool more = false;
    if (pthread_mutex_trylock(&keeper->post.turn)) { // somebody sees to it, and what we were told of is noted
        post_ring(&keeper->post);
        return;
    }
    if (!keeper->over) {
        worker_enter(own);
        own->lent = true;
        more = keeper->ways->look(keeper, false) && keeper->looks;
        own->lent = false;
        uint64_t next = turn_run(keeper);
        if (!more && keeper->looks &&
            keeper->ways->look(keeper, false)) // what was sent may have brought word of something
            next = turn_run(keeper);
        worker_enter(worker);
        more = keeper->looks;
        if (!more)
            alarm_set(keeper, next);
    }
    pthread_mutex_unlock(&keeper->post.turn);
    if (more)
        post_ring(&keeper->post);
}

static void keeper_rouse(void *context)
{
    post_call(&((struct keeper *)context)->post);
}

void keeper_wake(void *context)
{
    post_ring(&((struct keeper *)context)->post);
}

bool keeper_enter(void *context)
{
    struct keeper *keeper = context;
    if (pthread_mutex_trylock(&keeper->post.turn))
        return false;
    const bool over = keeper->over;
    if (over)
        pthread_mutex_unlock(&keeper->post.turn);
    return !over;
}

/* ---- opening and closing ---- */

int keeper_open(struct keeper *keeper, const struct ways *ways, struct soma_bridge *bridge)
{
    *keeper = (struct keeper){.ways = ways, .bridge = bridge, .deadline = UINT64_MAX};
    return post_open(&keeper->post);
}

/* 0, or the first error. */
static int keeper_bind(struct keeper *keeper, int (*bind)(struct keeper *keeper, const char *address))
{
    struct soma_bridge *bridge = keeper->bridge;
    struct address parts;
    int error = 0;
    for (const struct dial *dial = bridge->dials; !error && dial; dial = dial->next)
        error = address_check(bridge, dial->address, &parts);
    for (uint32_t i = 0; !error && bridge->options.bind && bridge->options.bind[i]; i++)
        error = bind(keeper, bridge->options.bind[i]);
    return error;
}

static void keeper_take(struct keeper *keeper, const struct wire *wire)
{
    struct soma_bridge *bridge = keeper->bridge;
    bridge->wire = *wire;
    bridge->wire.wake = keeper_wake;
    bridge->wire.await = keeper_await;
    bridge->wire.attend = keeper_attend;
    bridge->wire.rouse = keeper_rouse;
    bridge->wire.context = keeper;
    bridge->keeper = keeper;
}

int keeper_begin(struct keeper *keeper, int error, int (*bind)(struct keeper *keeper, const char *address),
                 const struct wire *wire)
{
    if (!error)
        error = keeper_bind(keeper, bind);
    if (error)
        keeper_free(keeper);
    else
        keeper_take(keeper, wire);
    return error;
}

int keeper_start(struct keeper *keeper)
{
    int error = thread_start(&keeper->thread, keeper_main, keeper);
    keeper->started = !error;
    if (!error)
        return 0;
    post_shut(&keeper->post); // a worker may have been there already
    pthread_mutex_lock(&keeper->post.turn);
    keeper->over = true;
    pthread_mutex_unlock(&keeper->post.turn);
    return error;
}

/* What was left at the end; false if the time was over for it. What was said in the last moment may be among it. */
static bool left_tell(const struct keeper *keeper)
{
    const struct losses *left = &keeper->left;
    if (!losses_any(left))
        return true;
    soma_log_warning(keeper->bridge->system,
                     "bridge: closing: %llu messages, %llu answers and %llu other words were not acknowledged",
                     (unsigned long long)left->messages, (unsigned long long)left->answers,
                     (unsigned long long)left->words);
    return !keeper->late;
}

bool keeper_stop(struct keeper *keeper)
{
    bool whole = true;
    u32_store(&keeper->bridge->closing, 1);
    post_shut(&keeper->post); // what follows only the thread may be told
    if (keeper->started) {
        post_ring(&keeper->post);
        pthread_join(keeper->thread, NULL);
        whole = left_tell(keeper);
    }
    keeper->started = false;
    keeper->ways->close(keeper, GOODBYE_MS);
    return whole;
}

void keeper_free(struct keeper *keeper)
{
    keeper->ways->close(keeper, 0); // of one that never was a bridge's
    post_close(&keeper->post);
    keeper->ways->free(keeper);
}
