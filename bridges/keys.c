/* Reading and keeping keys; see keys.h. */
#include "bridges/keys.h"
#include <errno.h>
#include <fcntl.h>
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#define FILE_MOST ((size_t)1 << 20)

int soma_bridge_keygen(char public_key[SOMA_BRIDGE_KEY_SIZE], char secret_key[SOMA_BRIDGE_KEY_SIZE])
{
    if (!public_key || !secret_key)
        return SOMA_EINVAL;
    return zmq_curve_keypair(public_key, secret_key) ? SOMA_ESTATE : 0;
}

bool key_is_valid(const char *key)
{
    uint8_t bytes[32];
    bool valid = strlen(key) == KEY_SIZE - 1 && zmq_z85_decode(bytes, key);
    explicit_bzero(bytes, sizeof(bytes));
    return valid;
}

/* ---- lists ---- */

static int key_compare(const void *a, const void *b)
{
    return memcmp(a, b, KEY_SIZE);
}

bool keys_have(const struct key_list *list, const char *key)
{
    return list->count && bsearch(key, list->keys, list->count, KEY_SIZE, key_compare);
}

static bool list_add(struct key_list *list, const char *key)
{
    uint32_t count = list->count;
    if (!(count & (count - 1))) { // a power of two, or none: it is full
        char(*grown)[KEY_SIZE] = realloc(list->keys, (count ? count * 2 : 1) * sizeof(*grown));
        if (!grown)
            return false;
        list->keys = grown;
    }
    memcpy(list->keys[list->count++], key, KEY_SIZE);
    return true;
}

static void list_free(struct key_list *list)
{
    if (list->keys)
        explicit_bzero(list->keys, (size_t)list->count * KEY_SIZE); // a secret key has been one, too
    free(list->keys);
    *list = (struct key_list){0};
}

/* A line's key; false: it is none. Empty for a line without: a `#` is a comment's only with a space behind it, as keys
 * may begin with one. */
static bool line_read(const char *line, size_t size, char key[KEY_SIZE])
{
    while (size && (*line == ' ' || *line == '\t')) {
        line++;
        size--;
    }
    size_t length = 0;
    while (length < size && !strchr(" \t\r", line[length]))
        length++;
    key[0] = '\0';
    if (!length || (length == 1 && *line == '#'))
        return true;
    if (length != KEY_SIZE - 1)
        return false;
    memcpy(key, line, length);
    key[length] = '\0';
    return key_is_valid(key);
}

static int text_read(soma_system *system, const char *text, size_t size, const char *origin, struct key_list *list)
{
    char key[KEY_SIZE];
    uint32_t number = 0;
    int error = 0;
    for (const char *line = text, *end = text + size, *after; !error && line < end; line = after + 1) {
        after = memchr(line, '\n', (size_t)(end - line));
        after = after ? after : end;
        number++;
        if (!line_read(line, (size_t)(after - line), key)) { // not the line itself: it may be a secret
            soma_log_error(system, "bridge: %s, line %u: not a key of 40 characters in Z85", origin, number);
            error = SOMA_EFORMAT;
        } else if (key[0] && !list_add(list, key)) {
            error = SOMA_ENOMEM;
        }
    }
    explicit_bzero(key, sizeof(key));
    return error;
}

/* ---- files ---- */

/* All of an open file. */
static int content_read(int file, char *content, size_t *size)
{
    *size = 0;
    for (;;) {
        ssize_t got = read(file, content + *size, FILE_MOST + 1 - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return SOMA_ENOENT;
        if (!got)
            return 0;
        *size += (size_t)got;
        if (*size > FILE_MOST)
            return SOMA_ETOOBIG;
    }
}

/* The file is open before it is looked at, so it is the same that is read. */
static int file_read(soma_system *system, const char *path, bool secret, struct key_list *list)
{
    struct stat status;
    size_t size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0 || fstat(file, &status) || !S_ISREG(status.st_mode)) {
        soma_log_error(system, "bridge: can't read keys from '%s'", path);
        if (file >= 0)
            close(file);
        return SOMA_ENOENT;
    }
    if (secret && status.st_mode & (S_IRWXG | S_IRWXO)) {
        soma_log_error(system, "bridge: '%s' holds a secret key, and others may read or write it: chmod 600", path);
        close(file);
        return SOMA_EINVAL;
    }
    char *content = malloc(FILE_MOST + 1);
    int error = content ? content_read(file, content, &size) : SOMA_ENOMEM;
    close(file);
    if (!error)
        error = text_read(system, content, size, path, list);
    if (content)
        explicit_bzero(content, size);
    free(content);
    return error;
}

int keys_load(soma_system *system, const char *text, const char *file, struct key_list *list)
{
    *list = (struct key_list){0};
    int error = 0;
    if (text)
        error = text_read(system, text, strlen(text), "the allowed keys", list);
    else if (file)
        error = file_read(system, file, false, list);
    if (error)
        list_free(list);
    else if (list->count)
        qsort(list->keys, list->count, KEY_SIZE, key_compare);
    return error;
}

/* ---- the node's ---- */

static int secret_load(soma_system *system, const soma_bridge_options *options, struct keys *keys)
{
    struct key_list secret = {0};
    int error = options->secret_key
                    ? text_read(system, options->secret_key, strlen(options->secret_key), "the secret key", &secret)
                    : file_read(system, options->secret_file, true, &secret);
    if (!error && secret.count != 1) {
        soma_log_error(system, "bridge: there must be one secret key, not %u", secret.count);
        error = SOMA_EFORMAT;
    }
    if (!error)
        memcpy(keys->secret_key, secret.keys[0], KEY_SIZE);
    list_free(&secret);
    if (!error && zmq_curve_public(keys->public_key, keys->secret_key)) {
        soma_log_error(system, "bridge: this libzmq has no CURVE, so there can be no keys");
        error = SOMA_ESTATE;
    }
    return error;
}

/* What contradicts itself in the options about keys; NULL: nothing. */
static const char *contradiction(const soma_bridge_options *options)
{
    if (options->secret_key && options->secret_file)
        return "both `secret_key` and `secret_file` are given: it is one or the other";
    if (options->allowed && options->allowed_file)
        return "both `allowed` and `allowed_file` are given: it is one or the other";
    if ((options->allowed || options->allowed_file) && !options->secret_key && !options->secret_file)
        return "keys are allowed, but the node has none of its own";
    return NULL;
}

int keys_open(soma_system *system, const soma_bridge_options *options, struct keys *keys)
{
    const char *wrong = contradiction(options);
    *keys = (struct keys){.on = !wrong && (options->secret_key || options->secret_file)};
    if (wrong)
        soma_log_error(system, "bridge: %s", wrong);
    if (!keys->on)
        return wrong ? SOMA_EINVAL : 0;
    int error = secret_load(system, options, keys);
    if (!error && options->allowed_file && !(keys->file = strdup(options->allowed_file)))
        error = SOMA_ENOMEM;
    return error ? error : keys_load(system, options->allowed, keys->file, &keys->allowed);
}

void keys_close(struct keys *keys)
{
    list_free(&keys->allowed);
    free(keys->file);
    explicit_bzero(keys, sizeof(*keys));
}
