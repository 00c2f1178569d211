/**
 * @file
 * Monitors and links: how an agent learns that another one has ended, and why.
 *
 * A monitor goes one way: whoever set it gets one message of type `soma_down` when the other agent ends: `agent`, its
 * ref; `reason`, the number that it ended with; `text`, what it said of it with soma_fail(), or NULL; `monitor`, the
 * handle. A link goes both ways: when one of two linked agents ends with a reason other than 0, so does the other, with
 * the same reason; unless it traps exits, and then gets a message of type `soma_exited` (`agent`, `reason`, `text`).
 *
 * Reasons are 0 for a normal end, SOMA_ESHUTDOWN for one by soma_shutdown(), SOMA_EKILLED, what a handler or hook
 * returned, or what was given to soma_agent_exit(). An agent that had ended before, or never was, is SOMA_EGONE; one
 * that can't be reached SOMA_ENOROUTE. Nobody is told of the ends that closing a system brings. (All this is Erlang's,
 * refs for pids.)
 */
#ifndef SOMA_MONITOR_H
#define SOMA_MONITOR_H

#include <soma/agent.h>
#include <soma/timer.h>

/** @cond internal: Doxygen can't see into the macro */
SOMA_MESSAGE(soma_down, (ref, agent), (i32, reason), (string, text), (i64, monitor))
SOMA_MESSAGE(soma_exited, (ref, agent), (i32, reason), (string, text))
/** @endcond */

/**
 * Watches an agent until it ends. Exactly one `soma_down` comes for each call, at once if the agent is gone already.
 * One that memory is too short to watch ends with SOMA_ENOMEM. A monitor ends with the agent that set it.
 * @param self the agent that is told; only it may call
 * @param agent the agent to watch, any ref
 * @return a handle for soma_demonitor(); SOMA_EINVAL (NULL), SOMA_ENOMEM
 */
SOMA_API soma_handle soma_monitor(soma_agent *self, soma_ref agent);

/**
 * Ends a monitor: its `soma_down` does not come any more, even if it is on its way. Only the agent itself.
 * @return 0, SOMA_ENOENT (the down message came already, or there never was one), SOMA_EINVAL (NULL, or no monitor's
 *         handle); a negative `monitor` is returned as it is
 */
SOMA_API int soma_demonitor(soma_agent *self, soma_handle monitor);

/**
 * Links the agent with another; if they are linked already, nothing happens. If that one is gone, it is as if it ended
 * now, with SOMA_EGONE. Only the agent itself.
 * @return 0, SOMA_EINVAL (NULL, or the agent itself), SOMA_ENOMEM
 */
SOMA_API int soma_link(soma_agent *self, soma_ref agent);

/**
 * Ends a link, whoever of the two made it: the other's end means nothing to this agent any more, even if word of it is
 * on its way. Only the agent itself.
 * @return 0, SOMA_ENOENT (there is none), SOMA_EINVAL (NULL)
 */
SOMA_API int soma_unlink(soma_agent *self, soma_ref agent);

/**
 * From now on the ends of linked agents come as messages of type `soma_exited`, normal ones too, and don't end this
 * agent. A kill is not trapped. Only the agent itself.
 * @return 0, SOMA_EINVAL (NULL), SOMA_ENOMEM
 */
SOMA_API int soma_trap_exits(soma_agent *self, bool trap);

/**
 * Tells an agent to end, with reason SOMA_ESHUTDOWN, behind what waits in its mailbox: `soma_shutdown(from, agent)`.
 * One that traps exits gets a `soma_exited` with that reason and the teller's ref instead, to end when it has finished
 * what it must. From a handler (which may name itself) or any thread.
 * @return 0, SOMA_EGONE, SOMA_ENOROUTE, SOMA_ENOMEM, SOMA_EINVAL (NULL)
 */
#define soma_shutdown(from, agent) SOMA_FROM_(from, shutdown)((from), (agent))

/** soma_shutdown() from a handler. Only the agent itself may call it. */
SOMA_API int soma_agent_shutdown(soma_agent *self, soma_ref agent);

/** soma_shutdown() from any thread. */
SOMA_API int soma_system_shutdown(soma_system *system, soma_ref agent);

/**
 * From now on closing the system shuts this agent down, as soma_shutdown() does, once all mail is handled, and waits
 * for its end before anybody else is ended: for agents that stop others in an order, as supervisors do. Those that
 * asked first are told first, one after another. Only the agent itself may call it.
 * @return 0, SOMA_EINVAL (NULL), SOMA_ENOMEM
 */
SOMA_API int soma_shutdown_on_close(soma_agent *self);

/**
 * soma_spawn() and soma_monitor() in one, so that the reason is known however soon the new agent ends. Only the agent
 * itself.
 * @return the monitor's handle, or an error as soma_spawn(); then no down message comes
 */
SOMA_API soma_handle soma_spawn_monitor(soma_agent *self, const soma_behavior *behavior, const void *arg,
                                        soma_ref *ref);

/** soma_spawn() and soma_link() in one, as above. Only the agent itself. 0, or an error as soma_spawn(). */
SOMA_API int soma_spawn_link(soma_agent *self, const soma_behavior *behavior, const void *arg, soma_ref *ref);

/**
 * Says why the agent is about to fail: `return soma_fail(self, SOMA_EFORMAT, "line %u is torn", line);`. The text is
 * logged when the agent ends with this code, and comes with the down and exit messages; and it goes to whoever has
 * asked, if the handler fails a request with this code, or a method returns it. Like a log line it is cleaned of
 * control characters, and ends in "..." if it has more than 255 bytes.
 * @param self the agent; only it may call
 * @param code a negative number
 * @param format as for printf
 * @return `code`; SOMA_EINVAL if it is not negative or something is NULL
 */
SOMA_API int soma_fail(soma_agent *self, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
