/*
 * Local names of agents: a hash table under a lock. An agent's end does nothing here: an entry whose agent is gone
 * counts as free, and is dropped when the table would grow.
 */
#ifndef RUNTIME_NAMES_H
#define RUNTIME_NAMES_H

#include <pthread.h>
#include <soma/ref.h>

struct name {
    struct name *next;
    soma_ref agent;
    uint64_t hash;
    char text[];
};

struct names {
    pthread_mutex_t lock;
    struct name **buckets; /* NULL before the first name */
    uint32_t bucket_count; /* a power of two */
    uint32_t count;
};

void names_close(struct names *names);

#endif
