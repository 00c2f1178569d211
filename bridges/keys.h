/*
 * Keys: this node's own pair, and those of the nodes that it talks to, in both directions. All in Z85, the text form of
 * ZeroMQ. With a key of its own a node speaks CURVE and nothing else.
 */
#ifndef BRIDGES_KEYS_H
#define BRIDGES_KEYS_H

#include <soma/bridge.h>
#include <stdbool.h>

#define KEY_SIZE SOMA_BRIDGE_KEY_SIZE /* with its NUL */

/* Public keys, sorted. */
struct key_list {
    char (*keys)[KEY_SIZE];
    uint32_t count;
};

struct keys {
    bool on; /* the node has keys */
    char public_key[KEY_SIZE];
    char secret_key[KEY_SIZE];
    char *file;              /* of the list; NULL: it came from memory */
    struct key_list allowed; /* under the bridge's lock: any thread may load it anew */
};

/* Those of the options, all checked. 0, SOMA_EINVAL, SOMA_EFORMAT, SOMA_ENOENT, SOMA_ETOOBIG, SOMA_ENOMEM, and what is
 * wrong is in the log. */
int keys_open(soma_system *system, const soma_bridge_options *options, struct keys *keys);

/* A list from text, or, if that is NULL, from a file. As keys_open(). */
int keys_load(soma_system *system, const char *text, const char *file, struct key_list *list);

bool keys_have(const struct key_list *list, const char *key);
bool key_is_valid(const char *key);

/* Frees, and leaves no key in memory. */
void keys_close(struct keys *keys);

#endif
