/* A bridge that closes, and loses its links meanwhile: what was said before gets there all the same; nobody new comes.
 */
#include "pair.h"
#include "test_support.h"
#include <soma/error.h>
#include <soma/request.h>

SOMA_MESSAGE(note, (u64, number))

static struct pair pair;
static soma_ref readers[2];
static uint64_t notes;

static int on_note(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my;
    notes += m->number;
    return 0;
}

static const soma_behavior reader = {.name = "reader", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note))};

static void begin(void)
{
    static const soma_bridge_options plain = {.name = "plain"};
    notes = 0;
    pair_open(&pair, plain, &plain);
    for (int side = 0; side < 2; side++)
        assert_int_equal(soma_spawn(pair.sides[side].system, &reader, NULL, &readers[side]), 0);
}

static void say(int from)
{
    worker_enter(NULL);
    assert_int_equal(soma_send(pair.sides[from].system, readers[!from], note, .number = 1), 0);
}

static struct soma_bridge *bridge_of(int side)
{
    return pair.sides[side].bridge;
}

static void close_begin(int side)
{
    u32_store(&bridge_of(side)->closing, 1);
}

/* Another connection of the first's to the second says hello there, as a node. */
static void call(const struct hello *hello, uint64_t connection)
{
    lone_receive_hello(&pair.sides[1], connection, hello);
}

/* ---- the link is lost ---- */

static void link_lost(int closes)
{
    begin();
    say(closes);
    close_begin(closes);
    lone_pass(&pair.sides[closes], 0); // it leaves
    pair_cut(&pair);
    assert_false(bridge_is_drained(bridge_of(closes)));
    pair_run(&pair);
    assert_int_equal(notes, 1);
    pair_turn(&pair, SOMA_SECOND / 100); // it may be acknowledged a moment later
    pair_run(&pair);
    assert_true(bridge_is_drained(bridge_of(closes)));
    pair_close(&pair);
}

static void test_caller_closes(void **state)
{
    (void)state;
    link_lost(0);
}

static void test_called_closes(void **state)
{
    (void)state;
    link_lost(1);
}

/* ---- nobody new ---- */

#define STRANGER 100u
#define CONNECTION 5000u

static void test_strangers_stay_out(void **state)
{
    (void)state;
    begin();
    say(1);
    close_begin(1);
    const struct hello hello = lone_hello(STRANGER);
    uint64_t sent = pair.sides[1].sent;
    call(&hello, CONNECTION);
    assert_int_equal(pair.sides[1].last_ended, CONNECTION);
    assert_int_equal(pair.sides[1].sent, sent); // not a word
    assert_null(peer_seen(bridge_of(1), STRANGER));
    pair_close(&pair);
}

/* Addresses where nobody has answered are not called any more, nor is the node that is gone. */
static void test_nobody_is_called(void **state)
{
    (void)state;
    static const char *const connect[] = {"second", NULL};
    struct lone lone;
    lone_open(&lone, &(soma_bridge_options){.name = "lone", .connect = connect});
    lone_pass(&lone, 0);
    assert_int_equal(lone.dials, 1);
    bridge_broken(lone.bridge, 1);
    u32_store(&lone.bridge->closing, 1);
    for (int i = 0; i < 5; i++)
        lone_pass(&lone, SOMA_SECOND);
    assert_int_equal(lone.dials, 1);
    lone_close(&lone);
}

/* One that has given its session up has lost what was said: there is no other. */
static void test_no_other_session(void **state)
{
    (void)state;
    begin();
    say(1);
    close_begin(1);
    lone_pass(&pair.sides[1], 0);
    const struct peer *peer = pair_peer(&pair, 1);
    struct hello hello = lone_hello(pair.sides[0].system->node);
    hello.count = UINT64_MAX; // later than all others
    call(&hello, CONNECTION);
    assert_int_equal(peer->connection, CONNECTION);
    lone_receive_join(&pair.sides[1], CONNECTION, &(struct join){.mine = peer->session.yours + 1});
    assert_int_equal(pair.sides[1].last_ended, CONNECTION);
    assert_false(peer->open);
    call(&hello, CONNECTION + 1);
    assert_int_equal(pair.sides[1].last_ended, CONNECTION + 1);
    assert_true(bridge_is_drained(bridge_of(1)));
    pair_close(&pair);
}

/* ---- what is left ---- */

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(go, (ref, to))

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return m->number ? soma_reply(self, note, .number = 1) : SOMA_EINVAL;
}

static int on_answer(soma_agent *self, void *my, const struct note *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my, (void)error;
    return 0;
}

/* Asks for what is answered, and for what fails. */
static int on_go(soma_agent *self, void *my, const struct go *m)
{
    (void)my;
    for (uint64_t number = 0; number < 2; number++)
        if (soma_request(self, m->to, SOMA_NEVER, SOMA_THEN(note, on_answer, on_error), ask, number) < 0)
            return SOMA_ENOMEM;
    return 0;
}

static const soma_behavior talker = {.name = "talker",
                                     .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(go, on_go))};

static void left_is(const struct losses *left, uint64_t messages, uint64_t answers, uint64_t words)
{
    assert_int_equal(left->messages, messages);
    assert_int_equal(left->answers, answers);
    assert_int_equal(left->words, words);
}

/* Each word that was not acknowledged counts once: in a frame that has left, or in none yet. */
static void test_left(void **state)
{
    (void)state;
    soma_ref talkers[2];
    begin();
    for (int side = 0; side < 2; side++)
        assert_int_equal(soma_spawn(pair.sides[side].system, &talker, NULL, &talkers[side]), 0);
    worker_enter(NULL);
    assert_int_equal(soma_send(pair.sides[1].system, talkers[1], go, .to = talkers[0]), 0);
    lone_pass(&pair.sides[1], 0);
    while (pair_step(&pair, 1)) // the answers wait
        ;
    say(0);
    lone_pass(&pair.sides[0], 0);
    say(0);
    worker_enter(NULL);
    soma_kill(pair.sides[0].system, readers[1]);
    worker_enter(bridge_of(0)->worker);
    const struct losses left = bridge_goodbye(bridge_of(0)), none = bridge_goodbye(bridge_of(0));
    left_is(&left, 2, 2, 1);
    left_is(&none, 0, 0, 0);
    pair_close(&pair);
}

/* Watches end with this node: nobody waits for word of them. */
static void test_nothing_left(void **state)
{
    (void)state;
    begin();
    say(0);
    lone_pass(&pair.sides[0], 0);
    pair_run(&pair);
    pair_turn(&pair, SOMA_SECOND / 100);
    pair_run(&pair);
    worker_enter(bridge_of(0)->worker);
    const struct losses left = bridge_goodbye(bridge_of(0));
    left_is(&left, 0, 0, 0);
    pair_close(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_caller_closes),      cmocka_unit_test(test_called_closes),
        cmocka_unit_test(test_strangers_stay_out), cmocka_unit_test(test_nobody_is_called),
        cmocka_unit_test(test_no_other_session),   cmocka_unit_test(test_left),
        cmocka_unit_test(test_nothing_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
