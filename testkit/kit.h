/*
 * One run of a test body, seen from inside the kit. The kit stands on top of the runtime and looks into it: it is the
 * driver (runtime/driver.h) of every simulated node.
 */
#ifndef TESTKIT_KIT_H
#define TESTKIT_KIT_H

#include "runtime/agent.h"
#include "runtime/driver.h"
#include "testkit/carrier.h"
#include "testkit/choice.h"
#include "testkit/network.h"
#include "testkit/ready.h"
#include "testkit/trace.h"
#include <pthread.h>
#include <soma/test.h>

#define TURNING_POINTS 8

/* Bridges have told of all that has gone wrong by then, and from there on only tell each other that they are there. */
#define CALM (60 * SOMA_SECOND)

/* A node of the run. Its number is its place; a restart gives it another system. */
struct node {
    soma_test *test;
    soma_system *system; /* NULL: it is down */
    uint32_t number;
    bool stopped; /* nobody runs there, and its time stands still */
    char name[NODE_NAME_SIZE];
    soma_options options;      /* as it is opened again */
    struct node_agent *agents; /* by slot: what the kit keeps of its agents */
    uint32_t agent_count;
    struct carrier carrier;
};

/* What the kit keeps of a slot's agent, also after its end, until the slot has the next. */
struct node_agent {
    const char *behavior;
    uint32_t generation;
    uint64_t priority;     /* for SOMA_SCHEDULE_PCT; 0: none yet */
    uint64_t paused_until; /* the step up to which it stands still; UINT64_MAX: until it is resumed */
    bool spared;           /* no fault of the seed's choice strikes it */
    bool internal;         /* a bridge's own */
};

/* A check of the user's. */
struct check {
    struct check *next;
    soma_test_check *check;
    void *arg;
    bool always;
};

/* Memory that the user has while the run lasts. */
struct block {
    struct block *next;
    max_align_t memory[];
};

/* An agent to be killed at a step. */
struct kill_order {
    struct kill_order *next;
    uint64_t step;
    soma_ref agent;
};

/* How a body is carried out: simulated, or on real threads. */
struct stage {
    int (*node_open)(struct node *node);
    bool (*step)(soma_test *test);
    void (*settle)(soma_test *test);
    bool (*until)(soma_test *test, uint64_t nanoseconds, bool (*done)(const void *arg), const void *arg);
    uint64_t (*now)(const soma_test *test);
};

/* Ends a test as failed, in the name of its row in the user's table. */
#define sim_fail(sim, ...) soma_test_fail_at(NULL, (sim)->file, (sim)->line, __VA_ARGS__)
#define kit_fail(test, ...) sim_fail((test)->sim, __VA_ARGS__)

/* The format of what soma_test_fail() said last in this process; NULL: nothing. */
extern const char *kit_said;

extern const struct stage stage_simulated;
extern const struct stage stage_real;

struct soma_test {
    const soma_sim *sim;
    const struct stage *stage;
    pthread_t thread; /* the body's */
    struct choices choices;
    uint64_t
        entropy; /* what nodes and agents draw from: apart from the choices, so that a tamer tape leaves it alone */
    struct trace trace;
    uint64_t now;
    uint64_t limit; /* how far the body lets time pass now */
    struct ready ready;
    struct ready asleep; /* who could run, but is paused */
    struct node nodes[NODES_MAX];
    uint32_t node_count;
    struct identities identities;
    struct network network;
    uint64_t connections; /* how many were made */
    pthread_t carrier;    /* on real threads: takes the bridges' turns, with two nodes */
    bool carried;         /* it runs */
    bool carrying;        /* a bridge does something */
    struct check *checks;
    struct block *blocks;
    shared_ptr probes; /* soma_probe, the latest first; any thread follows it */
    uint64_t steps;
    uint64_t turns;                         /* of agents */
    uint64_t still;                         /* steps since the time moved last */
    uint64_t acted;                         /* when an agent had its last turn */
    volatile uint64_t *progress;            /* told to who watches over this process; or NULL */
    bool inside;                            /* an agent's turn is on */
    bool strikable;                         /* it is, and of an agent that the seed's faults may strike */
    uint64_t allocations;                   /* what memory_count() was at the beginning */
    uint64_t turning_point[TURNING_POINTS]; /* steps at which SOMA_SCHEDULE_PCT lowers a priority */
    uint64_t lowest;                        /* the lowest priority given */
    struct kill_order *kill_orders;
    soma_sim faults; /* how many are left of each kind */
};

/* Carries out a body, from an opened test to a closed one. Fails by cmocka, and then does not return. */
struct run {
    const soma_sim *sim;
    const struct stage *stage;
    uint64_t seed;
    const uint32_t *forced; /* see struct choices */
    uint32_t forced_count;
    struct tape *tape;
    FILE *trace;                 /* gets it as text; NULL for nobody */
    volatile uint64_t *progress; /* counted up at each step; or NULL */
    uint64_t hash;               /* afterwards: of all that happened */
    uint64_t steps;
};

void run_body(struct run *run);

/* Fails the test if it is NULL, or if somebody else than the body calls: a handler, a check. */
void from_body(soma_test *test, const char *function);

/* Opens a node's system, within reach of the others; fails the test if it can't. */
void node_start(struct node *node);

/* The node of a system or of a ref; NULL for one that is not of this run. */
struct node *node_of_system(soma_test *test, const soma_system *system);
struct node *node_of_ref(soma_test *test, soma_ref ref);

/* What is kept of a ref's agent, or of a slot's. NULL for what never was. */
struct node_agent *agent_kept(soma_test *test, soma_ref ref);
struct node_agent *node_slot(struct node *node, uint32_t slot);

/* The living agent of a ref; else NULL. */
soma_agent *agent_alive(soma_test *test, soma_ref ref);

/* Runs the checks that hold always, or all when at rest. */
void checks_run(soma_test *test, bool rests);

/* ---- simulated nodes, sim.c ---- */

/* Puts an agent that can run where it will be chosen from. */
void sim_runnable(void *context, soma_system *system, soma_agent *agent);

/* The steps at which SOMA_SCHEDULE_PCT turns. */
void turning_points(soma_test *test);

/* When the next timer fires, the network delivers or a bridge wants a turn, UINT64_MAX if never; of that, only timers;
 * and all of that up to now. */
uint64_t sim_next(const soma_test *test);
uint64_t sim_timers(const soma_test *test);
void sim_fire(soma_test *test);

/* Time passes. */
void sim_time_set(soma_test *test, uint64_t now);

/* ---- faults, fault.c ---- */

/* Before a step: what the seed wants to go wrong. */
void faults_strike(soma_test *test);

/* Does a fault of which so many are left strike now? It is one less, then. */
bool fault_strikes(soma_test *test, uint32_t *left);

/* Before an agent's turn: a message of another sender may come first. */
void faults_reorder(soma_test *test, soma_agent *agent);

/* At an allocation: is it to fail, as the seed wants it? */
bool faults_allocation(soma_test *test);

#endif
