/*
 * A turn: a worker runs an agent until its mailbox is empty or its batch is used up. The loop's fast path is a plain
 * message to a living agent, with its handler where it is looked for first; all else leaves it, and so does whatever is
 * due after a message.
 */
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/keep.h"
#include "runtime/lookout.h"
#include "runtime/monitor.h"
#include "runtime/port.h"
#include "runtime/pressure.h"
#include "runtime/request.h"
#include "runtime/tally.h"
#include "runtime/timer.h"
#include <soma/error.h>
#include <soma/log.h>

/* A message to the handler of its type. One that nothing handles is a dead letter, and a request then fails. */
static inline int plain_handle(struct worker *worker, soma_agent *agent, struct message *message, const void *body)
{
    soma_handler_fn *fn = dispatch_find(agent->dispatch, message->type);
    if (__builtin_expect(fn != NULL, 1))
        return fn(agent, agent->state, body);
    if (agent->dispatch->fallback)
        return agent->dispatch->fallback(agent, agent->state, message->type, body);
    message_unhandled(worker, soma_self(agent), message, SOMA_EUNHANDLED);
    return 0;
}

int message_handle(struct worker *worker, soma_agent *agent, struct message *message, const void *body)
{
    return plain_handle(worker, agent, message, body);
}

/* A message that is for the agent as such goes by its type, others by their port. */
static inline int message_direct(struct worker *worker, soma_agent *agent, struct message *message)
{
    if (message->marks & MARK_LABEL)
        return port_deliver(worker, agent, message);
    return message_handle(worker, agent, message, message_body(message));
}

/* What is not plain mail, for a living agent. */
static int message_deliver(struct worker *worker, soma_agent *agent, struct message *message)
{
    int error = 0;
    switch (message->kind) {
    case MESSAGE_PLAIN:
    case MESSAGE_SHARED:
        return message_direct(worker, agent, message);
    case MESSAGE_REQUEST:
        error = message_direct(worker, agent, message);
        request_handled(worker, agent, message, error);
        return error;
    case MESSAGE_REPLY:
    case MESSAGE_ERROR:
    case MESSAGE_TIMEOUT:
        return request_settle(worker, agent, message);
    case MESSAGE_TIMER: {
        struct timer *timer = timer_of(message);
        if (timer->wheel_timer.cancelled)
            return 0;
        if (!timer->period)
            pending_remove(agent, timer->handle);
        return message_handle(worker, agent, message, timer->body);
    }
    case MESSAGE_CALLBACK: {
        const struct callback *callback = (struct callback *)message->body;
        message->settled = true;
        return callback->run(agent, agent->state, callback->arg);
    }
    case MESSAGE_READY:
        if (!agent->dispatch->ready || message->body[0] != keep_life(agent)) // it may have become another
            return 0;
        return agent->dispatch->ready(agent, agent->state);
    case MESSAGE_WAKE:
        return 0;
    case MESSAGE_CAUGHT_UP:
        pressure_end(worker, agent);
        return 0;
    case MESSAGE_REVIVED:
        keep_reached(agent, message);
        return 0;
    default:
        return monitor_deliver(worker, agent, message);
    }
}

/* Does a message that it doesn't get to handle stay for the next life of an agent that is down? */
static inline bool mail_stays(uint64_t life)
{
    return life_down(life) && !(life & LIFE_DEAF);
}

/* Counts a message out, unless it stays. True if it is one too many, and old, and so not to be handled. */
static bool mail_leave(struct worker *worker, const soma_agent *agent, struct message *message, uint64_t life,
                       bool alive)
{
    const struct slots *slots = &worker->system->slots;
    if (mail_stays(life) || !tally_leave(tally_of(slots, (uint32_t)(agent - slots->base)), message) || !alive)
        return false;
    message->marks |= MARK_DROPPED;
    counter_add(&worker->counters.dropped, 1);
    return true;
}

/* As message_deliver(), told to the driver. */
static int message_deliver_observed(struct worker *worker, soma_agent *agent, struct message *message)
{
    soma_system *system = worker->system;
    struct event event = {.kind = EVENT_HANDLED, .agent = soma_self(agent), .message = message};
    message_observe(system, EVENT_HANDLE, event.agent, message);
    event.reason = message_deliver(worker, agent, message);
    system->driver.observe(system->driver.context, system, &event);
    return event.reason;
}

/* What became of a message: the handler's error, and whether it was for the agent, and it was there to handle it. */
struct outcome {
    int error;
    bool alive;
};

/* What ends the fast path: a kill, a stale generation, an agent that is down, a message that is not plain. */
static struct outcome message_special(struct worker *worker, soma_agent *agent, struct message *message, uint64_t life)
{
    if (life_runs(life) && (life & LIFE_KILL)) {
        agent_end(worker, agent, SOMA_EKILLED);
        life = u64_load(&agent->life);
    }
    bool alive = life_runs(life) && life_generation(life) == message->generation;
    if (message->marks & MARK_COUNTED && mail_leave(worker, agent, message, life, alive))
        alive = false;
    if (alive && life & LIFE_OBSERVED)
        return (struct outcome){message_deliver_observed(worker, agent, message), true};
    return (struct outcome){alive ? message_deliver(worker, agent, message) : 0, alive};
}

/* After the turn has moved on, so the agent may be another's: what remains of a message that was not plain mail. */
static void message_finish(struct worker *worker, const soma_agent *agent, struct message *message, bool handled)
{
    soma_system *system = worker->system;
    soma_ref self = {system->node, (uint32_t)(agent - system->slots.base), message->generation};
    if (message->kind == MESSAGE_TIMER && timer_of(message)->period && clock_again(system, timer_of(message)))
        return;
    if (message->kind == MESSAGE_ERROR && message->settled)
        request_refused(system, worker, self, message);
    else if (handled || message->kind == MESSAGE_TIMER || message->kind == MESSAGE_TIMEOUT)
        message_dispose(worker, message);
    else
        message_dead(system, worker, self, message, message->marks & MARK_DROPPED ? SOMA_EAGAIN : SOMA_EGONE);
}

/*
 * The agent has sent to one under pressure: ends its turn and mutes it. False if it must not be: it is overloaded
 * itself, or at its end, or of those that never are.
 */
static bool turn_mute(struct worker *worker, soma_agent *agent, struct message *last)
{
    worker->pressing = false;
    if (u32_load(&agent->pressure) || agent->dispatch->behavior->unmuted || !life_runs(u64_load(&agent->life)))
        return false;
    struct message *next = mailbox_next_or_hold(&agent->mailbox, last);
    if (next)
        ptr_store(&agent->mailbox.tail, next);
    pressure_mute(worker, agent, worker->pressed);
    return true;
}

/*
 * The message after `last`, or NULL if the agent went idle. The slot of one that has ended is released when it goes
 * idle, once.
 */
static struct message *turn_next(struct worker *worker, soma_agent *agent, struct message *last)
{
    uint64_t life = u64_load(&agent->life);
    if (life_alive(life))
        return mailbox_next(&agent->mailbox, last);
    if (!(life & LIFE_RELEASE))
        return mailbox_next_to_hold(&agent->mailbox, last);
    // Once idle the slot is no longer ours to write, so the mark goes first and comes back if there is mail.
    u64_store(&agent->life, life & ~(uint64_t)LIFE_RELEASE);
    struct message *next = mailbox_next_to_hold(&agent->mailbox, last);
    if (next)
        u64_store(&agent->life, life);
    else
        slots_give(&worker->system->slots, slot_cache_of(worker), agent);
    return next;
}

static void turn_end_log(soma_agent *agent, int reason, const char *what)
{
    const char *text = failure_text(agent, reason);
    soma_log_warning(agent, "ended while handling %s: %s (%d)", what, text ? text : soma_strerror(reason), reason);
}

/* Ends an agent by its handler's error or its own wish; a reason is logged, as nobody else may be told. */
static void turn_end(struct worker *worker, soma_agent *agent, int error, const char *what)
{
    int reason = error < 0 ? error : worker->exit_reason;
    if (reason && reason != SOMA_ESHUTDOWN) // that was an order
        turn_end_log(agent, reason, what);
    agent_end(worker, agent, reason);
}

/* An error may come as an answer, with its text. */
static const char *type_name(const soma_type *type)
{
    return type_same(type, &soma_failure_type) ? "a failed request" : type->name;
}

/* What a message is to its reader: its type, or what it is instead. */
static const char *message_name(const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_ERROR:
    case MESSAGE_TIMEOUT:
        return "a failed request";
    case MESSAGE_CALLBACK:
        return message->type ? type_name(message->type) : "a posted call";
    case MESSAGE_READY:
        return "its ready hook";
    case MESSAGE_WATCH:
        return "a monitor";
    case MESSAGE_EXIT:
        return "the end of a linked agent";
    default:
        return message->type ? type_name(message->type) : "a signal";
    }
}

/* The idle hook, if this was the last message. */
static void turn_idle(struct worker *worker, soma_agent *agent, const struct message *last)
{
    if (ptr_load(&last->next) || !life_runs(u64_load(&agent->life)))
        return;
    worker->current = NULL;
    int error = agent->dispatch->idle(agent, agent->state);
    if (error < 0 || worker->exiting)
        turn_end(worker, agent, error, "its idle hook");
}

/*
 * The turn of a kept agent that is down: its mail waits for its next life, beginning with a message that it didn't get
 * to, or becomes dead letters. At the end its keeper has it.
 */
static struct message *turn_down(struct worker *worker, soma_agent *agent, struct message *message, bool handled)
{
    bool keeps = mail_stays(u64_load(&agent->life)), stays = keeps && !handled;
    struct message *next = stays ? message : mailbox_next_or_hold(&agent->mailbox, message);
    worker->pressing = false;
    if (!stays)
        message_finish(worker, agent, message, handled);
    if (next && !keeps)
        return next;
    if (next)
        ptr_store(&agent->mailbox.tail, next);
    keep_hand_over(worker, agent);
    return NULL;
}

/* All that may be due after a message and mostly isn't. The next message; NULL if the turn is over. */
static struct message *turn_after(struct worker *worker, soma_agent *agent, struct message *message, int error,
                                  bool alive)
{
    if (error < 0 || worker->exiting)
        turn_end(worker, agent, error, message_name(message));
    else if (worker->failing)
        failure_forget(agent); // it thought better of it
    worker->failing = worker->carried = false;
    if (agent->dispatch->idle && !u32_load(&worker->leave))
        turn_idle(worker, agent, message);
    if (worker->sending)
        outbox_flush(worker);
    worker->outbox.target = NULL;
    if (life_down(u64_load(&agent->life)))
        return turn_down(worker, agent, message, alive);
    bool muted = worker->pressing && turn_mute(worker, agent, message);
    struct message *next = muted ? NULL : turn_next(worker, agent, message);
    message_finish(worker, agent, message, alive);
    return next;
}

/* The agent has used up its batch, or the system stops: the others come first, and then it begins with `message`. */
static void turn_over(struct worker *worker, soma_agent *agent, struct message *message, uint32_t handled)
{
    ptr_store(&agent->mailbox.tail, message);
    bool whole = handled >= worker->system->options.batch;
    if ((whole || u32_load(&agent->pressure)) && life_runs(u64_load(&agent->life)))
        pressure_begin(worker, agent);
    worker_schedule_last(worker, agent);
}

/* Before a message is handled: is another one behind it? */
static inline void turn_look(struct worker *worker, soma_agent *agent, const struct message *message)
{
    const struct message *following = ptr_load(&message->next);
    if (following) {
        __builtin_prefetch(following); // it may come from another core: fetch it while we handle this
        message_fetch_hint(message);
    } else if (__builtin_expect(u32_load(&agent->pressure), 0)) {
        pressure_end(worker, agent); // it has caught up
    }
}

/*
 * Is a message, by what message_unlike() says of it, for a living agent with nothing special about it, and to be
 * handled and no more? A plain or shared one, in whatever block, for a port or not.
 */
static inline bool mail_ordinary(uint64_t unlike)
{
    const uint64_t kind = (uint64_t)MESSAGE_SHARED << 8, label = (uint64_t)MARK_LABEL << 16;
    return !(unlike & ~(0xff | kind | label));
}

/* One that was ordinary: most are plain, and hold nothing. */
static inline void message_done(struct worker *worker, struct message *message)
{
    if (__builtin_expect(message->kind == MESSAGE_PLAIN, 1))
        message_free(worker, message);
    else
        message_dispose(worker, message);
}

/* A turn from a message of it on, behind `handled` others; how many it was in the end. */
static __attribute__((noinline)) uint32_t turn_run(struct worker *worker, soma_agent *agent, struct message *message,
                                                   uint32_t handled)
{
    const bool watched = worker->lookout;
    for (;;) {
        turn_look(worker, agent, message);
        uint64_t life = u64_load(&agent->life), unlike = message_unlike(message, life);
        const struct dispatch *dispatch = agent->dispatch;
        const soma_type *type = message->type;
        const struct dispatch_row *row = dispatch_home(dispatch, type);
        struct outcome outcome = {0, true};
        worker->current = message;
        if (watched)
            lookout_begin(worker, agent, message_name(message));
        bool plain = unlike < POOL_HEAP && row->type == type && !dispatch->idle;
        bool ordinary = plain || (mail_ordinary(unlike) && !dispatch->idle);
        if (__builtin_expect(plain, 1))
            outcome.error = row->fn(agent, agent->state, message->body);
        else if (ordinary)
            outcome.error = message_direct(worker, agent, message);
        else
            outcome = message_special(worker, agent, message, life);
        if (watched)
            lookout_end(worker, agent);
        handled += outcome.alive && message->kind != MESSAGE_CAUGHT_UP; // that one must not bring about the next
        struct message *next;
        if (__builtin_expect(ordinary && outcome.error >= 0 && !worker->due, 1)) {
            worker->outbox.target = NULL;
            next = mailbox_next(&agent->mailbox, message);
            if (__builtin_expect(plain, 1))
                pool_give(&worker->pool, unlike, message);
            else
                message_done(worker, message);
        } else {
            next = turn_after(worker, agent, message, outcome.error, outcome.alive);
        }
        if (!next)
            return handled;
        message = next;
        if (__builtin_expect((int32_t)--worker->budget <= 0 || u32_load(&worker->leave), 0)) {
            turn_over(worker, agent, message, handled);
            return handled;
        }
    }
}

static inline struct message *turn_begin(struct worker *worker, soma_agent *agent, const struct dispatch *dispatch)
{
    agent->worker = worker;
    ptr_store(&worker->running, (void *)(uintptr_t)dispatch);
    worker->budget = (uint32_t)worker->batch;
    return mailbox_first(&agent->mailbox);
}

void agent_turn(struct worker *worker, soma_agent *agent, uint32_t batch)
{
    worker->batch = (int32_t)batch;
    uint32_t handled = turn_run(worker, agent, turn_begin(worker, agent, agent->dispatch), 0);
    worker->current = NULL;
    counter_add(&worker->counters.processed, handled);
}

/* What follows the first message of a turn, if anything does. */
static __attribute__((noinline)) uint32_t turn_go_on(struct worker *worker, soma_agent *agent, struct message *next)
{
    if (next && (int32_t)--worker->budget > 0 && !u32_load(&worker->leave))
        return turn_run(worker, agent, next, 1);
    if (next)
        turn_over(worker, agent, next, 1);
    return 1;
}

/*
 * A turn as most are: one small message to an agent that is idle after it. All that a turn may be else is left to the
 * functions above as soon as it is seen, so that this one is short and keeps what it needs in registers.
 */
static inline uint32_t turn_short(struct worker *worker, soma_agent *agent)
{
    const struct dispatch *dispatch = agent->dispatch;
    struct message *message = turn_begin(worker, agent, dispatch);
    uint64_t life = u64_load(&agent->life);
    const soma_type *type = message->type;
    const struct dispatch_row *row = dispatch_home(dispatch, type);
    bool plain = message->head == (life | CLASS_SMALL) && row->type == type && !dispatch->idle;
    if (__builtin_expect(!plain || u32_load(&agent->pressure), 0))
        return turn_run(worker, agent, message, 0);
    worker->current = message;
    int error = row->fn(agent, agent->state, message->body);
    if (__builtin_expect(error < 0 || worker->due, 0))
        return turn_go_on(worker, agent, turn_after(worker, agent, message, error, true));
    worker->outbox.target = NULL;
    if (__builtin_expect(!mailbox_rest(&agent->mailbox, message), 0)) {
        struct message *next = mailbox_await(&message->next);
        pool_give(&worker->pool, CLASS_SMALL, message);
        return turn_go_on(worker, agent, next);
    }
    pool_give(&worker->pool, CLASS_SMALL, message);
    return 1;
}

void agent_turns(struct worker *worker, soma_agent *agent)
{
    uint64_t handled = 0;
    uint32_t left = worker->others_in;
    for (;;) {
        handled += turn_short(worker, agent);
        agent = worker->lifo;
        if (!--left || !agent || u32_load(&worker->leave))
            break;
        worker->lifo = NULL;
    }
    worker->others_in = left;
    worker->current = NULL;
    counter_add(&worker->counters.processed, handled);
}
