/* The waits-for picture: a line for each request without an answer, and for each agent that has mail and can't run. */
#include "testkit/waits.h"
#include "runtime/extension.h"
#include "runtime/pressure.h"
#include "runtime/request.h"
#include "runtime/send.h"
#include "runtime/timer.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <stdlib.h>

/* Calls a function for each agent that lives. */
static void agents_each(soma_test *test, void (*look)(void *context, soma_agent *agent, soma_ref self), void *context)
{
    for (uint32_t n = 0; n < test->node_count; n++) {
        const soma_system *system = test->nodes[n].system;
        uint32_t used = system ? u32_load(&system->slots.used) : 0;
        for (uint32_t i = 0; i < used; i++) {
            soma_agent *agent = &system->slots.base[i];
            uint64_t life = u64_load(&agent->life);
            if (life_alive(life))
                look(context, agent, (soma_ref){system->node, i, life_generation(life)});
        }
    }
}

/* ---- the picture ---- */

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

static void mail_print(struct picture *picture, soma_agent *agent, soma_ref self)
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
        const soma_agent *other = agent - self.slot + slot;
        soma_ref whom = {self.node, slot, life_generation(u64_load(&other->life))};
        picture_line(picture, self, "has mail, and is muted until ", whom, " has caught up");
    } else if (kept && kept->paused_until == UINT64_MAX) {
        picture_line(picture, self, "has mail, and is paused", SOMA_REF_NULL, "");
    }
}

static void agent_print(void *context, soma_agent *agent, soma_ref self)
{
    struct picture *picture = context;
    if (agent->extension)
        pending_print(picture, self, agent->extension);
    mail_print(picture, agent, self);
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
    agents_each(test, agent_print, &picture);
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

/* ---- the end of a run ---- */

/* A request without a timeout that had no answer when the body was over. */
struct unanswered {
    soma_ref agent;
    soma_handle request;
};

struct ending {
    soma_test *test;
    struct unanswered *all;
    uint32_t count;
    uint64_t last; /* when the last of the timers goes off */
    bool again;    /* those that go off again and again count, too */
};

static void unanswered_note(void *context, soma_agent *agent, soma_ref self)
{
    struct ending *ending = context;
    const struct extension *extension = agent->extension;
    for (uint32_t i = 0; extension && i < extension->capacity; i++) {
        struct message *message = extension->pending[i].message;
        if (!message || message->kind != MESSAGE_TIMEOUT || timer_of(message)->wheel_timer.set_ever)
            continue;
        if (!(ending->count & (ending->count - 1))) { // a power of two, or none: it is full
            size_t capacity = ending->count ? 2 * (size_t)ending->count : 1;
            struct unanswered *grown = realloc(ending->all, capacity * sizeof(*grown));
            if (!grown)
                kit_fail(ending->test, "out of memory");
            ending->all = grown;
        }
        ending->all[ending->count++] = (struct unanswered){self, pending_handle(agent, i)};
    }
}

static void timers_look(void *context, soma_agent *agent, soma_ref self)
{
    struct ending *ending = context;
    const struct extension *extension = agent->extension;
    (void)self;
    for (uint32_t i = 0; extension && i < extension->capacity; i++) {
        struct message *message = extension->pending[i].message;
        if (!message || (message->kind != MESSAGE_TIMER && message->kind != MESSAGE_TIMEOUT))
            continue;
        const struct timer *timer = timer_of(message);
        uint64_t period = message->kind == MESSAGE_TIMER ? timer->period : 0;
        uint64_t last = timer->wheel_timer.deadline * SOMA_US + period;
        if (timer->wheel_timer.armed && (!period || ending->again) && last > ending->last)
            ending->last = last;
    }
}

static bool is_unanswered(const struct ending *ending)
{
    for (uint32_t i = 0; i < ending->count; i++) {
        const soma_agent *agent = agent_alive(ending->test, ending->all[i].agent);
        if (agent && pending_find(agent, ending->all[i].request))
            return true;
    }
    return false;
}

static bool steps_are_used_up(const soma_test *test)
{
    uint64_t steps = test->sim->steps;
    return steps && (test->turns + 1 >= steps || test->still + 1 >= steps);
}

static bool ending_is_over(const void *arg)
{
    const struct ending *ending = arg;
    return steps_are_used_up(ending->test) || (ending->count && !is_unanswered(ending));
}

/* Lets all timers go off. True if nobody can be waited for any more but in vain. */
static bool timers_pass(soma_test *test)
{
    struct ending ending = {.test = test, .again = true};
    bool over = false;
    agents_each(test, unanswered_note, &ending);
    while (!over) {
        ending.last = ending.again && test->node_count > 1 ? test->now + CALM : 0;
        agents_each(test, timers_look, &ending);
        if (ending.last <= test->now)
            break;
        over = test->stage->until(test, ending.last - test->now, ending_is_over, &ending);
        ending.again = false;
    }
    bool stuck = !over && (is_unanswered(&ending) || sim_timers(test) == UINT64_MAX);
    free(ending.all);
    return stuck;
}

void waits_end(soma_test *test)
{
    char text[4096];
    if (!waits_print(test, true, text, sizeof(text)) || (sim_timers(test) != UINT64_MAX && !timers_pass(test)))
        return;
    if (sim_timers(test) == UINT64_MAX)
        soma_test_advance(test, UINT64_MAX - test->now); // a bridge may yet give a node up
    if (waits_print(test, true, text, sizeof(text)))
        kit_fail(test, "a deadlock: nobody can run any more, but\n%s", text);
}
