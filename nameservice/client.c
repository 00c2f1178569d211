/* The client agent: its ops and tasks, what the server tells, its life; see client.h. */
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/method.h>
#include <soma/monitor.h>
#include <stdlib.h>
#include <string.h>

#define REST_TIME (100 * SOMA_MS)

/* ---- ops ---- */

bool is_stranger(soma_agent *self)
{
    if (soma_sender(self).node == soma_self(self).node)
        return false;
    soma_reply_error(self, SOMA_EINVAL);
    return true;
}

static soma_ref op_key(uint64_t number)
{
    return (soma_ref){.node = number};
}

struct op *op_find(const struct client *my, uint64_t number)
{
    return (struct op *)refs_find(&my->ops, op_key(number));
}

struct op *op_new(soma_agent *self, struct client *my, struct op **list, void *of, uint64_t timeout,
                  void (*late)(soma_agent *self, struct client *my, struct op *op))
{
    uint64_t number = ++my->numbers;
    struct op *op = calloc(1, sizeof(*op));
    if (!op || refs_add(&my->ops, &op->node, op_key(number))) {
        free(op);
        soma_reply_error(self, SOMA_ENOMEM);
        return NULL;
    }
    *op = (struct op){.node = op->node, .of = of, .late = late};
    if (!timeout)
        timeout = SOMA_NAMES_TIMEOUT;
    if (timeout < SOMA_NEVER / 2)
        op->timer = soma_after(self, timeout, names_deadline, .op = number);
    op->promise = op->timer < 0 ? SOMA_ENOMEM : soma_reply_later(self);
    if (op->promise < 0) { // or it was sent, and nobody wants an answer
        soma_timer_cancel(self, op->timer);
        refs_remove(&my->ops, &op->node);
        free(op);
        soma_reply_error(self, SOMA_ENOMEM);
        return NULL;
    }
    op->link = list;
    op->next = *list;
    if (op->next)
        op->next->link = &op->next;
    *list = op;
    return op;
}

void op_release(struct op *op)
{
    free(op->alias);
    free(op->besides);
    free(op);
}

static void op_free(soma_agent *self, struct client *my, struct op *op)
{
    *op->link = op->next;
    if (op->next)
        op->next->link = op->link;
    refs_remove(&my->ops, &op->node);
    if (op->timer)
        soma_timer_cancel(self, op->timer);
    if (op->knock)
        soma_request_cancel(self, op->knock);
    op_release(op);
}

void op_answer(soma_agent *self, struct client *my, struct op *op, const soma_type *type, const void *body)
{
    if (soma_reply_send(self, op->promise, type, body))
        soma_reply_error_to(self, op->promise, SOMA_ENOMEM);
    op_free(self, my, op);
}

void op_fail(soma_agent *self, struct client *my, struct op *op, int error)
{
    soma_reply_error_to(self, op->promise, error);
    op_free(self, my, op);
}

static int on_deadline(soma_agent *self, struct client *my, const struct names_deadline *m)
{
    struct op *op = op_find(my, m->op);
    if (!op || is_stranger(self))
        return 0;
    op->timer = 0;
    op->late(self, my, op);
    tasks_pump(self, my);
    return 0;
}

/* ---- tasks ---- */

void task_queue(struct client *my, struct task *task)
{
    struct tasks *tasks = task->kind == TASK_PUT ? &my->puts : &my->asks;
    if (task->queued || task->under_way || !my->up || (my->follows && task->kind == TASK_PUT))
        return;
    task->queued = true;
    task->next = NULL;
    if (tasks->last)
        tasks->last->next = task;
    else
        tasks->first = task;
    tasks->last = task;
}

/* The next one, of either queue in turn; NULL if there is none. */
static struct task *task_take(struct client *my)
{
    bool puts = my->puts.first && !my->puts_rest;
    my->asks_turn = my->asks.first && (!my->asks_turn || !puts);
    struct tasks *tasks = my->asks_turn ? &my->asks : &my->puts;
    struct task *task = my->asks_turn || puts ? tasks->first : NULL;
    if (!task)
        return NULL;
    tasks->first = task->next;
    if (!tasks->first)
        tasks->last = NULL;
    task->queued = false;
    return task;
}

void tasks_pump(soma_agent *self, struct client *my)
{
    struct task *task;
    while (my->up && my->under_way < UNDER_WAY_MOST && (task = task_take(my))) {
        if (task->kind == TASK_PUT)
            holding_ask(self, my, (struct holding *)task);
        else if (task->kind == TASK_LOOKUP)
            known_ask(self, my, (struct known *)task);
        else
            listing_ask(self, my, (struct listing *)task);
    }
}

void tasks_drop(struct client *my)
{
    for (struct task *task = my->puts.first; task; task = task->next)
        task->queued = false;
    for (struct task *task = my->asks.first; task; task = task->next)
        task->queued = false;
    my->puts = my->asks = (struct tasks){NULL, NULL};
}

void tasks_rest(soma_agent *self, struct client *my)
{
    if (!my->puts_rest)
        my->puts_rest = soma_after(self, REST_TIME, names_go_on) > 0;
}

static int on_go_on(soma_agent *self, struct client *my, const struct names_go_on *m)
{
    (void)m;
    if (is_stranger(self))
        return 0;
    my->puts_rest = false;
    tasks_pump(self, my);
    return 0;
}

void task_sent(struct client *my, struct task *task)
{
    task->under_way = true;
    task->session = my->session;
    my->under_way++;
}

bool task_ended(struct client *my, struct task *task)
{
    task->under_way = false;
    my->under_way--;
    return task->session == my->session;
}

/* ---- what the server tells ---- */

static int on_news(soma_agent *self, struct client *my, const struct ns_news *m)
{
    if (!my->up || !soma_ref_equal(soma_sender(self), my->server))
        return 0;
    soma_send(self, my->server, ns_heard);
    if (m->reset)
        knowns_forgotten(self, my);
    for (uint32_t i = 0; i < m->items.count; i++)
        if (m->items.items[i].name.name)
            known_news(self, my, &m->items.items[i]);
    if (!watchings_news(self, my, m)) {
        link_lost(self, my); // to be told all again
        return 0;
    }
    if (m->settled && !my->settled) {
        my->settled = true;
        knowns_settled(self, my);
        listings_up(my);
    }
    tasks_pump(self, my);
    return 0;
}

/* Of a node's clients one is what its channels use; when that ends, another. */
static void place_take(soma_agent *self, struct client *my)
{
    soma_system *system = soma_agent_system(self);
    soma_ref elder;
    my->elder = 0;
    while (!my->elder && soma_name_set(system, soma_self(self), SOMA_NAMES) == SOMA_EEXIST)
        if (!soma_whereis(system, SOMA_NAMES, &elder)) // else it has just ended
            my->elder = soma_monitor(self, elder);
}

/* When no function of the user's can be called any more. */
static void close_end(soma_agent *self, struct client *my)
{
    if (watchings_call(my))
        return;
    if (my->up)
        soma_send(self, my->server, ns_bye);
    soma_reply_to(self, my->closing, soma_name_done);
    soma_agent_exit(self, 0);
}

static int on_close(soma_agent *self, struct client *my, const struct names_close *m)
{
    (void)m;
    if (is_stranger(self))
        return 0;
    my->closing = soma_reply_later(self);
    watchings_close(self, my);
    close_end(self, my);
    return 0;
}

static int on_down(soma_agent *self, struct client *my, const struct soma_down *m)
{
    if (m->monitor == my->monitor && my->monitor)
        link_lost(self, my);
    else if (m->monitor == my->elder && my->elder)
        place_take(self, my);
    else if (!holder_down(self, my, m) && teller_down(self, my, m) && my->closing)
        close_end(self, my);
    tasks_pump(self, my);
    return 0;
}

/* ---- its life ---- */

static void options_fill(soma_names_options *options)
{
    if (!options->names_most)
        options->names_most = 200000;
    if (!options->cache_most)
        options->cache_most = 10000;
    if (!options->stale_ms)
        options->stale_ms = 1000;
    if (!options->retry_ms)
        options->retry_ms = 200;
    if (!options->lease_s)
        options->lease_s = 10;
    options->addresses = NULL;
}

static int client_init(soma_agent *self, void *state, const void *arg)
{
    struct client *my = state;
    const struct client_start *start = arg;
    my->bridge = start->bridge;
    if (start->options)
        my->options = *start->options;
    options_fill(&my->options);
    int error = index_open(&my->holdings, soma_random(self));
    if (!error)
        error = index_open(&my->knowns, my->holdings.seed);
    my->addresses = malloc(start->size);
    if (error || !my->addresses)
        return SOMA_ENOMEM;
    memcpy(my->addresses, start->addresses, start->size);
    error = soma_type_register(soma_agent_system(self), &soma_invoke_type); // see known.c
    if (!error && start->opened)
        place_take(self, my);
    if (!error)
        link_open(self, my);
    return error;
}

/* Who waits is told by the runtime. */
static void client_stop(soma_agent *self, void *state, int reason)
{
    struct client *my = state;
    (void)reason;
    for (uint32_t i = 0; i < my->ops.bucket_count; i++)
        for (struct refs_node *node = my->ops.buckets[i], *next; node; node = next) {
            struct op *op = (struct op *)node;
            next = node->next;
            op_release(op);
        }
    refs_free(&my->ops);
    holdings_free(my);
    knowns_free(my);
    listings_free(my);
    watchings_free(self, my);
    free(my->addresses);
}

const soma_behavior names_behavior = {
    .name = "names",
    .state_size = sizeof(struct client),
    .init = client_init,
    .stop = client_stop,
    .unmuted = true, // of requests to the server a bounded number is under way
    .handlers =
        SOMA_HANDLERS(SOMA_ON(soma_name_lookup, on_name_lookup), SOMA_ON(soma_name_register, on_register),
                      SOMA_ON(soma_name_unregister, on_unregister), SOMA_ON(soma_name_alias, on_alias),
                      SOMA_ON(soma_name_list, on_name_list), SOMA_ON(soma_name_watch, on_name_watch),
                      SOMA_ON(names_watch_call, on_watch_call), SOMA_ON(soma_name_unwatch, on_name_unwatch),
                      SOMA_ON(soma_channel_find, on_channel_find), SOMA_ON(names_alias_find, on_alias_find),
                      SOMA_ON(soma_channel_bound, on_channel_bound), SOMA_ON(soma_channel_settle, on_channel_settle),
                      SOMA_ON(ns_sync, on_sync), SOMA_ON(names_find_server, on_find_server), SOMA_ON(ns_news, on_news),
                      SOMA_ON(ns_lost, on_lost), SOMA_ON(soma_down, on_down), SOMA_ON(names_deadline, on_deadline),
                      SOMA_ON(names_retry, on_names_retry), SOMA_ON(names_behind, on_names_behind),
                      SOMA_ON(names_close, on_close), SOMA_ON(names_go_on, on_go_on), SOMA_ON(names_more, on_more))};
