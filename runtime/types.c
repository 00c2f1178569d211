/* Known types and their layouts; see types.h. */
#include "runtime/types.h"
#include "runtime/system.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <soma/system.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void types_open(struct types *types)
{
    pthread_mutex_init(&types->lock, NULL);
}

void types_close(struct types *types)
{
    free(types->known);
    pthread_mutex_destroy(&types->lock);
}

static bool types_have(const struct types *types, const soma_type *type)
{
    for (uint32_t i = types->count; i; i--) // the last are asked for most
        if (types->known[i - 1] == type)
            return true;
    return false;
}

static int types_add(struct types *types, const soma_type *type)
{
    if (types->count == types->capacity) {
        uint32_t capacity = types->capacity ? types->capacity * 2 : 16;
        const soma_type **grown = realloc(types->known, capacity * sizeof(const soma_type *));
        if (!grown)
            return SOMA_ENOMEM;
        types->known = grown;
        types->capacity = capacity;
    }
    types->known[types->count++] = type;
    return 0;
}

int soma_type_register(soma_system *system, const soma_type *type)
{
    if (!system || !type || !type->name)
        return SOMA_EINVAL;
    struct types *types = &system->types;
    pthread_mutex_lock(&types->lock);
    int error = types_have(types, type) ? 0 : types_add(types, type);
    pthread_mutex_unlock(&types->lock);
    return error;
}

/* ---- layouts ---- */

const char *kind_name(enum soma_kind kind)
{
    static const char *const names[] = {"u8",  "u16", "u32",  "u64", "i8",     "i16",   "i32",  "i64",
                                        "f32", "f64", "bool", "ref", "string", "bytes", "value"};
    return names[kind];
}

/* A nested message by its name and hash, which hold all of it. */
static int field_layout(const soma_field *field, char *buf, size_t size)
{
    char nested[160] = "";
    if (field->kind == SOMA_KIND_MESSAGE)
        snprintf(nested, sizeof(nested), "%.120s#%016llx", field->nested->name,
                 (unsigned long long)soma_type_hash(field->nested));
    return snprintf(buf, size, "%s%s%s %s", field->is_array ? "[" : "",
                    field->kind == SOMA_KIND_MESSAGE ? nested : kind_name(field->kind), field->is_array ? "]" : "",
                    field->name);
}

size_t type_layout(const soma_type *type, char *buf, size_t size)
{
    char nowhere[1] = "";
    size_t length = 0;
    if (size)
        *buf = '\0';
    for (uint32_t i = 0; i < type->field_count; i++) {
        if (i && length + 1 < size)
            memcpy(buf + length, ",", 2);
        length += i > 0;
        size_t room = length < size ? size - length : 0;
        length += (size_t)field_layout(&type->fields[i], room ? buf + length : nowhere, room);
    }
    return length;
}

/* Is one the other, or its beginning up to a field's end? */
static bool layouts_fit(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t least = a_size < b_size ? a_size : b_size;
    const char *longer = a_size < b_size ? b : a;
    return !memcmp(a, b, least) && (a_size == b_size || !least || longer[least] == ',');
}

/* ---- finding ---- */

struct search {
    const char *name;
    size_t name_size;
    const char *layout;
    size_t layout_size;
    const soma_type *exact;
    const soma_type *fitting;
    const soma_type *closest;
};

static void search_look(struct search *search, const soma_type *type)
{
    char layout[LAYOUT_MAX];
    if (strlen(type->name) != search->name_size || memcmp(type->name, search->name, search->name_size) != 0)
        return;
    size_t size = type_layout(type, layout, sizeof(layout));
    search->closest = type;
    if (size >= sizeof(layout) || !layouts_fit(layout, size, search->layout, search->layout_size))
        return;
    search->fitting = type;
    if (size == search->layout_size)
        search->exact = type;
}

const soma_type *types_find(soma_system *system, const char *name, size_t name_size, const char *layout,
                            size_t layout_size, const soma_type **closest)
{
    struct search search = {.name = name, .name_size = name_size, .layout = layout, .layout_size = layout_size};
    pthread_mutex_lock(&system->types.lock);
    for (uint32_t i = 0; i < system->types.count && !search.exact; i++)
        search_look(&search, system->types.known[i]);
    pthread_mutex_unlock(&system->types.lock);
    pthread_mutex_lock(&system->dispatches.lock);
    for (const struct dispatch *d = system->dispatches.first; d && !search.exact; d = d->next)
        for (size_t i = 0; i < d->size && !search.exact; i++)
            if (d->rows[i].type)
                search_look(&search, d->rows[i].type);
    pthread_mutex_unlock(&system->dispatches.lock);
    *closest = search.closest;
    return search.exact ? search.exact : search.fitting;
}
