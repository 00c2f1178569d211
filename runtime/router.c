/*
 * Routers, on the public interface alone. See include/soma/router.h.
 *
 * The fallback hook picks a member and forwards. A member that is found gone is dropped there and then, and another one
 * picked, so that only living ones are left to try.
 */
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/router.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>

struct member {
    soma_ref ref;
    soma_handle monitor;
    uint64_t seed; /* its part in the scores of all keys */
};

struct router {
    soma_routing_strategy strategy;
    uint64_t (*key)(const soma_type *type, const void *message);
    struct member *members; /* in the order in which they joined */
    uint32_t count;
    uint32_t capacity;
    uint32_t next; /* whose turn it is; below count, or 0 */
};

/* ---- the pool ---- */

/* The end of splitmix64: no two numbers give the same one, and each bit changes half of the result's. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint32_t member_find(const struct router *my, soma_ref ref)
{
    uint32_t i = 0;
    while (i < my->count && !soma_ref_equal(my->members[i].ref, ref))
        i++;
    return i;
}

static int pool_grow(struct router *my)
{
    uint32_t capacity = my->capacity ? my->capacity * 2 : 8;
    struct member *grown = realloc(my->members, capacity * sizeof(*grown));
    if (!grown)
        return SOMA_ENOMEM;
    my->members = grown;
    my->capacity = capacity;
    return 0;
}

static int member_add(soma_agent *self, struct router *my, soma_ref ref)
{
    if (soma_ref_is_null(ref) || soma_ref_equal(ref, soma_self(self))) // which would pass to itself for ever
        return SOMA_EINVAL;
    if (member_find(my, ref) < my->count)
        return 0;
    if (my->count == my->capacity && pool_grow(my))
        return SOMA_ENOMEM;
    soma_handle monitor = soma_monitor(self, ref);
    if (monitor < 0)
        return (int)monitor;
    uint64_t seed = mix(mix(ref.node) + ((uint64_t)ref.slot << 32 | ref.generation));
    my->members[my->count++] = (struct member){ref, monitor, seed};
    return 0;
}

static void member_remove(struct router *my, uint32_t index)
{
    my->count--;
    memmove(&my->members[index], &my->members[index + 1], (my->count - index) * sizeof(*my->members));
    if (index < my->next)
        my->next--;
    if (my->next >= my->count)
        my->next = 0;
}

/* One of whose end no word has come, nor will from now on. */
static void member_drop(soma_agent *self, struct router *my, uint32_t index)
{
    soma_demonitor(self, my->members[index].monitor);
    member_remove(my, index);
}

static int router_init(soma_agent *self, void *state, const void *arg)
{
    struct router *my = state;
    const soma_routing *routing = arg;
    if (!routing || routing->strategy < SOMA_ROUND_ROBIN || routing->strategy > SOMA_CONSISTENT_HASH ||
        (routing->count && !routing->members) || (routing->strategy == SOMA_CONSISTENT_HASH && !routing->key))
        return SOMA_EINVAL;
    my->strategy = routing->strategy;
    my->key = routing->key;
    int error = 0;
    for (uint32_t i = 0; i < routing->count && !error; i++)
        error = member_add(self, my, routing->members[i]);
    return error;
}

static void router_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    free(((struct router *)state)->members);
}

/* ---- who gets a message ---- */

static uint32_t least_loaded(soma_agent *self, const struct router *my)
{
    uint32_t best = my->next, least = UINT32_MAX;
    for (uint32_t i = 0; i < my->count && least; i++) {
        uint32_t index = (uint32_t)(((uint64_t)my->next + i) % my->count), mail;
        if (!soma_backlog(soma_agent_system(self), my->members[index].ref, &mail) && mail < least) {
            best = index;
            least = mail;
        }
    }
    return best;
}

/* Rendezvous hashing: each member has a score for the key, of both alone, and the highest wins. */
static uint32_t highest_score(const struct router *my, uint64_t key)
{
    uint64_t mixed = mix(key), highest = 0;
    uint32_t best = 0;
    for (uint32_t i = 0; i < my->count; i++) {
        uint64_t score = mix(my->members[i].seed ^ mixed);
        if (score > highest) {
            best = i;
            highest = score;
        }
    }
    return best;
}

static uint32_t choose(soma_agent *self, const struct router *my, uint64_t key)
{
    switch (my->strategy) {
    case SOMA_RANDOM:
        return (uint32_t)(soma_random(self) % my->count);
    case SOMA_LEAST_LOADED:
        return least_loaded(self, my);
    case SOMA_CONSISTENT_HASH:
        return highest_score(my, key);
    default:
        return my->next;
    }
}

/* ---- passing on ---- */

/* Passes the message that is being handled on to a member. False if that one is gone, and from now on out of the pool.
 */
static bool member_pass(soma_agent *self, struct router *my, uint32_t index)
{
    soma_ref ref = my->members[index].ref;
    uint32_t mail;
    // Looks first: a request that was forwarded to nobody has failed by that and can't be tried elsewhere, and a
    // message would count as a dead letter each time.
    int error = soma_backlog(soma_agent_system(self), ref, &mail);
    if (error != SOMA_EGONE)
        error = soma_forward(self, ref);
    if (error == SOMA_EGONE || error == SOMA_ENOROUTE) {
        member_drop(self, my, index);
        return false;
    }
    if (error == SOMA_ENOMEM && soma_reply_error(self, error))
        soma_log_warning(self, "a message is lost: %s", soma_strerror(error));
    return true;
}

static int pass_to_nobody(soma_agent *self)
{
    if (soma_reply_error(self, SOMA_ENOENT)) // it is no request
        soma_forward(self, SOMA_REF_NULL);   // which counts it
    return 0;
}

static int pass_to_all(soma_agent *self, struct router *my)
{
    if (my->count && !soma_reply_error(self, SOMA_ESTATE))
        return 0; // it was a request
    for (uint32_t i = 0; i < my->count;)
        i += member_pass(self, my, i);
    return my->count ? 0 : pass_to_nobody(self);
}

static int router_fallback(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    struct router *my = state;
    if (my->strategy == SOMA_BROADCAST)
        return pass_to_all(self, my);
    uint64_t key = my->strategy == SOMA_CONSISTENT_HASH ? my->key(type, message) : 0;
    while (my->count) {
        uint32_t index = choose(self, my, key);
        my->next = (index + 1) % my->count;
        if (member_pass(self, my, index))
            return 0;
    }
    return pass_to_nobody(self);
}

/* ---- who is in the pool ---- */

static int on_add(soma_agent *self, struct router *my, const struct soma_router_add *m)
{
    int error = member_add(self, my, m->member);
    if (error)
        soma_log_warning(self, "agent %u.%u can't join: %s", m->member.slot, m->member.generation,
                         soma_strerror(error));
    return 0;
}

static int on_remove(soma_agent *self, struct router *my, const struct soma_router_remove *m)
{
    uint32_t index = member_find(my, m->member);
    if (index < my->count)
        member_drop(self, my, index);
    return 0;
}

static int on_down(soma_agent *self, struct router *my, const struct soma_down *m)
{
    uint32_t index = member_find(my, m->agent);
    (void)self;
    if (index < my->count && my->members[index].monitor == m->monitor)
        member_remove(my, index);
    return 0;
}

static int on_list(soma_agent *self, struct router *my, const struct soma_router_list *m)
{
    (void)m;
    soma_ref *refs = my->count ? malloc(my->count * sizeof(*refs)) : NULL;
    if (my->count && !refs) {
        soma_reply_error(self, SOMA_ENOMEM);
        return 0;
    }
    for (uint32_t i = 0; i < my->count; i++)
        refs[i] = my->members[i].ref;
    int error = soma_reply(self, soma_router_members, .members = {refs, my->count});
    free(refs);
    if (error)
        soma_reply_error(self, error);
    return 0; // sent as a message it must not end the router
}

const soma_behavior soma_router = {
    .name = "router",
    .state_size = sizeof(struct router),
    .init = router_init,
    .stop = router_stop,
    .fallback = router_fallback,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_router_add, on_add), SOMA_ON(soma_router_remove, on_remove),
                              SOMA_ON(soma_router_list, on_list), SOMA_ON(soma_down, on_down)),
};
