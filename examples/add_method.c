/* Methods that are added while the agent runs: main posts a function into it, by which it becomes a behavior that
 * extends its own by three of them. docs/become.md */
#include <soma/soma.h>
#include <stdio.h>

#define PATIENCE (5 * SOMA_SECOND)

struct point {
    int64_t x, y;
};

static const soma_behavior plain = {.name = "plain", .state_size = sizeof(struct point)};

/* ---- what it learns ---- */

static int set_x(soma_agent *self, struct point *my, soma_value value, soma_value_builder *result)
{
    (void)self, (void)result;
    return soma_value_get_i64(value, &my->x);
}

static int set_y(soma_agent *self, struct point *my, soma_value value, soma_value_builder *result)
{
    (void)self, (void)result;
    return soma_value_get_i64(value, &my->y);
}

static int add_xy(soma_agent *self, struct point *my, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)arguments;
    return soma_value_add_i64(result, my->x + my->y);
}

static const soma_behavior adder = {
    .name = "adder",
    .state_size = sizeof(struct point),
    .base = &plain,
    .methods = SOMA_METHODS(SOMA_METHOD("set_x", set_x), SOMA_METHOD("set_y", set_y), SOMA_METHOD("add", add_xy))};

static int learn(soma_agent *self, void *my, void *arg)
{
    (void)my, (void)arg;
    return soma_become(self, &adder);
}

/* ---- main ---- */

static int call(soma_proxy *proxy, const char *method, const char *json)
{
    soma_value argument, result;
    int64_t number;
    int error = soma_value_from_json(json, 1, &argument);
    error = error ? error : soma_proxy_call(proxy, PATIENCE, method, argument, &result);
    if (error)
        printf("%s: %s\n", method, soma_proxy_error(proxy));
    else if (!soma_value_get_i64(result, &number))
        printf("%s: %lld\n", method, (long long)number);
    soma_value_destroy(&argument);
    soma_value_destroy(&result);
    return error;
}

int main(void)
{
    soma_system *system;
    soma_ref agent;
    soma_proxy *proxy;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &plain, NULL, &agent) ||
        soma_proxy_open_ref(system, agent, &proxy))
        return 1;
    int unknown = call(proxy, "add", "0");
    int error = soma_post(system, agent, learn, NULL, NULL) || call(proxy, "set_x", "1") || call(proxy, "set_y", "2") ||
                call(proxy, "add", "0");
    return soma_proxy_close(&proxy) || soma_system_close(&system) || error || unknown != SOMA_ENOENT;
}
