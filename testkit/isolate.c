/* Isolated agents: opening, and a turn of one message. See isolate.h. */
#include "testkit/isolate.h"
#include "runtime/agent.h"
#include "runtime/extension.h"
#include "runtime/link.h"
#include "runtime/monitor.h"
#include "runtime/send.h"
#include "testkit/choice.h"
#include "testkit/memory.h"
#include <soma/error.h>
#include <stdlib.h>

/* ---- its system ---- */

static uint64_t isolated_now(void *context)
{
    return ((const soma_isolated *)context)->now;
}

static uint64_t isolated_random(void *context)
{
    return random_next(&((soma_isolated *)context)->entropy);
}

/* Nobody runs by himself. That the agent has mail must be known at its end, as its last turn is then still due. */
static void isolated_runnable(void *context, soma_system *system, soma_agent *agent)
{
    soma_isolated *iso = context;
    iso->waits |= agent == &system->slots.base[iso->self.slot];
}

static int stand_in_init(soma_agent *self, void *state, const void *arg)
{
    soma_isolated *iso = soma_system_data(soma_agent_system(self));
    (void)state;
    if (iso->quiet)
        return 0;
    isolated_spawn_arg(iso, arg);
    return iso->spawn_error;
}

static const soma_behavior stand_in = {.name = "stand-in", .init = stand_in_init};

static const soma_behavior *isolated_replace(void *context, soma_system *system, const soma_behavior *behavior)
{
    soma_isolated *iso = context;
    (void)system;
    if (soma_ref_is_null(iso->self) || !behavior->name)
        return behavior;
    iso->wanted = behavior;
    return &stand_in;
}

/* Refs of nodes that the test has made up are as good as any. */
static int isolated_carry(void *context, soma_ref to, struct message *message)
{
    struct worker *worker = &((soma_isolated *)context)->system->workers[0];
    uint64_t handle;
    (void)to;
    if (message->kind == MESSAGE_WATCH)
        message_free(worker, monitor_depart(message, &handle));
    else if (message->kind == MESSAGE_LINK)
        message_free(worker, link_carried(message));
    message_dispose(worker, message);
    return 0;
}

static int isolated_system_open(soma_isolated *iso)
{
    const soma_options options = {.workers = 1,
                                  .slots = 1u << 16,
                                  .log_level = SOMA_LOG_DEBUG,
                                  .log_sink = isolated_log,
                                  .log_context = iso,
                                  .data = iso};
    const struct driver driver = {.now = isolated_now,
                                  .date = isolated_now,
                                  .random = isolated_random,
                                  .runnable = isolated_runnable,
                                  .observe = isolated_observe,
                                  .replace = isolated_replace,
                                  .context = iso};
    int error = system_open_driven(&iso->system, &options, &driver);
    iso->route = (struct route){.carry = isolated_carry, .context = iso};
    if (!error)
        system_route_set(iso->system, &iso->route);
    return error;
}

/* ---- a turn ---- */

static soma_agent *agent_of(const soma_isolated *iso)
{
    soma_agent *agent = &iso->system->slots.base[iso->self.slot];
    uint64_t life = u64_load(&agent->life);
    return life_generation(life) == iso->self.generation ? agent : NULL;
}

static soma_isolated *checked(soma_isolated *iso, const char *function)
{
    if (!iso)
        soma_test_fail_at(NULL, __FILE__, __LINE__, "%s: the agent is NULL", function);
    return iso;
}

static void turn(soma_isolated *iso, soma_agent *agent)
{
    struct worker *worker = &iso->system->workers[0], *outer = worker_here();
    iso->result = SOMA_EGONE; // unless it comes to handle the message
    iso->unhandled = iso->waits = false;
    worker_enter(worker);
    memory_own(false);
    if (iso->failing)
        memory_fail(iso->failing);
    agent_turn(worker, agent, 1);
    if (iso->failing)
        memory_fail(0);
    memory_own(true);
    iso->failing = 0;
    for (int result = iso->result; !agent_of(iso) && iso->waits; iso->result = result) { // what it has sent itself
        iso->waits = false;
        agent_turn(worker, agent, UINT16_MAX);
    }
    worker_enter(outer);
}

/* Before all that the agent has sent itself. Nobody else is there to push. */
static void push_first(struct mailbox *box, struct message *message)
{
    if (mailbox_push(box, message))
        return;
    struct message *last = message, *first = ptr_load(&box->tail), *before = first;
    while (ptr_load(&before->next) != last)
        before = ptr_load(&before->next);
    ptr_store(&before->next, NULL);
    ptr_store(&box->head, before);
    ptr_store(&message->next, first);
    ptr_store(&box->tail, message);
}

/* Takes the message. What the handler returned. The kit's allocations go on after. */
static int deliver(soma_isolated *iso, struct message *message)
{
    soma_agent *agent = agent_of(iso);
    message->generation = iso->self.generation;
    if (!agent) {
        message_dispose(NULL, message);
        return SOMA_EGONE;
    }
    push_first(&agent->mailbox, message);
    turn(iso, agent);
    return iso->unhandled && !iso->result ? SOMA_EUNHANDLED : iso->result;
}

static int deliver_new(soma_isolated *iso, enum message_kind kind, int64_t handle, soma_ref from, const soma_type *type,
                       const void *body)
{
    struct message *message;
    memory_own(true);
    int error = type && body ? message_build(NULL, kind, (uint64_t)handle, type, body, &message) : SOMA_EINVAL;
    if (error)
        soma_test_fail(NULL, "the message %s can't be made: %s", type ? type->name : "NULL", soma_strerror(error));
    message->sender = from;
    int result = deliver(iso, message);
    memory_own(false);
    return result;
}

int soma_isolated_deliver(soma_isolated *iso, const soma_type *type, const void *body)
{
    return deliver_new(checked(iso, __func__), MESSAGE_PLAIN, 0, iso->sender, type, body);
}

int soma_isolated_ask(soma_isolated *iso, const soma_type *type, const void *body)
{
    if (soma_ref_is_null(checked(iso, __func__)->sender))
        soma_test_fail(NULL, "nobody outside can ask: see soma_isolated_from()");
    return deliver_new(iso, MESSAGE_REQUEST, ++iso->asked, iso->sender, type, body);
}

/* ---- what it waits for ---- */

static struct message *waiting(const soma_isolated *iso, const soma_effect *effect)
{
    soma_agent *agent = agent_of(iso);
    bool waits = agent && (effect->kind == SOMA_EFFECT_TIMER || effect->kind == SOMA_EFFECT_REQUESTED);
    return waits ? pending_find(agent, effect->handle) : NULL;
}

static struct message *waiting_checked(const soma_isolated *iso, const soma_effect *effect, const char *function)
{
    if (!iso || !effect)
        soma_test_fail_at(NULL, __FILE__, __LINE__, "%s: %s is NULL", function, iso ? "the effect" : "the agent");
    return waiting(iso, effect);
}

bool soma_isolated_pending(const soma_isolated *iso, const soma_effect *effect)
{
    return iso && effect && waiting(iso, effect);
}

int soma_isolated_reply(soma_isolated *iso, const soma_effect *effect, const soma_type *type, const void *body)
{
    const struct message *request = waiting_checked(iso, effect, __func__);
    if (!request || request->kind != MESSAGE_TIMEOUT)
        return SOMA_ENOENT;
    return deliver_new(iso, MESSAGE_REPLY, effect->handle, effect->to, type, body);
}

int soma_isolated_answer_error(soma_isolated *iso, const soma_effect *effect, int error)
{
    const struct message *request = waiting_checked(iso, effect, __func__);
    if (!request || request->kind != MESSAGE_TIMEOUT)
        return SOMA_ENOENT;
    memory_own(true);
    struct message *message = message_new(NULL, MESSAGE_ERROR, 2 * sizeof(uint64_t));
    if (!message)
        soma_test_fail(NULL, "out of memory");
    message->sender = effect->to;
    message->body[0] = (uint64_t)effect->handle;
    message->body[1] = (uint64_t)(int64_t)error;
    int result = deliver(iso, message);
    memory_own(false);
    return result;
}

int soma_isolated_fire(soma_isolated *iso, const soma_effect *effect)
{
    struct message *message = waiting_checked(iso, effect, __func__);
    if (!message)
        return SOMA_ENOENT;
    struct timer *timer = timer_of(message);
    uint64_t due = timer->wheel_timer.set_ever ? timer->wheel_timer.deadline * SOMA_US : 0;
    iso->now = due > iso->now ? due : iso->now;
    clock_cancel(iso->system, timer); // so it is out of the clock, as one that has fired
    memory_own(true);
    int result = deliver(iso, message);
    memory_own(false);
    return result;
}

int soma_isolated_shutdown(soma_isolated *iso)
{
    checked(iso, __func__);
    memory_own(true);
    struct message *message = message_new(NULL, MESSAGE_SHUTDOWN, 0);
    if (!message)
        soma_test_fail(NULL, "out of memory");
    message->type = &soma_exited_type;
    message->sender = iso->sender;
    int result = deliver(iso, message);
    memory_own(false);
    return result;
}

/* ---- opening and closing ---- */

/* The ready hook's message is the first, if it has one. */
static void ready(soma_isolated *iso)
{
    soma_agent *agent = agent_of(iso);
    const struct message *first =
        agent && ptr_load(&agent->mailbox.head) > MAIL_HELD ? ptr_load(&agent->mailbox.tail) : NULL;
    if (first && first->kind == MESSAGE_READY)
        turn(iso, agent);
}

int soma_isolate_open(soma_isolated **iso, const soma_behavior *behavior, const void *arg)
{
    if (!iso)
        soma_test_fail(NULL, "soma_isolate_open: nowhere to put it");
    *iso = calloc(1, sizeof(**iso));
    if (!*iso)
        soma_test_fail(NULL, "out of memory");
    memory_fail(0); // what a failed test has left
    memory_own(true);
    int error = isolated_system_open(*iso);
    if (!error)
        error = soma_system_spawn((*iso)->system, behavior, arg, NULL);
    if (!error) {
        ready(*iso);
        (*iso)->sender = soma_isolated_peer(*iso, NULL);
    }
    memory_own(false);
    if (error)
        soma_isolated_close(iso);
    return error;
}

soma_isolated *soma_isolate_at(const soma_behavior *behavior, const void *arg, const char *file, int line)
{
    soma_isolated *iso;
    int error = soma_isolate_open(&iso, behavior, arg);
    if (error)
        soma_test_fail_at(NULL, file, line, "'%s' can't be isolated: %s (%d)", behavior ? behavior->name : "NULL",
                          soma_strerror(error), error);
    return iso;
}

void soma_isolated_close(soma_isolated **iso)
{
    if (!iso || !*iso)
        return;
    (*iso)->quiet = true;
    memory_own(true);
    soma_system_cancel(&(*iso)->system);
    memory_own(false);
    soma_isolated_clear(*iso);
    free((*iso)->effects);
    free(*iso);
    *iso = NULL;
}

/* ---- the agent, and whom it knows ---- */

void *soma_isolated_state(soma_isolated *iso)
{
    const soma_agent *agent = agent_of(checked(iso, __func__));
    return agent ? agent->state : NULL;
}

const soma_behavior *soma_isolated_behavior(const soma_isolated *iso)
{
    const soma_agent *agent = iso ? agent_of(iso) : NULL;
    return agent ? agent->dispatch->behavior : NULL;
}

soma_ref soma_isolated_self(const soma_isolated *iso)
{
    return iso ? iso->self : SOMA_REF_NULL;
}

soma_ref soma_isolated_peer(soma_isolated *iso, const char *name)
{
    soma_ref peer = SOMA_REF_NULL;
    checked(iso, __func__);
    memory_own(true);
    iso->quiet = true;
    int error = soma_system_spawn(iso->system, &stand_in, NULL, &peer);
    if (!error && name)
        error = soma_name_set(iso->system, peer, name);
    iso->quiet = false;
    memory_own(false);
    if (error)
        soma_test_fail(NULL, "the peer '%s' can't be made: %s", name ? name : "", soma_strerror(error));
    return peer;
}

soma_ref soma_isolated_from(soma_isolated *iso, soma_ref sender)
{
    soma_ref before = checked(iso, __func__)->sender;
    iso->sender = sender;
    return before;
}

void soma_isolated_time_set(soma_isolated *iso, uint64_t now)
{
    checked(iso, __func__)->now = now;
}

void soma_isolated_spawns_fail(soma_isolated *iso, int error)
{
    checked(iso, __func__)->spawn_error = error;
}

void soma_isolated_fail_allocation(soma_isolated *iso, uint64_t n)
{
    checked(iso, __func__)->failing = n;
}
