/* The programs of guide_world.h: a name server, tanks that are registered, one that is stuck for a while, and agents
 * with channels. */
#ifndef TEST_NAMESERVICE_GUIDE_PROGRAMS_H
#define TEST_NAMESERVICE_GUIDE_PROGRAMS_H

#include "bridges/nodes.h"
#include "programs.h"
#include "proxy_agents.h"
#include "wiring.h"

/* ---- tanks ---- */

static int on_poured(soma_agent *self, struct tank *my, const struct soma_result *m)
{
    (void)my;
    return soma_reply_to(self, (soma_handle)soma_tag(self), soma_result, .value = m->value);
}

static int on_not_poured(soma_agent *self, struct tank *my, const int *error)
{
    (void)my;
    return soma_reply_error_to(self, (soma_handle)soma_tag(self), *error);
}

/* Fills another tank, wherever it is, with all that it has; gives what is in that one then. */
static int pour(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    soma_value_builder *builder;
    soma_value litres;
    soma_ref to;
    (void)result;
    if (soma_value_get_ref(arguments, &to))
        return soma_fail(self, SOMA_ETYPE, "pour wants a ref");
    soma_handle promise = soma_reply_later(self);
    if (soma_value_builder_open(&builder))
        return SOMA_ENOMEM;
    soma_value_add_i64(builder, my->litres);
    soma_value_builder_finish(builder, &litres);
    my->litres = 0;
    soma_handle asked =
        soma_request(self, to, PATIENCE, SOMA_THEN(soma_result, on_poured, on_not_poured, .tag = (uint64_t)promise),
                     soma_invoke, .method = "fill", .arguments = litres);
    soma_value_builder_close(&builder);
    return asked < 0 ? (int)asked : 0;
}

static const soma_behavior guide_tank = {.name = "tank",
                                         .base = &tank,
                                         .state_size = sizeof(struct tank),
                                         .methods = SOMA_METHODS(SOMA_METHOD("pour", pour, "into another"))};

/* It may wait, without holding up others. */
static const soma_behavior stuck_tank = {
    .name = "stuck", .base = &tank, .state_size = sizeof(struct tank), .blocking = true};

static int stick(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)state, (void)arg;
    program_wait();
    return 0;
}

/* ---- one that deals jobs by a channel ---- */

SOMA_MESSAGE(guide_job, (u64, number))

#define JOBS 5

static int dealer_init(soma_agent *self, void *state, const void *place)
{
    (void)state;
    return soma_bind(self, SOMA_PUSH, "jobs", &(soma_channel_options){.place = place}, NULL);
}

/* Somebody has come. */
static int on_changed(soma_agent *self, void *my, const struct soma_channel_changed *m)
{
    (void)my;
    for (uint64_t i = 1; i <= JOBS && m->peers; i++)
        soma_send_to(self, "jobs", guide_job, .number = i);
    return 0;
}

static const soma_behavior guide_dealer = {
    .name = "dealer", .init = dealer_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

/* ---- and one that takes them, wherever it is: it knows its name alone ---- */

static int on_job(soma_agent *self, uint64_t *sum, const struct guide_job *m)
{
    (void)self;
    *sum += m->number;
    if (*sum == JOBS * (JOBS + 1) / 2)
        program_say("all jobs");
    return 0;
}

static int taker_init(soma_agent *self, void *state, const void *to)
{
    (void)state;
    return soma_connect_to(self, to, "work",
                           &(soma_channel_options){.handlers = SOMA_HANDLERS(SOMA_ON(guide_job, on_job))}, PATIENCE);
}

static const soma_behavior guide_taker = {.name = "taker", .state_size = sizeof(uint64_t), .init = taker_init};

/* ---- what the programs do ---- */

/* Arguments: where it listens. */
static int server_run(char **arguments)
{
    const char *const bind[] = {arguments[0], NULL};
    struct node node;
    node_open_at(&node, "nameserver", bind);
    assert_int_equal(soma_nameserver_start(node.system, &(soma_nameserver_options){.settle_ms = 50}, NULL), 0);
    program_say("listens");
    program_wait();
    soma_system_close(&node.system);
    return 0;
}

static void joins(struct node *node, soma_names **names, char **arguments)
{
    const char *const servers[] = {arguments[0], NULL}, *const bind[] = {arguments[1], NULL};
    node_open_at(node, "tanks", bind);
    assert_int_equal(soma_names_open(node->system, node->bridge, &(soma_names_options){.addresses = servers}, names),
                     0);
    program_say("started");
}

static soma_ref tank_register(const struct node *node, soma_names *names, const soma_behavior *behavior,
                              const char *name)
{
    soma_ref agent;
    char address[64];
    assert_int_equal(soma_spawn(node->system, behavior, NULL, &agent), 0);
    assert_int_equal(soma_names_register(names, name, agent, PATIENCE), 0);
    snprintf(address, sizeof(address), "ipc:///tmp/%s.levels", name);
    assert_int_equal(soma_names_alias(names, name, "levels", address, PATIENCE), 0);
    return agent;
}

/* Arguments: the name server's address, where it listens, names of its tanks. */
static int tanks_run(char **arguments)
{
    struct node node;
    soma_names *names;
    joins(&node, &names, arguments);
    for (char **name = arguments + 2; *name; name++)
        tank_register(&node, names, &guide_tank, *name);
    program_say("registered");
    program_wait();
    soma_names_close(&names);
    soma_system_close(&node.system);
    return 0;
}

/* The same, of one tank, which is stuck until the program is told to go on. */
static int stuck_run(char **arguments)
{
    struct node node;
    soma_names *names;
    joins(&node, &names, arguments);
    soma_ref agent = tank_register(&node, names, &stuck_tank, arguments[2]);
    assert_int_equal(soma_post(node.system, agent, stick, NULL, NULL), 0);
    program_say("registered");
    struct soma_result result = {0};
    assert_int_equal(
        soma_call(node.system, agent, SOMA_NEVER, &result, soma_result, soma_invoke, .method = "soma.ping"), 0);
    soma_result_destroy(&result);
    program_wait();
    soma_names_close(&names);
    soma_system_close(&node.system);
    return 0;
}

/* An agent with channels, until the program is told to end; without a name if that is NULL. The alias of what it binds
 * comes by itself. */
static int channels_run(char **arguments, const soma_behavior *behavior, const char *name, const char *start)
{
    struct node node;
    soma_names *names;
    soma_ref agent;
    joins(&node, &names, arguments);
    assert_int_equal(soma_spawn(node.system, behavior, start, &agent), 0);
    if (name) {
        assert_int_equal(soma_names_register(names, name, agent, PATIENCE), 0);
        program_say("registered");
    }
    program_wait();
    soma_names_close(&names);
    soma_system_close(&node.system);
    return 0;
}

/* Arguments: the name server's address, where it listens, its agent's name, and where the channel is to be bound. */
static int dealer_run(char **arguments)
{
    return channels_run(arguments, &guide_dealer, arguments[2], arguments[3]);
}

/* Arguments: the name server's address, where it listens, and what its agent connects to. */
static int taker_run(char **arguments)
{
    return channels_run(arguments, &guide_taker, NULL, arguments[2]);
}

/* Arguments: the name server's address, where it listens, and the name of an agent that is wired from elsewhere. */
static int part_run(char **arguments)
{
    return channels_run(arguments, &part, arguments[2], NULL);
}

static const struct role guide_roles[] = {
    {"server", server_run}, {"tanks", tanks_run}, {"stuck", stuck_run}, {"dealer", dealer_run},
    {"taker", taker_run},   {"part", part_run},   {NULL, NULL}};

#endif
