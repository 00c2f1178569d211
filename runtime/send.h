/*
 * The way of a message: built as a block, pushed into a mailbox or carried to another node, and disposed of. `worker`
 * is the caller's, NULL for threads outside: it says whose pool a block comes from.
 */
#ifndef RUNTIME_SEND_H
#define RUNTIME_SEND_H

#include "runtime/message.h"
#include "runtime/system.h"
#include <malloc.h>
#include <stdlib.h>

/* What a MESSAGE_CALLBACK's body holds. */
struct callback {
    int (*run)(soma_agent *self, void *state, void *arg);
    void (*drop)(void *arg);
    void *arg;
};

/* What a MESSAGE_SHARED's body points to: soma_body of include/soma/body.h. */
struct soma_body {
    shared_u32 references;
    const soma_type *type;
    bool adopted; /* its strings and arrays are heap blocks of their own */
    size_t size;  /* with them */
    uint64_t words[];
};

/* Lets a MESSAGE_SHARED hold a body, to which it gets a reference of its own. */
void body_hold(struct worker *worker, struct message *message, struct soma_body *body);

/* Counts one more of something, at its offset, by that worker; NULL: by a thread outside. */
static inline void count_outside_or(soma_system *system, struct worker *worker, size_t counter)
{
    struct counters *counters = worker ? &worker->counters : &system->outside;
    shared_u64 *value = (shared_u64 *)((char *)counters + counter);
    if (worker)
        counter_add(value, 1);
    else
        u64_add(value, 1);
}

/* A block for a thread outside, or too large for the pool. */
struct message *heap_take(struct worker *worker, size_t size);

/* A block of a kind with room for `size` bytes of body, whose type and sender are to be set; NULL when memory is out.
 */
static inline struct message *message_take(struct worker *worker, enum message_kind kind, size_t size)
{
    size_t total = sizeof(struct message) + size;
    uint8_t class = !worker ? POOL_HEAP : __builtin_expect(total <= 64, 1) ? 1 : pool_class(total);
    struct message *message = class == POOL_HEAP ? heap_take(worker, total) : pool_take(&worker->pool, class);
    if (__builtin_expect(message != NULL, 1))
        message->head = class | (uint64_t)kind << 8; // in one piece, as it will be read
    return message;
}

/* The same from nobody. */
struct message *message_new(struct worker *worker, enum message_kind kind, size_t size);

/* A block of a kind with the handle `word` first (if the kind has one) and a copy of the body behind it. */
int message_build(struct worker *worker, enum message_kind kind, uint64_t word, const soma_type *type, const void *body,
                  struct message **result);

/* What a message takes: its block, and a shared body's size, which is its second word, as if it were its own. */
static inline uint64_t message_bytes(struct message *message)
{
    uint64_t block = message->class == POOL_HEAP ? malloc_usable_size(message) : pool_class_size(message->class);
    return message->kind == MESSAGE_SHARED ? block + message->body[1] : block;
}

/* Frees the block alone. */
static inline void message_free(struct worker *worker, struct message *message)
{
    if (__builtin_expect(message->class == POOL_HEAP, 0)) {
        if (message->marks & MARK_OUTSIDE && worker)
            counter_add(&worker->counters.outside_done, message_bytes(message));
        free(message);
    } else
        pool_give(&worker->pool, message->class, message);
}

/* Frees a block and what it holds, whatever its kind. */
void message_dispose(struct worker *worker, struct message *message);

/* Sends a block; takes it, whatever it returns. What reaches nobody is a dead letter, and a request's sender is told.
 */
int message_push(soma_system *system, struct worker *worker, soma_ref to, struct message *message);

/* The same for one that came from another node, with others behind it: it may wait for them in the outbox of the
 * worker, which has no turns, until that is flushed. */
int message_push_along(soma_system *system, struct worker *worker, soma_ref to, struct message *message);

/* Tells the driver, which observes, of a message on its way or about to be handled. */
void message_observe(soma_system *system, enum event_kind kind, soma_ref to, const struct message *message);

/* The slot of a local ref that takes mail as far as can be seen now, else NULL; *plainly if nothing is special about
 * it.
 */
static inline soma_agent *target_look(soma_system *system, soma_ref to, bool *plainly)
{
    soma_agent *target = slots_find(&system->slots, to.slot);
    if (__builtin_expect(!target || !(to.generation & 1), 0))
        return NULL;
    uint64_t life = u64_load(&target->life);
    *plainly = life == life_of(to.generation);
    bool takes = *plainly || (life_generation(life) == to.generation && !(life & LIFE_DEAF));
    return __builtin_expect(takes, 1) ? target : NULL;
}

static inline soma_agent *target_find(soma_system *system, soma_ref to)
{
    bool plainly;
    return target_look(system, to, &plainly);
}

/* Puts linked blocks whose generation and sender are set into their sender's own mailbox, from outside. Timers. */
void message_push_own(soma_system *system, struct message *first, struct message *last);

/* Counts a message that reached nobody, and tells who watches dead letters. */
void letter_dead(soma_system *system, struct worker *worker, soma_ref sender, soma_ref to, const soma_type *type,
                 int reason);

/* The order to end, from an agent or nobody. As message_push(). */
int shutdown_send(soma_system *system, struct worker *worker, soma_ref from, soma_ref agent);

/* Drops a message that reached nobody, for a reason: counts it, tells who must know. */
void message_dead(soma_system *system, struct worker *worker, soma_ref to, struct message *message, int reason);

/* An agent has no use for a message that it got: a dead letter for that reason, and a request fails with it. The block
 * stays. */
void message_unhandled(struct worker *worker, soma_ref self, struct message *message, int reason);

/* Takes a message for who stands in for others, see port.h, if it is an answer; else false. One that a bridge brings is
 * left to that one's turn: what is made of it may take its time, and all that comes from other nodes would wait. */
bool stand_in_take(soma_system *system, struct worker *worker, soma_ref to, struct message *message);
void stand_in_settle(struct worker *worker, const soma_agent *agent, const struct message *answer);

/* Is it the life of such a one? Not of one that has come into its slot since that was found. */
static inline bool life_stands(uint64_t life, soma_ref to)
{
    return life & LIFE_STANDS && life_generation(life) == to.generation;
}

/* Answers a request: `requester` and `handle` are its sender and first word. */
int reply_send(soma_system *system, struct worker *worker, soma_ref from, soma_ref requester, uint64_t handle,
               const soma_type *type, const void *body);
int reply_fail(soma_system *system, struct worker *worker, soma_ref from, soma_ref requester, uint64_t handle,
               int error);

/* Answers a request with an error by its own block, which needs no memory. Takes the block. */
void request_fail(soma_system *system, struct worker *worker, soma_ref from, struct message *request, int error);

/*
 * The same for a request that is being handled, whose block is still in a mailbox. Without memory for the answer the
 * block becomes it, as a settled MESSAGE_ERROR, and request_refused() sends it once the mailbox has let go of it.
 */
void request_refuse(struct worker *worker, soma_ref self, struct message *request, int error);
void request_refused(soma_system *system, struct worker *worker, soma_ref self, struct message *refused);

/* Is it an agent's, who can make as many of its kind as it likes? Answers and words of an end it owes. */
static inline bool message_presses(const struct message *message)
{
    uint8_t kind = message->kind;
    bool from_agent = message->sender.node || message->marks & MARK_PASSED;
    return from_agent && (kind <= MESSAGE_REQUEST || kind == MESSAGE_WATCH || kind == MESSAGE_UNWATCH ||
                          kind == MESSAGE_LINK || kind == MESSAGE_UNLINK);
}

/* The message that a block carries to a handler. */
static inline const void *message_body(const struct message *message)
{
    if (message->kind == MESSAGE_SHARED)
        return ((const struct soma_body *)(uintptr_t)message->body[0])->words;
    bool word = message->kind != MESSAGE_PLAIN && (message->kind == MESSAGE_REQUEST || message->kind == MESSAGE_REPLY ||
                                                   message->kind == MESSAGE_DOWN || message->kind == MESSAGE_EXIT);
    const uint64_t *body = message->body + word;
    if (message->marks & MARK_LABEL) // a plain message or a request, as a shared one's body is elsewhere
        body += sizeof(struct port_label) / sizeof(uint64_t) + ((const struct port_label *)body)->words;
    return body;
}

#endif
