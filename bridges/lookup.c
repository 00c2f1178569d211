/* Asking the resolver; see lookup.h. */
#include "bridges/lookup.h"
#include "runtime/concurrent.h"
#include "runtime/thread.h"
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static void lookup_free(struct lookup *lookup)
{
    if (lookup->bell >= 0)
        close(lookup->bell);
    free(lookup);
}

void lookup_hold(struct lookup *lookup)
{
    u32_add(&lookup->holders, 1); // who does has it already
}

void lookup_drop(struct lookup *lookup)
{
    if (lookup && u32_add(&lookup->holders, (uint32_t)-1) == 1) // acquire and release: what others did stays before it
        lookup_free(lookup);
}

static void *lookup_main(void *argument)
{
    struct lookup *lookup = argument;
    const struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *first = NULL;
    if (!getaddrinfo(lookup->host, NULL, &wanted, &first) && first) {
        lookup->ip = ((const struct sockaddr_in *)(const void *)first->ai_addr)->sin_addr;
        lookup->found = true;
        freeaddrinfo(first);
    }
    u32_store(&lookup->over, 1); // release: who sees it sees what was found
    eventfd_write(lookup->bell, 1);
    lookup_drop(lookup);
    return NULL;
}

struct lookup *lookup_begin(const char *host, const struct post *post, uint64_t key)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    pthread_t thread;
    if (!lookup)
        return NULL;
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    lookup->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    u32_store(&lookup->holders, 2);
    if (lookup->bell < 0 || !post_watch_handle(post, lookup->bell, key, false) ||
        thread_start(&thread, lookup_main, lookup)) {
        lookup_free(lookup);
        return NULL;
    }
    pthread_detach(thread);
    return lookup;
}

bool lookup_is_over(struct lookup *lookup)
{
    return u32_load(&lookup->over); // acquire: what was found is there, too
}

bool lookup_is_for(const struct lookup *lookup, const char *host)
{
    return !strcmp(lookup->host, host);
}
