/* A system's options with environment and defaults filled in. */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include "runtime/driver.h"
#include <soma/system.h>

/* `given` may be NULL. 0, SOMA_EINVAL (an environment variable is no number) or SOMA_ETOOBIG; a variable that is wrong
 * is named to the sink. */
int options_resolve(const soma_options *given, const struct driver *driver, soma_options *result);

#endif
