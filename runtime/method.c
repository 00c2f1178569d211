/*
 * Calling methods by name: what handles a soma_invoke in an agent. See soma/method.h. The methods that every agent has
 * are here, too; what they do with attributes is in attribute.c.
 */
#include "runtime/method.h"
#include "runtime/attribute.h"
#include "runtime/dispatch.h"
#include "runtime/slot.h"
#include <soma/error.h>
#include <soma/method.h>
#include <soma/monitor.h>
#include <string.h>

const soma_handler method_row = {&soma_invoke_type, method_handle, 0, NULL};

static const soma_method *method_in(const soma_method *method, const char *name)
{
    for (; method && method->name; method++)
        if (!strcmp(method->name, name))
            return method;
    return NULL;
}

static const soma_method *method_find(const soma_behavior *behavior, const char *name)
{
    const soma_method *method = NULL;
    for (; behavior && !method; behavior = behavior->base)
        method = method_in(behavior->methods, name);
    return method;
}

/* ---- those of every agent ---- */

static int ping(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)state, (void)arguments;
    return soma_value_add_nil(result);
}

static void methods_describe(const soma_behavior *behavior, soma_value_builder *result)
{
    soma_value_begin_array(result);
    for (const soma_behavior *b = behavior; b; b = b->base)
        for (const soma_method *m = b->methods; m && m->name; m++)
            if (method_find(behavior, m->name) == m) // else one of its own hides it
                SOMA_VALUE_MAP(result, (string, "name", m->name), (string, "about", m->about));
    soma_value_end(result);
}

static int describe(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    const soma_behavior *behavior = self->dispatch->behavior;
    (void)state, (void)arguments;
    soma_value_begin_map(result);
    soma_value_add_key(result, "behavior");
    soma_value_add_string(result, behavior->name);
    soma_value_add_key(result, "methods");
    methods_describe(behavior, result);
    soma_value_add_key(result, "attributes");
    attributes_describe(behavior, result);
    return soma_value_end(result);
}

static const soma_method everybodys[] = {SOMA_METHOD("soma.ping", ping),
                                         SOMA_METHOD("soma.describe", describe),
                                         SOMA_METHOD("soma.get", attribute_get),
                                         SOMA_METHOD("soma.set", attribute_set),
                                         {NULL, NULL, NULL, 0}};

/* ---- calling ---- */

/* What was built, as the answer; nil if nothing was. */
static int result_reply(soma_agent *self, soma_value_builder *result)
{
    soma_value value;
    int error = soma_value_builder_finish(result, &value);
    if (error == SOMA_ESTATE && !soma_value_add_nil(result)) // nothing in it, or a container was left open
        error = soma_value_builder_finish(result, &value);
    if (error)
        return soma_reply_error(self, error);
    return soma_reply(self, soma_result, .value = value);
}

int method_run(soma_agent *self, void *state, const char *name, soma_value arguments)
{
    const soma_behavior *behavior = self->dispatch->behavior;
    const soma_method *method = method_find(behavior, name);
    if (!method)
        method = method_in(everybodys, name);
    soma_value_builder *result = NULL;
    int error = method ? soma_value_builder_open(&result)
                       : soma_fail(self, SOMA_ENOENT, "'%s' has no method '%s'", behavior->name, name);
    if (method && !error)
        error = method->fn(self, state, arguments, result);
    int told = error < 0 ? soma_reply_error(self, error) : result_reply(self, result);
    soma_value_builder_close(&result);
    return error < 0 && told ? error : 0;
}

int method_handle(soma_agent *self, void *state, const void *message)
{
    const struct soma_invoke *invoke = message;
    method_run(self, state, invoke->method ? invoke->method : "",
               invoke->arguments); // one that was sent fails in silence
    return 0;
}

bool method_known(const soma_agent *self, const char *name)
{
    return method_find(self->dispatch->behavior, name) || method_in(everybodys, name);
}
