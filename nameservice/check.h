/* What names, aliases, addresses and attributes may be; see soma/nameservice.h. All give 0, SOMA_EINVAL, SOMA_ETOOBIG.
 */
#ifndef NAMESERVICE_CHECK_H
#define NAMESERVICE_CHECK_H

#include <soma/nameservice.h>

int check_name(const char *name);
/* As a name, or empty. */
int check_prefix(const char *prefix);
int check_alias(const char *alias);
int check_address(const char *address);

/* All of it but the agent. */
int check_entry(const struct soma_name *entry);

/* The place of an alias among an entry's; their number if there is none. */
uint32_t alias_find(const struct soma_name *entry, const char *alias);

/* How many bytes an entry takes on the wire, about. */
uint32_t entry_weight(const struct soma_name *entry);

/* Does a name begin with a prefix? */
bool has_prefix(const char *name, const char *prefix);

#endif
