/*
 * The teller of a watch speaks in the client's place to a watcher, which may be slow or stand still: whoever sends to
 * one that has more mail than it takes does not run until that has caught up, so it takes no more than that from the
 * client, which is never muted itself. See client.h.
 */
#include "nameservice/client.h"
#include <soma/error.h>

/* It tells what the client has, and asks for more when the watcher takes more. */
struct teller {
    soma_ref names, watcher;
    uint64_t watch;
    uint32_t heard; /* of the last names_tell */
};

/* Not before it runs again, which it does not until the watcher has caught up. */
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
