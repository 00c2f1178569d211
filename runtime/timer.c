/* Timers as agents see them: messages that wait. The clock fires them, see clock.h. */
#include "runtime/timer.h"
#include "runtime/extension.h"
#include "runtime/send.h"
#include <soma/error.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX (UINT64_C(100) * 365 * 86400 * SOMA_SECOND)

uint64_t system_now(const soma_system *system)
{
    return system->driver.now(system->driver.context);
}

uint64_t soma_agent_now(const soma_agent *self)
{
    return self ? system_now(self->worker->system) : 0;
}

uint64_t soma_system_now(const soma_system *system)
{
    return system ? system_now(system) : 0;
}

uint64_t soma_random(soma_agent *self)
{
    if (!self)
        return 0;
    struct worker *worker = self->worker;
    if (!worker->random)
        worker->random = worker->system->driver.random(worker->system->driver.context) | 1;
    // splitmix64: its state is a counter, so any seed is good
    uint64_t z = worker->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- setting ---- */

struct timer *timer_new(soma_agent *self, enum message_kind kind, size_t size)
{
    struct worker *worker = self->worker;
    struct extension *extension = extension_need(self);
    struct message *message =
        extension ? message_new(worker_or_outside(worker), kind, sizeof(struct timer) + size) : NULL;
    if (!message)
        return NULL;
    message->sender = soma_self(self);
    message->generation = message->sender.generation;
    struct timer *timer = timer_of(message);
    *timer = (struct timer){0};
    uint32_t wheels = worker->system->clock.count;
    if (!extension->wheel)
        extension->wheel = (uint16_t)((worker->index < wheels ? worker->index : message->sender.slot % wheels) + 1);
    timer->wheel_timer.wheel = (uint16_t)(extension->wheel - 1);
    return timer;
}

void timer_free(soma_agent *self, struct timer *timer)
{
    message_free(worker_or_outside(self->worker), timer_message(timer));
}

static void timer_observe(soma_system *system, struct timer *timer, uint64_t delay)
{
    const struct message *message = timer_message(timer);
    const struct event event = {.kind = EVENT_TIMER,
                                .agent = message->sender,
                                .sender = message->sender,
                                .type = message->type,
                                .message = message,
                                .delay = delay};
    system->driver.observe(system->driver.context, system, &event);
}

soma_handle timer_start(soma_agent *self, struct timer *timer, uint64_t delay)
{
    int64_t handle = pending_add(self, timer_message(timer));
    if (handle < 0) {
        timer_free(self, timer);
        return handle;
    }
    timer->handle = handle;
    soma_system *system = self->worker->system;
    if (system->driver.observe)
        timer_observe(system, timer, delay);
    if (delay == SOMA_NEVER)
        return handle;
    uint64_t deadline = system_now(system) + (delay < DELAY_MAX ? delay : DELAY_MAX);
    int error = clock_set(system, timer, (deadline + SOMA_US - 1) / SOMA_US * SOMA_US);
    if (error) {
        pending_remove(self, handle);
        timer_free(self, timer);
        return error;
    }
    return handle;
}

static soma_handle timer_set(soma_agent *self, uint64_t delay, uint64_t period, const soma_type *type, const void *body)
{
    if (!self || !type || !body || delay == SOMA_NEVER)
        return SOMA_EINVAL;
    size_t size;
    int error = type_flat_size(type, body, &size);
    if (error)
        return error;
    struct timer *timer = timer_new(self, MESSAGE_TIMER, size);
    if (!timer)
        return SOMA_ENOMEM;
    timer_message(timer)->type = type;
    timer->period = period;
    type_flatten(type, timer->body, body);
    return timer_start(self, timer, delay);
}

soma_handle soma_timer_after(soma_agent *self, uint64_t delay, const soma_type *type, const void *body)
{
    return timer_set(self, delay, 0, type, body);
}

soma_handle soma_timer_each(soma_agent *self, uint64_t period, const soma_type *type, const void *body)
{
    if (!period || period == SOMA_NEVER)
        return SOMA_EINVAL;
    period = (period < DELAY_MAX ? period + SOMA_US - 1 : DELAY_MAX) / SOMA_US * SOMA_US; // whole ones don't drift
    return timer_set(self, period, period, type, body);
}

/* ---- ending ---- */

void timer_end(soma_agent *self, struct timer *timer)
{
    if (clock_cancel(self->worker->system, timer))
        timer_free(self, timer);
}

int soma_timer_cancel(soma_agent *self, soma_handle timer)
{
    if (!self)
        return SOMA_EINVAL;
    if (timer < 0)
        return (int)timer;
    struct message *message = pending_find(self, timer);
    if (!message)
        return SOMA_ENOENT;
    if (message->kind != MESSAGE_TIMER)
        return SOMA_EINVAL;
    pending_remove(self, timer);
    timer_end(self, timer_of(message));
    return 0;
}

/* The handle of the entry at an index, if that is a timer; else 0. */
static soma_handle timer_at(const soma_agent *self, uint32_t index)
{
    const struct message *message = self->extension->pending[index].message;
    return message && message->kind == MESSAGE_TIMER ? pending_handle(self, index) : 0;
}

int soma_timers_cancel(soma_agent *self)
{
    if (!self)
        return SOMA_EINVAL;
    for (uint32_t i = 0; self->extension && i < self->extension->capacity; i++) {
        soma_handle timer = timer_at(self, i);
        if (timer)
            soma_timer_cancel(self, timer);
    }
    return 0;
}

/* ---- names ---- */

/* Names go with their timers, but lazily: one whose handle is stale is dropped when it is met. */
static struct timer_name **name_find(soma_agent *self, const char *name)
{
    struct timer_name **link = &self->extension->timer_names;
    while (*link) {
        struct timer_name *here = *link;
        if (!pending_find(self, here->handle)) {
            *link = here->next;
            free(here);
        } else if (!strcmp(here->text, name)) {
            return link;
        } else {
            link = &here->next;
        }
    }
    return NULL;
}

int soma_timer_name(soma_agent *self, soma_handle timer, const char *name)
{
    if (!self || !name)
        return SOMA_EINVAL;
    if (timer < 0)
        return (int)timer;
    const struct message *message = pending_find(self, timer);
    if (!message || message->kind != MESSAGE_TIMER)
        return SOMA_ENOENT;
    struct timer_name **found = name_find(self, name);
    if (found)
        return (*found)->handle == timer ? 0 : SOMA_EEXIST;
    size_t size = strlen(name) + 1;
    struct timer_name *entry = malloc(sizeof(*entry) + size);
    if (!entry)
        return SOMA_ENOMEM;
    entry->handle = timer;
    memcpy(entry->text, name, size);
    entry->next = self->extension->timer_names;
    self->extension->timer_names = entry;
    return 0;
}

soma_handle soma_timer_find(soma_agent *self, const char *name)
{
    if (!self || !name)
        return SOMA_EINVAL;
    struct timer_name **found = self->extension ? name_find(self, name) : NULL;
    return found ? (*found)->handle : SOMA_ENOENT;
}

int soma_timers_list(const soma_agent *self, const char **names, uint32_t most, uint32_t *pending)
{
    if (!self || (most && !names))
        return SOMA_EINVAL;
    uint32_t timers = 0, named = 0;
    const struct extension *extension = self->extension;
    for (uint32_t i = 0; extension && i < extension->capacity; i++)
        timers += timer_at(self, i) != 0;
    const struct timer_name *name = extension ? extension->timer_names : NULL;
    for (; name; name = name->next) {
        if (!pending_find(self, name->handle))
            continue;
        if (named < most)
            names[named] = name->text;
        named++;
    }
    if (pending)
        *pending = timers;
    return (int)named;
}
