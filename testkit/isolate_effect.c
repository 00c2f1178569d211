/* What an isolated agent did: taken down from the events of its system, and looked up. See isolate.h. */
#include "runtime/extension.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include "testkit/isolate.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

struct effect_entry {
    soma_effect effect;
    bool taken;
    uint64_t body[]; /* or the text */
};

/* ---- taking down ---- */

static struct effect_entry *entry_add(soma_isolated *iso, const soma_effect *effect, size_t room)
{
    if (iso->count == iso->capacity) {
        uint32_t capacity = iso->capacity ? iso->capacity * 2 : 16;
        struct effect_entry **grown = realloc(iso->effects, capacity * sizeof(struct effect_entry *));
        if (!grown)
            soma_test_fail(NULL, "out of memory");
        iso->effects = grown;
        iso->capacity = capacity;
    }
    struct effect_entry *entry = malloc(sizeof(*entry) + room);
    if (!entry)
        soma_test_fail(NULL, "out of memory");
    entry->effect = *effect;
    entry->taken = false;
    iso->effects[iso->count++] = entry;
    return entry;
}

static void effect_add(soma_isolated *iso, soma_effect_kind kind, soma_ref to)
{
    entry_add(iso, &(const soma_effect){.kind = kind, .to = to}, 0);
}

static void effect_add_message(soma_isolated *iso, const soma_effect *effect, const void *body)
{
    size_t size;
    if (type_flat_size(effect->type, body, &size)) // the runtime has copied it already
        soma_test_fail(NULL, "a message of type %s is malformed", effect->type->name);
    struct effect_entry *entry = entry_add(iso, effect, size);
    type_flatten(effect->type, entry->body, body);
    entry->effect.body = entry->body;
}

void isolated_log(void *context, const soma_log_record *record)
{
    soma_isolated *iso = context;
    if (iso->quiet)
        return;
    const soma_effect effect = {.kind = SOMA_EFFECT_LOGGED, .level = record->level};
    size_t size = strlen(record->text) + 1;
    struct effect_entry *entry = entry_add(iso, &effect, size);
    entry->effect.text = memcpy(entry->body, record->text, size);
}

static void spawn_note(soma_isolated *iso, const struct event *event)
{
    const soma_agent *agent = &iso->system->slots.base[event->agent.slot];
    const struct extension *extension = agent->extension;
    if (soma_ref_is_null(iso->self)) {
        iso->self = event->agent;
        return;
    }
    const soma_effect effect = {
        .kind = SOMA_EFFECT_SPAWNED, .to = event->agent, .behavior = iso->wanted, .error = iso->spawn_error};
    entry_add(iso, &effect, 0);
    if (!extension) // who watches it was entered before its life began
        return;
    if (extension->keeper)
        effect_add(iso, SOMA_EFFECT_KEPT, event->agent);
    if (extension->watches)
        effect_add(iso, SOMA_EFFECT_MONITORED, event->agent);
    if (extension->capacity)
        effect_add(iso, SOMA_EFFECT_LINKED, event->agent);
}

void isolated_spawn_arg(soma_isolated *iso, const void *arg)
{
    for (uint32_t i = iso->count; i-- > 0;)
        if (iso->effects[i]->effect.kind == SOMA_EFFECT_SPAWNED) {
            iso->effects[i]->effect.arg = arg;
            return;
        }
}

static void timer_note(soma_isolated *iso, const struct event *event)
{
    struct timer *timer = timer_of((struct message *)(uintptr_t)event->message);
    if (event->message->kind == MESSAGE_TIMEOUT) {
        iso->timeout = event->delay;
        return;
    }
    const soma_effect effect = {.kind = SOMA_EFFECT_TIMER,
                                .to = iso->self,
                                .type = event->type,
                                .delay = event->delay,
                                .period = timer->period,
                                .handle = timer->handle};
    effect_add_message(iso, &effect, timer->body);
}

/* What carries a message of the user's. */
static void mail_note(soma_isolated *iso, const struct event *event)
{
    const struct message *message = event->message;
    bool foreign = !soma_ref_is_null(event->sender) && !soma_ref_equal(event->sender, iso->self);
    soma_effect effect = {
        .kind = foreign ? SOMA_EFFECT_FORWARDED : SOMA_EFFECT_SENT, .to = event->agent, .type = event->type};
    if (message->kind == MESSAGE_REPLY)
        effect.kind = SOMA_EFFECT_REPLIED;
    else if (message->kind == MESSAGE_REQUEST && !foreign)
        effect.kind = SOMA_EFFECT_REQUESTED;
    if (effect.kind == SOMA_EFFECT_REQUESTED)
        effect.delay = iso->timeout;
    if (message->kind == MESSAGE_REPLY || message->kind == MESSAGE_REQUEST)
        effect.handle = (soma_handle)message->body[0];
    effect_add_message(iso, &effect, message_body(message));
}

static void failure_note(soma_isolated *iso, const struct event *event, int error)
{
    const soma_effect effect = {
        .kind = SOMA_EFFECT_FAILED, .to = event->agent, .handle = (soma_handle)event->message->body[0], .error = error};
    entry_add(iso, &effect, 0);
}

static void send_note(soma_isolated *iso, const struct event *event)
{
    static const soma_effect_kind kinds[] = {
        [MESSAGE_CALLBACK] = SOMA_EFFECT_POSTED,     [MESSAGE_WAKE] = SOMA_EFFECT_KILLED,
        [MESSAGE_WATCH] = SOMA_EFFECT_MONITORED,     [MESSAGE_LINK] = SOMA_EFFECT_LINKED,
        [MESSAGE_UNWATCH] = SOMA_EFFECT_DEMONITORED, [MESSAGE_UNLINK] = SOMA_EFFECT_UNLINKED,
        [MESSAGE_SHUTDOWN] = SOMA_EFFECT_SHUT_DOWN};
    const struct message *message = event->message;
    bool back = soma_ref_equal(event->agent, iso->self); // what can't reach its receiver comes back as an answer
    switch (message->kind) {
    case MESSAGE_PLAIN:
    case MESSAGE_SHARED:
    case MESSAGE_REQUEST:
        mail_note(iso, event);
        break;
    case MESSAGE_REPLY:
        if (!back && type_same(message->type, &soma_failure_type))
            failure_note(iso, event, ((const struct soma_failure *)message_body(message))->error);
        else if (!back)
            mail_note(iso, event);
        break;
    case MESSAGE_ERROR:
        if (!back)
            failure_note(iso, event, (int)(int64_t)message->body[1]);
        break;
    case MESSAGE_DOWN:
    case MESSAGE_EXIT: // words of an end
        break;
    default:
        effect_add(iso, kinds[message->kind], event->agent);
    }
}

void isolated_observe(void *context, soma_system *system, const struct event *event)
{
    soma_isolated *iso = context;
    bool self = soma_ref_equal(event->agent, iso->self);
    (void)system;
    if (iso->quiet)
        return;
    switch (event->kind) {
    case EVENT_SPAWN:
        spawn_note(iso, event);
        break;
    case EVENT_END:
        if (self)
            entry_add(iso, &(const soma_effect){.kind = SOMA_EFFECT_ENDED, .error = event->reason}, 0);
        break;
    case EVENT_SEND:
        send_note(iso, event);
        break;
    case EVENT_TIMER:
        timer_note(iso, event);
        break;
    case EVENT_HANDLED:
        iso->result = event->reason;
        break;
    case EVENT_DEAD:
        iso->unhandled |= self && event->reason == SOMA_EUNHANDLED;
        break;
    case EVENT_HANDLE:
        break;
    }
}

/* ---- looking ---- */

uint32_t soma_isolated_count(const soma_isolated *iso)
{
    return iso ? iso->count : 0;
}

const soma_effect *soma_isolated_effect(const soma_isolated *iso, uint32_t index)
{
    return iso && index < iso->count ? &iso->effects[index]->effect : NULL;
}

void soma_isolated_clear(soma_isolated *iso)
{
    for (uint32_t i = 0; iso && i < iso->count; i++)
        free(iso->effects[i]);
    if (iso)
        iso->count = 0;
}

const soma_effect *soma_isolated_take(soma_isolated *iso, soma_effect_kind kind, const soma_type *type)
{
    for (uint32_t i = 0; iso && i < iso->count; i++) {
        struct effect_entry *entry = iso->effects[i];
        const soma_effect *effect = &entry->effect;
        if (entry->taken || effect->kind != kind || (type && !(effect->type && type_same(effect->type, type))))
            continue;
        entry->taken = true;
        return effect;
    }
    return NULL;
}

const void *soma_isolated_take_body(soma_isolated *iso, soma_effect_kind kind, const soma_type *type,
                                    const soma_effect **effect)
{
    const soma_effect *taken = soma_isolated_take(iso, kind, type);
    if (effect)
        *effect = taken;
    return taken ? taken->body : NULL;
}
