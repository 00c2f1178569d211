/*
 * What a probe does for the body: each act is an order, posted to its agent, which carries it out as one of its own
 * handlers would. Orders live as long as the test, as answers to requests come back to them.
 */
#include "runtime/extension.h"
#include "runtime/send.h"
#include "testkit/probe.h"
#include <soma/error.h>
#include <stdlib.h>

soma_body *probe_body(const soma_probe *probe, const char *function, const soma_type *type, const void *message)
{
    soma_body *body;
    int error = soma_body_copy(&body, type, message);
    if (error)
        kit_fail(probe->test, "%s: the message can't be copied: %s", function, soma_strerror(error));
    return body;
}

/* One that is gone, or goes before it comes to it, does it not: for the others it has ended before. */
static void order_post(soma_probe *probe, soma_ref agent, const struct order *wanted,
                       int (*run)(soma_agent *self, void *state, void *arg))
{
    struct node *node = node_of_ref(probe->test, agent);
    struct order *order = malloc(sizeof(*order));
    if (!order)
        kit_fail(probe->test, "out of memory");
    *order = *wanted;
    order->next = probe->orders;
    probe->orders = order;
    int error = node ? soma_post(node->system, agent, run, order, NULL) : 0;
    if (error && error != SOMA_EGONE)
        kit_fail(probe->test, "the probe '%s' can't act: %s", probe->name, soma_strerror(error));
}

/* ---- answers ---- */

/* What was expected last, to be answered now. */
static struct record *record_answered(soma_probe *probe, const char *function)
{
    probe_check(probe, function);
    struct record *record = probe->expected;
    if (!record)
        kit_fail(probe->test, "%s: the probe '%s' has expected nothing yet", function, probe->name);
    if (record->answered)
        kit_fail(probe->test, "%s: %s is answered already", function, record->body->type->name);
    record->answered = record->promise;
    return record;
}

static int act_reply(soma_agent *self, void *state, void *arg)
{
    const struct order *order = arg;
    (void)state;
    probe_answer(self, order->record->promise, order->record->sender, order->body);
    return 0;
}

void soma_probe_reply_message(soma_probe *probe, const soma_type *type, const void *body)
{
    const struct record *record = record_answered(probe, "soma_probe_reply");
    if (!record->promise && soma_ref_is_null(record->sender))
        kit_fail(probe->test, "soma_probe_reply: %s came from outside", record->body->type->name);
    const struct order order = {.record = record, .body = probe_body(probe, "soma_probe_reply", type, body)};
    order_post(probe, record->agent, &order, act_reply);
}

static int act_fail(soma_agent *self, void *state, void *arg)
{
    const struct order *order = arg;
    (void)state;
    soma_reply_error_to(self, order->record->promise, order->error);
    return 0;
}

void soma_probe_reply_error(soma_probe *probe, int error)
{
    const struct record *record = record_answered(probe, __func__);
    if (!record->promise || !error)
        kit_fail(probe->test, "%s: %s", __func__, error ? "what was expected last is no request" : "no error");
    order_post(probe, record->agent, &(struct order){.record = record, .error = error}, act_fail);
}

/* As soma_forward(), but of a message from before. */
static int act_forward(soma_agent *self, void *state, void *arg)
{
    const struct order *order = arg;
    const struct record *record = order->record;
    struct worker *worker = worker_or_outside(self->worker);
    struct message *message, *asked = record->promise ? pending_find(self, record->promise) : NULL;
    (void)state;
    if (record->promise && !asked)
        return 0; // of an earlier life
    int error = message_build(worker, asked ? MESSAGE_REQUEST : MESSAGE_PLAIN, asked ? asked->body[0] : 0,
                              record->body->type, record->body->words, &message);
    if (error)
        return error; // and who asked hears of the end
    if (asked)
        message_free(worker, pending_remove(self, record->promise));
    message->sender = record->sender;
    message_push(self->worker->system, worker, order->to, message);
    return 0;
}

void soma_probe_forward(soma_probe *probe, soma_ref to)
{
    const struct record *record = record_answered(probe, __func__);
    order_post(probe, record->agent, &(struct order){.record = record, .to = to}, act_forward);
}

/* ---- of its own accord ---- */

static int act_send(soma_agent *self, void *state, void *arg)
{
    const struct order *order = arg;
    (void)state;
    soma_agent_send(self, order->to, order->body->type, order->body->words);
    return 0;
}

void soma_probe_send_message(soma_probe *probe, soma_ref to, const soma_type *type, const void *body)
{
    probe_check(probe, "soma_probe_send");
    const struct order order = {.to = to, .body = probe_body(probe, "soma_probe_send", type, body)};
    order_post(probe, soma_probe_ref(probe), &order, act_send);
}

static const struct order *order_tagged(const soma_agent *self)
{
    return (const struct order *)(uintptr_t)soma_tag(self);
}

static int on_reply(soma_agent *self, void *state, const void *reply)
{
    (void)state;
    probe_record(self, soma_sender(self), order_tagged(self)->reply, reply, 0, false);
    return 0;
}

static int on_error(soma_agent *self, void *state, const void *error)
{
    const struct soma_probe_error failed = {*(const int *)error};
    (void)state;
    probe_record(self, order_tagged(self)->to, &soma_probe_error_type, &failed, 0, false);
    return 0;
}

static int act_request(soma_agent *self, void *state, void *arg)
{
    const struct order *order = arg;
    const soma_then then = {
        .reply = order->reply, .on_reply = on_reply, .on_error = on_error, .tag = (uint64_t)(uintptr_t)arg};
    (void)state;
    soma_handle asked =
        soma_request_send(self, order->to, order->timeout, &then, order->body->type, order->body->words);
    return asked < 0 ? (int)asked : 0;
}

void soma_probe_request_message(soma_probe *probe, soma_ref to, uint64_t timeout, const soma_type *reply,
                                const soma_type *type, const void *body)
{
    probe_check(probe, "soma_probe_request");
    if (!timeout)
        kit_fail(probe->test, "soma_probe_request: the timeout is 0");
    const struct order order = {
        .to = to, .timeout = timeout, .reply = reply, .body = probe_body(probe, "soma_probe_request", type, body)};
    order_post(probe, soma_probe_ref(probe), &order, act_request);
}

static int act_monitor(soma_agent *self, void *state, void *arg)
{
    (void)state;
    soma_handle monitor = soma_monitor(self, ((const struct order *)arg)->to);
    return monitor < 0 ? (int)monitor : 0;
}

void soma_probe_monitor(soma_probe *probe, soma_ref agent)
{
    probe_check(probe, __func__);
    order_post(probe, soma_probe_ref(probe), &(struct order){.to = agent}, act_monitor);
}

static int act_link(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_link(self, ((const struct order *)arg)->to);
}

void soma_probe_link(soma_probe *probe, soma_ref agent)
{
    probe_check(probe, __func__);
    order_post(probe, soma_probe_ref(probe), &(struct order){.to = agent}, act_link);
}
