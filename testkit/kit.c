/* A run from the body's side: nodes, time, checks, and the way from the first node to the last. */
#include "testkit/kit.h"
#include "testkit/memory.h"
#include "testkit/probe.h"
#include "testkit/waits.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

const char *kit_said;

void soma_test_fail_at(soma_test *test, const char *file, int line, const char *format, ...)
{
    char text[8192];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    kit_said = format;
    (void)test;                             // where there is none to be had, it fails all the same
    for (const char *rest = text; *rest;) { // line by line, as cmocka cuts what is longer than a kilobyte
        int length = (int)strcspn(rest, "\n");
        print_error("%.*s\n", length, rest);
        rest += length + (rest[length] == '\n');
    }
    _fail(file, line);
    abort(); // cmocka does not return
}

/* ---- nodes ---- */

struct node *node_of_system(soma_test *test, const soma_system *system)
{
    for (uint32_t i = 0; i < test->node_count; i++)
        if (test->nodes[i].system == system && system)
            return &test->nodes[i];
    return NULL;
}

struct node *node_of_ref(soma_test *test, soma_ref ref)
{
    for (uint32_t i = 0; i < test->node_count; i++)
        if (test->nodes[i].system && test->nodes[i].system->node == ref.node)
            return &test->nodes[i];
    return NULL;
}

struct node_agent *node_slot(struct node *node, uint32_t slot)
{
    if (slot >= node->agent_count) {
        uint32_t count = node->agent_count ? node->agent_count * 2 : 64;
        while (count <= slot)
            count *= 2;
        struct node_agent *grown = realloc(node->agents, count * sizeof(*grown));
        if (!grown)
            return NULL;
        memset(grown + node->agent_count, 0, (count - node->agent_count) * sizeof(*grown));
        node->agents = grown;
        node->agent_count = count;
    }
    return &node->agents[slot];
}

struct node_agent *agent_kept(soma_test *test, soma_ref ref)
{
    struct node *node = node_of_ref(test, ref);
    return node && ref.slot < node->agent_count ? &node->agents[ref.slot] : NULL;
}

soma_agent *agent_alive(soma_test *test, soma_ref ref)
{
    struct node *node = node_of_ref(test, ref);
    soma_agent *agent = node ? slots_find(&node->system->slots, ref.slot) : NULL;
    uint64_t life = agent ? u64_load(&agent->life) : 0;
    return life_runs(life) && life_generation(life) == ref.generation ? agent : NULL;
}

void from_body(soma_test *test, const char *function)
{
    if (!test)
        soma_test_fail_at(NULL, __FILE__, __LINE__, "%s: the test is NULL", function);
    if (test->inside || !pthread_equal(test->thread, pthread_self()))
        kit_fail(test, "%s: only the body may call it, not a handler or check", function);
}

void node_start(struct node *node)
{
    memory_own(true);
    int error = node->test->stage->node_open(node);
    if (!error)
        carrier_open(node);
    memory_own(false);
    if (error)
        kit_fail(node->test, "the node '%s' can't be opened: %s", node->name, soma_strerror(error));
}

soma_system *soma_test_node_open(soma_test *test, const char *name, const soma_options *options)
{
    from_body(test, __func__);
    if (!name || !*name || strlen(name) >= NODE_NAME_SIZE)
        kit_fail(test, "a node's name has 1 to %d bytes", NODE_NAME_SIZE - 1);
    for (uint32_t i = 0; i < test->node_count; i++)
        if (!strcmp(test->nodes[i].name, name))
            kit_fail(test, "the node '%s' is open already", name);
    if (test->node_count == NODES_MAX)
        kit_fail(test, "a test has at most %d nodes", NODES_MAX);
    pthread_mutex_lock(&test->network.lock); // on real threads that of the bridges looks at all nodes
    struct node *node = &test->nodes[test->node_count];
    *node = (struct node){.test = test, .number = test->node_count, .carrier = {.due = UINT64_MAX}};
    memcpy(node->name, name, strlen(name) + 1);
    if (options)
        node->options = *options;
    test->node_count++;
    pthread_mutex_unlock(&test->network.lock);
    node_start(node);
    return node->system;
}

soma_system *soma_test_node(soma_test *test, const char *name)
{
    for (uint32_t i = 0; test && name && i < test->node_count; i++) {
        if (strcmp(test->nodes[i].name, name) != 0)
            continue;
        if (!test->nodes[i].system)
            kit_fail(test, "the node '%s' is down", name);
        return test->nodes[i].system;
    }
    return soma_test_node_open(test, name, NULL);
}

soma_system *soma_test_system(soma_test *test)
{
    return soma_test_node(test, "node");
}

soma_bridge *soma_test_bridge(soma_test *test, const char *name)
{
    for (uint32_t i = 0; test && name && i < test->node_count; i++)
        if (!strcmp(test->nodes[i].name, name))
            return test->nodes[i].carrier.bridge;
    soma_test_fail(test, "soma_test_bridge: there is no node '%s'", name ? name : "NULL");
}

/* ---- time ---- */

uint64_t soma_test_now(const soma_test *test)
{
    return test ? test->stage->now(test) : 0;
}

uint64_t soma_test_random(soma_test *test, uint64_t limit)
{
    if (!test)
        return 0;
    uint64_t number = random_next(&test->entropy);
    return limit ? number % limit : number;
}

void *soma_test_alloc(soma_test *test, size_t size)
{
    from_body(test, __func__);
    struct block *block = size < SIZE_MAX / 2 ? calloc(1, sizeof(*block) + size) : NULL;
    if (!block)
        kit_fail(test, "soma_test_alloc: out of memory");
    block->next = test->blocks;
    test->blocks = block;
    return block->memory;
}

bool soma_test_step(soma_test *test)
{
    from_body(test, __func__);
    return test->stage->step(test);
}

void soma_test_settle(soma_test *test)
{
    from_body(test, __func__);
    test->stage->settle(test);
    checks_run(test, true);
}

static bool never(const void *arg)
{
    (void)arg;
    return false;
}

void soma_test_advance(soma_test *test, uint64_t nanoseconds)
{
    from_body(test, __func__);
    test->stage->until(test, nanoseconds, never, NULL);
    soma_test_settle(test);
}

bool soma_test_until(soma_test *test, uint64_t nanoseconds, bool (*done)(const void *arg), const void *arg)
{
    from_body(test, __func__);
    if (!done)
        kit_fail(test, "soma_test_until() needs a function");
    return test->stage->until(test, nanoseconds, done, arg);
}

/* ---- looking ---- */

const void *soma_test_state(soma_test *test, soma_ref agent)
{
    if (!test)
        return NULL;
    soma_agent *alive = agent_alive(test, agent);
    return alive ? alive->state : NULL;
}

void checks_run(soma_test *test, bool rests)
{
    bool inside = test->inside;
    test->inside = true; // a check looks, and does not act
    for (struct check *check = test->checks; check; check = check->next)
        if (check->always || rests)
            check->check(test, check->arg);
    test->inside = inside;
}

static void check_add(soma_test *test, soma_test_check *check, void *arg, bool always)
{
    struct check *added = check ? malloc(sizeof(*added)) : NULL;
    if (!added)
        kit_fail(test, "a check can't be added: %s", check ? "out of memory" : "it is NULL");
    *added = (struct check){test->checks, check, arg, always};
    test->checks = added;
}

void soma_test_always(soma_test *test, soma_test_check *check, void *arg)
{
    from_body(test, __func__);
    check_add(test, check, arg, true);
}

void soma_test_at_rest(soma_test *test, soma_test_check *check, void *arg)
{
    from_body(test, __func__);
    check_add(test, check, arg, false);
}

/* ---- a run ---- */

static void run_close(soma_test *test)
{
    network_close(test);
    if (test->carried)
        pthread_join(test->carrier, NULL);
    for (uint32_t i = 0; i < test->node_count; i++)
        carrier_close(&test->nodes[i]);
    for (uint32_t i = 0; i < test->node_count; i++) {
        if (test->nodes[i].system)
            soma_system_cancel(&test->nodes[i].system);
        free(test->nodes[i].agents);
    }
    for (struct check *check = test->checks, *next; check; check = next) {
        next = check->next;
        free(check);
    }
    for (struct block *block = test->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    for (struct kill_order *order = test->kill_orders, *next; order; order = next) {
        next = order->next;
        free(order);
    }
    probes_free(test);
    ready_free(&test->ready);
    ready_free(&test->asleep);
    network_free(test);
    free(test->identities.all);
}

/* Everything that a body left must come to rest, and nobody may wait for what can't come. */
static void run_finish(soma_test *test)
{
    soma_test_settle(test);
    if (!test->sim->waits && test->stage == &stage_simulated)
        waits_end(test);
}

void run_body(struct run *run)
{
    soma_test *test = calloc(1, sizeof(*test));
    if (!test)
        sim_fail(run->sim, "out of memory");
    test->sim = run->sim;
    test->stage = run->stage;
    test->thread = pthread_self();
    test->entropy = run->seed ^ UINT64_C(0xda3e39cb94b95bdb);
    test->trace = (struct trace){UINT64_C(0xcbf29ce484222325), run->trace};
    test->faults = *run->sim;
    test->progress = run->progress;
    choices_begin(&test->choices, run->seed, run->tape);
    test->choices.forced = run->forced;
    test->choices.forced_count = run->forced_count;
    test->choices.exhaustive = run->sim->schedule == SOMA_SCHEDULE_EXHAUSTIVE;
    turning_points(test);
    network_open(test);
    test->allocations = memory_count();
    memory_watch(test);
    test->now = test->stage == &stage_real ? driver_real.now(NULL) : 0;
    run->sim->body(test);
    run_finish(test);
    run->hash = test->trace.hash;
    run->steps = test->steps;
    run_close(test);
    memory_watch(NULL);
    free(test);
}
