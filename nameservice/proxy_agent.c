/* A proxy's agent: asks in the place of a thread, hears of the end of whom it asks, and sleeps. See proxy.h. */
#include "nameservice/proxy.h"
#include <soma/error.h>
#include <soma/method.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/timer.h>
#include <stdlib.h>

SOMA_MESSAGE(soma_proxy_woken, (i64, promise))
SOMA_MESSAGE(soma_proxy_again, (u64, later)) /* a struct later, which is there until it has ended */

struct state {
    soma_proxy *proxy;
    soma_ref watched; /* whom it was told to ask last */
    soma_handle watch;
    soma_handle follow; /* the request for another agent of its name; 0: none */
    soma_handle ending; /* the monitor of one that shall end, */
    soma_handle ended;  /* and the promise to tell; 0: none */
    struct later *laters;
};

static int agent_init(soma_agent *self, void *state, const void *arg)
{
    struct state *my = state;
    (void)self;
    my->proxy = (soma_proxy *)(uintptr_t)arg;
    return 0;
}

/* ---- asking ---- */

static int on_moved(soma_agent *self, struct state *my, const struct soma_name *m)
{
    (void)self, (void)m;
    my->follow = 0;
    proxy_forget(my->proxy, my->watched);
    my->watched = SOMA_REF_NULL;
    return 0;
}

/* Without it the end of the agent tells, no sooner. */
static int on_not_followed(soma_agent *self, struct state *my, const int *error)
{
    (void)self, (void)error;
    my->follow = 0;
    return 0;
}

/* So that a name is looked up anew when its agent has ended, or another one has taken it over, whoever is asked then.
 */
static void watch(soma_agent *self, struct state *my, soma_ref to)
{
    if (soma_ref_equal(my->watched, to))
        return;
    soma_demonitor(self, my->watch);
    my->watched = to;
    my->watch = soma_monitor(self, to);
    if (!my->proxy->names || !my->proxy->name)
        return;
    if (my->follow)
        soma_request_cancel(self, my->follow);
    my->follow = soma_request(self, soma_names_agent(my->proxy->names), SOMA_NEVER,
                              SOMA_THEN(soma_name, on_moved, on_not_followed), soma_name_lookup,
                              .name = my->proxy->name, .waits = true, .unless = to, .timeout = SOMA_NEVER);
    if (my->follow < 0)
        my->follow = 0;
}

static int on_result(soma_agent *self, struct state *my, const struct soma_result *m)
{
    (void)my;
    return soma_reply_to(self, (soma_handle)soma_tag(self), soma_proxy_answer, .value = m->value);
}

static int on_error(soma_agent *self, struct state *my, const int *error)
{
    (void)my;
    return soma_reply_to(self, (soma_handle)soma_tag(self), soma_proxy_answer, .error = *error,
                         .text = soma_error_text(self));
}

/* A proxy's ref is known to whoever it calls; but only its own program tells it what to do. */
static bool is_stranger(const soma_agent *self)
{
    soma_ref sender = soma_sender(self);
    return !soma_ref_is_null(sender) && sender.node != soma_self(self).node;
}

static int on_ask(soma_agent *self, struct state *my, const struct soma_proxy_ask *m)
{
    if (is_stranger(self))
        return 0;
    watch(self, my, m->to);
    soma_handle promise = soma_reply_later(self);
    if (promise < 0)
        return soma_reply_error(self, (int)promise);
    soma_handle request =
        soma_request(self, m->to, m->timeout, SOMA_THEN(soma_result, on_result, on_error, .tag = (uint64_t)promise),
                     soma_invoke, .method = m->method, .arguments = m->arguments);
    return request < 0 ? soma_reply_error_to(self, promise, (int)request) : 0;
}

/* ---- asking without anybody who waits ---- */

static void later_end(struct later *later, int error, soma_value value, const char *text)
{
    if (later->link) {
        *later->link = later->next;
        if (later->next)
            later->next->link = later->link;
    }
    later->done(later->context, error, value, text);
    soma_value_destroy(&later->arguments);
    free(later->method);
    free(later);
}

void later_drop(void *later)
{
    later_end(later, SOMA_ECLOSED, SOMA_VALUE_NONE, "the proxy, or its system, is closed");
}

static struct later *later_tagged(const soma_agent *self)
{
    return (struct later *)(uintptr_t)soma_tag(self);
}

static int on_later_result(soma_agent *self, struct state *my, const struct soma_result *m)
{
    (void)my;
    later_end(later_tagged(self), 0, m->value, "");
    return 0;
}

static void later_ask(soma_agent *self, struct state *my, struct later *later);

/* Whose turn it is now: perhaps a supervisor's child on its way back, which needs a while. */
static void later_found(soma_agent *self, struct state *my, struct later *later, soma_ref to)
{
    bool same = soma_ref_equal(later->to, to);
    later->to = to;
    if (!same)
        later_ask(self, my, later);
    else if (soma_after(self, PROXY_NAP, soma_proxy_again, .later = (uintptr_t)later) < 0)
        later_end(later, SOMA_ENOMEM, SOMA_VALUE_NONE, soma_strerror(SOMA_ENOMEM));
}

static int on_again(soma_agent *self, struct state *my, const struct soma_proxy_again *m)
{
    struct later *later = my->laters;
    while (later && (uintptr_t)later != m->later) // anybody may have sent it
        later = later->next;
    if (later)
        later_ask(self, my, later);
    return 0;
}

static int on_later_named(soma_agent *self, struct state *my, const struct soma_name *m)
{
    later_found(self, my, later_tagged(self), m->agent);
    return 0;
}

static int on_later_located(soma_agent *self, struct state *my, const struct soma_bridge_located *m)
{
    later_found(self, my, later_tagged(self), m->agent);
    return 0;
}

/* What has ended is not back; or nobody could say in time whether it is. */
static int on_later_lost(soma_agent *self, struct state *my, const int *error)
{
    int why = *error == SOMA_ENOENT ? SOMA_EGONE : *error;
    (void)my;
    later_end(later_tagged(self), why, SOMA_VALUE_NONE, soma_strerror(why));
    return 0;
}

/* Who has the name now? As the proxy's find(), but without waiting. */
static void later_find(soma_agent *self, struct state *my, struct later *later)
{
    const soma_proxy *proxy = my->proxy;
    uint64_t left = time_left(proxy, later->until), tag = (uintptr_t)later;
    soma_handle request = SOMA_EGONE;
    soma_ref to;
    if (proxy->names && proxy->name)
        request = soma_request(self, soma_names_agent(proxy->names), SOMA_NEVER,
                               SOMA_THEN(soma_name, on_later_named, on_later_lost, .tag = tag), soma_name_lookup,
                               .name = proxy->name, .fresh = true, .timeout = left);
    else if (proxy->bridge)
        request = soma_request(self, soma_bridge_agent(proxy->bridge), SOMA_NEVER,
                               SOMA_THEN(soma_bridge_located, on_later_located, on_later_lost, .tag = tag),
                               soma_bridge_locate, .address = proxy->address, .name = proxy->name, .timeout = left);
    else if (proxy->name && !soma_whereis(proxy->system, proxy->name, &to)) {
        later_found(self, my, later, to);
        return;
    }
    if (request < 0)
        later_end(later, (int)request, SOMA_VALUE_NONE, soma_strerror((int)request));
}

static int on_later_error(soma_agent *self, struct state *my, const int *error)
{
    const char *text = soma_error_text(self);
    struct later *later = later_tagged(self);
    if (*error == SOMA_EGONE || *error == SOMA_ENODEDOWN || *error == SOMA_ENOROUTE)
        proxy_forget(my->proxy, later->to);
    if (*error == SOMA_EGONE && my->proxy->find && soma_now(self) < later->until)
        later_find(self, my, later);
    else
        later_end(later, *error, SOMA_VALUE_NONE, text ? text : soma_strerror(*error));
    return 0;
}

static void later_ask(soma_agent *self, struct state *my, struct later *later)
{
    watch(self, my, later->to);
    soma_handle request = soma_request(self, later->to, time_left(my->proxy, later->until),
                                       SOMA_THEN(soma_result, on_later_result, on_later_error, .tag = (uintptr_t)later),
                                       soma_invoke, .method = later->method, .arguments = later->arguments);
    if (request < 0)
        later_end(later, (int)request, SOMA_VALUE_NONE, soma_strerror((int)request));
}

int later_run(soma_agent *self, void *state, void *arg)
{
    struct state *my = state;
    struct later *later = arg;
    later->next = my->laters;
    later->link = &my->laters;
    if (later->next)
        later->next->link = &later->next;
    my->laters = later;
    later_ask(self, my, later);
    return 0;
}

/* ---- ends ---- */

static int on_end(soma_agent *self, struct state *my, const struct soma_proxy_end *m)
{
    if (is_stranger(self))
        return 0;
    if (my->ended) { // its thread has not waited so long
        soma_demonitor(self, my->ending);
        soma_reply_error_to(self, my->ended, SOMA_ETIMEOUT);
    }
    my->ending = soma_monitor(self, m->to);
    my->ended = my->ending < 0 ? my->ending : soma_reply_later(self);
    int error = my->ended < 0 ? (int)my->ended
                : m->kill     ? soma_kill(soma_agent_system(self), m->to)
                              : soma_shutdown(self, m->to);
    if (!error || error == SOMA_EGONE) // which the monitor tells, too
        return 0;
    soma_demonitor(self, my->ending);
    error = my->ended < 0 ? soma_reply_error(self, error) : soma_reply_error_to(self, my->ended, error);
    my->ended = 0;
    return error;
}

static int on_down(soma_agent *self, struct state *my, const struct soma_down *m)
{
    proxy_forget(my->proxy, m->agent);
    if (m->monitor == my->watch)
        my->watched = SOMA_REF_NULL; // a supervisor's child comes back by the same ref
    if (m->monitor != my->ending || !my->ended)
        return 0;
    bool ended_now = m->reason != SOMA_ENODEDOWN && m->reason != SOMA_ENOROUTE && m->reason != SOMA_EGONE;
    int error = ended_now ? 0 : m->reason;
    soma_handle promise = my->ended;
    my->ended = 0;
    return soma_reply_to(self, promise, soma_proxy_answer, .error = error);
}

static void laters_drop(struct state *my)
{
    while (my->laters) {
        struct later *later = my->laters;
        my->laters = later->next;
        if (later->next)
            later->next->link = &my->laters;
        later->link = NULL;
        later_drop(later);
    }
}

/* Behind what was posted before. Who waits may free what the functions use. */
static int on_leave(soma_agent *self, struct state *my, const struct soma_proxy_leave *m)
{
    (void)m;
    if (is_stranger(self))
        return 0;
    laters_drop(my);
    soma_agent_exit(self, 0);
    return soma_reply(self, soma_proxy_answer);
}

static void agent_stop(soma_agent *self, void *state, int reason)
{
    struct state *my = state;
    (void)self, (void)reason;
    laters_drop(my);
    proxy_leave(my->proxy, &my->proxy->agent_ended);
}

/* ---- sleeping ---- */

static int on_nap(soma_agent *self, struct state *my, const struct soma_proxy_nap *m)
{
    (void)my;
    soma_handle promise = is_stranger(self) ? 0 : soma_reply_later(self);
    if (!promise)
        return 0;
    if (promise < 0)
        return soma_reply_error(self, (int)promise);
    soma_handle timer = soma_after(self, m->time, soma_proxy_woken, .promise = promise);
    return timer < 0 ? soma_reply_error_to(self, promise, (int)timer) : 0;
}

static int on_woken(soma_agent *self, struct state *my, const struct soma_proxy_woken *m)
{
    (void)my;
    if (!is_stranger(self))
        soma_reply_to(self, m->promise, soma_proxy_answer);
    return 0;
}

const soma_behavior proxy_agent = {
    .name = "proxy",
    .state_size = sizeof(struct state),
    .init = agent_init,
    .stop = agent_stop,
    .handlers =
        SOMA_HANDLERS(SOMA_ON(soma_proxy_ask, on_ask), SOMA_ON(soma_proxy_end, on_end), SOMA_ON(soma_proxy_nap, on_nap),
                      SOMA_ON(soma_proxy_woken, on_woken), SOMA_ON(soma_down, on_down),
                      SOMA_ON(soma_proxy_again, on_again), SOMA_ON(soma_proxy_leave, on_leave))};
