/*
 * What is asked of the bridge agent; see agent.h. A seeker is one request for a name at an address: it waits until
 * somebody answers there, asks that node's bridge agent, and begins again if that node goes down meanwhile.
 */
#include "bridges/agent.h"
#include "bridges/address.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/request.h>
#include <stdlib.h>
#include <string.h>

/** @cond internal */
SOMA_MESSAGE(soma_bridge_give_up, (i64, promise))
SOMA_MESSAGE(soma_bridge_again, (i64, promise))
/** @endcond */

/* A node that has just gone down may still count as answering for a moment. */
#define AGAIN (10 * SOMA_MS)

struct seeker {
    struct seeker *next;
    soma_handle promise; /* to whoever asked */
    soma_handle timer;   /* 0: it has all the time */
    soma_handle request; /* to the node there; 0: nobody answers yet, or it waits a moment */
    bool rests;          /* it waits a moment */
    const char *name;    /* behind the address */
    char address[];
};

static int on_whereis(soma_agent *self, void *state, const struct soma_bridge_whereis *m)
{
    soma_ref agent;
    (void)state;
    int error = m->name ? soma_whereis(soma_agent_system(self), m->name, &agent) : SOMA_EINVAL;
    return error ? soma_reply_error(self, error) : soma_reply(self, soma_bridge_located, .agent = agent);
}

/* ---- who answers at an address ---- */

/* The bridge agent there; the null ref: nobody yet, and there will be word when somebody does. */
static int answering(struct soma_bridge *bridge, const char *address, soma_ref *agent)
{
    pthread_mutex_lock(&bridge->lock);
    struct want *want = bridge->wants;
    while (want && strcmp(want->address, address) != 0)
        want = want->next;
    bool wake = !want;
    if (!want && (want = calloc(1, sizeof(*want)))) {
        *want = (struct want){.next = bridge->wants, .address = strdup(address)};
        if (want->address) {
            bridge->wants = want;
        } else {
            free(want);
            want = NULL;
        }
    }
    *agent = want ? want->agent : SOMA_REF_NULL;
    wake |= want && !agent->node && !want->awaited; // it may rest for long
    if (want)
        want->awaited = !agent->node;
    pthread_mutex_unlock(&bridge->lock);
    if (want && wake)
        bridge->wire.wake(bridge->wire.context);
    return want ? 0 : SOMA_ENOMEM;
}

/* ---- seekers ---- */

static struct seeker **seeker_link(struct bridge_agent *my, uint64_t promise)
{
    struct seeker **link = &my->seekers;
    while (*link && (*link)->promise != (soma_handle)promise)
        link = &(*link)->next;
    return link;
}

/* Nobody waits any more for who answers there: if nobody else does, it need not be called so often. */
static void await_end(const struct bridge_agent *my, const char *address)
{
    struct soma_bridge *bridge = my->bridge;
    for (const struct seeker *seeker = my->seekers; seeker; seeker = seeker->next)
        if (!strcmp(seeker->address, address))
            return;
    pthread_mutex_lock(&bridge->lock);
    for (struct want *want = bridge->wants; want; want = want->next)
        if (!strcmp(want->address, address))
            want->awaited = false;
    pthread_mutex_unlock(&bridge->lock);
}

static void seeker_end(soma_agent *self, struct bridge_agent *my, struct seeker **link, int error, soma_ref agent)
{
    struct seeker *seeker = *link;
    *link = seeker->next;
    await_end(my, seeker->address);
    if (error || soma_reply_to(self, seeker->promise, soma_bridge_located, .agent = agent) == SOMA_ENOMEM)
        soma_reply_error_to(self, seeker->promise, error ? error : SOMA_ENOMEM);
    if (seeker->timer)
        soma_timer_cancel(self, seeker->timer);
    if (seeker->request)
        soma_request_cancel(self, seeker->request);
    free(seeker);
}

static int on_located(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_located *m)
{
    struct seeker **link = seeker_link(my, soma_tag(self));
    (*link)->request = 0;
    seeker_end(self, my, link, 0, m->agent);
    return 0;
}

static int on_location_error(soma_agent *self, struct bridge_agent *my, const int *error)
{
    struct seeker **link = seeker_link(my, soma_tag(self)), *seeker = *link;
    seeker->request = 0;
    seeker->rests = *error == SOMA_ENODEDOWN && soma_after(self, AGAIN, soma_bridge_again, seeker->promise) > 0;
    if (!seeker->rests)
        seeker_end(self, my, link, *error, SOMA_REF_NULL);
    return 0;
}

/* False: it has ended. */
static bool seek(soma_agent *self, struct bridge_agent *my, struct seeker **link)
{
    struct seeker *seeker = *link;
    soma_ref there;
    int error = answering(my->bridge, seeker->address, &there);
    seeker->rests = false;
    if (!error && there.node)
        seeker->request = soma_request(
            self, there, SOMA_NEVER,
            SOMA_THEN(soma_bridge_located, on_located, on_location_error, .tag = (uint64_t)seeker->promise),
            soma_bridge_whereis, .name = seeker->name);
    if (!error && seeker->request >= 0)
        return true;
    seeker_end(self, my, link, SOMA_ENOMEM, SOMA_REF_NULL);
    return false;
}

static int on_again(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_again *m)
{
    struct seeker **link = seeker_link(my, (uint64_t)m->promise);
    if (*link && (*link)->rests) // else it is from a stranger
        seek(self, my, link);
    return 0;
}

static int on_give_up(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_give_up *m)
{
    struct seeker **link = seeker_link(my, (uint64_t)m->promise);
    if (!*link) // from a stranger
        return 0;
    (*link)->timer = 0;
    seeker_end(self, my, link, SOMA_ETIMEOUT, SOMA_REF_NULL);
    return 0;
}

/* Somebody answers somewhere. */
static int look_again(soma_agent *self, void *state, void *arg)
{
    struct bridge_agent *my = state;
    (void)arg;
    for (struct seeker **link = &my->seekers; *link;) {
        bool waits = !(*link)->request && !(*link)->rests;
        if (!waits || seek(self, my, link))
            link = &(*link)->next;
    }
    return 0;
}

void bridge_agent_wake(struct soma_bridge *bridge)
{
    soma_post(bridge->system, bridge->agent, look_again, NULL, NULL);
}

static int locate(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_locate *m)
{
    struct address parts;
    if (soma_sender(self).node != soma_self(self).node) // others may not make this node call anybody
        return SOMA_EINVAL;
    if (!m->address || !m->name || !m->timeout)
        return SOMA_EINVAL;
    if (bridge_listens(my->bridge, m->address)) {
        if (own_may_log(my->bridge))
            soma_log_error(my->bridge->system, "bridge: '%s' is an address of this node itself", m->address);
        return SOMA_EINVAL;
    }
    if (my->bridge->keeper && // a simulation has addresses of its own
        (address_check(my->bridge, m->address, &parts) || !trust_address(my->bridge, &parts)))
        return SOMA_EINVAL;
    size_t address_size = strlen(m->address) + 1, name_size = strlen(m->name) + 1;
    struct seeker *seeker = malloc(sizeof(*seeker) + address_size + name_size);
    if (!seeker)
        return SOMA_ENOMEM;
    *seeker = (struct seeker){.next = my->seekers, .promise = soma_reply_later(self)};
    memcpy(seeker->address, m->address, address_size);
    seeker->name = memcpy(seeker->address + address_size, m->name, name_size);
    if (seeker->promise > 0 && m->timeout < UINT64_MAX / 2)
        seeker->timer = soma_after(self, m->timeout, soma_bridge_give_up, .promise = seeker->promise);
    if (seeker->promise < 0) {
        int error = (int)seeker->promise;
        free(seeker);
        return error;
    }
    my->seekers = seeker;
    if (seeker->timer < 0)
        seeker_end(self, my, &my->seekers, SOMA_ENOMEM, SOMA_REF_NULL);
    else
        seek(self, my, &my->seekers);
    return 0;
}

static int on_locate(soma_agent *self, struct bridge_agent *my, const struct soma_bridge_locate *m)
{
    int error = locate(self, my, m);
    if (error)
        soma_reply_error(self, error); // SOMA_ESTATE if it was only sent
    return 0;
}

/* ---- its life ---- */

static int agent_init(soma_agent *self, void *state, const void *bridge)
{
    struct bridge_agent *my = state;
    my->bridge = *(struct soma_bridge *const *)bridge;
    my->since = soma_now(self);
    return 0;
}

static void agent_stop(soma_agent *self, void *state, int reason)
{
    struct bridge_agent *my = state;
    (void)reason;
    while (my->seekers)
        seeker_end(self, my, &my->seekers, SOMA_ECLOSED, SOMA_REF_NULL);
}

static const soma_behavior bridge_agent = {
    .name = "bridge",
    .base = &bridge_shown,
    .state_size = sizeof(struct bridge_agent),
    .init = agent_init,
    .stop = agent_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_bridge_whereis, on_whereis), SOMA_ON(soma_bridge_locate, on_locate),
                              SOMA_ON(soma_bridge_introduce, on_introduce), SOMA_ON(soma_bridge_give_up, on_give_up),
                              SOMA_ON(soma_bridge_again, on_again))};

int bridge_agent_spawn(struct soma_bridge *bridge)
{
    return soma_spawn(bridge->system, &bridge_agent, &bridge, &bridge->agent);
}
