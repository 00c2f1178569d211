/*
 * Links whose two sides act at once: under a driver that picks every interleaving of calls and messages at random, both
 * ends of a link are there at the end, or none; and one that ended tells the other exactly once.
 */
#include "runtime/agent.h"
#include "runtime/driver.h"
#include "runtime/extension.h"
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

SOMA_MESSAGE(act, (u32, what), (ref, peer))

enum { LINK, UNLINK, RELINK, QUIT, WHATS };

struct play {
    soma_system *system;
    soma_agent *runnable[16];
    uint32_t count;
    uint64_t seed;
    uint32_t exits; /* told to agents that trap */
};

static uint64_t chance(void *context)
{
    struct play *play = context;
    play->seed = play->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return play->seed >> 33;
}

static uint64_t no_time(void *context)
{
    (void)context;
    return 1;
}

static void runnable(void *context, soma_system *system, soma_agent *agent)
{
    struct play *play = context;
    (void)system;
    assert_true(play->count < 16);
    play->runnable[play->count++] = agent;
}

static void play_open(struct play *play, uint64_t seed)
{
    *play = (struct play){.seed = seed};
    const struct driver driver = {
        .now = no_time, .date = no_time, .random = chance, .runnable = runnable, .context = play};
    const soma_options options = {.data = play, .log_level = SOMA_LOG_OFF};
    assert_int_equal(system_open_driven(&play->system, &options, &driver), 0);
}

/* One message of an agent picked at random. */
static void play_step(struct play *play)
{
    uint32_t pick = (uint32_t)(chance(play) % play->count);
    soma_agent *agent = play->runnable[pick];
    play->runnable[pick] = play->runnable[--play->count];
    agent_turn(&play->system->workers[0], agent, 1);
}

static int on_act(soma_agent *self, void *state, const struct act *m)
{
    (void)state;
    if (m->what == QUIT)
        soma_agent_exit(self, SOMA_EFORMAT);
    if (m->what == UNLINK || m->what == RELINK)
        soma_unlink(self, m->peer);
    if (m->what == LINK || m->what == RELINK)
        return soma_link(self, m->peer);
    return 0;
}

static int on_exited(soma_agent *self, void *state, const struct soma_exited *m)
{
    (void)state, (void)m;
    ((struct play *)soma_system_data(soma_agent_system(self)))->exits++;
    return 0;
}

static int trapper_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    return soma_trap_exits(self, true);
}

static const soma_behavior actor = {
    .name = "actor",
    .init = trapper_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(act, on_act), SOMA_ON(soma_exited, on_exited)),
};

static uint32_t ends(const struct play *play, soma_ref of)
{
    const struct extension *extension = play->system->slots.base[of.slot].extension;
    uint32_t count = 0;
    for (uint32_t i = 0; extension && i < extension->capacity; i++)
        count += extension->pending[i].message && extension->pending[i].message->kind == MESSAGE_LINKED;
    return count;
}

static void test_crossing(void **state)
{
    (void)state;
    uint32_t linked = 0, rounds = test_load(20000);
    for (uint64_t seed = 1; seed <= rounds; seed++) {
        struct play play;
        soma_ref pair[2];
        play_open(&play, seed * UINT64_C(0x9e3779b97f4a7c15));
        assert_int_equal(soma_spawn(play.system, &actor, NULL, &pair[0]), 0);
        assert_int_equal(soma_spawn(play.system, &actor, NULL, &pair[1]), 0);
        for (uint32_t left = (uint32_t)(chance(&play) % 12); left || play.count;) {
            if (!left || (play.count && chance(&play) % 2)) {
                play_step(&play);
                continue;
            }
            left--;
            uint32_t who = (uint32_t)(chance(&play) % 2);
            soma_send(play.system, pair[who], act, .what = (uint32_t)(chance(&play) % QUIT), .peer = pair[!who]);
        }
        assert_int_equal(ends(&play, pair[0]), ends(&play, pair[1]));
        assert_true(ends(&play, pair[0]) <= 1);
        uint32_t told = ends(&play, pair[0]);
        linked += told;
        assert_int_equal(play.exits, 0);
        soma_send(play.system, pair[seed % 2], act, .what = QUIT);
        while (play.count)
            play_step(&play);
        assert_int_equal(play.exits, told);
        assert_int_equal(ends(&play, pair[!(seed % 2)]), 0);
        assert_int_equal(soma_system_cancel(&play.system), 0);
    }
    assert_true(linked > rounds / 10 && linked < rounds - rounds / 10); // both outcomes were met
}

/* The same while either may end: the survivor of a link that was asked for is told once of each that it had. */
static void test_crossing_ends(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= test_load(20000); seed++) {
        struct play play;
        soma_ref pair[2];
        play_open(&play, seed * UINT64_C(0x9e3779b97f4a7c15));
        assert_int_equal(soma_spawn(play.system, &actor, NULL, &pair[0]), 0);
        assert_int_equal(soma_spawn(play.system, &actor, NULL, &pair[1]), 0);
        for (uint32_t left = 8; left || play.count;) {
            if (!left || (play.count && chance(&play) % 2)) {
                play_step(&play);
                continue;
            }
            left--;
            uint32_t who = (uint32_t)(chance(&play) % 2);
            soma_send(play.system, pair[who], act, .what = (uint32_t)(chance(&play) % WHATS), .peer = pair[!who]);
        }
        for (uint32_t i = 0; i < 2; i++) // whoever is alive has no end to one that isn't
            if (life_alive(u64_load(&play.system->slots.base[pair[i].slot].life)))
                assert_true(ends(&play, pair[i]) == 0 ||
                            life_alive(u64_load(&play.system->slots.base[pair[!i].slot].life)));
        assert_int_equal(soma_system_cancel(&play.system), 0);
    }
}

/* ---- a child that links to its spawner itself ---- */

static int keen_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return soma_link(self, *(const soma_ref *)arg);
}

static const soma_behavior keen = {.name = "keen", .init = keen_init, .handlers = SOMA_HANDLERS(SOMA_ON(act, on_act))};

static int parent_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    soma_ref me = soma_self(self);
    soma_trap_exits(self, true);
    return soma_spawn_link(self, &keen, &me, *(soma_ref *const *)arg);
}

static const soma_behavior parent = {
    .name = "parent", .init = parent_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_exited, on_exited))};

static void test_linked_twice(void **state)
{
    (void)state;
    struct play play;
    soma_ref child, *where = &child, up;
    play_open(&play, 1);
    assert_int_equal(soma_spawn(play.system, &parent, &where, &up), 0);
    while (play.count)
        play_step(&play);
    assert_int_equal(ends(&play, up), 1);
    assert_int_equal(ends(&play, child), 1);
    soma_send(play.system, child, act, .what = QUIT);
    while (play.count)
        play_step(&play);
    assert_int_equal(play.exits, 1);
    assert_int_equal(ends(&play, up), 0);
    assert_int_equal(soma_system_close(&play.system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crossing),
        cmocka_unit_test(test_crossing_ends),
        cmocka_unit_test(test_linked_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
