/* The trace's hash and text; see trace.h. */
#include "testkit/trace.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <string.h>

/* ---- the hash ---- */

static inline void mix(struct trace *trace, uint64_t value)
{
    trace->hash = (trace->hash ^ value) * UINT64_C(0x9fb21c651e98df25);
    trace->hash ^= trace->hash >> 32;
}

/* A type by its looks: its address differs from one execution to the next. */
static uint64_t type_mark(const soma_type *type)
{
    uint64_t mark = 0;
    if (type)
        memcpy(&mark, type->name, strnlen(type->name, sizeof(mark)));
    return type ? mark ^ (uint64_t)type->size << 56 : 0;
}

/* What a plain flat message begins with: its first field, as what pads it to a word may be anything. */
static uint64_t message_mark(const struct message *message, const soma_type *type)
{
    uint64_t word = 0;
    if (message->kind != MESSAGE_PLAIN || !type || !type->flat || !type->field_count)
        return message->kind;
    size_t size = type_item_size(&type->fields[0]);
    memcpy(&word, message->body, size < sizeof(word) ? size : sizeof(word));
    return word;
}

static void event_hash(struct trace *trace, const struct node *node, const struct event *event)
{
    const struct message *message = event->message;
    mix(trace, node->test->steps << 8 | (uint64_t)event->kind);
    mix(trace, node->test->now ^ (uint64_t)node->number << 48);
    mix(trace, (uint64_t)event->agent.slot << 32 | event->agent.generation);
    mix(trace, ((uint64_t)event->sender.slot << 32 | event->sender.generation) ^ event->agent.node);
    mix(trace, type_mark(event->type) + (uint64_t)(int64_t)event->reason + event->delay);
    if (message)
        mix(trace, message_mark(message, event->type));
}

/* ---- the text ---- */

const char *trace_agent(soma_test *test, soma_ref agent, char *buf, size_t size)
{
    struct node *node = node_of_ref(test, agent);
    const struct node_agent *kept = agent_kept(test, agent);
    char place[NODE_NAME_MAX + 2] = "";
    if (soma_ref_is_null(agent)) {
        snprintf(buf, size, "outside");
        return buf;
    }
    if (!node)
        node = remote_node(test, agent.node); // it was of an earlier incarnation
    if (node && test->node_count > 1)
        snprintf(place, sizeof(place), "%s/", node->name);
    if (agent.generation > 1)
        snprintf(buf, size, "%s%s %u.%u", place, kept && kept->behavior ? kept->behavior : "agent", agent.slot,
                 agent.generation);
    else
        snprintf(buf, size, "%s%s %u", place, kept && kept->behavior ? kept->behavior : "agent", agent.slot);
    return buf;
}

/* What a message is, with its content where there is some. */
static void message_text(const struct event *event, char *buf, size_t size)
{
    const struct message *message = event->message;
    static const char *const prefix[] = {[MESSAGE_REQUEST] = "request ",
                                         [MESSAGE_REPLY] = "reply ",
                                         [MESSAGE_TIMER] = "timer ",
                                         [MESSAGE_TIMEOUT] = "the timeout of a request",
                                         [MESSAGE_CALLBACK] = "a posted function",
                                         [MESSAGE_READY] = "its ready hook",
                                         [MESSAGE_WAKE] = "a wake",
                                         [MESSAGE_WATCH] = "a monitor",
                                         [MESSAGE_UNWATCH] = "the end of a monitor",
                                         [MESSAGE_LINK] = "a link",
                                         [MESSAGE_UNLINK] = "the end of a link",
                                         [MESSAGE_SHUTDOWN] = "the order to shut down",
                                         [MESSAGE_REVIVED] = "word of a new life"};
    size_t kind = message->kind, length = 0;
    if (kind == MESSAGE_ERROR) {
        int error = (int)(int64_t)message->body[1];
        snprintf(buf, size, "error %d (%s)", error, soma_strerror(error));
        return;
    }
    if (kind < sizeof(prefix) / sizeof(*prefix) && prefix[kind])
        length = (size_t)snprintf(buf, size, "%s", prefix[kind]);
    bool has_body = kind <= MESSAGE_TIMER || kind == MESSAGE_DOWN || kind == MESSAGE_EXIT;
    if (!event->type || !has_body || length >= size)
        return;
    const void *body =
        kind == MESSAGE_TIMER ? timer_of((struct message *)(uintptr_t)message)->body : message_body(message);
    soma_type_print(event->type, body, buf + length, size - length);
}

static void line_begin(soma_test *test)
{
    fprintf(test->trace.text, "%6llu  %llu.%06llu  ", (unsigned long long)test->steps,
            (unsigned long long)(test->now / SOMA_SECOND), (unsigned long long)(test->now % SOMA_SECOND / SOMA_US));
}

static void event_text(soma_test *test, const struct event *event)
{
    char who[96], from[96], what[400] = "";
    trace_agent(test, event->agent, who, sizeof(who));
    trace_agent(test, event->sender, from, sizeof(from));
    if (event->kind == EVENT_SEND || event->kind == EVENT_TIMER)
        return; // they show when they arrive
    line_begin(test);
    switch (event->kind) {
    case EVENT_SPAWN:
        fprintf(test->trace.text, "%s begins\n", who);
        break;
    case EVENT_END:
        fprintf(test->trace.text, "%s ends", who);
        if (event->reason)
            fprintf(test->trace.text, ": %s (%d)", soma_strerror(event->reason), event->reason);
        fputc('\n', test->trace.text);
        break;
    case EVENT_DEAD:
        fprintf(test->trace.text, "%s from %s does not reach %s: %s\n", event->type ? event->type->name : "a message",
                from, who, soma_strerror(event->reason));
        break;
    default:
        message_text(event, what, sizeof(what));
        fprintf(test->trace.text, "%s <- %s: %s\n", who, soma_ref_equal(event->agent, event->sender) ? "itself" : from,
                what);
    }
}

void trace_event(struct trace *trace, const struct node *node, const struct event *event)
{
    event_hash(trace, node, event);
    if (trace->text)
        event_text(node->test, event);
}

void trace_note(soma_test *test, const char *format, ...)
{
    va_list arguments;
    if (!test->trace.text)
        return;
    line_begin(test);
    va_start(arguments, format);
    vfprintf(test->trace.text, format, arguments);
    va_end(arguments);
    fputc('\n', test->trace.text);
}
