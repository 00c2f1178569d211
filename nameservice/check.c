/* Bounds of what the name service takes; see check.h. */
#include "nameservice/check.h"
#include <soma/error.h>
#include <string.h>

/* Printable ASCII from `least` on, without one character. */
static int check_text(const char *text, size_t size, uint32_t most, char least, char without)
{
    if (!text || !size)
        return SOMA_EINVAL;
    if (size > most)
        return SOMA_ETOOBIG;
    for (size_t i = 0; i < size; i++)
        if (text[i] < least || text[i] > '~' || text[i] == without)
            return SOMA_EINVAL;
    return 0;
}

static size_t size_of(const char *text)
{
    return text ? strlen(text) : 0;
}

int check_name(const char *name)
{
    return check_text(name, size_of(name), SOMA_NAME_MOST, '!', 0);
}

int check_prefix(const char *prefix)
{
    return prefix && *prefix ? check_name(prefix) : 0;
}

int check_alias(const char *alias)
{
    return check_text(alias, size_of(alias), SOMA_ALIAS_MOST, '!', '/');
}

int check_address(const char *address)
{
    return check_text(address, size_of(address), SOMA_ADDRESS_MOST, ' ', 0);
}

static int check_attributes(soma_value attributes)
{
    int kind = attributes.size ? soma_value_get_kind(attributes) : SOMA_VALUE_NIL, error = 0;
    if (attributes.size > SOMA_ATTRIBUTES_MOST)
        return SOMA_ETOOBIG;
    if (kind == SOMA_VALUE_NIL)
        return 0;
    if (kind != SOMA_VALUE_MAP)
        return SOMA_EINVAL;
    for (soma_value_cursor c = soma_value_iterate(attributes); !error && soma_value_next(&c);)
        error = check_text(c.key, c.key_size, SOMA_ALIAS_MOST, '!', '/');
    return error;
}

int check_entry(const struct soma_name *entry)
{
    int error = check_name(entry->name);
    if (!error)
        error = check_attributes(entry->attributes);
    if (!error && entry->aliases.count > SOMA_ALIASES_MOST)
        error = SOMA_ETOOBIG;
    for (uint32_t i = 0; !error && i < entry->aliases.count; i++) {
        const struct soma_alias *alias = &entry->aliases.items[i];
        if (!(error = check_alias(alias->alias)))
            error = check_address(alias->address);
    }
    return error;
}

uint32_t alias_find(const struct soma_name *entry, const char *alias)
{
    uint32_t i = 0;
    while (i < entry->aliases.count && strcmp(entry->aliases.items[i].alias, alias) != 0)
        i++;
    return i;
}

uint32_t entry_weight(const struct soma_name *entry)
{
    uint32_t weight = 64 + (uint32_t)strlen(entry->name) + entry->attributes.size;
    for (uint32_t i = 0; i < entry->aliases.count; i++)
        weight += 8 + (uint32_t)(strlen(entry->aliases.items[i].alias) + strlen(entry->aliases.items[i].address));
    return weight;
}

bool has_prefix(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}
