/*
 * Agents that speak in the client's place to others of its node, which may be slow or stand still: whoever sends to one
 * that has more mail than it takes does not run until that has caught up, and the client must. See client.h.
 */
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/method.h>

/* ---- a watch: tells what the client has, and asks for more when the watcher takes more ---- */

struct teller {
    soma_ref names, watcher;
    uint64_t watch;
    uint32_t heard; /* of the last names_tell */
};

/* Not before it runs again: until then the client would be held up by it, as it is by the watcher. */
static int more_soon(soma_agent *self)
{
    return soma_send(self, soma_self(self), names_more);
}

static int on_more_due(soma_agent *self, struct teller *my, const struct names_more *m)
{
    (void)m;
    bool due = soma_ref_equal(soma_sender(self), soma_self(self));
    return due ? soma_send(self, my->names, names_more, .watch = my->watch, .heard = my->heard) : 0;
}

static int on_tell(soma_agent *self, struct teller *my, const struct names_tell *m)
{
    if (!soma_ref_equal(soma_sender(self), my->names))
        return 0;
    for (my->heard = 0; my->heard < m->events.count; my->heard++) {
        int error = soma_agent_send(self, my->watcher, &soma_name_event_type, &m->events.items[my->heard]);
        if (error == SOMA_ENOMEM || error == SOMA_EAGAIN)
            break; // it is told again
    }
    return more_soon(self);
}

/* The watcher's request, passed on. */
static int watch(soma_agent *self, struct teller *my)
{
    if (my->watcher.node)
        return 0;
    my->watcher = soma_sender(self);
    int error = soma_reply(self, soma_name_watching, .watch = my->watch);
    soma_handle monitor = error ? error : soma_monitor(self, my->watcher);
    return monitor < 0 ? (int)monitor : more_soon(self);
}

static int on_watch(soma_agent *self, struct teller *my, const struct soma_name_watch *m)
{
    (void)m;
    return watch(self, my);
}

static int on_watch_to_call(soma_agent *self, struct teller *my, const struct names_watch_call *m)
{
    (void)m;
    return watch(self, my);
}

static int on_watcher_down(soma_agent *self, struct teller *my, const struct soma_down *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static int teller_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct teller *)state = *(const struct teller *)arg;
    return 0;
}

static const soma_behavior teller_behavior = {
    .name = "names teller",
    .state_size = sizeof(struct teller),
    .init = teller_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_name_watch, on_watch), SOMA_ON(names_watch_call, on_watch_to_call),
                              SOMA_ON(names_tell, on_tell), SOMA_ON(names_more, on_more_due),
                              SOMA_ON(soma_down, on_watcher_down))};

soma_handle teller_spawn(soma_agent *self, uint64_t watch, soma_ref *teller)
{
    const struct teller start = {.names = soma_self(self), .watch = watch};
    return soma_spawn_monitor(self, &teller_behavior, &start, teller);
}

/* ---- a knock: does an agent run? It is asked for a method that none has ---- */

struct knocker {
    soma_ref names, agent;
    uint64_t op;
};

static int knocked(soma_agent *self, const struct knocker *my, int error)
{
    soma_agent_exit(self, 0);
    return soma_send(self, my->names, names_knocked, .op = my->op, .error = error);
}

static int on_pong(soma_agent *self, struct knocker *my, const struct soma_result *m)
{
    (void)m;
    return knocked(self, my, 0);
}

static int on_ping_error(soma_agent *self, struct knocker *my, const int *error)
{
    return knocked(self, my, *error);
}

static int on_knock(soma_agent *self, struct knocker *my, const struct names_knock *m)
{
    (void)m;
    soma_handle request = soma_request(self, my->agent, SOMA_NEVER, SOMA_THEN(soma_result, on_pong, on_ping_error),
                                       soma_invoke, .method = "");
    return request < 0 ? knocked(self, my, (int)request) : 0;
}

/* What init sends to others would be the client's. */
static int knocker_init(soma_agent *self, void *state, const void *arg)
{
    *(struct knocker *)state = *(const struct knocker *)arg;
    return soma_send(self, soma_self(self), names_knock);
}

static const soma_behavior knocker_behavior = {.name = "names knocker",
                                               .state_size = sizeof(struct knocker),
                                               .init = knocker_init,
                                               .handlers = SOMA_HANDLERS(SOMA_ON(names_knock, on_knock))};

int knocker_spawn(soma_agent *self, uint64_t op, soma_ref agent, soma_ref *knocker)
{
    const struct knocker start = {soma_self(self), agent, op};
    return soma_spawn(self, &knocker_behavior, &start, knocker);
}

/* ---- a word: to whoever had registered a name that is lost ---- */

struct word {
    soma_ref to;
    const struct soma_name_lost *lost; /* within init */
};

static int on_word(soma_agent *self, struct word *my, const struct soma_name_lost *m)
{
    soma_agent_exit(self, 0);
    soma_agent_send(self, my->to, &soma_name_lost_type, m);
    return 0;
}

static int word_init(soma_agent *self, void *state, const void *arg)
{
    struct word *my = state;
    *my = *(const struct word *)arg;
    return soma_agent_send(self, soma_self(self), &soma_name_lost_type, my->lost);
}

static const soma_behavior word_behavior = {.name = "names word",
                                            .state_size = sizeof(struct word),
                                            .init = word_init,
                                            .handlers = SOMA_HANDLERS(SOMA_ON(soma_name_lost, on_word))};

void word_say(soma_agent *self, soma_ref to, const struct soma_name_lost *lost)
{
    const struct word start = {to, lost};
    soma_spawn(self, &word_behavior, &start, NULL);
}
