/* Methods: an agent that is called by name with dynamic values, as from JSON. docs/methods.md */
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct account {
    int64_t balance;
};

/* An error fails the call and not the agent. */
static int deposit(soma_agent *self, struct account *my, soma_value arguments, soma_value_builder *result)
{
    (void)self;
    soma_value field;
    int64_t amount;
    int error = soma_value_get_entry(arguments, "amount", &field);
    if (!error)
        error = soma_value_get_i64(field, &amount);
    if (error)
        return error;
    my->balance += amount;
    return SOMA_VALUE_MAP(result, (i64, "balance", my->balance), (string, "currency", "EUR"));
}

static const soma_behavior account = {
    .name = "account", .state_size = sizeof(struct account), .methods = SOMA_METHODS(SOMA_METHOD("deposit", deposit))};

/* What a command line would do: JSON in, a call by name, JSON out. */
static int call(soma_system *system, soma_ref to, const char *method, const char *json)
{
    soma_value arguments;
    struct soma_result result = {0};
    char *text = NULL;
    int error = soma_value_from_json(json, strlen(json), &arguments);
    if (!error)
        error = soma_call(system, to, SOMA_SECOND, &result, soma_result, soma_invoke, .method = method,
                          .arguments = arguments);
    if (!error)
        error = soma_value_to_json(result.value, &text);
    printf("%s(%s) = %s\n", method, json, error ? soma_strerror(error) : text);
    free(text);
    soma_result_destroy(&result);
    soma_value_destroy(&arguments);
    return error;
}

int main(void)
{
    soma_system *system;
    soma_ref ref;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &account, NULL, &ref))
        return 1;
    int error = call(system, ref, "deposit", "{\"amount\":40}");
    error = error ? error : call(system, ref, "deposit", "{\"amount\":2}");
    int missing = call(system, ref, "deposit", "{}");
    int unknown = call(system, ref, "rob", "{}");
    return soma_system_close(&system) || error || missing != SOMA_ENOENT || unknown != SOMA_ENOENT;
}
