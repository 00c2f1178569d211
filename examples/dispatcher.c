/* A task farm on demand: workers ask for a task whenever they have none, so each gets as many as it can do. Who gets
 * none any more ends. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(want)
SOMA_MESSAGE(task, (u32, number)) /* 0: there are none left */

#define WORKERS 3
#define TASKS 12u

static const soma_address tasks = {.transport = SOMA_INPROC, .pattern = SOMA_REP, .host = "tasks"};

/* ---- the dispatcher: its state is the last task that it gave ---- */

static int on_want(soma_agent *self, uint32_t *my, const struct want *m)
{
    (void)m;
    return soma_reply(self, task, .number = *my < TASKS ? ++*my : 0);
}

static int dispatcher_init(soma_agent *self, void *my, const void *arg)
{
    const soma_channel_options options = {.place = "inproc://tasks", .handlers = SOMA_HANDLERS(SOMA_ON(want, on_want))};
    (void)my, (void)arg;
    return soma_bind(self, SOMA_REP, "tasks", &options, NULL);
}

static const soma_behavior dispatcher = {.name = "dispatcher", .state_size = sizeof(uint32_t), .init = dispatcher_init};

/* ---- workers ---- */

static int task_get(soma_agent *self);

static int on_task(soma_agent *self, void *my, const struct task *m)
{
    (void)my;
    if (!m->number) {
        printf("a worker goes home\n");
        soma_agent_exit(self, 0);
        return 0;
    }
    printf("task %u is done\n", m->number);
    return task_get(self);
}

static int on_failed(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int task_get(soma_agent *self)
{
    soma_handle asked = soma_request_to(self, "work", SOMA_SECOND, SOMA_THEN(task, on_task, on_failed), want);
    return asked < 0 ? (int)asked : 0;
}

static int worker_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    int error = soma_connect(self, &tasks, "work", NULL);
    return error ? error : task_get(self);
}

static const soma_behavior worker = {.name = "worker", .init = worker_init};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL) || soma_spawn(system, &dispatcher, NULL, NULL);
    for (int i = 0; i < WORKERS && !error; i++)
        error = soma_spawn(system, &worker, NULL, NULL);
    return soma_system_close(&system) || error; /* when all is done */
}
