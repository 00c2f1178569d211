/**
 * @file
 * Methods: functions of an agent that are called by name, with dynamic values: from programs that do not have its
 * message types, such as a command line. A handler is faster and its types are checked; a method is for what must be
 * reachable without them.
 *
 * A call is a request of type `soma_invoke` (`method`, a string; `arguments`, a value) that is answered with a
 * `soma_result` (`value`): `soma_request(self, to, timeout, SOMA_THEN(soma_result, …), soma_invoke, .method = "add")`,
 * or soma_call() from outside; soma/proxy.h makes that shorter. An agent without such a method fails it with
 * SOMA_ENOENT. A behavior's own methods come before its base's, and a handler for `soma_invoke` of its own before all
 * of them.
 *
 * These every agent has, unless all that it does not know goes to a fallback of its own:
 *
 * - `soma.ping`: answers nil.
 * - `soma.describe`: a map of `behavior`, its name; `methods`, an array of maps of `name` and `about`; `attributes`, an
 *   array of maps of `name`, `type` (a kind as in #SOMA_MESSAGE, or `value`), `settable` and `about`.
 * - `soma.get`: the attribute (soma/attribute.h) that is named by the argument, a string; without an argument a map of
 *   all of them.
 * - `soma.set`: sets the attributes in the argument, a map, in their order. The first that can't be set ends it.
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
 * answer by soma_reply() or soma_reply_later() itself. `arguments` live during the call. What `return soma_fail(self,
 * SOMA_EINVAL, "amount is below 0")` says goes to the caller with the error, see soma_error_text().
 */
typedef int soma_method_fn(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result);

/** One row of a behavior's table of methods; made by #SOMA_METHOD. */
typedef struct soma_method {
    const char *name;   /**< what it is called by; those that begin with `soma.` are Soma's */
    soma_method_fn *fn; /**< the function */
    const char *about;  /**< what it does, takes and gives, for people; NULL for nothing */
    size_t checked;     /**< not used at run time: its initializer makes the compiler check the signature */
} soma_method;

/** A row: `SOMA_METHOD("add", add, "adds a number, gives the sum")`, with `int add(soma_agent *, STATE *, soma_value,
 *  soma_value_builder *)`. The text may be left out. */
#define SOMA_METHOD(name_, ...) SOMA_METHOD_(name_, __VA_ARGS__, NULL, ~)
/** @cond internal */
#define SOMA_METHOD_(name_, fn_, about_, ...)                                                                          \
    {                                                                                                                  \
        name_, (soma_method_fn *)(void (*)(void))(fn_), about_,                                                        \
            _Generic((fn_)((soma_agent *)0, (void *)0, SOMA_VALUE_NONE, (soma_value_builder *)0), int : 0)             \
    }
/** @endcond */

/** A table of methods: `.methods = SOMA_METHODS(SOMA_METHOD("add", add), …)`. */
#define SOMA_METHODS(...)                                                                                              \
    (const soma_method[])                                                                                              \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            NULL, NULL, NULL, 0                                                                                        \
        }                                                                                                              \
    }

#endif
