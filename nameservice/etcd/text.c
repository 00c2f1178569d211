/* Requests to etcd as text, and its answers; see text.h. */
#include "nameservice/etcd/text.h"
#include "nameservice/check.h"
#include "nameservice/etcd/base64.h"
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MOST (2 * SOMA_NAME_MOST + 2) /* prefix, slash, name */
#define KEY64_MOST ETCD_BASE64_LENGTH((size_t)KEY_MOST)
#define VALUE64_MOST ((size_t)256 * 1024) /* far more than any entry has */

/* ---- addresses ---- */

/* HOST:PORT, as a URL has it; so nothing in it can be taken for another part. */
static bool is_member(const char *text, size_t size)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_[]:";
    size_t digits = 0;
    while (digits < size && text[size - 1 - digits] >= '0' && text[size - 1 - digits] <= '9')
        digits++;
    if (!digits || digits > 5 || size <= digits + 1 || text[size - 1 - digits] != ':' || strspn(text, host) < size)
        return false;
    unsigned long port = strtoul(text + size - digits, NULL, 10);
    return port && port <= UINT16_MAX;
}

int etcd_address_read(const char *text, struct etcd_address *address)
{
    static const char scheme[] = "etcd://";
    *address = (struct etcd_address){.member_count = 0};
    if (strlen(text) > SOMA_ADDRESS_MOST || strncmp(text, scheme, strlen(scheme)) != 0)
        return SOMA_EINVAL;
    const char *at = text + strlen(scheme);
    char *to = address->members;
    for (;; at++) {
        size_t size = strcspn(at, ",/");
        if (!is_member(at, size))
            return SOMA_EINVAL;
        memcpy(to, at, size);
        to += size + 1;
        at += size;
        address->member_count++;
        if (*at != ',')
            break;
    }
    size_t size = strlen(at);
    while (size && at[size - 1] == '/')
        size--;
    if (size)
        memcpy(address->prefix, at, size);
    else
        memcpy(address->prefix, "/soma", 6);
    return strchr(address->prefix, ' ') ? SOMA_EINVAL : 0;
}

void etcd_url(const struct etcd_address *address, uint32_t member, const char *path, char *url)
{
    const char *place = address->members;
    while (member--)
        place += strlen(place) + 1;
    snprintf(url, ETCD_URL_MOST, "http://%s%s", place, path);
}

/* ---- requests ---- */

/* What json_pack() made, as text; it is freed. */
static char *text_of(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

/* The key of a name, in base64; `last` is added to its last byte. */
static const char *key_of(char text[KEY64_MOST + 1], const char *prefix, const char *name, char last)
{
    char key[KEY_MOST + 1];
    int size = snprintf(key, sizeof(key), "%s/%s", prefix, name);
    key[size - 1] = (char)(key[size - 1] + last);
    etcd_base64_write(text, key, (size_t)size);
    return text;
}

/* As json_pack() wants it. */
static json_int_t number_of(int64_t number)
{
    return (json_int_t)number;
}

char *text_grant(uint32_t seconds)
{
    return text_of(json_pack("{s:I}", "TTL", number_of(seconds)));
}

char *text_lease(int64_t lease)
{
    return text_of(json_pack("{s:I}", "ID", number_of(lease)));
}

char *text_lookup(const char *prefix, const char *name)
{
    char key[KEY64_MOST + 1];
    return text_of(json_pack("{s:s}", "key", key_of(key, prefix, name, 0)));
}

char *text_page(const char *prefix, const char *from, int64_t revision, uint32_t most, bool keys_only)
{
    char key[KEY64_MOST + 1], end[KEY64_MOST + 1];
    return text_of(json_pack("{s:s, s:s, s:I, s:I, s:b}", "key", from ? from : key_of(key, prefix, "", 0), "range_end",
                             key_of(end, prefix, "", 1), "limit", number_of(most), "revision", number_of(revision),
                             "keys_only", keys_only));
}

char *text_watch(const char *prefix, int64_t from)
{
    char key[KEY64_MOST + 1], end[KEY64_MOST + 1];
    return text_of(json_pack("{s:{s:s, s:s, s:I, s:b}}", "create_request", "key", key_of(key, prefix, "", 0),
                             "range_end", key_of(end, prefix, "", 1), "start_revision", number_of(from), "fragment",
                             1));
}

/* An entry's value; NULL when memory is out. */
static char *value_of(const struct etcd_entry *entry)
{
    void *data;
    size_t size;
    if (etcd_entry_pack(entry, &data, &size))
        return NULL;
    char *text = malloc(ETCD_BASE64_LENGTH(size) + 1);
    if (text)
        etcd_base64_write(text, data, size);
    free(data);
    return text;
}

char *text_put(const char *prefix, const struct etcd_entry *entry, int64_t lease, int64_t revision)
{
    char key[KEY64_MOST + 1], *value = value_of(entry);
    if (!value)
        return NULL;
    key_of(key, prefix, entry->name.name, 0);
    char *text = text_of(json_pack("{s:[{s:s, s:s, s:s, s:I}], s:[{s:{s:s, s:s, s:I}}], s:[{s:{s:s}}]}", "compare",
                                   "key", key, "target", "MOD", "result", "EQUAL", "mod_revision", number_of(revision),
                                   "success", "request_put", "key", key, "value", value, "lease", number_of(lease),
                                   "failure", "request_range", "key", key));
    free(value);
    return text;
}

char *text_drop(const char *prefix, const char *name, int64_t revision)
{
    char key[KEY64_MOST + 1];
    key_of(key, prefix, name, 0);
    return text_of(json_pack("{s:[{s:s, s:s, s:s, s:I}], s:[{s:{s:s}}]}", "compare", "key", key, "target", "MOD",
                             "result", "EQUAL", "mod_revision", number_of(revision), "success", "request_delete_range",
                             "key", key));
}

/* ---- answers: numbers ---- */

int text_number(const json_t *object, const char *key, int64_t *number)
{
    const json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    *number = 0;
    if (!value)
        return json_is_object(object) ? 0 : SOMA_EFORMAT;
    if (json_is_integer(value)) {
        *number = json_integer_value(value);
        return *number < 0 ? SOMA_EFORMAT : 0;
    }
    if (!text || !*text || strlen(text) != json_string_length(value))
        return SOMA_EFORMAT;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || *number > (INT64_MAX - 9) / 10)
            return SOMA_EFORMAT;
        *number = *number * 10 + (*text - '0');
    }
    return 0;
}

int text_revision(const json_t *answer, int64_t *revision)
{
    int error = text_number(json_object_get(answer, "header"), "revision", revision);
    return error ? error : *revision ? 0 : SOMA_EFORMAT;
}

int text_flag(const json_t *object, const char *key, bool *flag)
{
    const json_t *value = json_object_get(object, key);
    *flag = json_is_true(value);
    return !value || json_is_boolean(value) ? 0 : SOMA_EFORMAT;
}

/* ---- answers: keys and values ---- */

/* What is behind the prefix, if it is a name. SOMA_EFORMAT: not even a key. */
static int name_read(const json_t *kv, const char *prefix, char name[SOMA_NAME_MOST + 1])
{
    const json_t *value = json_object_get(kv, "key");
    unsigned char key[KEY64_MOST / 4 * 3];
    size_t size, length = json_string_length(value), skip = strlen(prefix) + 1;
    name[0] = 0;
    if (!json_is_string(value))
        return SOMA_EFORMAT;
    if (length > KEY64_MOST)
        return 0; // somebody else's
    if (!etcd_base64_read(key, &size, json_string_value(value), length))
        return SOMA_EFORMAT;
    if (size <= skip || size - skip > SOMA_NAME_MOST || memcmp(key, prefix, skip - 1) != 0 || key[skip - 1] != '/' ||
        memchr(key, 0, size))
        return 0;
    memcpy(name, key + skip, size - skip);
    name[size - skip] = 0;
    if (check_name(name))
        name[0] = 0;
    return 0;
}

static bool entry_is_good(const struct etcd_entry *entry, const char *name)
{
    if (!entry->name.name || strcmp(entry->name.name, name) != 0 || !entry->name.agent.node || !entry->client.node)
        return false;
    for (uint32_t i = 0; i < entry->addresses.count; i++)
        if (!entry->addresses.items[i])
            return false;
    return entry->addresses.count <= ETCD_ADDRESSES_MOST && !check_entry(&entry->name);
}

/* A value that is no entry is taken for none: anybody may write to etcd. 0, SOMA_EFORMAT, SOMA_ENOMEM. */
static int entry_read(const json_t *kv, struct etcd_kv *result)
{
    const json_t *value = json_object_get(kv, "value");
    size_t size, length = json_string_length(value);
    if (value && !json_is_string(value))
        return SOMA_EFORMAT;
    if (!value || !length || length > VALUE64_MOST)
        return 0;
    unsigned char *data = malloc(length / 4 * 3 + 1);
    if (!data)
        return SOMA_ENOMEM;
    int error = etcd_base64_read(data, &size, json_string_value(value), length) ? 0 : SOMA_EFORMAT;
    if (!error) {
        int bad = etcd_entry_unpack(&result->entry, data, size);
        error = bad == SOMA_ENOMEM ? bad : 0;
        result->there = !bad && entry_is_good(&result->entry, result->name);
    }
    free(data);
    return error;
}

static int kv_read(const json_t *kv, const char *prefix, bool deleted, struct etcd_kv *result)
{
    int error = name_read(kv, prefix, result->name);
    if (!error)
        error = text_number(kv, "mod_revision", &result->revision);
    if (!error)
        error = text_number(kv, "lease", &result->lease);
    if (!error && !result->revision)
        error = SOMA_EFORMAT;
    return error || deleted || !result->name[0] ? error : entry_read(kv, result);
}

/* An event without a type is a put. */
static int event_read(const json_t *event, const char *prefix, struct etcd_kv *result)
{
    const json_t *type = json_object_get(event, "type");
    bool deleted = type && json_is_string(type) && !strcmp(json_string_value(type), "DELETE");
    if (type && !deleted && !(json_is_string(type) && !strcmp(json_string_value(type), "PUT")))
        return SOMA_EFORMAT;
    return kv_read(json_object_get(event, "kv"), prefix, deleted, result);
}

static int kvs_read(const json_t *array, const char *prefix, bool events, struct etcd_kv **kvs, uint32_t *count)
{
    size_t size = json_array_size(array);
    *kvs = NULL;
    *count = 0;
    if (array && !json_is_array(array))
        return SOMA_EFORMAT;
    if (!size)
        return 0;
    if (!(*kvs = calloc(size, sizeof(**kvs))))
        return SOMA_ENOMEM;
    int error = 0;
    for (size_t i = 0; i < size && !error; i++) {
        struct etcd_kv *kv = &(*kvs)[(*count)++];
        error = events ? event_read(json_array_get(array, i), prefix, kv)
                       : kv_read(json_array_get(array, i), prefix, false, kv);
    }
    if (error) {
        kvs_free(*kvs, *count);
        *kvs = NULL;
        *count = 0;
    }
    return error;
}

int text_kvs(const json_t *answer, const char *prefix, struct etcd_kv **kvs, uint32_t *count)
{
    return kvs_read(json_object_get(answer, "kvs"), prefix, false, kvs, count);
}

int text_txn_kvs(const json_t *answer, const char *prefix, struct etcd_kv **kvs, uint32_t *count)
{
    const json_t *first = json_array_get(json_object_get(answer, "responses"), 0);
    return text_kvs(json_object_get(first, "response_range"), prefix, kvs, count);
}

int text_events(const json_t *result, const char *prefix, struct etcd_kv **kvs, uint32_t *count)
{
    return kvs_read(json_object_get(result, "events"), prefix, true, kvs, count);
}

void kvs_free(struct etcd_kv *kvs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        etcd_entry_destroy(&kvs[i].entry);
    free(kvs);
}

/* The first key behind another is that with a zero at its end. */
int text_page_next(const json_t *answer, char **from)
{
    const json_t *kvs = json_object_get(answer, "kvs");
    const json_t *last = json_object_get(json_array_get(kvs, json_array_size(kvs) - 1), "key");
    size_t size, length = json_string_length(last);
    bool more;
    *from = NULL;
    int error = text_flag(answer, "more", &more);
    if (error || !more)
        return error;
    if (!length)
        return SOMA_EFORMAT;
    unsigned char *key = malloc(length / 4 * 3 + 1);
    char *text = malloc(ETCD_BASE64_LENGTH(length / 4 * 3 + 1) + 1);
    if (!key || !text) {
        error = SOMA_ENOMEM;
    } else if (!etcd_base64_read(key, &size, json_string_value(last), length)) {
        error = SOMA_EFORMAT;
    } else {
        key[size++] = 0;
        etcd_base64_write(text, key, size);
        *from = text;
        text = NULL;
    }
    free(key);
    free(text);
    return error;
}
