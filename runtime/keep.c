/* Kept agents and stashes; see keep.h. */
#include "runtime/keep.h"
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/monitor.h"
#include "runtime/send.h"
#include "runtime/tally.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <soma/keep.h>
#include <stdlib.h>

/* What a MESSAGE_KEPT holds. Its header's sender is the kept agent. */
struct kept {
    struct message *watch;
    int64_t handle;
    uint64_t tag;
    bool down; /* it is the keeper's to revive or bury */
};

static struct kept *kept_of(struct message *entry)
{
    return (struct kept *)entry->body;
}

/* ---- the kept agent's side ---- */

int64_t keep_spawned(soma_agent *keeper, soma_agent *agent, soma_ref ref, const struct keep_how *how)
{
    struct message *watch;
    struct extension *extension = extension_need(agent);
    int64_t handle = extension ? monitor_new(keeper, MESSAGE_KEPT, sizeof(struct kept), ref, &watch) : SOMA_ENOMEM;
    if (handle < 0)
        return handle;
    struct kept *kept = kept_of(pending_find(keeper, handle));
    kept->tag = how->tag;
    kept->down = false;
    extension->keeper = watch;
    extension->keeps_mail = how->mail;
    return handle;
}

void keep_drop(struct worker *worker, soma_agent *agent)
{
    if (!keep_wanted(agent))
        return;
    message_free(worker_or_outside(worker), agent->extension->keeper);
    agent->extension->keeper = NULL;
}

void keep_let_go(struct worker *worker, soma_agent *agent)
{
    keep_drop(worker, agent);
    uint64_t life;
    do
        life = u64_load(&agent->life);
    while (!u64_cas(&agent->life, life, life & ~(uint64_t)LIFE_LOOSE));
}

bool keep_wanted(const soma_agent *agent)
{
    return agent->extension && agent->extension->keeper;
}

void keep_down(struct worker *worker, soma_agent *agent, int reason)
{
    struct extension *extension = agent->extension;
    struct message *watch = extension->keeper;
    soma_ref keeper = watch->sender;
    watch = watch_tell(worker_or_outside(worker), agent_ref(agent), watch, reason, failure_text(agent, reason));
    watch->sender = keeper; // so that it can still be told to whom it belongs
    extension->keeper = watch;
    extension_reset(agent);
    life_mark(agent, LIFE_DOWN | (extension->keeps_mail ? 0 : LIFE_DEAF));
}

void keep_hand_over(struct worker *worker, soma_agent *agent)
{
    struct message *watch = agent->extension->keeper;
    soma_ref keeper = watch->sender;
    fence_full();                // it is down before we look for marks; pairs with pressure_mark
    pressure_end(worker, agent); // its keeper may not be muted for it
    agent->extension->keeper = NULL;
    watch->sender = agent_ref(agent);
    watch->settled = true;
    message_push(worker->system, worker_or_outside(worker), keeper, watch);
}

void keep_drop_mail(struct worker *worker, soma_agent *agent)
{
    soma_system *system = worker->system;
    struct mailbox *box = &agent->mailbox;
    const soma_ref self = {system->node, (uint32_t)(agent - system->slots.base),
                           life_generation(u64_load(&agent->life))};
    struct message *message = ptr_load(&box->head) == MAIL_HELD ? NULL : mailbox_first(box);
    while (message) {
        struct message *next = mailbox_next_or_hold(box, message);
        if (message->marks & MARK_COUNTED)
            tally_leave(tally_of(&system->slots, self.slot), message);
        message_dead(system, worker_or_outside(worker), self, message, SOMA_EGONE);
        message = next;
    }
}

void keep_bury(soma_system *system, struct worker *worker, soma_ref ref)
{
    struct worker guest;
    if (!worker) {
        worker_guest(&guest, system);
        worker = &guest;
    }
    soma_agent *agent = &system->slots.base[ref.slot];
    agent_finish(worker, agent);
    agent_unhold(worker, agent);
}

uint64_t keep_life(const soma_agent *agent)
{
    return agent->extension ? agent->extension->life : 0;
}

int keep_mark(struct worker *worker, soma_agent *agent)
{
    struct extension *extension = agent->extension;
    extension->life++;
    extension->behind = ptr_load(&agent->mailbox.head) != MAIL_HELD;
    if (!extension->behind)
        return 0;
    struct message *mark = message_new(worker_or_outside(worker), MESSAGE_REVIVED, sizeof(uint64_t));
    if (!mark)
        return SOMA_ENOMEM;
    mark->body[0] = extension->life;
    mark->generation = life_generation(u64_load(&agent->life));
    mailbox_push(&agent->mailbox, mark);
    return 0;
}

void keep_reached(soma_agent *agent, const struct message *mark)
{
    if (mark->body[0] == agent->extension->life) // else that life is over, too
        agent->extension->behind = false;
}

bool keep_outlived(const soma_agent *agent, const struct message *message)
{
    const struct extension *extension = agent->extension;
    return extension && extension->behind && extension->keeper &&
           soma_ref_equal(extension->keeper->sender, message->sender);
}

/* ---- the keeper's side ---- */

int keep_deliver(struct worker *worker, soma_agent *keeper, struct message *message)
{
    message->settled = false; // from here on the entry says whose the agent is
    struct message *entry = pending_find(keeper, (int64_t)message->body[0]);
    if (!entry) { // it was released on the way
        keep_bury(worker->system, worker, message->sender);
        return 0;
    }
    kept_of(entry)->down = true;
    worker->tag = kept_of(entry)->tag;
    int error = message_handle(worker, keeper, message, message_body(message));
    worker->tag = 0;
    return error;
}

/* Says so ahead of the message that does: if it goes down before that comes, it must not hold its names. */
static void keep_loosen(const soma_system *system, soma_ref ref)
{
    soma_agent *agent = &system->slots.base[ref.slot];
    uint64_t life;
    do {
        life = u64_load(&agent->life);
        if (life_generation(life) != ref.generation)
            return;
    } while (!u64_cas(&agent->life, life, life | LIFE_LOOSE));
}

void keep_end(soma_agent *keeper, struct message *entry)
{
    if (!kept_of(entry)->down) {
        keep_loosen(keeper->worker->system, entry->sender);
        monitor_cancel(keeper, entry);
        return;
    }
    keep_bury(keeper->worker->system, keeper->worker, entry->sender);
    message_free(worker_or_outside(keeper->worker), entry);
}

static struct message *kept_find(const soma_agent *self, soma_handle handle)
{
    struct message *entry = pending_find(self, handle);
    return entry && entry->kind == MESSAGE_KEPT ? entry : NULL;
}

int soma_revive(soma_agent *self, soma_handle kept, const soma_behavior *behavior, const void *arg)
{
    if (!self || !behavior)
        return SOMA_EINVAL;
    struct message *entry = kept_find(self, kept);
    if (!entry)
        return SOMA_ENOENT;
    if (!kept_of(entry)->down)
        return SOMA_ESTATE;
    soma_agent *agent = &self->worker->system->slots.base[entry->sender.slot];
    struct extension *extension = agent->extension;
    if (!extension->keeper) // else it is left from an attempt that failed
        extension->keeper = watch_new(self, kept);
    if (!extension->keeper)
        return SOMA_ENOMEM;
    kept_of(entry)->watch = extension->keeper;
    extension->revived = true;
    int error = agent_revive(self->worker, agent, behavior, arg);
    if (!error)
        kept_of(entry)->down = false;
    return error;
}

int soma_release(soma_agent *self, soma_handle kept)
{
    if (!self)
        return SOMA_EINVAL;
    if (kept < 0)
        return (int)kept;
    struct message *entry = kept_find(self, kept);
    if (!entry)
        return SOMA_ENOENT;
    pending_remove(self, kept);
    keep_end(self, entry);
    return 0;
}

/* ---- what one life leaves to the next ---- */

int soma_stash_set(soma_agent *self, const soma_type *type, const void *body)
{
    struct message *stash;
    if (!self || !type || !body)
        return SOMA_EINVAL;
    if (!extension_need(self))
        return SOMA_ENOMEM;
    int error = message_build(NULL, MESSAGE_PLAIN, 0, type, body, &stash);
    if (error)
        return error;
    free(self->extension->stash);
    self->extension->stash = stash;
    return 0;
}

const void *soma_stash_get(const soma_agent *self, const soma_type *type)
{
    const struct message *stash = self && type && self->extension ? self->extension->stash : NULL;
    return stash && type_same(stash->type, type) ? stash->body : NULL;
}
