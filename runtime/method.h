/* Methods: the handler for soma_invoke that agents have without one of their own, and what it is made of. */
#ifndef RUNTIME_METHOD_H
#define RUNTIME_METHOD_H

#include <soma/method.h>

/* Has the agent's method of a name answer what is being handled. 0, or what it failed with if nobody was told. */
int method_run(soma_agent *self, void *state, const char *name, soma_value arguments);

/* Has the agent such a method? */
bool method_known(const soma_agent *self, const char *name);

int method_handle(soma_agent *self, void *state, const void *message);

/* Its row in the tables of handlers. */
extern const soma_handler method_row;

#endif
