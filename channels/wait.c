/*
 * Waiting from outside until a channel has got enough peers. The thread and the agent share a block; whoever is done
 * with it last frees it, as the thread may give up first.
 */
#include "channels/channel.h"
#include "runtime/system.h"
#include "runtime/thread.h"
#include "runtime/timer.h"
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAITING 1 /* in place of a result */

struct wait {
    struct wait *next;    /* of its channel's; the agent's */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t settled;
    int result;
    uint32_t references;
    uint32_t peers;
    char alias[SOMA_CHANNEL_ALIAS_MOST + 1];
};

/* One of the two is done with it. Under the lock, which it gives up. */
static void wait_unref(struct wait *wait)
{
    bool last = !--wait->references;
    pthread_mutex_unlock(&wait->lock);
    if (!last)
        return;
    pthread_cond_destroy(&wait->settled);
    pthread_mutex_destroy(&wait->lock);
    free(wait);
}

static void wait_settle(struct wait *wait, int result)
{
    pthread_mutex_lock(&wait->lock);
    wait->result = result;
    pthread_cond_signal(&wait->settled);
    wait_unref(wait);
}

/* ---- in the agent ---- */

/* Has the thread gone, as its time is over? */
static bool wait_given_up(struct wait *wait)
{
    pthread_mutex_lock(&wait->lock);
    bool gone = wait->references == 1;
    pthread_mutex_unlock(&wait->lock);
    return gone;
}

void waits_look(struct channel *channel)
{
    uint32_t ready = peers_ready(channel);
    for (struct wait **link = &channel->waits; *link;) {
        struct wait *wait = *link;
        if (wait->peers > ready && !wait_given_up(wait)) {
            link = &wait->next;
            continue;
        }
        *link = wait->next;
        wait_settle(wait, 0);
    }
}

void waits_drop(struct channel *channel)
{
    for (struct wait *wait; (wait = channel->waits);) {
        channel->waits = wait->next;
        wait_settle(wait, SOMA_EGONE);
    }
}

static int wait_run(soma_agent *self, void *state, void *arg)
{
    struct wait *wait = arg;
    struct channel *channel = channel_find(self, wait->alias);
    (void)state;
    if (!channel) {
        wait_settle(wait, SOMA_ENOENT);
        return 0;
    }
    wait->next = channel->waits;
    channel->waits = wait;
    waits_look(channel);
    return 0;
}

static void wait_drop(void *arg)
{
    wait_settle(arg, SOMA_EGONE);
}

/* ---- outside ---- */

static struct wait *wait_new(const char *alias, uint32_t peers)
{
    struct wait *wait = calloc(1, sizeof(*wait));
    if (!wait)
        return NULL;
    pthread_mutex_init(&wait->lock, NULL);
    condition_init(&wait->settled);
    wait->result = WAITING;
    wait->references = 2;
    wait->peers = peers;
    snprintf(wait->alias, sizeof(wait->alias), "%s", alias);
    return wait;
}

static int wait_await(const soma_system *system, struct wait *wait, uint64_t timeout)
{
    uint64_t until = system_now(system);
    until = timeout > UINT64_MAX - until ? UINT64_MAX : until + timeout;
    const struct timespec limit = {(time_t)(until / SOMA_SECOND), (long)(until % SOMA_SECOND)};
    int late = 0;
    pthread_mutex_lock(&wait->lock);
    while (wait->result == WAITING && !late)
        late = pthread_cond_timedwait(&wait->settled, &wait->lock, &limit);
    int result = wait->result == WAITING ? SOMA_ETIMEOUT : wait->result;
    wait_unref(wait);
    return result;
}

int soma_wait_connected(soma_system *system, soma_ref agent, const char *alias, uint32_t peers, uint64_t timeout)
{
    if (!system || !alias)
        return SOMA_EINVAL;
    if (strnlen(alias, SOMA_CHANNEL_ALIAS_MOST + 1) > SOMA_CHANNEL_ALIAS_MOST)
        return SOMA_ENOENT; // no channel has such an alias
    if (system_on_worker(system) || system->driver.runnable)
        return SOMA_ESTATE;
    struct wait *wait = wait_new(alias, peers);
    if (!wait)
        return SOMA_ENOMEM;
    int error = soma_post(system, agent, wait_run, wait, wait_drop);
    int result = wait_await(system, wait, error ? 0 : timeout); // of an error the drop has told
    return error ? error : result;
}
