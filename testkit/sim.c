/*
 * The simulated stage: all nodes in one thread, their agents' turns one by one as the choices say, and a clock that
 * jumps to the next timer.
 */
#include "runtime/system.h"
#include "testkit/kit.h"
#include "testkit/probe.h"
#include "testkit/waits.h"
#include <soma/error.h>

/* ---- the driver of a node ---- */

static uint64_t sim_now(void *context)
{
    return ((const struct node *)context)->test->now;
}

/* 2000-01-01, so that dates in logs look like some. */
static uint64_t sim_date(void *context)
{
    return sim_now(context) + UINT64_C(946684800) * SOMA_SECOND;
}

static uint64_t sim_random(void *context)
{
    return random_next(&((struct node *)context)->test->entropy);
}

void sim_runnable(void *context, soma_system *system, soma_agent *agent)
{
    struct node *node = context;
    soma_test *test = node->test;
    struct node_agent *kept = node_slot(node, (uint32_t)(agent - system->slots.base));
    bool sleeps = kept && (kept->paused_until > test->steps || node->stopped);
    if (!kept || !ready_push(sleeps ? &test->asleep : &test->ready, (struct ready_agent){.node = node, .agent = agent}))
        kit_fail(test, "out of memory");
}

static void sim_observe(void *context, soma_system *system, const struct event *event)
{
    struct node *node = context;
    (void)system;
    if (event->kind == EVENT_HANDLED) // all that came of it has its own event
        return;
    struct node_agent *kept = node_slot(node, event->agent.slot);
    if (event->kind == EVENT_SPAWN) {
        if (!kept)
            kit_fail(node->test, "out of memory");
        if (kept->generation != event->agent.generation) // not just another life
            *kept = (struct node_agent){.generation = event->agent.generation};
        kept->behavior = event->behavior->name;
        kept->internal |= node->test->carrying;
        kept->spared |= node->test->carrying || event->behavior == &call_agent; // that stands for the body
    }
    if ((event->kind == EVENT_SPAWN || event->kind == EVENT_END) && kept && kept->internal)
        return;
    trace_event(&node->test->trace, node, event);
}

/* What is wrong, and who waits for whom. */
static void waits_fail(soma_test *test, const char *what)
{
    char text[4096];
    waits_print(test, false, text, sizeof(text));
    kit_fail(test, "%s\n%s", what, text);
}

static void sim_wait(void *context, bool (*done)(const void *arg), const void *arg)
{
    soma_test *test = ((struct node *)context)->test;
    if (!test->stage->until(test, UINT64_MAX - test->now, done, arg))
        waits_fail(test, "a deadlock: the body waits, and nobody can run any more");
}

static void sim_log(void *context, const soma_log_record *record)
{
    const struct node *node = context;
    bool many = node->test->node_count > 1;
    trace_note(node->test, "%s%s%s: %s: %s", many ? node->name : "", many ? "/" : "", record->origin,
               soma_log_level_name(record->level), record->text);
}

static int sim_node_open(struct node *node)
{
    soma_options options = node->options;
    options.log_sink = sim_log;
    options.log_context = node;
    options.workers = 1; // as it is for a driven system; and the machine need not be asked
    options.handler_limit_ms = 0;
    if (!options.slots)
        options.slots = 1u << 16;
    const struct driver driver = {.now = sim_now,
                                  .date = sim_date,
                                  .random = sim_random,
                                  .runnable = sim_runnable,
                                  .observe = sim_observe,
                                  .replace = mock_replace,
                                  .wait = sim_wait,
                                  .context = node};
    return system_open_driven(&node->system, &options, &driver);
}

/* ---- whose turn it is ---- */

/* How long runs are is not known, so turning points are spread over all scales. */
void turning_points(soma_test *test)
{
    uint32_t depth = test->sim->depth ? test->sim->depth : 3, scales = 1;
    while (scales < 32 && test->sim->steps >> (scales + 3))
        scales++;
    for (uint32_t i = 0; i + 1 < depth && i < TURNING_POINTS; i++) {
        uint64_t scale = UINT64_C(8) << wish_any(&test->choices, scales);
        test->turning_point[i] = 1 + random_next(&test->choices.random) % scale;
    }
    test->lowest = UINT64_C(1) << 62;
}

static uint64_t *priority_of(soma_test *test, const struct ready_agent *ready)
{
    struct node *node = ready->node;
    uint64_t *priority = ready->line    ? &ready->line->priority
                         : ready->agent ? &node->agents[ready->agent - node->system->slots.base].priority
                                        : &node->carrier.priority; // an agent that was runnable is among its node's
    if (!*priority)
        *priority = random_next(&test->choices.random) | UINT64_C(1) << 63;
    return priority;
}

static uint32_t wish_priority(soma_test *test)
{
    uint32_t best = 0;
    uint64_t most = 0;
    for (uint32_t i = 0; i < test->ready.count; i++) {
        uint64_t priority = *priority_of(test, ready_at(&test->ready, i));
        if (priority > most) {
            most = priority;
            best = i;
        }
    }
    for (uint32_t i = 0; i < TURNING_POINTS; i++)
        if (test->turning_point[i] == test->steps) {
            *priority_of(test, ready_at(&test->ready, best)) = --test->lowest;
            test->turning_point[i] = 0; // it counts once, and the choice is made anew
            return wish_priority(test);
        }
    return best;
}

static uint32_t wish_agent(soma_test *test)
{
    if (test->sim->schedule == SOMA_SCHEDULE_PCT)
        return wish_priority(test);
    return test->sim->schedule == SOMA_SCHEDULE_RANDOM ? wish_any(&test->choices, test->ready.count) : 0;
}

/* How many messages the agent may handle: one, as a rule, so that all others may come between. */
static uint32_t turn_length(soma_test *test, const struct node *node)
{
    if (test->sim->schedule != SOMA_SCHEDULE_RANDOM)
        return 1;
    const uint32_t lengths[] = {1, 2, node->system->options.batch};
    return lengths[choose(&test->choices, 3, wish_any(&test->choices, 3))];
}

/* Who comes next is also asked when there is but one, who may reach a turning point. */
static struct ready_agent agent_choose(soma_test *test)
{
    uint32_t count = test->ready.count;
    bool asks = count > 1 || test->sim->schedule == SOMA_SCHEDULE_PCT;
    uint32_t wish = asks ? wish_agent(test) : 0;
    return ready_take(&test->ready, count > 1 ? choose(&test->choices, count, wish) : 0);
}

/* Those whose pause is over; at rest all that the seed has paused. */
static void pauses_end(soma_test *test, bool rests)
{
    for (uint32_t i = 0; i < test->asleep.count;) {
        const struct ready_agent *at = ready_at(&test->asleep, i);
        struct node_agent *kept =
            at->agent ? node_slot(at->node, (uint32_t)(at->agent - at->node->system->slots.base)) : NULL;
        uint64_t until = kept ? kept->paused_until : 0;
        bool paused = until > test->steps && (!rests || until == UINT64_MAX);
        if (paused || at->node->stopped) {
            i++;
            continue;
        }
        if (kept)
            kept->paused_until = 0;
        if (!ready_push(&test->ready, ready_take(&test->asleep, i)))
            kit_fail(test, "out of memory");
    }
}

static void agent_step(soma_test *test, const struct ready_agent *next)
{
    struct worker *worker = &next->node->system->workers[0];
    test->turns++;
    test->acted = test->now;
    bool strikable = !node_slot(next->node, (uint32_t)(next->agent - next->node->system->slots.base))->spared;
    if (strikable)
        faults_reorder(test, next->agent);
    uint32_t length = turn_length(test, next->node);
    test->strikable = strikable;
    worker_enter(worker);
    agent_turn(worker, next->agent, length);
    worker_enter(NULL);
    test->strikable = false;
}

static bool sim_step(soma_test *test)
{
    if (test->asleep.count)
        pauses_end(test, !test->ready.count);
    if (test->network.outages)
        outages_end(test, false);
    if (!test->ready.count)
        return false;
    test->steps++;
    test->still++;
    if (test->sim->steps && (test->turns >= test->sim->steps || test->still > test->sim->steps)) {
        char what[80];
        snprintf(what, sizeof(what), "it did not come to rest within %llu steps", (unsigned long long)test->sim->steps);
        waits_fail(test, what);
    }
    if (test->progress)
        ++*test->progress;
    faults_strike(test);
    if (!test->ready.count) // it was paused
        return true;
    struct ready_agent next = agent_choose(test);
    bool inside = test->inside;
    test->inside = true;
    if (next.line)
        network_turn(test, next.line);
    else if (!next.agent)
        carrier_turn(next.node);
    else
        agent_step(test, &next);
    test->inside = inside;
    if (test->checks)
        checks_run(test, false);
    return true;
}

/* ---- time ---- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t sim_timers(const soma_test *test)
{
    uint64_t next = outages_next(test);
    for (uint32_t i = 0; i < test->node_count; i++) {
        const struct node *node = &test->nodes[i];
        if (!node->system || node->stopped)
            continue;
        uint64_t here = clock_next(&node->system->clock);
        if (here != WHEEL_NEVER)
            next = earlier(next, here);
    }
    return next;
}

uint64_t sim_next(const soma_test *test)
{
    return earlier(sim_timers(test), earlier(network_next(test), carriers_next(test)));
}

void sim_fire(soma_test *test)
{
    for (uint32_t i = 0; i < test->node_count; i++)
        if (test->nodes[i].system && !test->nodes[i].stopped)
            clock_fire(test->nodes[i].system, test->now);
    network_fire(test);
    carriers_fire(test);
}

void sim_time_set(soma_test *test, uint64_t now)
{
    if (now <= test->now)
        return;
    test->now = now;
    test->still = 0;
}

/* Will nothing happen any more, however much time passes? */
static bool sim_is_calm(const soma_test *test)
{
    return test->now - test->acted > CALM && sim_timers(test) == UINT64_MAX;
}

static void sim_settle(soma_test *test)
{
    uint64_t limit = test->limit;
    test->limit = test->now;
    sim_fire(test); // what is due by now
    while (sim_step(test) || outages_end(test, true))
        ;
    test->limit = limit;
}

static bool sim_until(soma_test *test, uint64_t nanoseconds, bool (*done)(const void *arg), const void *arg)
{
    uint64_t outer = test->limit, limit = nanoseconds < UINT64_MAX - test->now ? test->now + nanoseconds : UINT64_MAX;
    bool is_done;
    test->limit = limit;
    while (!(is_done = done(arg))) {
        if (sim_step(test))
            continue;
        checks_run(test, true);
        uint64_t next = sim_next(test);
        if (next > limit || next == UINT64_MAX || (limit == UINT64_MAX && sim_is_calm(test))) {
            if (outages_end(test, true))
                continue;
            break;
        }
        sim_time_set(test, next);
        sim_fire(test);
    }
    if (!is_done && limit != UINT64_MAX)
        sim_time_set(test, limit);
    test->limit = outer;
    return is_done;
}

static uint64_t sim_time(const soma_test *test)
{
    return test->now;
}

const struct stage stage_simulated = {sim_node_open, sim_step, sim_settle, sim_until, sim_time};
