/* Values: settings of any shape, from JSON or built, in a typed message. docs/value.md */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(setting, (string, key), (value, data)) /* a value is a field like any other */

/* Adds up all the numbers in a value, however deep they stand. */
static double sum(soma_value value)
{
    double number = 0;
    if (!soma_value_get_f64(value, &number))
        return number;
    for (soma_value_cursor c = soma_value_iterate(value); soma_value_next(&c);)
        number += sum(c.value);
    return number;
}

static int on_setting(soma_agent *self, void *my, const struct setting *message)
{
    (void)self, (void)my;
    char text[256];
    soma_value_print(message->data, text, sizeof text);
    printf("%s = %s, which sums up to %g\n", message->key, text, sum(message->data));
    return 0;
}

static const soma_behavior keeper = {.name = "keeper", .handlers = SOMA_HANDLERS(SOMA_ON(setting, on_setting))};

/* JSON text becomes a value, the value a typed message. */
static int send_json(soma_system *system, soma_ref to, const char *json)
{
    soma_value value;
    struct setting message;
    int error = soma_value_from_json(json, strlen(json), &value);
    if (error)
        return error;
    error = soma_type_from_value(&setting_type, &message, value);
    if (!error)
        error = soma_send(system, to, setting, .key = message.key, .data = message.data);
    setting_destroy(&message);
    soma_value_destroy(&value);
    return error;
}

/* Or a program makes a value itself. */
static int send_built(soma_system *system, soma_ref to)
{
    soma_value_builder *builder;
    soma_value value;
    int error = soma_value_builder_open(&builder);
    if (error)
        return error;
    SOMA_VALUE_MAP(builder, (string, "unit", "ms"), (i64, "low", 5), (f64, "high", 7.5), (bool, "strict", true));
    error = soma_value_builder_finish(builder, &value); /* the first error of all of the above, if any */
    if (!error)
        error = soma_send(system, to, setting, .key = "limits", .data = value);
    soma_value_builder_close(&builder);
    return error;
}

int main(void)
{
    soma_system *system;
    soma_ref ref;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &keeper, NULL, &ref);
    if (!error)
        error = send_json(system, ref, "{\"key\": \"sizes\", \"data\": [1, 2.5, {\"more\": [3, 4]}]}");
    if (!error)
        error = send_built(system, ref);
    if (error)
        fprintf(stderr, "value: %s\n", soma_strerror(error));
    int closing = soma_system_close(&system);
    return error || closing;
}
