/* The real stage: the same body over systems with threads, in real time. */
#include "runtime/closing.h"
#include "runtime/system.h"
#include "runtime/thread.h"
#include "testkit/kit.h"
#include "testkit/probe.h"
#include "testkit/replay.h"
#include <soma/error.h>
#include <stdlib.h>
#include <time.h>

/* ---- the bridges' thread ---- */

/* A turn of each bridge, and all frames, as they become ready. */
static void *carriers_main(void *argument)
{
    soma_test *test = argument;
    struct network *network = &test->network;
    pthread_mutex_lock(&network->lock);
    while (!network->closed) {
        uint64_t next = carriers_next(test);
        const struct timespec until = {(time_t)(next / SOMA_SECOND), (long)(next % SOMA_SECOND)};
        if (!test->ready.count && next == UINT64_MAX)
            pthread_cond_wait(&network->changed, &network->lock);
        else if (!test->ready.count)
            pthread_cond_timedwait(&network->changed, &network->lock, &until);
        carriers_fire(test);
        if (network->closed || !test->ready.count)
            continue;
        struct ready_agent ready = ready_take(&test->ready, 0);
        if (ready.line)
            network_turn(test, ready.line);
        else
            carrier_turn(ready.node);
    }
    pthread_mutex_unlock(&network->lock);
    return NULL;
}

/* ---- nodes ---- */

static int real_node_open(struct node *node)
{
    struct driver driver = driver_real;
    driver.replace = mock_replace;
    driver.context = node;
    int error = system_open_driven(&node->system, &node->options, &driver);
    if (!error && node->test->node_count == 2 && !node->test->carried) {
        error = thread_start(&node->test->carrier, carriers_main, node->test);
        node->test->carried = !error;
    }
    return error;
}

static bool all_asleep(const soma_test *test)
{
    for (uint32_t i = 0; i < test->node_count; i++)
        if (!closing_rests(test->nodes[i].system))
            return false;
    return true;
}

static uint64_t all_wakes(const soma_test *test)
{
    uint64_t wakes = 0;
    for (uint32_t i = 0; i < test->node_count; i++)
        wakes += u64_load(&test->nodes[i].system->wakes);
    return wakes;
}

/* Nodes wake each other, so each is seen asleep twice; as none rose in between, all slept at once, and nothing was on
 * its way. */
static bool all_rest(soma_test *test)
{
    struct network *network = &test->network;
    uint64_t wakes = all_wakes(test);
    if (!all_asleep(test))
        return false;
    pthread_mutex_lock(&network->lock);
    bool rest = !test->ready.count && carriers_rest(test);
    pthread_mutex_unlock(&network->lock);
    return rest && all_asleep(test) && all_wakes(test) == wakes;
}

static void nap(void)
{
    const struct timespec moment = {0, 50000};
    nanosleep(&moment, NULL);
}

/* Looked at again and again, as nobody tells. */
static void real_settle(soma_test *test)
{
    while (!all_rest(test))
        nap();
}

static bool real_step(soma_test *test)
{
    bool ran = !all_rest(test);
    real_settle(test);
    return ran;
}

static uint64_t real_time(const soma_test *test)
{
    return driver_real.now(NULL) - test->now; // which is when it began
}

static bool real_until(soma_test *test, uint64_t nanoseconds, bool (*done)(const void *arg), const void *arg)
{
    uint64_t begun = real_time(test);
    while (!done(arg)) {
        if (real_time(test) - begun >= nanoseconds)
            return done(arg);
        nap();
    }
    return true;
}

const struct stage stage_real = {real_node_open, real_step, real_settle, real_until, real_time};

/* ---- failures on other threads ---- */

static pthread_t body_thread;

/*
 * cmocka jumps out of a test in the thread that runs it. Where an assert fails in another one, a handler's, it ends the
 * process instead, and keeps what it had to say to itself. This runs then, in that thread, and has it say that.
 */
static void exit_explain(void)
{
    if (pthread_equal(pthread_self(), body_thread))
        return;
    print_error("a handler, on a thread of its system, has failed or called exit(); that ends all tests:\n");
    setenv("CMOCKA_TEST_ABORT", "1", 1);
    _fail(__FILE__, __LINE__);
}

void soma_real_run(void **state)
{
    static bool explains;
    const soma_sim *sim = *state;
    replay(sim);
    struct tape *tape = calloc(1, sizeof(*tape));
    if (!tape)
        sim_fail(sim, "out of memory");
    body_thread = pthread_self();
    if (!explains)
        explains = !atexit(exit_explain);
    struct run run = {.sim = sim, .stage = &stage_real, .seed = 1, .tape = tape};
    run_body(&run);
    free(tape);
}
