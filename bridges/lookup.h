/*
 * What IP a host's name stands for. The system's resolver may take long, so it is asked by a thread of its own, which
 * nobody waits for: one that comes too late finds that it is alone, and tidies up.
 */
#ifndef BRIDGES_LOOKUP_H
#define BRIDGES_LOOKUP_H

#include "bridges/frame.h"
#include "bridges/post.h"
#include <netinet/in.h>
#include <stdbool.h>

struct lookup {
    char host[ADDRESS_MAX + 1];
    int bell; /* an eventfd that the post watches */
    struct in_addr ip;
    bool found;
    shared_u32 over;    /* what is above is there */
    shared_u32 holders; /* who asks, and the thread */
    /* ---- for who asks ---- */
    struct lookup *next;
    bool used; /* somebody has taken what it has found */
};

/* Asks for a host's IPv4 address. When it is there `post` is told of `key`. NULL: there is no memory, or no thread. The
 * caller holds it. */
struct lookup *lookup_begin(const char *host, const struct post *post, uint64_t key);

/* Is `found`, with `ip`, to be read? */
bool lookup_is_over(struct lookup *lookup);
bool lookup_is_for(const struct lookup *lookup, const char *host);

/* One more holds it; or one less, also NULL. */
void lookup_hold(struct lookup *lookup);
void lookup_drop(struct lookup *lookup);

#endif
