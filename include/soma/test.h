/**
 * @file
 * The test kit: unit tests of agents with cmocka, and whole runs replayed from one seed. A library of its own,
 * `soma_test`, which a test program links in place of `soma`.
 *
 * A test body opens nodes, spawns the agents under test, unchanged, and drives them. Listed by #SOMA_SIM it is run once
 * a seed, in one thread and in virtual time: the seed decides who runs next, for how many messages, what soma_random()
 * gives and which faults strike. A run that fails is shrunk and printed, with the command that replays it. Listed by
 * #SOMA_REAL, the same body runs once, on real threads.
 *
 *     static void test_counter(soma_test *test)
 *     {
 *         soma_ref counter;
 *         assert_int_equal(soma_spawn(soma_test_system(test), &counter_behavior, NULL, &counter), 0);
 *         soma_send(soma_test_system(test), counter, increment, .by = 2);
 *         soma_test_settle(test);
 *         assert_int_equal(((const struct counter *)soma_test_state(test, counter))->count, 2);
 *     }
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {SOMA_SIM(test_counter, 1000, 10000), SOMA_REAL(test_counter)};
 *         return cmocka_run_group_tests(tests, NULL, NULL);
 *     }
 *
 * Only the thread that runs the body may call what is here. What is wrong in a call (NULL, a node that was never
 * opened) fails the test and says so. (The ideas are FoundationDB's simulation, Rust's shuttle and Microsoft's PCT.)
 */
#ifndef SOMA_TEST_H
#define SOMA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> // wants those before

#include <soma/soma.h>

/** One run of a body. */
typedef struct soma_test soma_test;

/** A test body: asserts by cmocka, in itself or in handlers, end the run as failed. On real threads one that fails in a
 *  handler ends the whole program, when it has said so. */
typedef void soma_test_body(soma_test *test);

/** How the next agent is chosen. */
typedef enum soma_schedule {
    SOMA_SCHEDULE_RANDOM, /**< any that can run, each as likely */
    SOMA_SCHEDULE_PCT,    /**< by random priorities that change `depth` - 1 times: finds bugs that need few things to
                               happen in a certain order with a known probability (Burckhardt et al., 2010) */
    SOMA_SCHEDULE_ROUND_ROBIN, /**< who has waited longest, a message each: one run, whatever the seed */
    SOMA_SCHEDULE_EXHAUSTIVE   /**< all that there are, one after another, up to `seeds` of them: for small cases */
} soma_schedule;

/** What #SOMA_SIM is told. All but the first three may be left out. */
typedef struct soma_sim {
    soma_test_body *body;   /**< the test */
    uint64_t seeds;         /**< how many runs; SOMA_SEEDS in the environment counts in its place, unless `fails` */
    uint64_t steps;         /**< most turns of agents in a run: one that does not come to rest by then fails */
    soma_schedule schedule; /**< how agents take turns */
    uint32_t depth;         /**< for SOMA_SCHEDULE_PCT; 0: 3 */
    uint32_t kills;         /**< up to so many agents are killed in a run; see soma_test_spare() */
    uint32_t pauses;        /**< up to so many times an agent stands still while others go on */
    uint32_t late;          /**< up to so many times a timer fires while messages still wait, as on a busy machine */
    uint32_t reorders;      /**< up to so many times a message overtakes those of other senders in its mailbox */
    uint32_t allocations;   /**< up to so many allocations fail, of those that agents make in their turns */
    uint32_t cuts;          /**< up to so many times two nodes lose their connection; see soma_test_net_cut() */
    uint32_t partitions;    /**< up to so many times frames between two nodes wait, both ways or one; this and a cut
                                 end by themselves, after a while or when nothing else can go on */
    uint32_t frames;        /**< up to so many frames between nodes are lost, come twice or overtake another one */
    bool fails;             /**< the body has a bug, to be found: the test passes if a run fails */
    bool waits;             /**< requests may be without an answer at the end: no deadlock */
    uint32_t lines;         /**< with `fails`: the trace, once shrunk, must have fewer lines; 0: any number */
    const char *name;       /**< set by the macro, as what follows */
    const char *file;       /**< where the test is listed: failures that are of no line of the test name it */
    int line;               /**< and in which line */
} soma_sim;

/**
 * A test for cmocka's table: `SOMA_SIM(body, seeds, steps)`, or with more of #soma_sim behind: `SOMA_SIM(body, 1000,
 * 10000, .kills = 2)`. Each seed is a run of its own; all runs are in a child process, so that also a crash in one of
 * them is found, shrunk and replayed.
 *
 * The test fails if a run does: an assert in the body, a handler or an invariant; a crash, exit() or skip(); a run that
 * does not come to rest; requests that nobody can answer any more (a deadlock). Then it prints what failed, the trace,
 * and `SOMA_REPLAY=… program`: that command runs this one test in that one way, in the process itself, for a debugger.
 */
#define SOMA_SIM(body_, seeds_, ...)                                                                                   \
    {                                                                                                                  \
        .name = #body_, .test_func = soma_sim_run, .initial_state = (void *)&(soma_sim)                                \
        {                                                                                                              \
            .name = #body_, .file = __FILE__, .line = __LINE__, .body = (body_), .seeds = (seeds_),                    \
            .steps = __VA_ARGS__                                                                                       \
        }                                                                                                              \
    }

/** The same body, once, on real threads and in real time: where simulation and machine must agree. */
#define SOMA_REAL(body_)                                                                                               \
    {                                                                                                                  \
        .name = #body_ " (real)", .test_func = soma_real_run, .initial_state = (void *)&(soma_sim)                     \
        {                                                                                                              \
            .name = #body_, .file = __FILE__, .line = __LINE__, .body = (body_)                                        \
        }                                                                                                              \
    }

/** What #SOMA_SIM calls; `state` points to a pointer to a #soma_sim. */
SOMA_API void soma_sim_run(void **state);

/** What #SOMA_REAL calls; `state` as for soma_sim_run(). */
SOMA_API void soma_real_run(void **state);

/** The run's first node, opened when it is first asked for. */
SOMA_API soma_system *soma_test_system(soma_test *test);

/**
 * A node of a name, opened when it is first asked for; soma_test_system() is the node "node". Nodes reach each other's
 * agents by their refs, over bridges (soma/bridge.h) and a simulated network (soma/fault.h).
 * @param test the run
 * @param name up to 31 bytes; at most 64 nodes
 * @return its system, which the test kit runs and closes: soma_system_run() and soma_system_close() are not for it
 */
SOMA_API soma_system *soma_test_node(soma_test *test, const char *name);

/** As soma_test_node(), opened with options of the test's own; their workers, log sink and drain time do not count. */
SOMA_API soma_system *soma_test_node_open(soma_test *test, const char *name, const soma_options *options);

/**
 * A node's bridge: what its agents are found by, and find others by. Its one address is `sim://NAME`, also when the
 * node has restarted, with another bridge. NULL while the run has only one node, or while this one is down.
 */
SOMA_API soma_bridge *soma_test_bridge(soma_test *test, const char *name);

/** The run's virtual time, in nanoseconds. */
SOMA_API uint64_t soma_test_now(const soma_test *test);

/** A number from the run's seed, below `limit` (0: any number): for what the body itself chooses. */
SOMA_API uint64_t soma_test_random(soma_test *test, uint64_t limit);

/**
 * Memory for what the body, agents and checks share: zeroed, and freed when the run is over. Checks and stop hooks also
 * run when the body has returned, and its variables are gone.
 */
SOMA_API void *soma_test_alloc(soma_test *test, size_t size);

/** Lets one agent take a turn. False if nobody can run now; a timer may still be pending. On real threads it waits for
 *  rest. */
SOMA_API bool soma_test_step(soma_test *test);

/** Runs until no message waits and nothing is under way. The time stands still: timers stay pending. */
SOMA_API void soma_test_settle(soma_test *test);

/** Lets time pass, with all that happens in it, and settles. */
SOMA_API void soma_test_advance(soma_test *test, uint64_t nanoseconds);

/**
 * Runs, and lets time pass, until `done(arg)`.
 * @return true; false if it has not come about within that time
 */
SOMA_API bool soma_test_until(soma_test *test, uint64_t nanoseconds, bool (*done)(const void *arg), const void *arg);

/**
 * The state of an agent, to look at between turns; on real threads only after soma_test_settle(). NULL if it is gone.
 */
SOMA_API const void *soma_test_state(soma_test *test, soma_ref agent);

/** What the kit calls for an invariant; it asserts by cmocka. */
typedef void soma_test_check(soma_test *test, void *arg);

/** From now on `check` must hold after every step. On real threads: whenever the body has settled. */
SOMA_API void soma_test_always(soma_test *test, soma_test_check *check, void *arg);

/** From now on `check` must hold whenever the run has come to rest. */
SOMA_API void soma_test_at_rest(soma_test *test, soma_test_check *check, void *arg);

/**
 * Prints who waits for whom: requests without an answer, agents that are muted, paused or down with mail; nodes that
 * are stopped, and what is on its way between nodes, and why. Empty if there is nothing.
 * @param test the run
 * @param buf gets the text, cut to fit
 * @param size bytes of buf
 * @return the length of the whole text
 */
SOMA_API size_t soma_test_waits(soma_test *test, char *buf, size_t size);

/** Ends the run as failed, from any place of the test: `soma_test_fail(test, "lost %u", n)`. */
#define soma_test_fail(test, ...) soma_test_fail_at((test), __FILE__, __LINE__, __VA_ARGS__)

/** What soma_test_fail() calls. */
SOMA_API void soma_test_fail_at(soma_test *test, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5), noreturn));

#endif
