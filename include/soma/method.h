/**
 * @file
 * Methods: functions of an agent that are called by name, with dynamic values: from programs that do not have its
 * message types, such as a command line. A handler is faster and its types are checked; a method is for what must be
 * reachable without them.
 *
 * A call is a request of type `soma_invoke` (`method`, a string; `arguments`, a value) that is answered with a
 * `soma_result` (`value`): `soma_request(self, to, timeout, SOMA_THEN(soma_result, …), soma_invoke, .method = "add")`,
 * or soma_call() from outside. An agent without such a method fails it with SOMA_ENOENT. A behavior's own methods come
 * before its base's, and a handler for `soma_invoke` of its own before all of them.
 */
#ifndef SOMA_METHOD_H
#define SOMA_METHOD_H

#include <soma/agent.h>
#include <soma/request.h>
#include <soma/value.h>

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_invoke, (string, method), (value, arguments))
SOMA_MESSAGE(soma_result, (value, value))
/** @endcond */

/**
 * A method with its state's type erased. It adds its result to the builder (nothing: nil) and returns 0 or more; or a
 * negative error, with which the call fails. That does not end the agent: call soma_agent_exit() for that. It may also
 * answer by soma_reply() or soma_reply_later() itself. `arguments` live during the call.
 */
typedef int soma_method_fn(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result);

/** One row of a behavior's table of methods; made by #SOMA_METHOD. */
typedef struct soma_method {
    const char *name;   /**< what it is called by */
    soma_method_fn *fn; /**< the function */
    size_t checked;     /**< not used at run time: its initializer makes the compiler check the signature */
} soma_method;

/** A row: `SOMA_METHOD("add", add)`, with `int add(soma_agent *, STATE *, soma_value, soma_value_builder *)`. */
#define SOMA_METHOD(name_, fn_)                                                                                        \
    {                                                                                                                  \
        name_, (soma_method_fn *)(void (*)(void))(fn_),                                                                \
            _Generic((fn_)((soma_agent *)0, (void *)0, SOMA_VALUE_NONE, (soma_value_builder *)0), int : 0)             \
    }

/** A table of methods: `.methods = SOMA_METHODS(SOMA_METHOD("add", add), …)`. */
#define SOMA_METHODS(...)                                                                                              \
    (const soma_method[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL, NULL, 0                                                                                              \
        }                                                                                                              \
    }

#endif
