/*
 * Monitors and links inside the runtime. Who is told is decided where the agent ends, by the thread that runs it, so
 * nothing here needs a lock; all else is messages, which keep their order.
 *
 * A monitor is two blocks and a courier. The watcher keeps a MESSAGE_MONITOR among its pending; the watched agent keeps
 * a *watch*, which the courier (MESSAGE_WATCH) brought, in its list. When it ends, the watch itself goes back as the
 * MESSAGE_DOWN: being told never needs memory. A courier that reaches nobody sends its watch back at once. A monitor
 * that ends first becomes the MESSAGE_UNWATCH that takes the watch out; both went the same way, so it finds it there.
 *
 * A link is a MESSAGE_LINKED among the pending of either agent. At the end of one it becomes the MESSAGE_EXIT to the
 * other, at soma_unlink the MESSAGE_UNLINK. How calls of both sides that cross are settled is said in link.c.
 */
#ifndef RUNTIME_MONITOR_H
#define RUNTIME_MONITOR_H

#include "runtime/message.h"
#include "runtime/slot.h"
#include "runtime/system.h"

/* A message of one of the kinds above, for a living agent. A negative error, or `exiting`, ends it. */
int monitor_deliver(struct worker *worker, soma_agent *agent, struct message *message);

/* A courier has reached nobody: what it carries goes back. The courier stays. */
void monitor_dead(soma_system *system, struct worker *worker, soma_ref to, struct message *message, int reason);

/* At an agent's end: tells who watches it. */
void watches_end(soma_agent *agent, int reason);

/* At an agent's end: what was among its pending as a monitor or link. Takes the block. */
void monitor_end(soma_agent *agent, struct message *message, int reason);

/*
 * A monitor among the watcher's pending, of a kind and with room for `size` bytes, which begin with the watch and the
 * handle; and its watch. A handle, or SOMA_ENOMEM.
 */
int64_t monitor_new(soma_agent *self, enum message_kind kind, size_t size, soma_ref agent, struct message **watch);

/* The monitor, no longer pending, becomes the word to whom it was set on that it is over. */
void monitor_cancel(soma_agent *self, struct message *monitor);

/* A watch for the agent's entry; NULL when memory is out. */
struct message *watch_new(const soma_agent *self, int64_t handle);

/* Makes a watch the down message of `from`; with the text, if there is memory for it. */
struct message *watch_tell(struct worker *worker, soma_ref from, struct message *watch, int reason, const char *text);

/* For an agent that is being spawned, held and before its init. The spawner's handle, or SOMA_ENOMEM. */
int64_t monitor_spawned(soma_agent *watcher, soma_agent *agent, soma_ref ref);
int64_t link_spawned(soma_agent *self, soma_agent *agent, soma_ref ref);

/* It did not end by what it said. */
void failure_forget(soma_agent *agent);

/* What the agent said with soma_fail() of this reason; NULL if nothing. */
const char *failure_text(const soma_agent *agent, int reason);

/*
 * For bridges. A MESSAGE_WATCH or MESSAGE_UNWATCH leaves for another node: its handle; and the watch that the first
 * carries, the caller's from now on. The message stays.
 */
struct message *monitor_depart(const struct message *message, uint64_t *handle);

/*
 * The first has come from another node: the courier for the agent here, and the watch that it carries, which the caller
 * keeps in mind, and may not look at, until the agent's word of its end leaves or the second has come. NULL when memory
 * is out.
 */
struct message *monitor_come(struct worker *worker, soma_ref watcher, uint64_t handle, struct message **watch);

/* The second, or a word of an agent's end, has come from another node. 0 or SOMA_ENOMEM. */
int unmonitor_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref watcher, uint64_t handle,
                     const struct message *watch);
int down_arrive(soma_system *system, struct worker *worker, soma_ref watcher, soma_ref agent, uint64_t handle,
                int reason, const char *text);

#endif
