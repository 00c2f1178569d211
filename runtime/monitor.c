/* Monitors; see monitor.h. Links are in link.c. */
#include "runtime/monitor.h"
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/keep.h"
#include "runtime/link.h"
#include "runtime/send.h"
#include "runtime/text.h"
#include <soma/error.h>
#include <soma/monitor.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What a watch's block holds. Its header's sender is the watcher. */
struct watch {
    uint64_t handle; /* the watcher's */
    union {
        struct {
            struct message *next, *prev; /* in the list of the agent that is watched */
        };
        struct soma_down down; /* once it is on its way back */
    };
};

static struct watch *watch_of(struct message *message)
{
    return (struct watch *)message->body;
}

static struct message *watch_carried(const struct message *courier)
{
    return (struct message *)(uintptr_t)courier->body[0];
}

/* ---- telling ---- */

struct message *watch_tell(struct worker *worker, soma_ref from, struct message *watch, int reason, const char *text)
{
    uint64_t handle = watch_of(watch)->handle;
    struct soma_down down = {.agent = from, .reason = reason, .text = text, .monitor = (int64_t)handle};
    struct message *longer;
    if (text && !message_build(worker, MESSAGE_DOWN, handle, &soma_down_type, &down, &longer)) {
        message_free(worker, watch);
        watch = longer;
    } else {
        down.text = NULL;
        watch->kind = MESSAGE_DOWN;
        watch->type = &soma_down_type;
        watch_of(watch)->down = down;
    }
    watch->sender = from;
    return watch;
}

/* Sends a watch back to its watcher. */
static void watch_fire(soma_system *system, struct worker *worker, soma_ref from, struct message *watch, int reason,
                       const char *text)
{
    soma_ref watcher = watch->sender;
    message_push(system, worker, watcher, watch_tell(worker, from, watch, reason, text));
}

void watches_end(soma_agent *agent, int reason)
{
    struct worker *worker = worker_or_outside(agent->worker);
    soma_system *system = agent->worker->system;
    struct message *watch = agent->extension->watches;
    agent->extension->watches = NULL;
    while (watch) {
        struct message *next = watch_of(watch)->next;
        if (u32_load(&system->stopping))
            message_free(worker, watch);
        else
            watch_fire(system, worker, soma_self(agent), watch, reason, failure_text(agent, reason));
        watch = next;
    }
}

/* ---- setting and ending ---- */

struct message *watch_new(const soma_agent *self, soma_handle handle)
{
    struct message *watch = message_new(worker_or_outside(self->worker), MESSAGE_DOWN, sizeof(struct watch));
    if (watch) {
        watch->sender = agent_ref(self);
        watch_of(watch)->handle = (uint64_t)handle;
    }
    return watch;
}

soma_handle monitor_new(soma_agent *self, enum message_kind kind, size_t size, soma_ref agent, struct message **watch)
{
    struct worker *worker = worker_or_outside(self->worker);
    struct message *monitor = message_new(worker, kind, size);
    soma_handle handle = monitor ? pending_add(self, monitor) : SOMA_ENOMEM;
    *watch = handle > 0 ? watch_new(self, handle) : NULL;
    if (!*watch) {
        if (handle > 0)
            pending_remove(self, handle);
        if (monitor)
            message_free(worker, monitor);
        return SOMA_ENOMEM;
    }
    monitor->sender = agent;
    monitor->body[0] = (uintptr_t)*watch;
    monitor->body[1] = (uint64_t)handle;
    return handle;
}

soma_handle soma_monitor(soma_agent *self, soma_ref agent)
{
    if (!self)
        return SOMA_EINVAL;
    struct worker *worker = worker_or_outside(self->worker);
    struct message *courier = message_new(worker, MESSAGE_WATCH, sizeof(uint64_t)), *watch;
    if (!courier)
        return SOMA_ENOMEM;
    soma_handle handle = monitor_new(self, MESSAGE_MONITOR, 2 * sizeof(uint64_t), agent, &watch);
    if (handle < 0) {
        message_free(worker, courier);
        return handle;
    }
    courier->sender = soma_self(self);
    courier->body[0] = (uintptr_t)watch;
    message_push(self->worker->system, worker, agent, courier);
    return handle;
}

/* Into the list of the agent that is watched. */
static int watch_add(struct worker *worker, soma_agent *agent, struct message *watch)
{
    struct extension *extension = extension_need(agent);
    if (!extension) { // it must end: a demonitor that is on its way would look for the watch in vain
        watch_fire(worker->system, worker_or_outside(worker), soma_self(agent), watch, SOMA_ENOMEM, NULL);
        return SOMA_ENOMEM;
    }
    struct watch *here = watch_of(watch);
    here->prev = NULL;
    here->next = extension->watches;
    if (here->next)
        watch_of(here->next)->prev = watch;
    extension->watches = watch;
    return 0;
}

/* Is the watch, which the agent has, the one that an UNWATCH means? */
static bool watch_meant(const struct message *watch, const struct message *unwatch)
{
    const struct message *carried = watch_carried(unwatch);
    return watch == carried && soma_ref_equal(watch->sender, unwatch->sender) &&
           watch_of((struct message *)(uintptr_t)watch)->handle == unwatch->body[1];
}

/*
 * The watch that an UNWATCH means. It is in the list, or the agent would have ended, and no message would arrive;
 * unless that was in an earlier life of a kept agent, whose watches are gone by now: then the list is searched.
 */
static struct message *watch_find(const soma_agent *agent, const struct message *unwatch)
{
    struct message *watch = watch_carried(unwatch);
    if (!agent->extension->revived)
        return watch;
    watch = agent->extension->watches;
    while (watch && !watch_meant(watch, unwatch))
        watch = watch_of(watch)->next;
    return watch;
}

static void watch_remove(struct worker *worker, soma_agent *agent, const struct message *unwatch)
{
    struct message *keeper = agent->extension ? agent->extension->keeper : NULL;
    if (keeper && watch_meant(keeper, unwatch)) {
        keep_let_go(worker, agent);
        return;
    }
    struct message *watch = agent->extension ? watch_find(agent, unwatch) : NULL;
    if (!watch)
        return;
    const struct watch *here = watch_of(watch);
    if (here->prev)
        watch_of(here->prev)->next = here->next;
    else
        agent->extension->watches = here->next;
    if (here->next)
        watch_of(here->next)->prev = here->prev;
    message_free(worker_or_outside(worker), watch);
}

int64_t monitor_spawned(soma_agent *watcher, soma_agent *agent, soma_ref ref)
{
    struct message *watch;
    if (!extension_need(agent)) // so that watch_add can't fail
        return SOMA_ENOMEM;
    int64_t handle = monitor_new(watcher, MESSAGE_MONITOR, 2 * sizeof(uint64_t), ref, &watch);
    if (handle > 0)
        watch_add(watcher->worker, agent, watch);
    return handle;
}

void monitor_cancel(soma_agent *self, struct message *monitor)
{
    soma_ref agent = monitor->sender;
    monitor->kind = MESSAGE_UNWATCH;
    monitor->sender = soma_self(self);
    message_push(self->worker->system, worker_or_outside(self->worker), agent, monitor);
}

int soma_demonitor(soma_agent *self, soma_handle monitor)
{
    if (!self)
        return SOMA_EINVAL;
    if (monitor < 0)
        return (int)monitor;
    struct message *message = pending_find(self, monitor);
    if (!message)
        return SOMA_ENOENT;
    if (message->kind != MESSAGE_MONITOR)
        return SOMA_EINVAL;
    pending_remove(self, monitor);
    monitor_cancel(self, message);
    return 0;
}

void monitor_end(soma_agent *agent, struct message *message, int reason)
{
    if (u32_load(&agent->worker->system->stopping))
        message_free(worker_or_outside(agent->worker), message);
    else if (message->kind == MESSAGE_MONITOR)
        monitor_cancel(agent, message);
    else if (message->kind == MESSAGE_KEPT)
        keep_end(agent, message);
    else
        link_end(agent, message, reason);
}

/* ---- what arrives ---- */

/* The down message of a monitor that has not ended meanwhile; the watcher's entry is done with. */
static int down_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    if (message->settled)
        return keep_deliver(worker, agent, message);
    int64_t handle = (int64_t)message->body[0];
    struct message *monitor = pending_find(agent, handle);
    if (!monitor || monitor->kind != MESSAGE_MONITOR)
        return 0;
    pending_remove(agent, handle);
    message_free(worker_or_outside(worker), monitor);
    return message_handle(worker, agent, message, message_body(message));
}

int monitor_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    switch (message->kind) {
    case MESSAGE_WATCH:
        return watch_add(worker, agent, watch_carried(message));
    case MESSAGE_UNWATCH:
        watch_remove(worker, agent, message);
        return 0;
    case MESSAGE_DOWN:
        return down_deliver(worker, agent, message);
    default:
        return link_deliver(worker, agent, message);
    }
}

/* ---- to and from other nodes ---- */

struct message *monitor_depart(const struct message *message, uint64_t *handle)
{
    if (message->kind == MESSAGE_UNWATCH) {
        *handle = message->body[1];
        return NULL;
    }
    struct message *watch = watch_carried(message);
    *handle = watch_of(watch)->handle;
    return watch;
}

struct message *monitor_come(struct worker *worker, soma_ref watcher, uint64_t handle, struct message **carried)
{
    struct message *courier = message_new(worker, MESSAGE_WATCH, sizeof(uint64_t));
    struct message *watch = courier ? message_new(worker, MESSAGE_DOWN, sizeof(struct watch)) : NULL;
    if (!watch) {
        if (courier)
            message_free(worker, courier);
        return NULL;
    }
    watch->sender = watcher;
    watch_of(watch)->handle = handle;
    courier->sender = watcher;
    courier->body[0] = (uintptr_t)watch;
    *carried = watch;
    return courier;
}

int unmonitor_arrive(soma_system *system, struct worker *worker, soma_ref agent, soma_ref watcher, uint64_t handle,
                     const struct message *watch)
{
    struct message *unwatch = message_new(worker, MESSAGE_UNWATCH, 2 * sizeof(uint64_t));
    if (!unwatch)
        return SOMA_ENOMEM;
    unwatch->sender = watcher;
    unwatch->body[0] = (uintptr_t)watch;
    unwatch->body[1] = handle;
    message_push(system, worker, agent, unwatch);
    return 0;
}

int down_arrive(soma_system *system, struct worker *worker, soma_ref watcher, soma_ref agent, uint64_t handle,
                int reason, const char *text)
{
    const struct soma_down down = {.agent = agent, .reason = reason, .text = text, .monitor = (int64_t)handle};
    struct message *message;
    int error = message_build(worker, MESSAGE_DOWN, handle, &soma_down_type, &down, &message);
    if (error)
        return error;
    message->sender = agent;
    message_push(system, worker, watcher, message);
    return 0;
}

/* A courier is dropped without a word: frees what it carries. */
static void monitor_drop(struct worker *worker, struct message *message)
{
    message_free(worker, message->kind == MESSAGE_WATCH ? watch_carried(message) : link_carried(message));
}

void monitor_dead(soma_system *system, struct worker *worker, soma_ref to, struct message *message, int reason)
{
    if (u32_load(&system->stopping))
        monitor_drop(worker, message);
    else if (message->kind == MESSAGE_WATCH)
        watch_fire(system, worker, to, watch_carried(message), reason, NULL);
    else
        link_fail(system, worker, to, message, reason);
}

/* ---- saying why ---- */

const char *failure_text(const soma_agent *agent, int reason)
{
    const struct extension *extension = agent->extension;
    return extension && extension->failure && extension->failure->code == reason ? extension->failure->text : NULL;
}

void failure_forget(soma_agent *agent)
{
    if (agent->extension && agent->extension->failure)
        agent->extension->failure->code = 0;
}

int soma_fail(soma_agent *self, int code, const char *format, ...)
{
    if (!self || code >= 0 || !format)
        return SOMA_EINVAL;
    struct extension *extension = extension_need(self);
    if (extension && !extension->failure)
        extension->failure = malloc(sizeof(*extension->failure));
    if (!extension || !extension->failure)
        return code; // it fails all the same, in silence
    extension->failure->code = code;
    self->worker->failing = true;
    va_list arguments;
    va_start(arguments, format);
    text_format(extension->failure->text, sizeof(extension->failure->text), format, arguments);
    va_end(arguments);
    return code;
}
