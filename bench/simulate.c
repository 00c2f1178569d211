/* Workload `simulate`: how fast the test kit runs a body over many seeds. An operation is a step: a turn of an agent.
 */
#include "bench.h"
#include "testkit/kit.h"
#include <stdlib.h>

#define CROWD 32u
#define HOPS 100u /* of each agent's first message */

SOMA_MESSAGE(hop, (u32, left))

/* Who got a message sends one on, to anybody. */
static int on_hop(soma_agent *self, soma_ref *crowd, const struct hop *m)
{
    return m->left ? soma_send(self, crowd[soma_random(self) % CROWD], hop, .left = m->left - 1) : 0;
}

static int hopper_init(soma_agent *self, void *state, const void *arg)
{
    soma_ref *crowd = state, first = soma_self(self);
    first.slot -= *(const uint32_t *)arg; // the first agents of a new system have its first slots
    for (uint32_t i = 0; i < CROWD; i++, first.slot++)
        crowd[i] = first;
    return 0;
}

static const soma_behavior hopper = {.name = "hopper",
                                     .state_size = CROWD * sizeof(soma_ref),
                                     .init = hopper_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(hop, on_hop))};

static void crowd_hops(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    for (uint32_t i = 0; i < CROWD; i++) {
        soma_ref agent;
        check(soma_spawn(system, &hopper, &i, &agent), "spawn");
        check(soma_send(system, agent, hop, .left = HOPS), "send");
    }
}

/* Whole runs, each with a system that opens and closes, one seed after another. */
void run_simulate(struct bench *bench)
{
    static const soma_sim sim = {.name = "crowd_hops", .file = __FILE__, .line = __LINE__, .body = crowd_hops};
    struct tape *tape = calloc(1, sizeof(*tape));
    check(tape ? 0 : SOMA_ENOMEM, "tape");
    uint64_t steps = 0;
    double start = now();
    for (uint64_t seed = 1; steps < bench->ops; seed++) {
        struct run run = {.sim = &sim, .stage = &stage_simulated, .seed = seed, .tape = tape};
        run_body(&run);
        steps += run.steps;
    }
    bench->seconds = now() - start;
    bench->ops = steps;
    bench->workers = 1;
    free(tape);
}
