/* The trace's hash and text; see trace.h. */
#include "testkit/trace.h"
#include "runtime/send.h"
#include "runtime/type.h"
#include "testkit/kit.h"
#include <inttypes.h>
#include <soma/error.h>
#include <string.h>

#define BODY_WIDTH 120 /* what is shown of a message's content */

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
    char place[NODE_NAME_SIZE + 2] = "";
    if (soma_ref_is_null(agent)) {
        snprintf(buf, size, "outside");
        return buf;
    }
    if (!node)
        node = carrier_node(test, agent.node); // it was of an earlier incarnation
    if (node && test->node_count > 1)
        snprintf(place, sizeof(place), "%s/", node->name);
    if (agent.generation > 1)
        snprintf(buf, size, "%s%s %u.%u", place, kept && kept->behavior ? kept->behavior : "agent", agent.slot,
                 agent.generation);
    else
        snprintf(buf, size, "%s%s %u", place, kept && kept->behavior ? kept->behavior : "agent", agent.slot);
    return buf;
}

/* Puts agents' names in place of the refs in a text, as soma_type_print() has written them. */
static void refs_name(soma_test *test, const char *text, char *buf, size_t size)
{
    size_t length = 0;
    while (*text && length + 1 < size) {
        char who[96];
        soma_ref ref;
        int digits = 0, end = 0;
        if (sscanf(text, "%16" SCNx64 "%n/%" SCNu32 "/%" SCNu32 "%n", &ref.node, &digits, &ref.slot, &ref.generation,
                   &end) < 3 ||
            digits != 16) {
            buf[length++] = *text++;
            continue;
        }
        const char *name = soma_ref_is_null(ref) ? "nobody" : trace_agent(test, ref, who, sizeof(who));
        int written = snprintf(buf + length, size - length, "%s", name);
        length = (size_t)written < size - length ? length + (size_t)written : size - 1;
        text += end;
    }
    buf[length] = '\0';
}

/* The content of a message; one without fields is its name. What is too long for a line is cut. */
static void body_text(soma_test *test, const struct event *event, char *buf, size_t size)
{
    const struct message *message = event->message;
    const void *body =
        message->kind == MESSAGE_TIMER ? timer_of((struct message *)(uintptr_t)message)->body : message_body(message);
    char raw[BODY_WIDTH + 1], named[BODY_WIDTH + 1];
    if (!event->type->field_count) {
        snprintf(buf, size, "%s", event->type->name);
        return;
    }
    int length = soma_type_print(event->type, body, raw, sizeof(raw));
    refs_name(test, raw, named, sizeof(named));
    snprintf(buf, size, "%s%s", named, length < 0 || (size_t)length >= sizeof(raw) ? "..." : "");
}

/* What a message is, with its content where there is some. */
static void message_text(soma_test *test, const struct event *event, char *buf, size_t size)
{
    static const char *const prefix[] = {[MESSAGE_REQUEST] = "request ",
                                         [MESSAGE_REPLY] = "reply ",
                                         [MESSAGE_TIMER] = "timer ",
                                         [MESSAGE_TIMEOUT] = "its request has timed out",
                                         [MESSAGE_CALLBACK] = "a posted function",
                                         [MESSAGE_READY] = "its ready hook",
                                         [MESSAGE_WAKE] = "a wake",
                                         [MESSAGE_CAUGHT_UP] = "word that it has caught up",
                                         [MESSAGE_WATCH] = "a monitor",
                                         [MESSAGE_UNWATCH] = "the end of a monitor",
                                         [MESSAGE_LINK] = "a link",
                                         [MESSAGE_UNLINK] = "the end of a link",
                                         [MESSAGE_SHUTDOWN] = "the order to shut down",
                                         [MESSAGE_REVIVED] = "word of a new life"};
    const struct message *message = event->message;
    size_t kind = message->kind, length = 0;
    if (kind == MESSAGE_ERROR) {
        int error = (int)(int64_t)message->body[1];
        snprintf(buf, size, "error %d (%s)", error, soma_strerror(error));
        return;
    }
    if (kind < sizeof(prefix) / sizeof(*prefix) && prefix[kind])
        length = (size_t)snprintf(buf, size, "%s", prefix[kind]);
    bool has_body = kind <= MESSAGE_TIMER || kind == MESSAGE_DOWN || kind == MESSAGE_EXIT;
    if (event->type && has_body && length < size)
        body_text(test, event, buf + length, size - length);
}

static void line_begin(soma_test *test)
{
    fprintf(test->trace.text, "%6llu %4llu.%06llu  ", (unsigned long long)test->steps,
            (unsigned long long)(test->now / SOMA_SECOND), (unsigned long long)(test->now % SOMA_SECOND / SOMA_US));
}

/* A message that nobody handles. */
static void dead_text(soma_test *test, const struct event *event, const char *who, const char *from)
{
    const char *what = event->type ? event->type->name : "a message";
    if (soma_ref_is_null(event->agent))
        fprintf(test->trace.text, "%s from %s is lost: it is for nobody\n", what, from);
    else if (event->reason == SOMA_EGONE)
        fprintf(test->trace.text, "%s from %s is lost: %s is gone\n", what, from, who);
    else
        fprintf(test->trace.text, "%s from %s to %s is lost: %s\n", what, from, who, soma_strerror(event->reason));
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
        dead_text(test, event, who, from);
        break;
    default:
        message_text(test, event, what, sizeof(what));
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
