/*
 * What a round of the porter's leaves for later is not forgotten: lines that a worker in its place passes over, and the
 * mark of one whose reader has enough for now. Here the test has the turn, and lets rounds run one by one.
 */
#include "channels/porter.h"
#include "channels/remote.h"
#include "player.h"
#include "runtime/timer.h"
#include "test_support.h"
#include <pthread.h>
#include <sched.h>
#include <soma/timer.h>
#include <stdlib.h>

/* ---- lines that are passed over ---- */

#define MANY 300u /* messages, more than a line sends before others get their turn */

static int on_chunk(soma_agent *self, struct player *my, const struct chunk *m)
{
    (void)self, (void)m;
    my->notes++;
    return 0;
}

static int push_bind(soma_agent *self, void *state, void *arg)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    const soma_address at = player_at(arg, SOMA_ANY_PATTERN);
    (void)state;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    return soma_bind(self, SOMA_PUSH, "it", &(soma_channel_options){.place = place, .serializer = "raw"}, NULL);
}

static int pull_connect(soma_agent *self, void *state, void *arg)
{
    const soma_address at = player_at(arg, SOMA_PUSH);
    const soma_channel_options raw = {.serializer = "raw", .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_chunk))};
    (void)state;
    return soma_connect_with(self, &at, "it", &raw);
}

static int line_look(soma_agent *self, void *state, void *arg)
{
    (void)state;
    *(struct line **)arg = channel_find(self, "it")->remote->line;
    return 0;
}

/* The same as player_do(), of a system without the kit, which looks at each message: then rounds are others. */
static void agent_do(soma_system *system, soma_ref ref, player_fn *fn, const void *arg)
{
    struct player_step step = {.fn = fn, .arg = arg};
    assert_int_equal(soma_post(system, ref, player_step_run, &step, player_step_drop), 0);
    while (!atomic_load(&step.done))
        sched_yield();
}

static soma_ref end_open(soma_system *system, player_fn *fn, const char *name, struct line **line)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &player_quiet, NULL, &ref), 0);
    agent_do(system, ref, fn, name);
    agent_do(system, ref, line_look, line);
    return ref;
}

/* As an agent would. */
static void line_say(struct line *line)
{
    zmq_msg_t part;
    assert_true(part_make(&part, "x", 1));
    assert_int_equal(line_put(line, NULL, &part, 1), 0);
}

struct passed {
    struct porter *porter;
    struct line *far, *near; /* one sends, the other receives */
    struct line *says;
};

/* A round of a worker's, in which the near line has brought something, and so the far one is passed over. */
static uint64_t round_passing(struct passed *passed)
{
    uint32_t looks = 0;
    bool has = false, waits;
    line_say(passed->says);
    do {
        pthread_mutex_lock(&passed->near->use);
        has = post_socket_has(passed->near->socket);
        pthread_mutex_unlock(&passed->near->use);
    } while (!has && player_wait(&looks));
    assert_true(has);
    passed->porter->worker->pool.grown =
        false;                    // as most times: else each message goes at once, and none is passed over
    passed->near->stirred = true; // as who is told of it notes
    return porter_round(passed->porter, false, &waits);
}

static void rounds_check(struct passed *passed)
{
    struct line *far = passed->far;
    bool waits;
    porter_round(passed->porter, true, &waits);
    assert_non_null(far->sending); // of the many some are left, for which there is room
    round_passing(passed);
    assert_true(passed->porter->looks);
    assert_non_null(far->sending);
    porter_round(passed->porter, true, &waits);
    assert_null(far->sending);
    round_passing(passed);
    assert_false(passed->porter->looks); // there is nothing more

    far->watched = false;
    round_passing(passed);
    assert_true(passed->porter->looks);
    far->watched = true;

    far->lost = system_now(passed->porter->system); // it is to be connected again
    assert_true(round_passing(passed) <= far->lost + LINE_RETRY * SOMA_MS);
    far->lost = 1;
    round_passing(passed);
    assert_true(passed->porter->looks);
    far->lost = 0;

    far->askers = (struct asker *)far; // somebody, whose answers wait; who is passed over is not looked at
    far->retry = system_now(passed->porter->system) + SOMA_SECOND * 1000;
    assert_true(round_passing(passed) <= far->retry);
    assert_false(passed->porter->looks);
    far->retry = 1;
    round_passing(passed);
    assert_true(passed->porter->looks);
    far->askers = NULL;
}

static void test_passed_over(void **state)
{
    struct passed passed;
    struct line *other;
    struct player_look look = {.alias = NULL};
    soma_system *system;
    (void)state;
    player_transport = SOMA_IPC; // several places
    assert_int_equal(soma_system_open(&system, NULL), 0);
    soma_ref far = end_open(system, push_bind, "far", &passed.far),
             takes = end_open(system, pull_connect, "far", &other);
    assert_int_equal(soma_wait_connected(system, far, "it", 1, SOMA_NEVER), 0);
    soma_ref says = end_open(system, push_bind, "near", &passed.says);
    end_open(system, pull_connect, "near", &passed.near); // the last one is the first of all
    assert_int_equal(soma_wait_connected(system, says, "it", 1, SOMA_NEVER), 0);
    passed.porter = passed.far->porter;
    pthread_mutex_lock(&passed.porter->post.turn);
    worker_enter(passed.porter->worker);
    round_passing(&passed); // its pool has room from now on: else what comes goes on at once
    passed.porter->worker->pool.grown = false;
    pthread_mutex_lock(&passed.far->use); // so that it all waits in the queue
    for (uint32_t i = 0; i < MANY; i++)
        line_say(passed.far);
    pthread_mutex_unlock(&passed.far->use);
    rounds_check(&passed);
    worker_enter(NULL);
    pthread_mutex_unlock(&passed.porter->post.turn);
    do
        agent_do(system, takes, player_look, &look);
    while (look.notes < MANY);
    assert_int_equal(look.notes, MANY);
    assert_int_equal(soma_system_close(&system), 0);
    player_transport = SOMA_INPROC;
}

/* ---- a reader who has enough ---- */

#define WEIGHT (LINE_WINDOW / 4 + 1)

/* A line as its porter and its reader see it, each of which is a thread. */
struct model {
    struct porter porter;
    struct line line;
    atomic_ulong given, done;
    uint64_t all;
};

static void *reader_main(void *argument)
{
    struct model *model = argument;
    for (uint64_t i = 0; i < model->all; i++) {
        struct arrival arrival = {.line = &model->line, .weight = WEIGHT};
        while (atomic_load(&model->given) == i)
            sched_yield();
        u32_add(&model->line.references, 1);
        arrival_end(&arrival);
        atomic_store(&model->done, i + 1);
    }
    return NULL;
}

/* Until the reader has said that there is room. */
static void listed_wait(struct model *model, uint64_t given)
{
    bool done = false;
    while (!ptr_load(&model->porter.listed) && !done) {
        sched_yield();
        done = atomic_load(&model->done) == given;
    }
    assert_non_null(ptr_load(&model->porter.listed));
    ptr_store(&model->porter.listed, NULL);
    line_take(&model->line);
    line_unref(&model->line);
}

/* Who goes on to read has not left the mark that he does not; and who has stopped is told when there is room. */
static void test_stalled(void **state)
{
    struct model model = {.all = test_load(600000)};
    pthread_t reader;
    (void)state;
    model.line.porter = &model.porter;
    u32_store(&model.line.references, 1000); // never the last one
    assert_int_equal(pthread_create(&reader, NULL, reader_main, &model), 0);
    for (uint64_t i = 0; i < model.all; i++) {
        while (!line_has_room(&model.line))
            listed_wait(&model, i);
        while (u32_load(&model.line.stalled) && atomic_load(&model.done) != i)
            sched_yield(); // who has made room is about to take it
        assert_int_equal(u32_load(&model.line.stalled), 0);
        model.line.taken += WEIGHT;
        atomic_store(&model.given, i + 1);
    }
    pthread_join(reader, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passed_over), cmocka_unit_test(test_stalled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
