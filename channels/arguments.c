/* Arguments of the methods that channels are wired with from outside; see arguments.h. */
#include "channels/arguments.h"
#include "runtime/method.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <soma/timer.h>
#include <string.h>

#define TIMEOUT (5 * SOMA_SECOND)

/* ---- which there are ---- */

static bool entry_is_of(const soma_value_cursor *entry, const char *const *names)
{
    for (; *names; names++)
        if (strlen(*names) == entry->key_size && !memcmp(*names, entry->key, entry->key_size))
            return true;
    return false;
}

int entries_check(soma_agent *self, soma_value map, const char *const *names, bool options)
{
    static const char *const all[] = {"handler",   "serializer",   "identity",     "framing",  "keys",     "high_water",
                                      "linger_ms", "message_most", "heartbeat_ms", "conflate", "insecure", NULL};
    for (soma_value_cursor entry = soma_value_iterate(map); soma_value_next(&entry);)
        if (!entry_is_of(&entry, names) && !(options && entry_is_of(&entry, all)))
            return soma_fail(self, SOMA_EINVAL, "there is no option '%.*s'", (int)entry.key_size, entry.key);
    return 0;
}

/* ---- one by one ---- */

int text_get(soma_agent *self, soma_value map, const char *key, bool must, char *text, size_t size)
{
    soma_value item;
    const char *from;
    uint32_t length;
    *text = '\0';
    if (soma_value_get_kind(map) != SOMA_VALUE_MAP)
        return soma_fail(self, SOMA_ETYPE, "the argument must be a map");
    if (soma_value_get_entry(map, key, &item) || soma_value_get_kind(item) == SOMA_VALUE_NIL)
        return must ? soma_fail(self, SOMA_EINVAL, "'%s' is missing", key) : 0;
    if (soma_value_get_string(item, &from, &length) || memchr(from, '\0', length))
        return soma_fail(self, SOMA_ETYPE, "'%s' must be a text", key);
    if (length >= size)
        return soma_fail(self, SOMA_ETOOBIG, "'%s' is too long", key);
    memcpy(text, from, length);
    text[length] = '\0';
    return 0;
}

int timeout_get(soma_agent *self, soma_value map, uint64_t *timeout)
{
    soma_value item;
    *timeout = TIMEOUT;
    if (soma_value_get_entry(map, "timeout", &item))
        return 0;
    if (soma_value_get_u64(item, timeout) || !*timeout)
        return soma_fail(self, SOMA_EINVAL, "'timeout' must be nanoseconds, above 0");
    return 0;
}

/* ---- handlers ---- */

static int method_add(soma_agent *self, soma_value item, struct by_method *by, uint32_t index)
{
    const char *name;
    uint32_t length;
    if (soma_value_get_string(item, &name, &length) || memchr(name, '\0', length))
        return soma_fail(self, SOMA_ETYPE, "'handler' must be the name of a method, or a list of them");
    if (index == METHODS_MOST || length > METHOD_MOST)
        return soma_fail(self, SOMA_ETOOBIG, "'handler' is too long");
    memcpy(by->names[index], name, length);
    by->names[index][length] = '\0';
    if (!method_known(self, by->names[index]))
        return soma_fail(self, SOMA_ENOENT, "there is no method '%s' to be the handler", by->names[index]);
    by->rows[index] = (soma_handler)SOMA_BY_METHOD(by->names[index]);
    return 0;
}

static int handlers_read(soma_agent *self, soma_value item, struct by_method *by)
{
    uint32_t count = 0;
    int error = 0;
    memset(by->rows, 0, sizeof(by->rows));
    if (soma_value_get_kind(item) != SOMA_VALUE_ARRAY)
        return method_add(self, item, by, 0);
    for (soma_value_cursor each = soma_value_iterate(item); !error && soma_value_next(&each);)
        error = method_add(self, each.value, by, count++);
    return error || count ? error : soma_fail(self, SOMA_EINVAL, "'handler' is an empty list");
}

int handler_get(soma_agent *self, soma_value map, bool must, struct by_method *by, const soma_handler **rows)
{
    soma_value item;
    *rows = NULL;
    if (soma_value_get_entry(map, "handler", &item) || soma_value_get_kind(item) == SOMA_VALUE_NIL)
        return must ? soma_fail(self, SOMA_EINVAL, "'handler' is missing") : 0;
    int error = handlers_read(self, item, by);
    *rows = error ? NULL : by->rows;
    return error;
}

static bool handler_is_map(soma_value map, soma_value *topics)
{
    return !soma_value_get_entry(map, "handler", topics) && soma_value_get_kind(*topics) == SOMA_VALUE_MAP;
}

int topics_subscribe(soma_agent *self, soma_value map, const char *alias)
{
    soma_value topics;
    struct by_method by;
    char topic[SOMA_TOPIC_MOST + 1];
    int error = 0;
    if (!handler_is_map(map, &topics))
        return 0;
    for (soma_value_cursor each = soma_value_iterate(topics); !error && soma_value_next(&each);) {
        if (each.key_size > SOMA_TOPIC_MOST || memchr(each.key, '\0', each.key_size))
            return soma_fail(self, SOMA_EINVAL, "one of the topics is none, or has over %u bytes", SOMA_TOPIC_MOST);
        memcpy(topic, each.key, each.key_size);
        topic[each.key_size] = '\0';
        error = handlers_read(self, each.value, &by);
        if (!error && (error = soma_subscribe(self, alias, topic, by.rows)))
            soma_fail(self, error, "channel '%s': only a sub has a handler for each topic", alias);
    }
    return error;
}

/* ---- more of them ---- */

int alias_get(soma_agent *self, soma_value map, char alias[SOMA_CHANNEL_ALIAS_MOST + 1])
{
    return text_get(self, map, "alias", true, alias, SOMA_CHANNEL_ALIAS_MOST + 1);
}

int number_get(soma_agent *self, soma_value map, const char *key, uint32_t *number)
{
    soma_value item;
    uint64_t wide;
    *number = 0;
    if (soma_value_get_entry(map, key, &item) || soma_value_get_kind(item) == SOMA_VALUE_NIL)
        return 0;
    if (soma_value_get_u64(item, &wide) || wide > UINT32_MAX)
        return soma_fail(self, SOMA_ETYPE, "'%s' must be a number of 32 bits", key);
    *number = (uint32_t)wide;
    return 0;
}

static int bool_get(soma_agent *self, soma_value map, const char *key, bool *yes)
{
    soma_value item;
    *yes = false;
    if (soma_value_get_entry(map, key, &item) || soma_value_get_kind(item) == SOMA_VALUE_NIL)
        return 0;
    return soma_value_get_bool(item, yes) ? soma_fail(self, SOMA_ETYPE, "'%s' must be true or false", key) : 0;
}

/* ---- options ---- */

/* A text that is left out is NULL. */
static int option_get(soma_agent *self, soma_value map, const char *key, char *text, size_t size, const char **option)
{
    int error = text_get(self, map, key, false, text, size);
    *option = *text ? text : NULL;
    return error;
}

static int framing_get(soma_agent *self, soma_value map, soma_framing *framing)
{
    static const char *const names[] = {
        [SOMA_FRAMES_APART] = "apart", [SOMA_FRAMES_PREFIX] = "prefix", [SOMA_FRAMES_SEPARATED] = "separated"};
    char text[16];
    int error = text_get(self, map, "framing", false, text, sizeof(text));
    if (error || !*text)
        return error;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (!strcmp(text, names[i])) {
            *framing = (soma_framing)i;
            return 0;
        }
    return soma_fail(self, SOMA_EINVAL, "there is no framing '%s'", text);
}

static int keys_get(soma_agent *self, soma_value map, struct given_options *given)
{
    soma_value keys;
    if (soma_value_get_entry(map, "keys", &keys) || soma_value_get_kind(keys) == SOMA_VALUE_NIL)
        return 0;
    if (soma_value_get_kind(keys) != SOMA_VALUE_MAP)
        return soma_fail(self, SOMA_ETYPE, "'keys' must be a map");
    given->options.keys = &given->keys;
    int error = option_get(self, keys, "secret", given->secret, sizeof(given->secret), &given->keys.secret);
    if (!error)
        error = option_get(self, keys, "server", given->server, sizeof(given->server), &given->keys.server);
    if (!error)
        error = option_get(self, keys, "allowed", given->allowed, sizeof(given->allowed), &given->keys.allowed);
    return error ? error : entries_check(self, keys, ENTRIES("secret", "server", "allowed"), false);
}

static int limits_get(soma_agent *self, soma_value map, soma_channel_options *options)
{
    int error = number_get(self, map, "high_water", &options->high_water);
    if (!error)
        error = number_get(self, map, "linger_ms", &options->linger_ms);
    if (!error)
        error = number_get(self, map, "message_most", &options->message_most);
    if (!error)
        error = number_get(self, map, "heartbeat_ms", &options->heartbeat_ms);
    if (!error)
        error = bool_get(self, map, "conflate", &options->conflate);
    return error ? error : bool_get(self, map, "insecure", &options->insecure);
}

int options_get(soma_agent *self, soma_value map, bool binds, struct given_options *given)
{
    soma_channel_options *options = &given->options;
    soma_value topics;
    *options = (soma_channel_options){0};
    int error = binds ? option_get(self, map, "place", given->place, sizeof(given->place), &options->place) : 0;
    if (!error && !handler_is_map(map, &topics))
        error = handler_get(self, map, false, &given->by, &options->handlers);
    if (!error)
        error = option_get(self, map, "serializer", given->serializer, sizeof(given->serializer), &options->serializer);
    if (!error)
        error = option_get(self, map, "identity", given->identity, sizeof(given->identity), &options->identity);
    if (!error)
        error = framing_get(self, map, &options->framing);
    if (!error)
        error = keys_get(self, map, given);
    if (!error)
        error = limits_get(self, map, options);
    if (error)
        options_forget(given);
    return error;
}

void options_forget(struct given_options *given)
{
    explicit_bzero(given->secret, sizeof(given->secret));
}
