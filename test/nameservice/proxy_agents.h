/* Agents that the tests of proxies and of the command call: what both sides must agree on is in their names alone. */
#ifndef TEST_NAMESERVICE_PROXY_AGENTS_H
#define TEST_NAMESERVICE_PROXY_AGENTS_H

#include "test_support.h"
#include <soma/soma.h>
#include <soma/test.h>
#include <string.h>

struct tank {
    int64_t litres;
    char place[16];
    soma_handle promise;
};

static int fill(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    int64_t litres;
    int error = soma_value_get_i64(arguments, &litres);
    if (error)
        return soma_fail(self, error, "fill wants litres");
    my->litres += litres;
    return soma_value_add_i64(result, my->litres);
}

static int leave(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    (void)my, (void)arguments, (void)result;
    soma_agent_exit(self, 0);
    return 0;
}

/* Never answers, in the end. */
static int hold(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    (void)arguments, (void)result;
    my->promise = soma_reply_later(self);
    return 0;
}

static const soma_behavior tank = {
    .name = "tank",
    .state_size = sizeof(struct tank),
    .methods = SOMA_METHODS(SOMA_METHOD("fill", fill, "adds litres, gives how many there are"),
                            SOMA_METHOD("leave", leave), SOMA_METHOD("hold", hold)),
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE("litres", struct tank, litres, "how many are in it"),
                                  SOMA_ATTRIBUTE("place", struct tank, place, "where it stands")),
};

/* A tank under a name. */
static inline soma_ref tank_open(soma_system *system, const char *name)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &tank, NULL, &ref), 0);
    assert_int_equal(soma_name_set(system, ref, name), 0);
    return ref;
}

/* Calls a method with a number, and gives the number that it gave. */
static inline int64_t fill_by(soma_proxy *proxy, int64_t litres)
{
    soma_value_builder *builder;
    soma_value arguments, result;
    int64_t now = -1;
    assert_int_equal(soma_value_builder_open(&builder), 0);
    soma_value_add_i64(builder, litres);
    assert_int_equal(soma_value_builder_finish(builder, &arguments), 0);
    int error = soma_proxy_call(proxy, 20 * SOMA_SECOND, "fill", arguments, &result);
    if (error)
        fail_msg("fill: %d (%s)", error, soma_proxy_error(proxy));
    assert_int_equal(soma_value_get_i64(result, &now), 0);
    soma_value_destroy(&result);
    soma_value_builder_close(&builder);
    return now;
}

#endif
