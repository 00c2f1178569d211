/* A supervised pool of workers, and beside it a cache that one_for_one keeps alive. docs/supervisor.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(job, (u32, n), (ref, report))
SOMA_MESSAGE(done, (u32, n))
SOMA_MESSAGE(progress, (u32, jobs))

#define JOBS 20

/* Each job that 7 divides is the end of whoever gets it; the rest of its mail waits for its next life. */
struct worker {
    uint32_t jobs;
};

static int worker_init(soma_agent *self, void *state, const void *arg)
{
    (void)arg;
    const struct progress *before = soma_stashed(self, progress);
    ((struct worker *)state)->jobs = before ? before->jobs : 0;
    return 0;
}

static int on_job(soma_agent *self, struct worker *my, const struct job *m)
{
    if (m->n % 7 == 0) {
        soma_send(self, m->report, done, .n = m->n); // or the sum below would never be complete
        return soma_fail(self, SOMA_EFORMAT, "job %u is unlucky, after %u good ones", m->n, my->jobs);
    }
    my->jobs++;
    soma_stash(self, progress, .jobs = my->jobs);
    return soma_send(self, m->report, done, .n = m->n);
}

static const soma_behavior worker = {.name = "worker",
                                     .state_size = sizeof(struct worker),
                                     .init = worker_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(job, on_job))};

static int on_done(soma_agent *self, struct worker *my, const struct done *m)
{
    (void)m;
    if (++my->jobs == JOBS)
        soma_system_stop(soma_agent_system(self));
    return 0;
}

static const soma_behavior clerk = {
    .name = "clerk", .state_size = sizeof(struct worker), .handlers = SOMA_HANDLERS(SOMA_ON(done, on_done))};

static const soma_child kind = {.behavior = &worker, .mail = true};
static const soma_supervision pool = {
    .strategy = SOMA_POOL, .children = &kind, .count = 3, .intensity = 10, .backoff = SOMA_MS};

static const soma_child children[] = {
    {.name = "clerk", .behavior = &clerk},
    {.name = "workers", .behavior = &soma_supervisor, .arg = &pool},
};
static const soma_supervision top = {.strategy = SOMA_REST_FOR_ONE, .children = children, .count = 2};

int main(void)
{
    soma_system *system;
    soma_ref root, report, workers;
    struct soma_children team;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &soma_supervisor, &top, &root) ||
        soma_whereis(system, "clerk", &report) || soma_whereis(system, "workers", &workers) ||
        soma_call(system, workers, SOMA_SECOND, &team, soma_children, soma_list_children))
        return 1;
    for (uint32_t n = 0; n < JOBS; n++)
        soma_send(system, team.list.items[n % 3].agent, job, .n = n, .report = report);
    soma_children_destroy(&team);
    soma_system_run(system);
    soma_tree_print(system, root, stdout);
    soma_shutdown(system, root);
    return soma_system_close(&system);
}
