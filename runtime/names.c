/* Local names; see names.h. */
#include "runtime/names.h"
#include "runtime/hash.h"
#include "runtime/system.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 255
#define BUCKETS_FIRST 64u

static bool agent_alive(const soma_system *system, soma_ref ref)
{
    const soma_agent *agent = ref.node == system->node ? slots_find(&system->slots, ref.slot) : NULL;
    uint64_t life = agent ? u64_load(&agent->life) : 0;
    // One that nobody keeps (any more), killed, ending or down, runs no more but for its end; kept, it would get
    // another life.
    bool lost = (life & LIFE_LOOSE) && (life_down(life) || (life & LIFE_KILL));
    return (ref.generation & 1) && life_generation(life) == ref.generation && !lost;
}

/* The link to the entry of a name, or the end of its chain. */
static struct name **name_find(struct names *names, const char *text, uint64_t hash)
{
    struct name **link = &names->buckets[hash & (names->bucket_count - 1)];
    while (*link && ((*link)->hash != hash || strcmp((*link)->text, text) != 0))
        link = &(*link)->next;
    return link;
}

/* Moves the living into a table that is twice as large, or of the same size if many were dead. */
static bool names_grow(soma_system *system, struct names *names)
{
    uint32_t living = 0, old_count = names->bucket_count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct name **link = &names->buckets[i]; *link;) {
            struct name *here = *link;
            if (agent_alive(system, here->agent)) {
                living++;
                link = &here->next;
            } else {
                *link = here->next;
                free(here);
            }
        }
    }
    names->count = living;
    uint32_t count = old_count ? old_count : BUCKETS_FIRST;
    while (living >= count / 2)
        count *= 2;
    if (count == old_count)
        return true;
    struct name **buckets = calloc(count, sizeof(*buckets)); // NOLINT(bugprone-sizeof-expression): of pointers
    if (!buckets)
        return false;
    for (uint32_t i = 0; i < old_count; i++) {
        for (struct name *here = names->buckets[i], *next; here; here = next) {
            next = here->next;
            here->next = buckets[here->hash & (count - 1)];
            buckets[here->hash & (count - 1)] = here;
        }
    }
    free(names->buckets);
    names->buckets = buckets;
    names->bucket_count = count;
    return true;
}

static int name_add(soma_system *system, soma_ref agent, const char *text, uint64_t hash)
{
    struct names *names = &system->names;
    if (names->count >= names->bucket_count && !names_grow(system, names))
        return SOMA_ENOMEM;
    struct name **link = name_find(names, text, hash);
    if (*link && agent_alive(system, (*link)->agent))
        return soma_ref_equal((*link)->agent, agent) ? 0 : SOMA_EEXIST;
    if (!*link) {
        size_t size = strlen(text) + 1;
        struct name *made = malloc(sizeof(*made) + size);
        if (!made)
            return SOMA_ENOMEM;
        *made = (struct name){.hash = hash};
        memcpy(made->text, text, size);
        *link = made;
        names->count++;
    }
    (*link)->agent = agent;
    return 0;
}

static int name_remove(const soma_system *system, struct names *names, const char *text, uint64_t hash)
{
    struct name **link = names->buckets ? name_find(names, text, hash) : NULL;
    if (!link || !*link)
        return SOMA_ENOENT;
    struct name *here = *link;
    int error = agent_alive(system, here->agent) ? 0 : SOMA_ENOENT;
    *link = here->next;
    free(here);
    names->count--;
    return error;
}

int soma_name_set(soma_system *system, soma_ref agent, const char *name)
{
    if (!system || !name || !*name)
        return SOMA_EINVAL;
    if (strnlen(name, NAME_MAX_BYTES + 1) > NAME_MAX_BYTES)
        return SOMA_ETOOBIG;
    bool removing = soma_ref_is_null(agent);
    if (!removing && !agent_alive(system, agent))
        return SOMA_EGONE;
    uint64_t hash = hash_text(name);
    pthread_mutex_lock(&system->names.lock);
    int error = removing ? name_remove(system, &system->names, name, hash) : name_add(system, agent, name, hash);
    pthread_mutex_unlock(&system->names.lock);
    return error;
}

int soma_whereis(soma_system *system, const char *name, soma_ref *agent)
{
    if (agent)
        *agent = SOMA_REF_NULL;
    if (!system || !name || !agent)
        return SOMA_EINVAL;
    struct names *names = &system->names;
    pthread_mutex_lock(&names->lock);
    struct name **link = names->buckets ? name_find(names, name, hash_text(name)) : NULL;
    if (link && *link && agent_alive(system, (*link)->agent))
        *agent = (*link)->agent;
    pthread_mutex_unlock(&names->lock);
    return soma_ref_is_null(*agent) ? SOMA_ENOENT : 0;
}

void names_close(struct names *names)
{
    for (uint32_t i = 0; i < names->bucket_count; i++) {
        for (struct name *here = names->buckets[i], *next; here; here = next) {
            next = here->next;
            free(here);
        }
    }
    free(names->buckets);
    pthread_mutex_destroy(&names->lock);
}
