/* The places of one system, under one lock; see hub.h. */
#include "channels/hub.h"
#include "channels/clerk.h"
#include "channels/porter.h"
#include "runtime/hash.h"
#include "runtime/system.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u

/* Something bound at a name, or that wants to be connected there. */
struct entry {
    struct entry *next;
    struct port_place place;
    soma_pattern pattern; /* of a bound one */
    bool taken;           /* a bound PAIR, and connected */
    char name[];
};

struct hub {
    struct tenant tenant;
    pthread_mutex_t lock;
    struct entry *bound[BUCKETS];
    struct entry *wanting[BUCKETS];
    struct defaults defaults;       /* under lock */
    struct serializer *serializers; /* the users' own; under lock */
    bool stopped;                   /* under lock: no porter any more, if there was none */
    struct porter *porter;          /* under lock; NULL before the first channel over ipc or tcp */
};

static void entries_free(struct entry *entry)
{
    while (entry) {
        struct entry *next = entry->next;
        free(entry);
        entry = next;
    }
}

static void hub_release(struct tenant *tenant)
{
    struct hub *hub = (struct hub *)tenant;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        entries_free(hub->bound[i]);
        entries_free(hub->wanting[i]);
    }
    if (hub->porter)
        porter_free(hub->porter);
    for (struct serializer *serializer = hub->serializers, *next; serializer; serializer = next) {
        next = serializer->next;
        free(serializer);
    }
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

static bool hub_stop(struct tenant *tenant)
{
    struct hub *hub = (struct hub *)tenant;
    pthread_mutex_lock(&hub->lock);
    hub->stopped = true;
    struct porter *porter = hub->porter;
    pthread_mutex_unlock(&hub->lock);
    return !porter || porter_stop(porter);
}

/* There is a porter, as it has brought what is answered. */
static int hub_answer(struct tenant *tenant, struct worker *worker, soma_ref to, soma_handle handle,
                      const soma_type *type, const void *message)
{
    return question_answer(((struct hub *)tenant)->porter, worker, to, handle, type, message);
}

static struct tenant *hub_make(void)
{
    struct hub *hub = calloc(1, sizeof(*hub));
    if (!hub)
        return NULL;
    hub->tenant.stop = hub_stop;
    hub->tenant.release = hub_release;
    hub->tenant.answer = hub_answer;
    pthread_mutex_init(&hub->lock, NULL);
    return &hub->tenant;
}

static struct hub *hub_of(soma_system *system)
{
    return (struct hub *)system_tenant(system, hub_make);
}

int porter_of(soma_system *system, struct porter **porter)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return SOMA_ENOMEM;
    pthread_mutex_lock(&hub->lock);
    int error = hub->porter ? 0 : hub->stopped ? SOMA_ECLOSED : porter_open(system, &hub->porter);
    *porter = hub->porter;
    pthread_mutex_unlock(&hub->lock);
    if (!error)
        ptr_store(&hub->tenant.worker, (*porter)->worker); // release: who counts sees it whole
    if (!error)
        ptr_store(&hub->tenant.rest, &(*porter)->rest); // the same
    return error;
}

int hub_set_defaults(soma_system *system, const struct defaults *defaults)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return SOMA_ENOMEM;
    pthread_mutex_lock(&hub->lock);
    hub->defaults = *defaults;
    pthread_mutex_unlock(&hub->lock);
    return 0;
}

int hub_get_defaults(soma_system *system, struct defaults *defaults)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return SOMA_ENOMEM;
    pthread_mutex_lock(&hub->lock);
    *defaults = hub->defaults;
    pthread_mutex_unlock(&hub->lock);
    return 0;
}

/* ---- serializers ---- */

/* Under the lock. */
static struct serializer *serializer_find(const struct hub *hub, const char *name)
{
    struct serializer *serializer = hub->serializers;
    while (serializer && strcmp(serializer->name, name) != 0)
        serializer = serializer->next;
    return serializer;
}

const struct serializer *hub_serializer(soma_system *system, const char *name)
{
    const struct serializer *found = serializer_built_in(name);
    struct hub *hub = found ? NULL : hub_of(system);
    if (!hub)
        return found;
    pthread_mutex_lock(&hub->lock);
    found = serializer_find(hub, name);
    pthread_mutex_unlock(&hub->lock);
    return found;
}

/* Takes it, unless it gives an error. */
static int serializer_add(struct hub *hub, struct serializer *made)
{
    pthread_mutex_lock(&hub->lock);
    const struct serializer *found = serializer_find(hub, made->name);
    const bool same = found && serializer_equal(found, &made->user);
    if (!found) {
        made->next = hub->serializers;
        hub->serializers = made;
    }
    pthread_mutex_unlock(&hub->lock);
    if (found)
        free(made);
    return found && !same ? SOMA_EEXIST : 0;
}

int soma_serializer_register(soma_system *system, const soma_serializer *serializer)
{
    if (!system || !serializer || !serializer->name || !*serializer->name || !serializer->pack || !serializer->unpack)
        return SOMA_EINVAL;
    if (strnlen(serializer->name, SOMA_SERIALIZER_NAME_MOST + 1) > SOMA_SERIALIZER_NAME_MOST)
        return SOMA_ETOOBIG;
    if (serializer_built_in(serializer->name))
        return SOMA_EEXIST;
    struct hub *hub = hub_of(system);
    struct serializer *made = hub ? malloc(sizeof(*made)) : NULL;
    if (!made)
        return SOMA_ENOMEM;
    *made = serializer_wrap(serializer);
    return serializer_add(hub, made);
}

/* ---- places ---- */

static uint32_t bucket_of(const char *name)
{
    return (uint32_t)(hash_text(name) % BUCKETS);
}

/* The link to the first entry of a name, or to that of one place, or the end of the chain. */
static struct entry **entry_find(struct entry **link, const char *name, const struct port_place *place)
{
    while (*link && (strcmp((*link)->name, name) != 0 || (place && !port_place_equal(&(*link)->place, place))))
        link = &(*link)->next;
    return link;
}

static int entry_add(struct entry **first, const struct channel *channel, const struct port_place *here)
{
    size_t size = strlen(channel->address.host) + 1;
    struct entry *entry = malloc(sizeof(*entry) + size);
    if (!entry)
        return SOMA_ENOMEM;
    *entry = (struct entry){.next = *first, .place = *here, .pattern = channel->pattern};
    memcpy(entry->name, channel->address.host, size);
    *first = entry;
    return 0;
}

static void entry_remove(struct entry **first, const char *name, const struct port_place *place)
{
    struct entry **link = entry_find(first, name, place), *entry = *link;
    if (entry)
        *link = entry->next;
    free(entry);
}

int hub_bind(soma_system *system, const struct channel *channel, const struct port_place *here)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return SOMA_ENOMEM;
    struct entry **first = &hub->bound[bucket_of(channel->address.host)];
    pthread_mutex_lock(&hub->lock);
    int error = *entry_find(first, channel->address.host, NULL) ? SOMA_EEXIST : entry_add(first, channel, here);
    pthread_mutex_unlock(&hub->lock);
    return error;
}

void hub_announce(soma_system *system, const char *name)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return;
    pthread_mutex_lock(&hub->lock);
    for (struct entry *entry = hub->wanting[bucket_of(name)]; entry; entry = entry->next)
        if (!strcmp(entry->name, name))
            notice_bound(system, &entry->place);
    pthread_mutex_unlock(&hub->lock);
}

void hub_unbind(soma_system *system, const struct channel *channel, const struct port_place *here)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return;
    pthread_mutex_lock(&hub->lock);
    entry_remove(&hub->bound[bucket_of(channel->address.host)], channel->address.host, here);
    pthread_mutex_unlock(&hub->lock);
}

int hub_want(soma_system *system, const struct channel *channel, const struct port_place *here)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return SOMA_ENOMEM;
    pthread_mutex_lock(&hub->lock);
    int error = entry_add(&hub->wanting[bucket_of(channel->address.host)], channel, here);
    pthread_mutex_unlock(&hub->lock);
    return error;
}

void hub_unwant(soma_system *system, const struct channel *channel, const struct port_place *here)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return;
    pthread_mutex_lock(&hub->lock);
    entry_remove(&hub->wanting[bucket_of(channel->address.host)], channel->address.host, here);
    pthread_mutex_unlock(&hub->lock);
}

int hub_enter(soma_system *system, const struct channel *channel, struct port_place *there)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return SOMA_ENOENT;
    int error = 0;
    pthread_mutex_lock(&hub->lock);
    struct entry *entry = *entry_find(&hub->bound[bucket_of(channel->address.host)], channel->address.host, NULL);
    if (!entry || entry->taken)
        error = SOMA_ENOENT;
    else if (entry->pattern != soma_pattern_twin(channel->pattern))
        error = SOMA_ETYPE;
    if (!error) {
        entry->taken = entry->pattern == SOMA_PAIR;
        *there = entry->place;
    }
    pthread_mutex_unlock(&hub->lock);
    return error;
}

void hub_leave(soma_system *system, const struct channel *channel)
{
    struct hub *hub = hub_of(system);
    if (!hub)
        return;
    pthread_mutex_lock(&hub->lock);
    struct entry *entry = *entry_find(&hub->bound[bucket_of(channel->address.host)], channel->address.host, NULL);
    if (entry)
        entry->taken = false;
    pthread_mutex_unlock(&hub->lock);
    hub_announce(system, channel->address.host);
}
