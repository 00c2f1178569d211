/* soma_names_shutdown(): an agent that tells all agents of a prefix to end, page by page, hears of the end of each, and
 * kills those that take too long. Then it looks, page by page again, until the server names none of them any more. */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>

/** @cond internal */
SOMA_MESSAGE(names_end_all) /* -> soma_name_done, when all have ended */
SOMA_MESSAGE(names_end_late)
SOMA_MESSAGE(names_end_look)
/** @endcond */

#define LOOK_TIME (10 * SOMA_MS) /* between looks at a page on which there is still one that has ended */

/* One that is to end. */
struct victim {
    struct refs_node node; /* first */
    struct victim *next;
    bool ended;
};

struct ender {
    soma_ref names;
    char prefix[SOMA_NAME_MOST + 1];
    soma_handle promise;
    uint64_t until;
    struct refs refs;
    struct victim *victims;
    uint32_t left;                  /* of them have not ended */
    bool listed;                    /* all of them are known */
    bool killed;                    /* those that are left were */
    bool looks;                     /* all have ended; does the server know? */
    char after[SOMA_NAME_MOST + 1]; /* the last name of the page before; "": none */
};

static uint64_t time_left(soma_agent *self, const struct ender *my)
{
    uint64_t now = soma_now(self);
    return now < my->until ? my->until - now : 1;
}

static int end_done(soma_agent *self, struct ender *my, int error)
{
    if (error)
        soma_reply_error_to(self, my->promise, error);
    else
        soma_reply_to(self, my->promise, soma_name_done);
    soma_agent_exit(self, 0);
    return 0;
}

/* An agent of several names is told once. The error is its own that could not be told. */
static int victim_tell(soma_agent *self, struct ender *my, soma_ref agent)
{
    if (refs_find(&my->refs, agent))
        return 0;
    struct victim *victim = calloc(1, sizeof(*victim));
    if (!victim || refs_add(&my->refs, &victim->node, agent)) {
        free(victim);
        return SOMA_ENOMEM;
    }
    victim->next = my->victims;
    my->victims = victim;
    my->left++;
    soma_handle monitor = soma_monitor(self, agent);
    if (monitor < 0)
        return (int)monitor;
    if (my->killed)
        soma_kill(soma_agent_system(self), agent);
    else
        soma_shutdown(self, agent);
    return 0; // what is gone, or out of reach, the monitor tells
}

/* ---- page by page ---- */

static int on_page(soma_agent *self, struct ender *my, const struct soma_name_page *m);

static int on_no_page(soma_agent *self, struct ender *my, const int *error)
{
    return end_done(self, my, *error);
}

static int page_ask(soma_agent *self, struct ender *my)
{
    soma_handle request =
        soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_page, on_page, on_no_page), soma_name_list,
                     .prefix = my->prefix, .after = my->after, .timeout = time_left(self, my));
    return request < 0 ? end_done(self, my, (int)request) : 0;
}

/* All have ended: from the first page again. */
static int look_begin(soma_agent *self, struct ender *my)
{
    if (!my->victims)
        return end_done(self, my, 0);
    my->looks = true;
    *my->after = '\0';
    return page_ask(self, my);
}

static int on_look(soma_agent *self, struct ender *my, const struct names_end_look *m)
{
    (void)m;
    return soma_ref_equal(soma_sender(self), soma_self(self)) ? page_ask(self, my) : 0;
}

static int on_page(soma_agent *self, struct ender *my, const struct soma_name_page *m)
{
    uint32_t count = m->names.count;
    for (uint32_t i = 0; i < count; i++) {
        soma_ref agent = m->names.items[i].agent;
        if (my->looks && refs_find(&my->refs, agent))
            return soma_after(self, LOOK_TIME, names_end_look) < 0 ? end_done(self, my, SOMA_ENOMEM) : 0;
        int error = my->looks ? 0 : victim_tell(self, my, agent);
        if (error)
            return end_done(self, my, error);
    }
    if (m->more && count) {
        snprintf(my->after, sizeof(my->after), "%s", m->names.items[count - 1].name);
        return page_ask(self, my);
    }
    if (my->looks)
        return end_done(self, my, 0);
    my->listed = true;
    return my->left ? 0 : look_begin(self, my);
}

/* ---- ends ---- */

static int on_down(soma_agent *self, struct ender *my, const struct soma_down *m)
{
    struct victim *victim = (struct victim *)refs_find(&my->refs, m->agent);
    if (!victim || victim->ended)
        return 0;
    victim->ended = true;
    my->left--;
    return my->listed && !my->left ? look_begin(self, my) : 0;
}

/* Half of the time is for their own ways to end, the other for being killed. */
static int on_late(soma_agent *self, struct ender *my, const struct names_end_late *m)
{
    (void)m;
    if (!soma_ref_equal(soma_sender(self), soma_self(self)))
        return 0;
    if (my->killed)
        return end_done(self, my, SOMA_ETIMEOUT);
    my->killed = true;
    if (soma_after(self, time_left(self, my), names_end_late) < 0)
        return end_done(self, my, SOMA_ENOMEM);
    for (struct victim *victim = my->victims; victim; victim = victim->next)
        if (!victim->ended)
            soma_kill(soma_agent_system(self), victim->node.ref);
    return 0;
}

static int on_end_all(soma_agent *self, struct ender *my, const struct names_end_all *m)
{
    (void)m;
    if (my->promise)
        return soma_reply_error(self, SOMA_ESTATE);
    my->promise = soma_reply_later(self);
    if (my->promise < 0)
        return (int)my->promise;
    if (soma_after(self, time_left(self, my) / 2 + 1, names_end_late) < 0)
        return end_done(self, my, SOMA_ENOMEM);
    return page_ask(self, my);
}

/* ---- its life ---- */

static int ender_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct ender *)state = *(const struct ender *)arg;
    return 0;
}

static void ender_stop(soma_agent *self, void *state, int reason)
{
    struct ender *my = state;
    (void)self, (void)reason;
    while (my->victims) {
        struct victim *victim = my->victims;
        my->victims = victim->next;
        free(victim);
    }
    refs_free(&my->refs);
}

static const soma_behavior ender_behavior = {
    .name = "names ender",
    .state_size = sizeof(struct ender),
    .init = ender_init,
    .stop = ender_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(names_end_all, on_end_all), SOMA_ON(names_end_late, on_late),
                              SOMA_ON(names_end_look, on_look), SOMA_ON(soma_down, on_down))};

int soma_names_shutdown(soma_names *names, const char *prefix, uint64_t timeout)
{
    struct ender start = {0};
    struct soma_name_done done;
    soma_ref ender;
    int error = !names ? SOMA_EINVAL : prefix ? check_prefix(prefix) : 0;
    if (error)
        return error;
    if (!timeout)
        timeout = SOMA_NAMES_TIMEOUT;
    start.names = names->agent;
    start.until = soma_now(names->system) + (timeout < SOMA_NEVER / 2 ? timeout : SOMA_NEVER / 2);
    snprintf(start.prefix, sizeof(start.prefix), "%s", prefix ? prefix : "");
    error = soma_spawn(names->system, &ender_behavior, &start, &ender);
    if (error)
        return error;
    error = soma_call(names->system, ender, SOMA_NEVER, &done, soma_name_done, names_end_all);
    if (error == SOMA_ESTATE) // a handler must not wait for it
        soma_kill(names->system, ender);
    return error;
}
