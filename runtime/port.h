/*
 * Ports: places in an agent where messages arrive that go by more than their type. A higher layer makes them, gives
 * each a class of functions, and hands its handle to whoever is to send there; the runtime delivers, and ends them with
 * their agent. A port is an entry of the agent's table of what it waits for, so its handle is never another one's.
 *
 * A message for a port is one of the usual kinds with a mark, and a *label* between what its kind puts first and the
 * message itself. The mark takes it off the fast path, which so knows nothing of ports; all else, such as limits,
 * pressure, requests with their answers, and dead letters, is as for any message of its kind.
 */
#ifndef RUNTIME_PORT_H
#define RUNTIME_PORT_H

#include "runtime/extension.h"
#include "runtime/message.h"
#include <soma/body.h>
#include <soma/request.h>

struct port;

struct port_class {
    /* Handles a message that came; as a handler, the result too. The port may be closed meanwhile. */
    int (*deliver)(soma_agent *self, void *state, struct port *port, struct message *message);
    /* It ends, closed or with its agent: nothing comes any more. */
    void (*end)(soma_agent *self, struct port *port);
    /* After that, once no deliver() runs: frees what it has, but not itself. */
    void (*release)(struct port *port);
};

struct port {
    const struct port_class *class;
    struct port *next; /* of its agent's */
    soma_handle handle;
    bool busy; /* its deliver() runs */
    bool closed;
};

/* Where a message for a port goes. */
struct port_place {
    soma_ref agent;
    soma_handle port;
};

static inline bool port_place_equal(const struct port_place *a, const struct port_place *b)
{
    return soma_ref_equal(a->agent, b->agent) && a->port == b->port;
}

/* A port of `size` bytes in all, zeroed behind its head; NULL when memory is out. */
struct port *port_open(soma_agent *self, const struct port_class *class, size_t size);

void port_close(soma_agent *self, struct port *port);

/* The first of an agent's, newest first. */
static inline struct port *port_first(const soma_agent *self)
{
    return self->extension ? self->extension->ports : NULL;
}

/* The port of a handle; NULL if it is closed, or never was. */
struct port *port_find(const soma_agent *self, soma_handle handle);

static inline struct port_place port_here(const soma_agent *self, const struct port *port)
{
    return (struct port_place){soma_self(self), port->handle};
}

/*
 * Sends a message with a text as its label, by the agent, to a port in its system. As soma_send(); SOMA_EGONE only if
 * the agent is gone: word that the port is closed must come by another way.
 */
int port_send(soma_agent *self, const struct port_place *to, const char *label, const soma_type *type,
              const void *message);
int port_send_body(soma_agent *self, const struct port_place *to, const char *label, soma_body *body);

/* As port_send() without a label, to the agent of that place, which target_look() has found, and plainly; by no guest.
 */
int port_send_near(soma_agent *self, soma_agent *target, const struct port_place *to, const soma_type *type,
                   const void *message);

/* Asks a port; as soma_request(). A closed one answers with SOMA_EGONE. */
soma_handle port_request(soma_agent *self, const struct port_place *to, uint64_t timeout, const soma_then *then,
                         const soma_type *type, const void *message);

/*
 * What came to the agent by another way than as a message, and is to be handled as one for the port, from nobody: a
 * copy of it, made first, and then in a callback of the agent's handed over, which takes it. The second's result is as
 * a handler's.
 */
int port_copy(soma_agent *self, const struct port *port, const char *label, const soma_type *type, const void *message,
              struct message **block);
int port_hand(soma_agent *self, void *state, struct port *port, struct message *block);

/* The same for one that need not be kept: what it points to is the caller's, who has it until this returns. */
int port_show(soma_agent *self, void *state, struct port *port, const char *label, const soma_type *type,
              const void *message);

/*
 * The same for a question of somebody an agent stands in for (see struct tenant): a request by that agent, whose handle
 * is what the tenant knows the question by.
 */
int port_ask(soma_agent *self, void *state, struct port *port, soma_ref stand_in, soma_handle handle,
             const soma_type *type, const void *message);

/* The label of the message that is being handled; NULL for one that is for no port. */
const char *port_label(const soma_agent *self);

/* ---- for turns ---- */

int port_deliver(struct worker *worker, soma_agent *agent, struct message *message);

/* The agent ends, and with it the port that an entry of its table is. Takes the block. */
void port_end(soma_agent *agent, struct message *entry);

/* ---- what the layer that makes ports keeps for a system ---- */

struct tenant {
    /* The system closes, and its agents rest: what is under way may still leave, and then no thread of the tenant's
     * does anything any more. False if something was left. */
    bool (*stop)(struct tenant *tenant);
    void (*release)(struct tenant *tenant); /* the system's end, after that of its agents */
    /* An agent that stands in for others, `to`, is answered, in the turn of who answers, or in its own if that is on
     * another node, or wherever word comes that nobody will (then by a soma_failure). The handle is none of its
     * questions' if who answers got it wrong. What it points to is the caller's. Any thread; `worker` as in send.h. 0,
     * or SOMA_ENOMEM, and it may be answered again; but after a failure it never is. */
    int (*answer)(struct tenant *tenant, struct worker *worker, soma_ref to, soma_handle handle, const soma_type *type,
                  const void *message);
    shared_ptr worker; /* whose counters belong to the system's; NULL for none */
    shared_ptr rest;   /* the struct rest of what comes for it; NULL for none */
};

/* The system's, made by the first who needs it; NULL when memory is out. Any thread. */
struct tenant *system_tenant(soma_system *system, struct tenant *(*make)(void));

/*
 * An agent says in its init that it stands in for those outside the system whose questions the tenant brings. So they
 * have a ref, whom a request comes from and its answer goes to, through promises and other nodes, but no turn is taken
 * for it but its end, and for an answer from another node.
 */
void stand_in_begin(soma_agent *self);

#endif
