/* The waits-for picture: a line for each request without an answer, and for each agent that has mail and can't run. */
#include "testkit/waits.h"
#include "runtime/extension.h"
#include "runtime/pressure.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "testkit/kit.h"
#include <soma/error.h>

struct picture {
    soma_test *test;
    bool stuck;
    char *buf;
    size_t size;
    size_t length;
};

static void text_print(struct picture *picture, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void text_print(struct picture *picture, const char *format, ...)
{
    size_t room = picture->length < picture->size ? picture->size - picture->length : 0;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(room ? picture->buf + picture->length : NULL, room, format, arguments);
    va_end(arguments);
    picture->length += (size_t)written;
}

static void picture_line(struct picture *picture, soma_ref who, const char *waits, soma_ref whom, const char *why)
{
    char from[96], to[96];
    trace_agent(picture->test, who, from, sizeof(from));
    trace_agent(picture->test, whom, to, sizeof(to));
    text_print(picture, "    %s %s%s%s\n", from, waits, soma_ref_is_null(whom) ? "" : to, why);
}

static void pending_print(struct picture *picture, soma_ref self, const struct extension *extension)
{
    for (uint32_t i = 0; i < extension->capacity; i++) {
        struct message *message = extension->pending[i].message;
        if (!message)
            continue;
        if (message->kind == MESSAGE_TIMEOUT) {
            bool limited = timer_of(message)->wheel_timer.set_ever;
            if (!limited || !picture->stuck)
                picture_line(picture, self, "waits for an answer from ", request_asked(message),
                             limited ? ", until its time is over" : "");
        } else if (message->kind == MESSAGE_REQUEST && !picture->stuck) {
            picture_line(picture, self, "owes an answer to ", message->sender, "");
        }
    }
}

static void mail_print(struct picture *picture, const struct node *node, soma_agent *agent, soma_ref self)
{
    uint64_t life = u64_load(&agent->life);
    uint32_t pressure = u32_load(&agent->pressure);
    const struct node_agent *kept = agent_kept(picture->test, self);
    if (ptr_load(&agent->mailbox.head) <= MAIL_HELD)
        return;
    if (life_down(life)) {
        picture_line(picture, self, "has mail, and is down until its keeper revives it", SOMA_REF_NULL, "");
    } else if (pressure & PRESSURE_MUTED) {
        uint32_t slot = pressure & ~PRESSURE_MUTED;
        soma_ref whom = {self.node, slot, life_generation(u64_load(&node->system->slots.base[slot].life))};
        picture_line(picture, self, "has mail, and is muted until ", whom, " has caught up");
    } else if (kept && kept->paused_until == UINT64_MAX) {
        picture_line(picture, self, "has mail, and is paused", SOMA_REF_NULL, "");
    }
}

static void node_print(struct picture *picture, const struct node *node)
{
    uint32_t used = node->system ? u32_load(&node->system->slots.used) : 0;
    for (uint32_t i = 0; i < used; i++) {
        soma_agent *agent = &node->system->slots.base[i];
        uint64_t life = u64_load(&agent->life);
        soma_ref self = {node->system->node, i, life_generation(life)};
        if (!life_alive(life))
            continue;
        if (agent->extension)
            pending_print(picture, self, agent->extension);
        mail_print(picture, node, agent, self);
    }
}

static void network_print(struct picture *picture)
{
    const struct node *nodes = picture->test->nodes;
    char why[64];
    for (uint32_t i = 0; i < picture->test->node_count; i++)
        if (nodes[i].stopped)
            text_print(picture, "    %s is stopped\n", nodes[i].name);
    for (const struct line *line = picture->test->network.busy; line; line = line->busy_next)
        text_print(picture, "    %s -> %s: %llu frame%s: %s\n", nodes[line->from].name, nodes[line->to].name,
                   (unsigned long long)line->count, line->count == 1 ? "" : "s",
                   network_why(picture->test, line, why, sizeof(why)));
}

size_t waits_print(soma_test *test, bool stuck, char *buf, size_t size)
{
    struct picture picture = {test, stuck, buf, size, 0};
    if (size)
        *buf = '\0';
    for (uint32_t i = 0; i < test->node_count; i++)
        node_print(&picture, &test->nodes[i]);
    if (!stuck || picture.length) // stopped nodes and frames alone mean no harm: nobody may need them
        network_print(&picture);
    return picture.length;
}

size_t soma_test_waits(soma_test *test, char *buf, size_t size)
{
    if (!test || (size && !buf))
        return 0;
    return waits_print(test, false, buf, size);
}
