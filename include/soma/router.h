/**
 * @file
 * Routers: agents that pass what they get on to one of a pool of members, or to all. Senders know the router only:
 *
 *     const soma_routing routing = {.strategy = SOMA_LEAST_LOADED, .members = workers, .count = 3};
 *     soma_spawn(system, &soma_router, &routing, &router);
 *     soma_send(self, router, job, .n = 7);
 *
 * A message stays its sender's: the member's soma_sender() is who sent it to the router, and its reply to a request
 * goes straight to who asked. What a member gets from one sender by way of one router is in order.
 *
 * A router monitors its members, and one that ends leaves the pool; if it finds one gone while it passes a message on,
 * it tries the next. What a member had got before it ended is lost as ever: a dead letter, or a request that fails
 * with SOMA_EGONE. A kept agent that ends leaves, too; its next life joins again by a `soma_router_add` of its own.
 */
#ifndef SOMA_ROUTER_H
#define SOMA_ROUTER_H

#include <soma/agent.h>
#include <soma/message.h>

/** Which member gets a message. */
typedef enum soma_routing_strategy {
    SOMA_ROUND_ROBIN,    /**< each in turn */
    SOMA_RANDOM,         /**< any, by soma_random() */
    SOMA_LEAST_LOADED,   /**< the one with the least soma_backlog(), of equal ones each in turn: it looks at all members
                              for every message. What a member is handling does not count */
    SOMA_BROADCAST,      /**< all. A soma_body is shared, any other message copied for each. A request fails with
                              SOMA_ESTATE, as it can have one answer only */
    SOMA_CONSISTENT_HASH /**< the same for all messages of a key, by rendezvous hashing: when a member leaves only its
                              keys move, to all others alike; when one joins only those move that are its from now on.
                              Routers with the same members agree, whatever the order they joined in */
} soma_routing_strategy;

/** What a router does: the argument of its init, which copies it. */
typedef struct soma_routing {
    soma_routing_strategy strategy; /**< which member gets a message */
    const soma_ref *members;        /**< who is in the pool from the start; a ref that is there twice counts once */
    uint32_t count;                 /**< how many; 0: they join later */
    /** For #SOMA_CONSISTENT_HASH: a message's key. It may be any number, small or not, and must follow from the message
     *  alone. Runs on a worker. */
    uint64_t (*key)(const soma_type *type, const void *message);
} soma_routing;

/**
 * The behavior of routers. Its init, and so soma_spawn(), fails with SOMA_EINVAL (NULL, no such strategy, a null ref or
 * the router's own as a member, a hash without key) or SOMA_ENOMEM. It passes on all types of messages and requests but
 * `soma_down` and those below; while the pool is empty a request fails with SOMA_ENOENT, and a message is a dead letter
 * to the null ref. Each member's mail is counted from then on, as by soma_backlog().
 */
SOMA_API extern const soma_behavior soma_router;

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_router_add, (ref, member))
SOMA_MESSAGE(soma_router_remove, (ref, member))
SOMA_MESSAGE(soma_router_list)
SOMA_MESSAGE(soma_router_members, (array, ref, members))
/** @endcond */

/*
 * What a router takes for itself:
 *
 * soma_router_add, a message: `member` joins; if it has joined already, nothing happens. One that can't (the null ref,
 *   the router itself, no memory) is named in the log.
 * soma_router_remove, a message: `member` leaves. What it was passed before it still handles.
 * soma_router_list, a request. Answer: soma_router_members, in the order in which they joined; error: SOMA_ENOMEM.
 */

#endif
