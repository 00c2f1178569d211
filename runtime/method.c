/* Calling methods by name: what handles a soma_invoke in an agent whose behavior has methods. See soma/method.h. */
#include "runtime/method.h"
#include "runtime/dispatch.h"
#include "runtime/slot.h"
#include <soma/error.h>
#include <soma/method.h>
#include <string.h>

const soma_handler method_row = {&soma_invoke_type, method_handle, 0};

static const soma_method *method_find(const soma_behavior *behavior, const char *name)
{
    for (; behavior && name; behavior = behavior->base)
        for (const soma_method *method = behavior->methods; method && method->name; method++)
            if (!strcmp(method->name, name))
                return method;
    return NULL;
}

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

int method_handle(soma_agent *self, void *state, const void *message)
{
    const struct soma_invoke *invoke = message;
    const soma_method *method = method_find(self->dispatch->behavior, invoke->method);
    soma_value_builder *result = NULL;
    int error = method ? soma_value_builder_open(&result) : SOMA_ENOENT;
    if (!error)
        error = method->fn(self, state, invoke->arguments, result);
    if (error < 0)
        soma_reply_error(self, error); // SOMA_ESTATE if it has answered itself, or was only sent: both are fine
    else
        result_reply(self, result);
    soma_value_builder_close(&result);
    return 0;
}
