/* Faults within a node: kills, pauses, timers that come early, messages that overtake. See include/soma/fault.h. */
#include "testkit/kit.h"
#include "testkit/memory.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <stdlib.h>

#define RARELY 24u /* a fault that may strike does so once in so many steps */

/* ---- kills ---- */

/* Agents that a fault may strike: how many, or the one of a number. */
static uint32_t victims(const struct node *node, uint32_t number, soma_ref *victim)
{
    uint32_t count = 0;
    for (uint32_t i = 0; node->system && i < node->agent_count; i++) {
        const soma_agent *agent = slots_find(&node->system->slots, i);
        uint64_t life = agent ? u64_load(&agent->life) : 0;
        if (!life_runs(life) || node->agents[i].spared || life & LIFE_KILL)
            continue;
        if (count++ == number)
            *victim = (soma_ref){node->system->node, i, life_generation(life)};
    }
    return count;
}

static bool victim_choose(soma_test *test, soma_ref *victim)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < test->node_count; i++)
        count += victims(&test->nodes[i], UINT32_MAX, victim);
    if (!count)
        return false;
    uint32_t number = choose(&test->choices, count, wish_any(&test->choices, count));
    for (uint32_t i = 0; i < test->node_count; i++) {
        uint32_t here = victims(&test->nodes[i], number, victim);
        if (number < here)
            return true;
        number -= here;
    }
    return false;
}

static void kill_one(soma_test *test, soma_ref agent)
{
    char who[96];
    struct node *node = node_of_ref(test, agent);
    if (!node)
        return;
    trace_note(test, "fault: %s is killed", trace_agent(test, agent, who, sizeof(who)));
    memory_own(true); // a kill that has no memory would be none
    soma_kill(node->system, agent);
    memory_own(false);
}

static void need_simulated(soma_test *test, const char *function)
{
    if (!test)
        soma_test_fail(NULL, "%s: the test is NULL", function);
    else if (test->stage != &stage_simulated)
        kit_fail(test, "%s: only in a simulation", function);
}

void soma_test_kill_after(soma_test *test, uint64_t steps, soma_ref agent)
{
    need_simulated(test, "soma_test_kill_after");
    struct kill_order *order = malloc(sizeof(*order));
    if (!order)
        kit_fail(test, "soma_test_kill_after: out of memory");
    *order = (struct kill_order){test->kill_orders, test->steps + steps, agent};
    test->kill_orders = order;
}

static void kill_orders_run(soma_test *test)
{
    for (struct kill_order **link = &test->kill_orders; *link;) {
        struct kill_order *order = *link;
        if (order->step > test->steps) {
            link = &order->next;
            continue;
        }
        *link = order->next;
        kill_one(test, order->agent);
        free(order);
    }
}

/* ---- pauses ---- */

static bool pause_until(soma_test *test, soma_ref agent, uint64_t step)
{
    struct node_agent *kept = agent_kept(test, agent);
    soma_agent *alive = agent_alive(test, agent);
    char who[96];
    if (!kept || !alive)
        return false;
    trace_note(test, "fault: %s stands still", trace_agent(test, agent, who, sizeof(who)));
    if (kept->paused_until < step) // else a longer one is on, the body's own
        kept->paused_until = step;
    for (uint32_t i = 0; i < test->ready.count; i++) {
        if (ready_at(&test->ready, i)->agent != alive)
            continue;
        struct ready_agent taken = ready_take(&test->ready, i);
        if (!ready_push(&test->asleep, taken))
            kit_fail(test, "out of memory");
        break;
    }
    return true;
}

void soma_test_pause(soma_test *test, soma_ref agent)
{
    need_simulated(test, "soma_test_pause");
    if (!pause_until(test, agent, UINT64_MAX))
        kit_fail(test, "soma_test_pause: no such agent");
}

void soma_test_resume(soma_test *test, soma_ref agent)
{
    struct node_agent *kept = test ? agent_kept(test, agent) : NULL;
    char who[96];
    if (!kept || !kept->paused_until)
        return;
    trace_note(test, "%s may run again", trace_agent(test, agent, who, sizeof(who)));
    kept->paused_until = 0; // who sleeps wakes at the next step
}

void soma_test_spare(soma_test *test, soma_ref agent)
{
    struct node_agent *kept = test ? agent_kept(test, agent) : NULL;
    if (kept)
        kept->spared = true;
}

/* ---- what the seed wants ---- */

bool fault_strikes(soma_test *test, uint32_t *left)
{
    if (!*left || !choose(&test->choices, 2, wish_rarely(&test->choices, RARELY)))
        return false;
    --*left;
    return true;
}

void faults_strike(soma_test *test)
{
    soma_ref victim;
    if (test->kill_orders)
        kill_orders_run(test);
    if (fault_strikes(test, &test->faults.kills) && victim_choose(test, &victim))
        kill_one(test, victim);
    if (fault_strikes(test, &test->faults.pauses) && victim_choose(test, &victim))
        pause_until(test, victim, test->steps + 2 + choose(&test->choices, 64, wish_any(&test->choices, 64)));
    outages_strike(test);
    uint64_t next = test->faults.late ? sim_next(test) : UINT64_MAX;
    if (next <= test->limit && next != UINT64_MAX && fault_strikes(test, &test->faults.late)) {
        sim_time_set(test, next);
        trace_note(test, "fault: the machine is busy, and time goes on");
        sim_fire(test);
    }
}

bool faults_allocation(soma_test *test)
{
    return test->strikable && fault_strikes(test, &test->faults.allocations);
}

/* ---- overtaking ---- */

#define OVERTAKE_MAX 16

/* The first message of each sender but the first one's, and what is before it in the mailbox. */
static uint32_t overtakers(struct message *first, struct message **before)
{
    const struct message *firsts[OVERTAKE_MAX] = {first};
    uint32_t count = 1;
    for (struct message *last = first, *m; (m = ptr_load(&last->next)) && count < OVERTAKE_MAX; last = m) {
        uint32_t i = 0;
        while (i < count && !soma_ref_equal(firsts[i]->sender, m->sender))
            i++;
        if (i < count)
            continue;
        before[count - 1] = last;
        firsts[count++] = m;
    }
    return count - 1;
}

void faults_reorder(soma_test *test, soma_agent *agent)
{
    struct message *before[OVERTAKE_MAX], *first = ptr_load(&agent->mailbox.tail);
    if (!test->faults.reorders || !first || first->kind == MESSAGE_READY)
        return;
    uint32_t count = overtakers(first, before);
    if (!count || !fault_strikes(test, &test->faults.reorders))
        return;
    struct message *last = before[choose(&test->choices, count, wish_any(&test->choices, count))];
    struct message *moved = ptr_load(&last->next), *after = ptr_load(&moved->next);
    // Nobody else is there to push: the driver's is the only thread.
    ptr_store(&last->next, after);
    if (!after)
        ptr_store(&agent->mailbox.head, last);
    ptr_store(&moved->next, first);
    ptr_store(&agent->mailbox.tail, moved);
}
