/* The handler for soma_invoke that agents have without one of their own. See method.c. */
#ifndef RUNTIME_METHOD_H
#define RUNTIME_METHOD_H

#include <soma/agent.h>

int method_handle(soma_agent *self, void *state, const void *message);

/* Its row in the tables of handlers. */
extern const soma_handler method_row;

#endif
