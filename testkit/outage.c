/* Faults between nodes: slow, held up and cut lines, and nodes that stop, go down and restart. See soma/fault.h. */
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the body says ---- */

static struct node *node_named(soma_test *test, const char *function, const char *name)
{
    from_body(test, function);
    if (test->stage != &stage_simulated)
        kit_fail(test, "%s: only in a simulation", function);
    for (uint32_t i = 0; name && i < test->node_count; i++)
        if (!strcmp(test->nodes[i].name, name))
            return &test->nodes[i];
    kit_fail(test, "%s: there is no node '%s'", function, name ? name : "(null)");
}

/* The line from a node to another one, and the one back. */
static struct line *lines_named(soma_test *test, const char *function, const char *a, const char *b, struct line **back)
{
    const struct node *from = node_named(test, function, a), *to = node_named(test, function, b);
    if (from == to)
        kit_fail(test, "%s: '%s' is one node, not two", function, a);
    *back = network_line(test, to->number, from->number);
    return network_line(test, from->number, to->number);
}

void soma_test_net_delay(soma_test *test, const char *a, const char *b, uint64_t least, uint64_t most)
{
    struct line *back, *way = lines_named(test, __func__, a, b, &back);
    if (least > most)
        kit_fail(test, "%s: at least %llu ns and at most %llu", __func__, (unsigned long long)least,
                 (unsigned long long)most);
    way->least = back->least = least;
    way->most = back->most = most;
}

void soma_test_net_speed(soma_test *test, const char *a, const char *b, uint64_t bytes_per_second)
{
    struct line *back, *way = lines_named(test, __func__, a, b, &back);
    way->speed = back->speed = bytes_per_second;
}

/* Sets or ends one of a line's two faults, `held` or `refused`. */
static void outage_set(soma_test *test, struct line *line, struct outage *outage, struct outage now)
{
    test->network.outages -= outage->on && outage->heals;
    test->network.outages += now.on && now.heals;
    bool ends = outage->on && !now.on;
    *outage = now;
    network_line_changed(test, line);
    if (!ends)
        return;
    carrier_heal(&test->nodes[line->from], line->to);
    carrier_heal(&test->nodes[line->to], line->from);
}

static const struct outage lasting = {.on = true}, over = {.on = false};

void soma_test_net_partition(soma_test *test, const char *a, const char *b)
{
    struct line *back, *way = lines_named(test, __func__, a, b, &back);
    trace_note(test, "fault: a partition between %s and %s", a, b);
    outage_set(test, way, &way->held, lasting);
    outage_set(test, back, &back->held, lasting);
}

void soma_test_net_partition_way(soma_test *test, const char *from, const char *to)
{
    struct line *back, *way = lines_named(test, __func__, from, to, &back);
    trace_note(test, "fault: a partition from %s to %s", from, to);
    outage_set(test, way, &way->held, lasting);
}

/* What is sent while the connection breaks is refused already. */
static void cut(soma_test *test, struct line *way, struct line *back, struct outage how)
{
    trace_note(test, "fault: %s and %s are cut off from each other", test->nodes[way->from].name,
               test->nodes[way->to].name);
    outage_set(test, way, &way->refused, how);
    outage_set(test, back, &back->refused, how);
    network_break(test, way->from, way->to);
}

void soma_test_net_cut(soma_test *test, const char *a, const char *b)
{
    struct line *back, *way = lines_named(test, __func__, a, b, &back);
    cut(test, way, back, lasting);
}

void soma_test_net_heal(soma_test *test, const char *a, const char *b)
{
    struct line *back, *way = lines_named(test, __func__, a, b, &back);
    trace_note(test, "%s and %s reach each other", a, b);
    struct line *const both[] = {way, back};
    for (size_t i = 0; i < 2; i++) {
        outage_set(test, both[i], &both[i]->refused, over);
        outage_set(test, both[i], &both[i]->held, over);
    }
}

/* ---- what the seed wants ---- */

#define OUTAGE_STEPS 64u
#define OUTAGE_TIMES 8u

/* For some steps, and for no time at all or up to 4 s. */
static struct outage outage_choose(soma_test *test)
{
    uint32_t steps = choose(&test->choices, OUTAGE_STEPS, wish_any(&test->choices, OUTAGE_STEPS));
    uint32_t scale = choose(&test->choices, OUTAGE_TIMES, wish_any(&test->choices, OUTAGE_TIMES));
    uint64_t time = scale ? SOMA_MS << 2 * (scale - 1) : 0;
    return (struct outage){.on = true, .heals = true, .step = test->steps + 2 + steps, .time = test->now + time};
}

/* Two nodes that are up; false if there aren't. */
static bool pair_choose(soma_test *test, struct line **way, struct line **back)
{
    uint32_t up[NODES_MAX], count = 0;
    for (uint32_t i = 0; i < test->node_count; i++)
        if (test->nodes[i].system)
            up[count++] = i;
    if (count < 2)
        return false;
    uint32_t a = choose(&test->choices, count, wish_any(&test->choices, count));
    uint32_t b = choose(&test->choices, count - 1, wish_any(&test->choices, count - 1));
    b += b >= a;
    *way = network_line(test, up[a], up[b]);
    *back = network_line(test, up[b], up[a]);
    return true;
}

static void partition_strike(soma_test *test, struct line *way, struct line *back)
{
    bool both = !choose(&test->choices, 2, wish_any(&test->choices, 2));
    struct outage outage = outage_choose(test);
    trace_note(test, "fault: a partition %s %s %s %s", both ? "between" : "from", test->nodes[way->from].name,
               both ? "and" : "to", test->nodes[way->to].name);
    if (!way->held.on) // else it is the body's, or lasts already
        outage_set(test, way, &way->held, outage);
    if (both && !back->held.on)
        outage_set(test, back, &back->held, outage);
}

void outages_strike(soma_test *test)
{
    struct line *way, *back;
    if (test->node_count < 2)
        return;
    if (fault_strikes(test, &test->faults.cuts) && pair_choose(test, &way, &back) && !way->refused.on)
        cut(test, way, back, outage_choose(test));
    if (fault_strikes(test, &test->faults.partitions) && pair_choose(test, &way, &back))
        partition_strike(test, way, back);
}

static bool outage_ends(soma_test *test, struct line *line, struct outage *outage, bool all)
{
    bool due = test->now >= outage->time && (test->steps >= outage->step || !test->ready.count);
    if (!outage->on || !outage->heals || !(due || all))
        return false;
    trace_note(test, "%s reaches %s again", test->nodes[line->from].name, test->nodes[line->to].name);
    outage_set(test, line, outage, over);
    return true;
}

bool outages_end(soma_test *test, bool all)
{
    bool some = false;
    for (uint32_t i = 0; i < test->node_count && test->network.outages; i++)
        for (uint32_t j = 0; j < test->node_count && test->network.lines[i]; j++) {
            struct line *line = &test->network.lines[i][j];
            some |= outage_ends(test, line, &line->held, all);
            some |= outage_ends(test, line, &line->refused, all);
        }
    return some;
}

static uint64_t outage_time(const struct outage *outage)
{
    return outage->on && outage->heals ? outage->time : UINT64_MAX;
}

uint64_t outages_next(const soma_test *test)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < test->node_count && test->network.outages; i++)
        for (uint32_t j = 0; j < test->node_count && test->network.lines[i]; j++) {
            const struct line *line = &test->network.lines[i][j];
            uint64_t held = outage_time(&line->held), refused = outage_time(&line->refused);
            uint64_t first = held < refused ? held : refused;
            next = first < next ? first : next;
        }
    return next;
}

/* ---- nodes ---- */

static void node_halt(soma_test *test, struct node *node, bool stopped)
{
    node->stopped = stopped;
    for (uint32_t i = 0; i < test->node_count; i++)
        if (test->network.lines[i])
            network_line_changed(test, network_line(test, i, node->number));
}

static struct node *node_up(soma_test *test, const char *function, const char *name)
{
    struct node *node = node_named(test, function, name);
    if (!node->system)
        kit_fail(test, "%s: the node '%s' is down", function, name);
    return node;
}

void soma_test_node_stop(soma_test *test, const char *name)
{
    struct node *node = node_up(test, __func__, name);
    if (node->stopped)
        return;
    trace_note(test, "fault: %s stops", name);
    node_halt(test, node, true);
    for (uint32_t i = 0; i < test->ready.count;) {
        if (ready_at(&test->ready, i)->node != node)
            i++;
        else if (!ready_push(&test->asleep, ready_take(&test->ready, i)))
            kit_fail(test, "out of memory");
    }
}

void soma_test_node_continue(soma_test *test, const char *name)
{
    struct node *node = node_up(test, __func__, name);
    if (!node->stopped)
        return;
    trace_note(test, "%s goes on", name);
    node_halt(test, node, false); // who sleeps wakes at the next step
}

static void node_end(soma_test *test, struct node *node)
{
    trace_note(test, "fault: %s goes down", node->name);
    carrier_close(node);
    ready_forget(&test->ready, node);
    ready_forget(&test->asleep, node);
    soma_system_cancel(&node->system);
    free(node->agents);
    node->agents = NULL;
    node->agent_count = 0;
    node_halt(test, node, false);
}

void soma_test_node_down(soma_test *test, const char *name)
{
    node_end(test, node_up(test, __func__, name));
}

soma_system *soma_test_node_restart(soma_test *test, const char *name)
{
    struct node *node = node_named(test, __func__, name);
    if (node->system)
        node_end(test, node);
    trace_note(test, "%s comes up", name);
    node_start(node);
    return node->system;
}
