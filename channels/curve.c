/*
 * Keys of channels: CURVE, and ZAP to say whose keys may enter where. Each line with keys that is bound has a domain of
 * its own, by which ZeroMQ asks; so what one channel allows is nothing to the others. See line.h.
 */
#include "channels/porter.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_LENGTH 40u /* of a key as text */
#define ZAP_PARTS 7
#define ZAP_PART_MOST 256

/* ---- a line's keys ---- */

/* A key at the beginning of a text, up to white space. False if it is none. */
static bool key_read(const char *text, char key[KEY_LENGTH + 1])
{
    unsigned char bytes[32];
    if (strcspn(text, " \t\r\n") != KEY_LENGTH)
        return false;
    memcpy(key, text, KEY_LENGTH);
    key[KEY_LENGTH] = '\0';
    bool valid = zmq_z85_decode(bytes, key) != NULL;
    explicit_bzero(bytes, sizeof(bytes));
    return valid;
}

/* All keys of a list, and nothing else. */
static bool keys_valid(const char *text)
{
    char key[KEY_LENGTH + 1];
    for (text += strspn(text, " \t\r\n"); *text; text += strspn(text, " \t\r\n")) {
        if (!key_read(text, key))
            return false;
        text += KEY_LENGTH;
    }
    return true;
}

static bool keys_have(const char *list, const char *key)
{
    for (list += strspn(list, " \t\r\n"); *list; list += strspn(list, " \t\r\n")) {
        size_t length = strcspn(list, " \t\r\n");
        if (length == KEY_LENGTH && !memcmp(list, key, KEY_LENGTH))
            return true;
        list += length;
    }
    return false;
}

static int secret_set(void *socket, const char *secret)
{
    char key[KEY_LENGTH + 1], public_key[KEY_LENGTH + 1];
    int error = !secret || !key_read(secret, key) || zmq_curve_public(public_key, key) ? SOMA_EFORMAT : 0;
    if (!error && (zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, public_key, sizeof(public_key)) ||
                   zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, key, sizeof(key))))
        error = SOMA_ESTATE; // a libzmq without CURVE
    explicit_bzero(key, sizeof(key));
    return error;
}

/* Whoever connects must have one of the keys. */
static int keys_serve(struct line *line, const soma_channel_keys *keys)
{
    const int on = 1;
    char domain[32];
    line->allowed = strdup(keys->allowed);
    if (!line->allowed)
        return SOMA_ENOMEM;
    int length = snprintf(domain, sizeof(domain), "%p", (void *)line);
    if (zmq_setsockopt(line->socket, ZMQ_CURVE_SERVER, &on, sizeof(on)) ||
        zmq_setsockopt(line->socket, ZMQ_ZAP_DOMAIN, domain, (size_t)length))
        return SOMA_ESTATE;
    struct porter *porter = line->porter;
    pthread_mutex_lock(&porter->lock);
    line->next_served = porter->served;
    porter->served = line;
    pthread_mutex_unlock(&porter->lock);
    return 0;
}

const char *keys_wrong(const struct line *line, const soma_channel_keys *keys)
{
    char key[KEY_LENGTH + 1];
    bool secret = keys->secret && key_read(keys->secret, key);
    explicit_bzero(key, sizeof(key));
    if (!secret)
        return keys->secret ? "`secret` is no key" : "its keys want a `secret`";
    if (!line->bound)
        return keys->server && key_read(keys->server, key) ? NULL : "who connects with keys wants the `server`'s";
    if (!keys->allowed)
        return "who is bound with keys wants those that are `allowed`";
    return keys_valid(keys->allowed) ? NULL : "one of the keys that are `allowed` is none";
}

int keys_set(struct line *line, const soma_channel_keys *keys)
{
    char server[KEY_LENGTH + 1];
    int error = secret_set(line->socket, keys->secret);
    if (error || line->bound)
        return error ? error : keys_serve(line, keys);
    key_read(keys->server, server);
    return zmq_setsockopt(line->socket, ZMQ_CURVE_SERVERKEY, server, sizeof(server)) ? SOMA_ESTATE : 0;
}

void keys_forget(struct line *line)
{
    struct porter *porter = line->porter;
    pthread_mutex_lock(&porter->lock);
    struct line **link = &porter->served;
    while (*link && *link != line)
        link = &(*link)->next_served;
    if (*link)
        *link = line->next_served;
    pthread_mutex_unlock(&porter->lock);
    free(line->allowed);
    line->allowed = NULL;
}

/* ---- ZAP ---- */

static bool domain_allows(struct porter *porter, const char *domain, const char *key)
{
    char own[32];
    bool allowed = false;
    pthread_mutex_lock(&porter->lock);
    for (const struct line *line = porter->served; line && !allowed; line = line->next_served) {
        snprintf(own, sizeof(own), "%p", (const void *)line);
        allowed = !strcmp(own, domain) && keys_have(line->allowed, key);
    }
    pthread_mutex_unlock(&porter->lock);
    return allowed;
}

/* A request's parts, each with a NUL behind it. How many; what is longer than it may be counts as empty. */
static int zap_receive(void *zap, char parts[][ZAP_PART_MOST + 1], size_t sizes[])
{
    int count = 0;
    for (int more = 1; more; count++) {
        char rest[1];
        bool wanted = count < ZAP_PARTS;
        size_t length = sizeof(more);
        int size = zmq_recv(zap, wanted ? parts[count] : rest, wanted ? ZAP_PART_MOST : sizeof(rest), ZMQ_DONTWAIT);
        if (size < 0)
            return 0;
        if (wanted) {
            sizes[count] = size <= ZAP_PART_MOST ? (size_t)size : 0;
            parts[count][sizes[count]] = '\0';
        }
        if (zmq_getsockopt(zap, ZMQ_RCVMORE, &more, &length))
            return 0;
    }
    return count;
}

bool zap_answer(struct porter *porter)
{
    char parts[ZAP_PARTS][ZAP_PART_MOST + 1], key[KEY_LENGTH + 1] = "";
    size_t sizes[ZAP_PARTS];
    int count = zap_receive(porter->zap, parts, sizes);
    if (!count)
        return false;
    bool allowed = count == ZAP_PARTS && !strcmp(parts[5], "CURVE") && sizes[6] == 32 &&
                   zmq_z85_encode(key, (const uint8_t *)parts[6], 32) && domain_allows(porter, parts[2], key);
    if (!allowed && !(porter->refused++ & 15)) // the first, and some of the others
        soma_log_warning(porter->system, "channels: the key '%s' is not allowed", key);
    const char *const answer[] = {"1.0", allowed ? "200" : "400", "", allowed ? key : "", ""};
    for (int i = 0; i < 6; i++) {
        bool identity = i == 1;
        const char *text = identity ? parts[1] : answer[i ? i - 1 : 0];
        size_t size = identity ? (count > 1 ? sizes[1] : 0) : strlen(text);
        zmq_send(porter->zap, text, size, ZMQ_DONTWAIT | (i < 5 ? ZMQ_SNDMORE : 0));
    }
    return true;
}
