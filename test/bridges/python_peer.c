/*
 * The C side of python_hello.py, for test/scripts/python_peer_test.sh: says where it listens, is greeted by
 * the node in Python, finds its agent by name, asks it, watches it, tells it to end, and ends the agent that is watched
 * from there.
 */
#include <soma/body.h>
#include <soma/bridge.h>
#include <soma/error.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(greet, (string, name), (u64, number))
SOMA_MESSAGE(count)
SOMA_MESSAGE(counted, (u64, number))
SOMA_MESSAGE(here, (string, address))
SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))
SOMA_MESSAGE(weigh, (bytes, load))
SOMA_MESSAGE(weighed, (u64, times), (u64, bytes))
SOMA_MESSAGE(quit)
SOMA_MESSAGE(end, (ref, agent))
SOMA_MESSAGE(ended, (i32, reason), (string, text))

struct greeter {
    uint64_t greeted;
    soma_handle promise;
};

static char python_address[128];

/* Each once, and in order: else the greeter ends here, and the count fails. */
static int on_greet(soma_agent *self, struct greeter *my, const struct greet *m)
{
    if (strcmp(m->name, "Python") != 0 || m->number != my->greeted)
        return soma_fail(self, SOMA_EINVAL, "%s greets with %llu", m->name, (unsigned long long)m->number);
    my->greeted++;
    return 0;
}

static int on_count(soma_agent *self, struct greeter *my, const struct count *m)
{
    (void)m;
    return soma_reply(self, counted, .number = my->greeted);
}

static int on_here(soma_agent *self, struct greeter *my, const struct here *m)
{
    (void)my;
    snprintf(python_address, sizeof(python_address), "%s", m->address);
    return soma_system_stop(soma_agent_system(self));
}

/* Watches the agent, has it end, and answers with how it did. */
static int on_end(soma_agent *self, struct greeter *my, const struct end *m)
{
    my->promise = soma_reply_later(self);
    return soma_monitor(self, m->agent) < 0 ? SOMA_ENOMEM : soma_send(self, m->agent, quit);
}

static int on_down(soma_agent *self, struct greeter *my, const struct soma_down *m)
{
    return soma_reply_to(self, my->promise, ended, .reason = m->reason, .text = m->text);
}

static const soma_behavior greeter = {.name = "greeter",
                                      .state_size = sizeof(struct greeter),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(greet, on_greet), SOMA_ON(count, on_count),
                                                                SOMA_ON(here, on_here), SOMA_ON(end, on_end),
                                                                SOMA_ON(soma_down, on_down))};

static int fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, soma_strerror(error));
    return 1;
}

/* What is too large for one frame crosses in parts; what is sent to many, once. */
static int weigh_much(soma_system *system, soma_ref pythonista)
{
    enum { LOAD = 300000, TIMES = 4 };
    static char load[LOAD];
    struct weighed answer;
    soma_body *body;
    memset(load, 'x', sizeof(load));
    int error = soma_body_new(&body, weigh, .load = {load, LOAD});
    for (int i = 0; i < TIMES && !error; i++)
        error = soma_send_body(system, pythonista, body);
    soma_body_close(&body);
    if (!error)
        error = soma_send(system, pythonista, weigh, .load = {load, LOAD});
    if (!error)
        error = soma_call(system, pythonista, 20 * SOMA_SECOND, &answer, weighed, weigh, .load = {load, LOAD});
    if (!error && (answer.times != TIMES + 2 || answer.bytes != (TIMES + 2) * LOAD))
        error = SOMA_EFORMAT;
    return error;
}

static int talk(soma_system *system, soma_bridge *bridge, soma_ref agent)
{
    soma_ref pythonista;
    struct told answer;
    struct ended how;
    int error = soma_bridge_find(bridge, python_address, "pythonista", 10 * SOMA_SECOND, &pythonista);
    if (error)
        return fail("finding the agent in Python", error);
    error = soma_call(system, pythonista, 10 * SOMA_SECOND, &answer, told, ask, .number = 21);
    if (error || answer.number != 42)
        return fail("asking it", error);
    if ((error = weigh_much(system, pythonista)))
        return fail("large messages", error);
    error = soma_call(system, agent, 10 * SOMA_SECOND, &how, ended, end, .agent = pythonista);
    if (error || how.reason != -1000 || strcmp(how.text, "as you wish") != 0)
        return fail("its end", error ? error : how.reason);
    ended_destroy(&how);
    return soma_call(system, pythonista, 10 * SOMA_SECOND, &answer, told, ask) == SOMA_EGONE &&
                   soma_bridge_find(bridge, python_address, "pythonista", 10 * SOMA_SECOND, &pythonista) == SOMA_ENOENT
               ? 0
               : fail("what is left of it", SOMA_EGONE);
}

int main(void)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {.name = "c", .bind = bind, .heartbeat_ms = 200, .down_ms = 5000};
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    if (soma_system_open(&system, NULL) || soma_bridge_open(system, &options, &bridge) ||
        soma_spawn(system, &greeter, NULL, &agent) || soma_name_set(system, agent, "greeter"))
        return 1;
    printf("%s\n", soma_bridge_address(bridge, 0));
    fflush(stdout);
    soma_system_run(system); // until it is told where Python listens
    int failed = talk(system, bridge, agent);
    soma_kill(system, agent);
    return soma_system_close(&system) || failed;
}
