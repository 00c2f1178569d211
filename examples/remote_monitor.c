/* A node that is killed: monitors of its agents elsewhere tell, and its successor calls by itself. docs/bridges.md */
#include <signal.h>
#include <soma/bridge.h>
#include <soma/soma.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(here, (ref, agent), (i32, process))
SOMA_MESSAGE(start)

static soma_bridge *bridge;

struct keeper {
    int started;
};

/* Another process with a node, which joins this one. */
static int on_start(soma_agent *self, struct keeper *my, const struct start *m)
{
    (void)m;
    const char *address = soma_bridge_address(bridge, 0);
    if (++my->started > 3)
        return soma_system_stop(soma_agent_system(self));
    if (!fork()) {
        execl("/proc/self/exe", "worker", address, (char *)NULL);
        _exit(1);
    }
    return 0;
}

static int on_here(soma_agent *self, struct keeper *my, const struct here *m)
{
    printf("worker %d is there, and is killed\n", my->started);
    int64_t monitor = soma_monitor(self, m->agent);
    kill(m->process, SIGKILL);
    return monitor < 0 ? (int)monitor : 0;
}

static int on_down(soma_agent *self, struct keeper *my, const struct soma_down *m)
{
    printf("worker %d has ended: %s\n", my->started, soma_strerror(m->reason));
    wait(NULL);
    return soma_send(self, soma_self(self), start);
}

static const soma_behavior keeper = {
    .name = "keeper",
    .state_size = sizeof(struct keeper),
    .handlers = SOMA_HANDLERS(SOMA_ON(start, on_start), SOMA_ON(here, on_here), SOMA_ON(soma_down, on_down))};

static const soma_behavior worker = {.name = "worker"};

int main(int count, char **arguments)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    // A node that is silent for so long is down: soon, for the example's sake.
    const soma_bridge_options options = {.bind = bind, .heartbeat_ms = 100, .down_ms = 500};
    soma_system *system;
    soma_ref agent, found;
    if (soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_ERROR}) ||
        soma_bridge_open(system, &options, &bridge))
        return 1;
    if (count > 1) { // a worker's process
        if (soma_spawn(system, &worker, NULL, &agent) ||
            soma_bridge_find(bridge, arguments[1], "keeper", 10 * SOMA_SECOND, &found))
            return 1;
        soma_send(system, found, here, .agent = agent, .process = getpid());
    } else if (soma_spawn(system, &keeper, NULL, &agent) || soma_name_set(system, agent, "keeper") ||
               soma_send(system, agent, start)) {
        return 1;
    }
    soma_system_run(system);
    return soma_system_close(&system);
}
