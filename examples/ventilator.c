/* A task farm: one agent pushes tasks by one channel, five workers share them, and push what they have done to its
 * other one. It begins when all workers are there, and stops when all is done. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(task, (u32, number))
SOMA_MESSAGE(done, (u32, square))

enum { WORKERS = 5, TASKS = 100 };

static const soma_address tasks = {.transport = SOMA_INPROC, .pattern = SOMA_PUSH, .host = "tasks"};
static const soma_address results = {.transport = SOMA_INPROC, .pattern = SOMA_PULL, .host = "results"};

/* ---- workers ---- */

static int on_task(soma_agent *self, void *my, const struct task *m)
{
    (void)my;
    int error = soma_send_to(self, "out", done, .square = m->number * m->number);
    return error == SOMA_EAGAIN ? 0 : error; /* nobody collects any more: no reason to end as if it had failed */
}

static int worker_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    int error = soma_connect(self, &results, "out", NULL);
    return error ? error : soma_connect(self, &tasks, "in", SOMA_HANDLERS(SOMA_ON(task, on_task)));
}

static const soma_behavior worker = {.name = "worker", .init = worker_init};

/* ---- who deals out and collects ---- */

struct farm {
    uint32_t count, sum;
};

static int on_done(soma_agent *self, struct farm *my, const struct done *m)
{
    my->sum += m->square;
    if (++my->count < TASKS)
        return 0;
    printf("%u tasks are done, the sum is %u\n", my->count, my->sum);
    return soma_system_stop(soma_agent_system(self));
}

static int farm_init(soma_agent *self, void *my, const void *arg)
{
    const soma_channel_options in = {.place = "inproc://results", .handlers = SOMA_HANDLERS(SOMA_ON(done, on_done))};
    (void)my, (void)arg;
    int error = soma_bind(self, SOMA_PULL, "results", &in, NULL);
    return error ? error
                 : soma_bind(self, SOMA_PUSH, "tasks", &(soma_channel_options){.place = "inproc://tasks"}, NULL);
}

static int on_changed(soma_agent *self, struct farm *my, const struct soma_channel_changed *m)
{
    bool all = m->peers == WORKERS && m->alias[0] == 't'; /* each has connected "in" behind its "out" */
    int error = 0;
    (void)my;
    for (uint32_t i = 1; all && i <= TASKS && !error; i++)
        error = soma_send_to(self, "tasks", task, .number = i);
    return error;
}

static const soma_behavior farm = {.name = "farm",
                                   .state_size = sizeof(struct farm),
                                   .init = farm_init,
                                   .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL) || soma_spawn(system, &farm, NULL, NULL);
    for (uint32_t i = 0; i < WORKERS && !error; i++)
        error = soma_spawn(system, &worker, NULL, NULL);
    error = error || soma_system_run(system);
    return soma_system_close(&system) || error;
}
