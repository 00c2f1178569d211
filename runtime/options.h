/* A system's options with environment and defaults filled in. */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include <soma/system.h>

/* `given` may be NULL. 0, SOMA_EINVAL (an environment variable is no number) or SOMA_ETOOBIG. */
int options_resolve(const soma_options *given, soma_options *result);

#endif
