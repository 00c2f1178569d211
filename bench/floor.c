/*
 * The floor: what the machine can do at all with this shape, against which the runtime is measured. Slots, a mailbox of
 * one atomic exchange a send, a freelist, batches of 100; no types, no generations, no stealing, no counters. One
 * thread for ring and ping-pong, two for fan-in.
 */
#include "bench.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 512u
#define BATCH 100u
#define NODES 65536u /* fan-in: messages in flight at most */
#define CHAIN 128u   /* nodes that go back between the threads at a time */
#define SENDERS 100u

struct node {
    _Atomic(struct node *) next;
    struct node *next_chain;
    uint64_t value;
    char pad[40];
};

#define IDLE ((struct node *)1)

struct slot {
    _Atomic(struct node *) head;
    _Atomic(struct node *) tail;
    struct slot *to;
    char pad[40];
};

/* ---- the mailbox ---- */

static inline bool push(struct slot *slot, struct node *node)
{
    atomic_store_explicit(&node->next, NULL, memory_order_relaxed);
    struct node *before = atomic_exchange_explicit(&slot->head, node, memory_order_acq_rel);
    if (before == IDLE) {
        atomic_store_explicit(&slot->tail, node, memory_order_release);
        return true;
    }
    atomic_store_explicit(&before->next, node, memory_order_release);
    return false;
}

/* The node after this one; NULL if there is none and the slot is idle. */
static inline struct node *next_of(struct slot *slot, struct node *node)
{
    struct node *next = atomic_load_explicit(&node->next, memory_order_acquire);
    if (next)
        return next;
    struct node *expected = node;
    if (atomic_compare_exchange_strong_explicit(&slot->head, &expected, IDLE, memory_order_acq_rel,
                                                memory_order_acquire))
        return NULL;
    while (!(next = atomic_load_explicit(&node->next, memory_order_acquire)))
        ;
    return next;
}

/* ---- ring and ping-pong: one thread ---- */

struct loop {
    struct slot slots[SLOTS];
    struct slot *queue[SLOTS]; /* runnable, first in first out */
    uint32_t begin;
    uint32_t end;
    struct node *free;
};

static inline void send(struct loop *loop, struct slot *to, uint64_t value)
{
    struct node *node = loop->free;
    loop->free = node->next_chain;
    node->value = value;
    if (push(to, node))
        loop->queue[loop->end++ % SLOTS] = to;
}

/* One turn of a slot; false when the token has arrived. */
static inline bool turn(struct loop *loop, struct slot *slot)
{
    struct node *node = atomic_load_explicit(&slot->tail, memory_order_acquire);
    for (uint32_t left = BATCH; left; left--) {
        if (!node->value)
            return false;
        send(loop, slot->to, node->value - 1);
        struct node *next = next_of(slot, node);
        node->next_chain = loop->free;
        loop->free = node;
        if (!next)
            return true;
        node = next;
    }
    atomic_store_explicit(&slot->tail, node, memory_order_release);
    loop->queue[loop->end++ % SLOTS] = slot;
    return true;
}

static void round_trip(const char *workload, uint32_t slots, uint64_t ops, bool json)
{
    static struct node nodes[SLOTS];
    struct loop *loop = calloc(1, sizeof(*loop));
    check(loop ? 0 : SOMA_ENOMEM, "floor");
    for (uint32_t i = 0; i < SLOTS; i++) {
        atomic_store(&loop->slots[i].head, IDLE);
        loop->slots[i].to = &loop->slots[(i + 1) % slots];
        nodes[i].next_chain = loop->free;
        loop->free = &nodes[i];
    }
    struct bench bench = {.workers = 1, .ops = ops};
    double start = now();
    send(loop, &loop->slots[0], ops);
    while (turn(loop, loop->queue[loop->begin++ % SLOTS]))
        ;
    bench.seconds = now() - start;
    free(loop);
    print_line(workload, "floor", &bench, json);
}

/* ---- fan-in: one thread sends from a hundred slots, another receives ---- */

struct pair {
    struct slot receiver;
    _Atomic(struct node *) returned; /* chains */
    char pad[56];
    uint64_t ops;
    struct node *free;   /* the sender's */
    struct node *chains; /* the sender's, taken from `returned` */
};

static struct node *node_take(struct pair *pair)
{
    while (!pair->free) {
        if (!pair->chains)
            pair->chains = atomic_exchange_explicit(&pair->returned, NULL, memory_order_acquire);
        if (!pair->chains) {
            sched_yield();
            continue;
        }
        pair->free = pair->chains;
        pair->chains = pair->chains->next_chain;
    }
    struct node *node = pair->free;
    pair->free = atomic_load_explicit(&node->next, memory_order_relaxed);
    return node;
}

static void *sender_main(void *argument)
{
    struct pair *pair = argument;
    uint64_t left[SENDERS];
    for (uint32_t i = 0; i < SENDERS; i++)
        left[i] = pair->ops / SENDERS;
    for (uint64_t sent = 0; sent < pair->ops;) {
        for (uint32_t i = 0; i < SENDERS; i++) { // a turn of each
            for (uint32_t n = 0; n < BATCH && left[i]; n++, left[i]--, sent++) {
                struct node *node = node_take(pair);
                node->value = i;
                push(&pair->receiver, node);
            }
        }
    }
    return NULL;
}

static void chain_return(struct pair *pair, struct node *chain)
{
    struct node *top = atomic_load_explicit(&pair->returned, memory_order_relaxed);
    do
        chain->next_chain = top;
    while (!atomic_compare_exchange_weak_explicit(&pair->returned, &top, chain, memory_order_release,
                                                  memory_order_relaxed));
}

static void receive(struct pair *pair)
{
    struct node *chain = NULL;
    uint32_t length = 0;
    for (uint64_t got = 0; got < pair->ops;) {
        struct node *node;
        while (!(node = atomic_exchange_explicit(&pair->receiver.tail, NULL, memory_order_acquire)))
            sched_yield();
        while (node) {
            got++;
            struct node *next = next_of(&pair->receiver, node);
            atomic_store_explicit(&node->next, chain, memory_order_relaxed);
            chain = node;
            if (++length == CHAIN) {
                chain_return(pair, chain);
                chain = NULL;
                length = 0;
            }
            node = next;
        }
    }
}

static void fanin(uint64_t ops, bool json)
{
    struct pair *pair = calloc(1, sizeof(*pair));
    struct node *nodes = calloc(NODES, sizeof(*nodes));
    check(pair && nodes ? 0 : SOMA_ENOMEM, "floor");
    pair->ops = ops - ops % SENDERS;
    atomic_store(&pair->receiver.head, IDLE);
    for (uint32_t i = 0; i < NODES; i++) {
        atomic_store(&nodes[i].next, pair->free);
        pair->free = &nodes[i];
    }
    struct bench bench = {.workers = 2, .ops = pair->ops};
    pthread_t thread;
    double start = now();
    check(pthread_create(&thread, NULL, sender_main, pair) ? SOMA_ETHREAD : 0, "floor");
    receive(pair);
    bench.seconds = now() - start;
    pthread_join(thread, NULL);
    free(nodes);
    free(pair);
    print_line("fanin", "floor", &bench, json);
}

void run_floor(uint64_t ops, bool json)
{
    ops = ops ? ops : 100000000;
    round_trip("ring", 503, ops, json);
    round_trip("pingpong", 2, ops, json);
    fanin(ops / 2, json);
}
