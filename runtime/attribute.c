/* Attributes: reading and setting what an agent shows of its state. See soma/attribute.h. */
#include "runtime/attribute.h"
#include "runtime/dispatch.h"
#include "runtime/monitor.h"
#include "runtime/slot.h"
#include "runtime/type.h"
#include "runtime/types.h"
#include "runtime/value.h"
#include "runtime/worker.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <string.h>

#define MEMBER_MAX sizeof(soma_ref) /* bytes of a member that is no string */

static const soma_attribute *attribute_find(const soma_behavior *behavior, const char *name, size_t size)
{
    for (; behavior; behavior = behavior->base)
        for (const soma_attribute *a = behavior->attributes; a && a->name; a++)
            if (strlen(a->name) == size && !memcmp(a->name, name, size))
                return a;
    return NULL;
}

/* The attribute of a name, or an error that says so to who asked. */
static int attribute_named(soma_agent *self, const char *name, size_t size, const soma_attribute **attribute)
{
    const soma_behavior *behavior = self->dispatch->behavior;
    *attribute = attribute_find(behavior, name, size);
    return *attribute ? 0
                      : soma_fail(self, SOMA_ENOENT, "'%s' has no attribute '%.*s'", behavior->name, (int)size, name);
}

/* Each attribute once: those that one of an extending behavior's hides are left out. */
static const soma_attribute *attribute_next(const soma_behavior *behavior, const soma_behavior **at,
                                            const soma_attribute *last)
{
    const soma_attribute *next = last ? last + 1 : (*at)->attributes;
    for (;; next = (*at)->attributes) {
        for (; next && next->name; next++)
            if (attribute_find(behavior, next->name, strlen(next->name)) == next)
                return next;
        if (!(*at = (*at)->base))
            return NULL;
    }
}

void attributes_describe(const soma_behavior *behavior, soma_value_builder *result)
{
    const soma_behavior *at = behavior;
    soma_value_begin_array(result);
    for (const soma_attribute *a = NULL; (a = attribute_next(behavior, &at, a));)
        SOMA_VALUE_MAP(result, (string, "name", a->name), (string, "type", a->get ? "value" : kind_name(a->kind)),
                       (bool, "settable", a->settable), (string, "about", a->about));
    soma_value_end(result);
}

/* ---- reading ---- */

static int attribute_read(soma_agent *self, void *state, const soma_attribute *attribute, soma_value_builder *result)
{
    if (attribute->get)
        return attribute->get(self, state, result);
    const char *at = (const char *)state + attribute->offset;
    if (attribute->kind == SOMA_KIND_STRING)
        return soma_value_add_string(result, at);
    const soma_field field = {.kind = attribute->kind};
    return value_add_item(result, &field, at);
}

static int attributes_read(soma_agent *self, void *state, soma_value_builder *result)
{
    const soma_behavior *behavior = self->dispatch->behavior, *at = behavior;
    int error = soma_value_begin_map(result);
    for (const soma_attribute *a = NULL; !error && (a = attribute_next(behavior, &at, a));) {
        error = soma_value_add_key(result, a->name);
        if (!error)
            error = attribute_read(self, state, a, result);
    }
    return error < 0 ? error : soma_value_end(result);
}

int attribute_get(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    const soma_attribute *attribute;
    const char *name;
    uint32_t size;
    if (soma_value_get_kind(arguments) == SOMA_VALUE_NIL)
        return attributes_read(self, state, result);
    if (soma_value_get_string(arguments, &name, &size))
        return soma_fail(self, SOMA_ETYPE, "soma.get wants the name of an attribute");
    int error = attribute_named(self, name, size, &attribute);
    return error ? error : attribute_read(self, state, attribute, result);
}

/* ---- setting ---- */

static int string_write(const soma_attribute *attribute, char *at, soma_value value)
{
    const char *text;
    uint32_t size;
    int error = soma_value_get_string(value, &text, &size);
    if (!error && size >= attribute->size)
        error = SOMA_ETOOBIG;
    if (error)
        return error;
    memcpy(at, text, size);
    memset(at + size, 0, attribute->size - size);
    return 0;
}

/* Without words of the setter's who asked is told at least which attribute it was. */
static int setter_call(soma_agent *self, void *state, const soma_attribute *attribute, soma_value value)
{
    int error = attribute->set(self, state, value);
    bool said = self->worker->failing && failure_text(self, error);
    return error < 0 && !said ? soma_fail(self, error, "attribute '%s': %s", attribute->name, soma_strerror(error))
                              : error;
}

static int attribute_write(soma_agent *self, void *state, const soma_attribute *attribute, soma_value value)
{
    if (!attribute->settable)
        return soma_fail(self, SOMA_ESTATE, "attribute '%s' is only read", attribute->name);
    if (attribute->set)
        return setter_call(self, state, attribute, value);
    char *at = (char *)state + attribute->offset;
    const soma_field field = {.kind = attribute->kind};
    char item[MEMBER_MAX]; // so that nothing is changed by what does not fit
    int error = attribute->kind == SOMA_KIND_STRING ? string_write(attribute, at, value)
                                                    : type_item_from_value(&field, item, value);
    if (error)
        return soma_fail(self, error, "attribute '%s' is of type %s: %s", attribute->name, kind_name(attribute->kind),
                         soma_strerror(error));
    if (attribute->kind != SOMA_KIND_STRING)
        memcpy(at, item, attribute->size);
    return 0;
}

int attribute_set(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result)
{
    if (soma_value_get_kind(arguments) != SOMA_VALUE_MAP)
        return soma_fail(self, SOMA_ETYPE, "soma.set wants a map of attributes");
    int error = 0;
    for (soma_value_cursor c = soma_value_iterate(arguments); error >= 0 && soma_value_next(&c);) {
        const soma_attribute *attribute;
        error = attribute_named(self, c.key, c.key_size, &attribute);
        if (!error)
            error = attribute_write(self, state, attribute, c.value);
    }
    return error < 0 ? error : soma_value_add_nil(result);
}
