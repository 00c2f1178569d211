/*
 * A message block: header and body in one piece. The kind says what stands in the body's words and who gets it; the
 * fast path knows only plain ones, whose words are the message itself.
 */
#ifndef RUNTIME_MESSAGE_H
#define RUNTIME_MESSAGE_H

#include "runtime/concurrent.h"
#include <soma/ref.h>
#include <soma/type.h>
#include <string.h>

enum message_kind {
    MESSAGE_PLAIN,     /* the message */
    MESSAGE_SHARED,    /* a pointer to a soma_body, and its size */
    MESSAGE_REQUEST,   /* the requester's handle, then the message; room for two words at least */
    MESSAGE_REPLY,     /* the requester's handle, then the message */
    MESSAGE_ERROR,     /* the requester's handle, then an error: a reply that failed */
    MESSAGE_TIMER,     /* a struct timer whose message is for its own agent */
    MESSAGE_TIMEOUT,   /* a struct timer that stands for a pending request; in a mailbox: its time is over */
    MESSAGE_CALLBACK,  /* a struct callback */
    MESSAGE_READY,     /* the number of the agent's life, see keep.h: its behavior's ready hook is due */
    MESSAGE_WAKE,      /* nothing: makes an idle agent run, so that it sees that it was killed */
    MESSAGE_CAUGHT_UP, /* nothing: what waited when the agent was overloaded is handled, see pressure.h */
    MESSAGE_MONITOR,   /* never sent: a watcher's entry for a monitor; its watch. See monitor.h for all of these */
    MESSAGE_KEPT,      /* never sent: a keeper's entry for an agent that it keeps, see keep.h */
    MESSAGE_PORT,      /* never sent: an agent's entry for a port, and the port; see port.h */
    MESSAGE_WATCH,     /* a watch, for the agent that is to be watched */
    MESSAGE_UNWATCH,   /* a watch that the agent has and is to drop, and the watcher's handle */
    MESSAGE_DOWN,      /* the watcher's handle, then a soma_down */
    MESSAGE_LINKED,    /* never sent: an agent's side of a link */
    MESSAGE_LINK,      /* the sender's handle for the link, then a block for the other side */
    MESSAGE_UNLINK,    /* the receiver's handle for the link, or 0 */
    MESSAGE_EXIT,      /* the receiver's handle for the link, or 0; then a soma_exited */
    MESSAGE_SHUTDOWN,  /* nothing: the sender tells the agent to end */
    MESSAGE_REVIVED,   /* the number of a kept agent's life: what its keeper told it before was for an earlier one */
};

#define MARK_COUNTED 1u /* in its receiver's tally, see tally.h */
#define MARK_DROPPED 2u /* it was, and is one too many */
#define MARK_OUTSIDE 4u /* from a thread outside, see outside.h */
#define MARK_PASSED 8u  /* by an agent that is not its sender */
#define MARK_LABEL 16u  /* for a port, with a label: a plain message, a shared one or a request; see port.h */

struct message {
    shared_ptr next;
    const soma_type *type;
    union {
        struct {
            uint8_t class; /* of its block, see pool.h */
            uint8_t kind;  /* enum message_kind */
            uint8_t marks; /* as follows */
            bool settled;  /* a request: somebody answers it. A callback: it ran. An error: see request_refuse(). A
                              down message: of a kept agent, which the receiver owns now */
            uint32_t generation; /* of the agent that it is for */
        };
        uint64_t head; /* all of these: a plain message's is its receiver's life and its class, see message_unlike() */
    };
    soma_ref sender;
    uint64_t body[];
};

/* What stands ahead of a message for a port: which one, and a text. */
struct port_label {
    int64_t port;
    uint64_t words; /* that the text takes, with its NUL; 0 for the empty one */
    char text[];
};

/* The words that its kind puts before the label. */
#define LABEL_OFFSET(kind) ((size_t)((kind) == MESSAGE_SHARED ? 2 : (kind) == MESSAGE_REQUEST))

static inline struct port_label *message_label(struct message *message)
{
    return (struct port_label *)(message->body + LABEL_OFFSET(message->kind));
}

static inline const char *label_text(struct message *message)
{
    const struct port_label *label = message_label(message);
    return label->words ? label->text : "";
}

#define CLASS_SMALL 1u /* of the block of a message that is small, as its type says */

/*
 * Behind a small body of at most two words stands a hint: the block that its sender will fill so many messages later.
 * Many small messages in one mailbox mostly come from few pools in turn, so their reader can fetch that block from the
 * other core's cache long before a chain of next pointers leads to it. It is only ever prefetched: it may be stale.
 */
#define HINT_AHEAD 8u
#define HINT_WORD 2u

static inline void message_hint(struct message *message, const void *block)
{
    message->body[HINT_WORD] = (uint64_t)(uintptr_t)block;
}

static inline void message_fetch_hint(const struct message *message)
{
    if (message->class == CLASS_SMALL && message->kind == MESSAGE_PLAIN && message->type->size <= HINT_WORD * 8)
        __builtin_prefetch((const void *)(uintptr_t)message->body[HINT_WORD]);
}

/* The class of the block of a plain message for an agent of that life, which is undisturbed; else something greater. */
static inline uint64_t message_unlike(const struct message *message, uint64_t life)
{
    return message->head ^ life;
}

/* A local ref's slot and generation as one word, so that both are written at once. */
static inline uint64_t ref_place(soma_ref ref)
{
    uint64_t place;
    memcpy(&place, &ref.slot, sizeof(place));
    return place;
}

/* Addresses a message to an agent of a generation. */
static inline void message_address(struct message *message, uint32_t generation)
{
    message->head = (uint32_t)message->head | (uint64_t)generation << 32;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the head's class is its lowest byte, the generation its upper half");

#endif
