/**
 * @file
 * The ref: a small value that addresses an agent anywhere. It owns nothing, so it is copied, compared and sent freely.
 */
#ifndef SOMA_REF_H
#define SOMA_REF_H

#include <stdbool.h>
#include <stdint.h>

/** Addresses one agent, on this node or another. A ref to an agent that is gone is harmless. Compare by
 * soma_ref_equal(). */
typedef struct soma_ref {
    uint64_t node;       /**< the identity of the node (of its incarnation) that the agent lives on */
    uint32_t slot;       /**< the agent's slot there */
    uint32_t generation; /**< which of the slot's successive agents is meant; 0 only in the null ref */
} soma_ref;

/** The ref to nobody. Zeroed memory is one too. */
#define SOMA_REF_NULL ((soma_ref){0, 0, 0})

/**
 * Do two refs address the same agent? Any thread may call it.
 * @param a a ref
 * @param b another
 * @return true if they do; two null refs are equal
 */
static inline bool soma_ref_equal(soma_ref a, soma_ref b)
{
    return a.node == b.node && a.slot == b.slot && a.generation == b.generation;
}

/**
 * Is it the ref to nobody? Any thread may call it.
 * @param ref a ref
 * @return true for #SOMA_REF_NULL
 */
static inline bool soma_ref_is_null(soma_ref ref)
{
    return soma_ref_equal(ref, SOMA_REF_NULL);
}

#endif
