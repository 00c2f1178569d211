/*
 * Workloads about supervisors. `restart`: a child ends, its supervisor starts it again, and so on. `tree`: a hundred
 * supervisors of a thousand workers each are started under one, and all are shut down in order. Erlang's do the same.
 */
#include "bench.h"
#include <stdlib.h>

#define SUPERVISORS 100u

SOMA_MESSAGE(end)
SOMA_MESSAGE(born, (ref, child))
SOMA_MESSAGE(begin)

/* ---- restart ---- */

struct giver {
    struct bench *bench;
    uint64_t lives;
};

static int giver_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct giver *)state)->bench = (struct bench *)(uintptr_t)arg;
    return 0;
}

static int on_born(soma_agent *self, struct giver *my, const struct born *m)
{
    if (my->lives++ == my->bench->ops) // the first is no restart
        return soma_system_stop(my->bench->system);
    return soma_send(self, m->child, end);
}

static const soma_behavior giver = {.name = "giver",
                                    .state_size = sizeof(struct giver),
                                    .init = giver_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(born, on_born))};

static int mortal_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return soma_send(self, *(const soma_ref *)arg, born, .child = soma_self(self));
}

static int on_end(soma_agent *self, void *my, const struct end *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior mortal = {
    .name = "mortal", .init = mortal_init, .handlers = SOMA_HANDLERS(SOMA_ON(end, on_end))};

void run_restart(struct bench *bench)
{
    static soma_ref to; // as long as the supervisor lives: until the system is closed
    static const soma_child child = {.behavior = &mortal, .arg = &to};
    static const soma_supervision spec = {.children = &child, .count = 1, .intensity = 1000, .period = 1}; // any amount
    soma_ref supervisor;
    spawn(bench, &giver, bench, &to);
    double start = now();
    spawn(bench, &soma_supervisor, &spec, &supervisor);
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
}

/* ---- tree ---- */

static const soma_behavior leaf = {.name = "leaf", .state_size = 16};

static int on_begin(soma_agent *self, struct giver *my, const struct begin *m)
{
    (void)m;
    soma_ref top;
    soma_handle monitor = soma_spawn_monitor(self, &soma_supervisor, my->bench->tree, &top);
    check(monitor < 0 ? (int)monitor : 0, "spawn");
    return soma_shutdown(self, top);
}

static int on_down(soma_agent *self, struct giver *my, const struct soma_down *m)
{
    (void)self;
    check(m->reason == SOMA_ESHUTDOWN ? 0 : SOMA_ESTATE, "shutdown");
    return soma_system_stop(my->bench->system);
}

static const soma_behavior owner = {.name = "owner",
                                    .state_size = sizeof(struct giver),
                                    .init = giver_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(soma_down, on_down))};

void run_tree(struct bench *bench)
{
    bench->ops -= bench->ops % SUPERVISORS;
    uint32_t each = (uint32_t)(bench->ops / SUPERVISORS);
    soma_child *leaves = calloc(each, sizeof(*leaves)), subtrees[SUPERVISORS];
    check(leaves ? 0 : SOMA_ENOMEM, "tree");
    const soma_supervision middle = {.children = leaves, .count = each};
    const soma_supervision top = {.children = subtrees, .count = SUPERVISORS};
    for (uint32_t i = 0; i < each; i++)
        leaves[i] = (soma_child){.behavior = &leaf};
    for (uint32_t i = 0; i < SUPERVISORS; i++)
        subtrees[i] = (soma_child){.behavior = &soma_supervisor, .arg = &middle};
    bench->tree = &top;
    soma_ref ref;
    spawn(bench, &owner, bench, &ref);
    double start = now();
    check(soma_send(bench->system, ref, begin), "send");
    check(soma_system_run(bench->system), "run");
    bench->seconds = now() - start;
    free(leaves);
}
