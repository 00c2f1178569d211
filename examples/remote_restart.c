/* A node that is killed and comes back at the same address: who asks it finds it again and goes on. docs/bridges.md */
#include <signal.h>
#include <soma/bridge.h>
#include <soma/soma.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

SOMA_MESSAGE(count)
SOMA_MESSAGE(counted, (i32, so_far))

static int on_count(soma_agent *self, int *so_far, const struct count *m)
{
    (void)m;
    return soma_reply(self, counted, .so_far = ++*so_far);
}

static const soma_behavior counter = {
    .name = "counter", .state_size = sizeof(int), .handlers = SOMA_HANDLERS(SOMA_ON(count, on_count))};

/* The agent is there before the bridge is: who finds the node finds it. */
static int serve(const char *address)
{
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    const soma_bridge_options options = {.bind = (const char *const[]){address, NULL}};
    return soma_system_open(&system, NULL) || soma_spawn(system, &counter, NULL, &agent) ||
           soma_name_set(system, agent, "counter") || soma_bridge_open(system, &options, &bridge) ||
           soma_system_run(system); // until it is killed
}

static pid_t server_start(const char *address)
{
    pid_t process = fork();
    if (!process && execl("/proc/self/exe", "server", address, (char *)NULL))
        _exit(1);
    return process;
}

/* Has the server count. Its ref is good for nothing any more when its node is down: then the next one is looked for. */
static int ask(soma_system *system, soma_bridge *bridge, const char *address, soma_ref *agent)
{
    struct counted answer;
    int error = SOMA_ENODEDOWN;
    while (error == SOMA_ENODEDOWN) {
        error = soma_ref_is_null(*agent) ? soma_bridge_find(bridge, address, "counter", 10 * SOMA_SECOND, agent) : 0;
        if (!error)
            error = soma_call(system, *agent, SOMA_NEVER, &answer, counted, count);
        printf("%s, %d\n", error ? soma_strerror(error) : "counted", error ? error : answer.so_far);
        if (error)
            *agent = SOMA_REF_NULL;
    }
    return error;
}

int main(int argc, char **argv)
{
    char address[64];
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent = SOMA_REF_NULL;
    if (argc > 1)
        return serve(argv[1]);
    snprintf(address, sizeof(address), "ipc://@soma-restart-%d", getpid());
    if (soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_ERROR}) ||
        soma_bridge_open(system, &(soma_bridge_options){0}, &bridge))
        return 1;
    int error = 0;
    for (int life = 0; life < 3 && !error; life++) {
        pid_t process = server_start(address);
        if (process < 0)
            return 1;
        error = ask(system, bridge, address, &agent) || ask(system, bridge, address, &agent);
        kill(process, SIGKILL);
        wait(NULL);
    }
    return soma_system_close(&system) || error;
}
