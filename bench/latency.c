/*
 * Workload `remote_latency`: an agent of one process asks one of another over and over, and notes how long each answer
 * takes. See remote.h for the nodes.
 */
#include "remote.h"
#include <soma/request.h>
#include <stdio.h>
#include <stdlib.h>

#define LOAD 64u

SOMA_MESSAGE(met, (ref, echo))

/* ---- the other node: answers ---- */

static int on_begin(soma_agent *self, void *my, const struct begin *m)
{
    (void)my;
    return soma_send(self, m->hub, met, .echo = soma_self(self));
}

static int on_parcel(soma_agent *self, void *my, const struct parcel *m)
{
    (void)my;
    return soma_reply(self, parcel, .load = m->load);
}

static const soma_behavior echo = {.name = "echo",
                                   .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(parcel, on_parcel))};

/* ---- the hub: asks ---- */

struct asker {
    struct bench *bench;
    soma_ref echo;
    double *took; /* seconds, by trip; those of the warm-up come first */
    uint64_t trips;
    double asked;
};

static int asker_init(soma_agent *self, void *state, const void *arg)
{
    struct asker *my = state;
    (void)self;
    my->bench = (struct bench *)(uintptr_t)arg;
    my->took = calloc(my->bench->ops + TRIPS_WARM_UP(my->bench->ops), sizeof(*my->took));
    return my->took ? 0 : SOMA_ENOMEM;
}

static int on_answer(soma_agent *self, struct asker *my, const struct parcel *m);

static int on_failure(soma_agent *self, struct asker *my, const int *error)
{
    (void)self, (void)my;
    check(*error, "request");
    return 0;
}

static int ask(soma_agent *self, struct asker *my)
{
    static const char load[LOAD];
    my->asked = now();
    soma_handle request = soma_request(self, my->echo, SOMA_NEVER, SOMA_THEN(parcel, on_answer, on_failure), parcel,
                                       .load = {load, LOAD});
    return request < 0 ? (int)request : 0;
}

static int on_answer(soma_agent *self, struct asker *my, const struct parcel *m)
{
    (void)m;
    uint64_t warm_up = TRIPS_WARM_UP(my->bench->ops);
    my->took[my->trips++] = now() - my->asked;
    if (my->trips < warm_up + my->bench->ops)
        return ask(self, my);
    my->bench->trips = trips_sum_up(my->took + warm_up, my->bench->ops);
    free(my->took);
    return soma_system_stop(my->bench->system);
}

static int on_met(soma_agent *self, struct asker *my, const struct met *m)
{
    my->echo = m->echo;
    return ask(self, my);
}

static const soma_behavior asker = {.name = "asker",
                                    .state_size = sizeof(struct asker),
                                    .init = asker_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(met, on_met))};

void run_remote_latency(struct bench *bench)
{
    struct remote remote;
    nodes_open(bench, &remote, 1, bench->workers, &asker, &echo);
    remote_begin(bench, &remote, 0);
    check(soma_system_run(bench->system), "run");
    bench->seconds = bench->trips.seconds;
    nodes_close(&remote);
}
