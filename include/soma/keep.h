/**
 * @file
 * Kept agents: an agent whose ref, name and mail outlive its failures. When it ends, for whatever reason, its keeper is
 * told, and either revives it (a new life from init, under the same ref) or releases it. Supervisors
 * (soma/supervisor.h) are made of this; use it to write your own kind.
 *
 * A life that ends ends as any other: stop runs, monitors and links tell, timers and requests go, the handlers' state
 * is gone. What stays are the ref, names set on it, the stash, and, if asked for, the mail: what waits in the mailbox
 * and what arrives until the next life, except the message whose handler failed. Else that becomes dead letters.
 */
#ifndef SOMA_KEEP_H
#define SOMA_KEEP_H

#include <soma/agent.h>
#include <soma/timer.h>

/**
 * Spawns an agent as soma_spawn() does, and keeps it. Each time that it ends a `soma_down` comes, as for a monitor,
 * with the handle; soma_tag() gives `tag` in its handler. If the keeper ends first, the agent is kept no longer; if it
 * is down then, it is gone.
 * @param self the keeper; only it may call
 * @param behavior what the agent is
 * @param arg for its init
 * @param mail whether its mail stays while it is down
 * @param tag anything of the keeper's
 * @param ref gets the agent's ref; may be NULL
 * @return a handle, for soma_revive() and soma_release(); or an error as soma_spawn()
 */
SOMA_API soma_handle soma_spawn_kept(soma_agent *self, const soma_behavior *behavior, const void *arg, bool mail,
                                     uint64_t tag, soma_ref *ref);

/**
 * Gives a kept agent that is down its next life: init runs within the call, then what waits in its mailbox is handled.
 * @param self the keeper; only it may call
 * @param kept the handle
 * @param behavior what the agent is from now on
 * @param arg for its init
 * @return 0; SOMA_ESTATE (it is not down), SOMA_ENOENT (no kept agent's handle), SOMA_EINVAL (NULL), SOMA_ENOMEM,
 *         SOMA_ECLOSED, or what init returned; the agent is down then, and it may be tried again
 */
SOMA_API int soma_revive(soma_agent *self, soma_handle kept, const soma_behavior *behavior, const void *arg);

/**
 * Keeps an agent no longer. One that is down is gone then, its mail dead letters; one that lives lives on, and nothing
 * more is heard of it.
 * @return 0, SOMA_ENOENT (no kept agent's handle), SOMA_EINVAL (NULL); a negative `kept` is returned as it is
 */
SOMA_API int soma_release(soma_agent *self, soma_handle kept);

/**
 * Leaves a copy of a message to the agent's next life, in place of the one before: `soma_stash(self, totals, .sum =
 * 5)`. Call it when the state is known to be good, or in stop. Only the agent itself.
 * @return 0, SOMA_EINVAL (NULL), SOMA_ENOMEM, SOMA_ETOOBIG; on error the one before stays
 */
#define soma_stash(self, ...) soma_stash_set((self), SOMA_BODY_(__VA_ARGS__))

/**
 * What an earlier life, or this one, has left: `const struct totals *t = soma_stashed(self, totals)`. NULL if there is
 * nothing, or nothing of this type. Valid until the next soma_stash(). Only the agent itself.
 */
#define soma_stashed(self, T) ((const struct T *)soma_stash_get((self), &T##_type))

/** soma_stash() with the type and body spelled out. */
SOMA_API int soma_stash_set(soma_agent *self, const soma_type *type, const void *body);

/** soma_stashed() with the type spelled out. */
SOMA_API const void *soma_stash_get(const soma_agent *self, const soma_type *type);

#endif
