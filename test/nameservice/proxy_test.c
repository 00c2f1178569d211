/* Proxies in one system, and to simulated nodes: calls, attributes, errors, what becomes of them when agents come, end
 * and come again. */
#include "proxy_agents.h"
#include <stdlib.h>

#define LONG (20 * SOMA_SECOND)
#define NO_METHOD "an argument is not valid: no method"

SOMA_MESSAGE(appear)

/* ---- calls ---- */

static void check_get(soma_proxy *proxy, const char *name, const char *json)
{
    soma_value value;
    char *text;
    assert_int_equal(soma_proxy_get(proxy, LONG, name, &value), 0);
    assert_int_equal(soma_value_to_json(value, &text), 0);
    assert_string_equal(text, json);
    free(text);
    soma_value_destroy(&value);
}

static int set(soma_proxy *proxy, const char *name, const char *json)
{
    soma_value value;
    assert_int_equal(soma_value_from_json(json, strlen(json), &value), 0);
    int error = soma_proxy_set(proxy, LONG, name, value);
    soma_value_destroy(&value);
    return error;
}

/* All that one can do with an agent that is there. */
static void check_all(soma_proxy *proxy)
{
    soma_value value = SOMA_VALUE_NONE;
    char *described;
    assert_int_equal(soma_proxy_ping(proxy, LONG), 0);
    assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
    assert_int_equal(fill_by(proxy, 40), 40);
    assert_int_equal(fill_by(proxy, 2), 42);
    assert_int_equal(soma_proxy_call(proxy, LONG, "fill", SOMA_VALUE_NONE, &value), SOMA_ETYPE);
    assert_string_equal(soma_proxy_error(proxy), "fill wants litres");
    assert_int_equal(value.size, 0);
    assert_int_equal(soma_proxy_call(proxy, LONG, "burn", SOMA_VALUE_NONE, NULL), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "'tank' has no method 'burn'");
    check_get(proxy, "litres", "42");
    assert_int_equal(set(proxy, "litres", "7"), 0);
    assert_int_equal(set(proxy, NULL, "{\"place\":\"cellar\"}"), 0);
    check_get(proxy, NULL, "{\"litres\":7,\"place\":\"cellar\"}");
    assert_int_equal(set(proxy, "litres", "\"many\""), SOMA_ETYPE);
    assert_string_equal(soma_proxy_error(proxy),
                        "attribute 'litres' is of type i64: a value or message is of another type than expected");
    assert_int_equal(set(proxy, "colour", "1"), SOMA_ENOENT);
    assert_int_equal(soma_proxy_get(proxy, LONG, "colour", &value), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "'tank' has no attribute 'colour'");
    assert_int_equal(soma_proxy_describe(proxy, LONG, &value), 0);
    assert_int_equal(soma_value_to_json(value, &described), 0);
    assert_string_equal(
        described,
        "{\"behavior\":\"tank\",\"methods\":[{\"name\":\"fill\",\"about\":\"adds litres, gives how many there "
        "are\"},{\"name\":\"leave\",\"about\":null},{\"name\":\"hold\",\"about\":null}],\"attributes\":[{\"name\":"
        "\"litres\",\"type\":\"i64\",\"settable\":true,\"about\":\"how many are in "
        "it\"},{\"name\":\"place\",\"type\":\"string\",\"settable\":true,\"about\":\"where it stands\"}]}");
    free(described);
    soma_value_destroy(&value);
}

static void test_by_name(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    check_all(proxy);
    soma_proxy_close(&proxy);
    assert_null(proxy);
    assert_int_equal(soma_proxy_close(&proxy), 0);
}

static void test_by_ref(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref = tank_open(system, "tank/1"), found;
    assert_int_equal(soma_proxy_open_ref(system, ref, &proxy), 0);
    check_all(proxy);
    assert_int_equal(soma_proxy_ref(proxy, 1, &found), 0);
    assert_true(soma_ref_equal(found, ref));
    assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
    tank_open(system, "tank/1"); // another one
    assert_int_equal(soma_proxy_ping(proxy, LONG), SOMA_EGONE);
    assert_int_equal(soma_proxy_wait(proxy, LONG), SOMA_EGONE);
    assert_int_equal(soma_proxy_wait(proxy, 0), SOMA_EGONE);
    assert_string_equal(soma_proxy_error(proxy), soma_strerror(SOMA_EGONE));
    assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
    assert_int_equal(soma_proxy_shutdown(proxy, LONG), 0);
    soma_proxy_close(&proxy);
}

static void test_other_node(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here"), *there = soma_test_node(test, "there");
    soma_ref ref = tank_open(there, "tank/1");
    soma_proxy *proxy;
    assert_int_equal(soma_proxy_open_ref(here, ref, &proxy), 0);
    check_all(proxy);
    assert_int_equal(soma_proxy_shutdown(proxy, LONG), 0);
    while (!soma_whereis(there, "tank/1", &ref)) // on threads word of its end may come just before that
        ;
    soma_proxy_close(&proxy);
}

/* Whoever has the name now is meant. */
static void test_ref(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref first = tank_open(system, "tank/1"), found;
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_ref(proxy, LONG, &found), 0);
    assert_true(soma_ref_equal(found, first));
    assert_int_equal(soma_name_set(system, SOMA_REF_NULL, "tank/1"), 0);
    assert_int_equal(soma_proxy_ref(proxy, LONG, &found), SOMA_ENOENT);
    assert_true(soma_ref_is_null(found));
    soma_ref second = tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_ref(proxy, LONG, &found), 0);
    assert_true(soma_ref_equal(found, second));
    soma_proxy_close(&proxy);
}

/* ---- coming and going ---- */

static int on_appear(soma_agent *self, void *my, const struct appear *m)
{
    soma_ref ref;
    (void)my, (void)m;
    int error = soma_spawn(self, &tank, NULL, &ref);
    return error ? error : soma_name_set(soma_agent_system(self), ref, "late");
}

static int conjurer_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_after(self, 200 * SOMA_MS, appear) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior conjurer = {
    .name = "conjurer", .init = conjurer_init, .handlers = SOMA_HANDLERS(SOMA_ON(appear, on_appear))};

static void test_wait(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref;
    assert_int_equal(soma_proxy_open(system, "late", &proxy), 0);
    assert_string_equal(soma_proxy_error(proxy), "");
    assert_int_equal(soma_proxy_call(proxy, LONG, "fill", SOMA_VALUE_NONE, NULL), SOMA_ENOENT);
    assert_string_equal(soma_proxy_error(proxy), "no agent is called 'late' here");
    assert_int_equal(soma_proxy_kill(proxy, LONG), SOMA_ENOENT);
    assert_int_equal(soma_proxy_ref(proxy, LONG, &ref), SOMA_ENOENT);
    assert_int_equal(soma_proxy_wait(proxy, 50 * SOMA_MS), SOMA_ETIMEOUT);
    assert_string_equal(soma_proxy_error(proxy), "no agent is called 'late' here");
    assert_int_equal(soma_proxy_call(proxy, LONG, NULL, SOMA_VALUE_NONE, NULL), SOMA_EINVAL);
    assert_int_equal(soma_spawn(system, &conjurer, NULL, NULL), 0);
    assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
    assert_string_equal(soma_proxy_error(proxy), NO_METHOD); // the last that failed: looks in vain are no failures
    assert_int_equal(fill_by(proxy, 1), 1);
    soma_proxy_close(&proxy);
}

static void test_same_name(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fill_by(proxy, 5), 5); // of the one that is there now
        assert_int_equal(
            i % 2 ? soma_proxy_kill(proxy, LONG) : soma_proxy_call(proxy, LONG, "leave", SOMA_VALUE_NONE, NULL), 0);
        soma_test_settle(test);
        assert_int_equal(soma_proxy_ping(proxy, LONG), SOMA_ENOENT);
        tank_open(system, "tank/1");
    }
    assert_int_equal(fill_by(proxy, 5), 5);
    soma_proxy_close(&proxy);
}

/* Killed behind its back, and another one has the name at once: whatever the proxy has heard by then. */
static void test_behind_its_back(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref = tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fill_by(proxy, 5), 5);
        soma_ref next;
        assert_int_equal(soma_spawn(system, &tank, NULL, &next), 0);
        assert_int_equal(soma_name_set(system, SOMA_REF_NULL, "tank/1"), 0);
        assert_int_equal(soma_name_set(system, next, "tank/1"), 0);
        soma_kill(system, ref);
        ref = next;
    }
    assert_int_equal(fill_by(proxy, 5), 5);
    soma_proxy_close(&proxy);
}

/* A child of a supervisor comes back by the same ref, after a while. */
static void test_supervised(soma_test *test)
{
    static const soma_child children[] = {{.name = "tank/1", .behavior = &tank}};
    static const soma_supervision top = {
        .children = children, .count = 1, .intensity = 10, .backoff = 100 * SOMA_MS, .backoff_max = 100 * SOMA_MS};
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    assert_int_equal(soma_spawn(system, &soma_supervisor, &top, NULL), 0);
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fill_by(proxy, 5), 5);
        assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
    }
    assert_int_equal(fill_by(proxy, 5), 5);
    assert_string_equal(soma_proxy_error(proxy), ""); // no call has failed, though some were made anew
    soma_proxy_close(&proxy);
}

static void test_times_out(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref = tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_call(proxy, 50 * SOMA_MS, "hold", SOMA_VALUE_NONE, NULL), SOMA_ETIMEOUT);
    assert_string_equal(soma_proxy_error(proxy), "'tank/1' has not answered 'hold' in time");
    assert_int_equal(fill_by(proxy, 5), 5); // it is there
    soma_kill(system, ref);
    soma_proxy_close(&proxy);
}

/* ---- ends ---- */

static int on_exited(soma_agent *self, void *my, const struct soma_exited *m)
{
    (void)my, (void)m;
    soma_after(self, 100 * SOMA_MS, appear);
    return 0;
}

static int on_last(soma_agent *self, void *my, const struct appear *m)
{
    (void)my, (void)m;
    soma_agent_exit(self, SOMA_ESHUTDOWN);
    return 0;
}

static int slow_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_trap_exits(self, true);
}

static const soma_behavior slow = {.name = "slow",
                                   .init = slow_init,
                                   .handlers =
                                       SOMA_HANDLERS(SOMA_ON(soma_exited, on_exited), SOMA_ON(appear, on_last))};

static void test_ends(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &slow, NULL, &ref), 0);
    assert_int_equal(soma_name_set(system, ref, "slow"), 0);
    assert_int_equal(soma_proxy_open(system, "slow", &proxy), 0);
    assert_int_equal(soma_proxy_shutdown(proxy, SOMA_MS), SOMA_ETIMEOUT); // it has yet to finish
    assert_int_equal(soma_proxy_shutdown(proxy, LONG), 0);
    assert_int_equal(soma_whereis(system, "slow", &ref), SOMA_ENOENT);
    assert_int_equal(soma_proxy_shutdown(proxy, LONG), 0); // it has, before
    assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
    assert_string_equal(soma_proxy_error(proxy), "'slow' has not ended in time"); // of the first one
    soma_proxy_close(&proxy);
}

/* Who has the name now, and not who had it when the proxy last looked. */
static void test_ends_who_is_there(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref;
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    for (int i = 0; i < 2; i++) {
        tank_open(system, "tank/1");
        assert_int_equal(soma_proxy_ref(proxy, LONG, &ref), 0);
        assert_int_equal(soma_kill(system, ref), 0);
        soma_test_settle(test);
        tank_open(system, "tank/1");
        assert_int_equal(i ? soma_proxy_kill(proxy, LONG) : soma_proxy_shutdown(proxy, LONG), 0);
        assert_int_equal(soma_whereis(system, "tank/1", &ref), SOMA_ENOENT);
    }
    soma_proxy_close(&proxy);
}

static int on_any(soma_agent *self, void *my, const soma_type *type, const void *message)
{
    (void)self, (void)my, (void)type, (void)message;
    return 0;
}

/* One that takes all, and answers nothing, is there all the same. */
static void test_wordless(soma_test *test)
{
    static const soma_behavior gate = {.name = "gate", .fallback = on_any};
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &gate, NULL, &ref), 0);
    assert_int_equal(soma_proxy_open_ref(system, ref, &proxy), 0);
    assert_int_equal(soma_proxy_ping(proxy, LONG), 0);
    assert_int_equal(soma_proxy_wait(proxy, LONG), 0);
    assert_string_equal(soma_proxy_error(proxy), "");
    soma_proxy_close(&proxy);
}

/* ---- calls that nobody waits for ---- */

struct outcome {
    int calls;
    int error;
    int64_t value;
    char text[64];
};

static void done(void *context, int error, soma_value result, const char *text)
{
    struct outcome *outcome = context;
    outcome->calls++;
    outcome->error = error;
    if (!error)
        soma_value_get_i64(result, &outcome->value);
    strncpy(outcome->text, text, sizeof(outcome->text) - 1);
}

static void test_then(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct outcome *outcomes = soma_test_alloc(test, 4 * sizeof(*outcomes));
    soma_proxy *proxy;
    soma_value five;
    tank_open(system, "tank/1");
    assert_int_equal(soma_value_from_json("5", 1, &five), 0);
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", five, done, &outcomes[0]), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", five, done, &outcomes[1]), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", SOMA_VALUE_NONE, done, &outcomes[2]), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "hold", five, done, &outcomes[3]), 0);
    soma_test_settle(test);
    assert_int_equal(outcomes[0].calls, 1);
    assert_int_equal(outcomes[0].value, 5);
    assert_int_equal(outcomes[1].value, 10); // one at a time, in their order
    assert_int_equal(outcomes[2].error, SOMA_ETYPE);
    assert_string_equal(outcomes[2].text, "fill wants litres");
    assert_int_equal(outcomes[3].calls, 0);
    assert_int_equal(soma_proxy_kill(proxy, LONG), 0);
    soma_test_settle(test);
    assert_int_equal(outcomes[3].error, SOMA_EGONE);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", five, done, &outcomes[3]), SOMA_ENOENT);
    tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", five, done, &outcomes[0]), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "hold", five, done, &outcomes[1]), 0);
    soma_test_settle(test);
    assert_int_equal(outcomes[0].value, 5);
    soma_proxy_close(&proxy);
    assert_int_equal(outcomes[1].calls, 2); // on return
    assert_int_equal(outcomes[1].error, SOMA_ECLOSED);
    assert_string_equal(outcomes[1].text, "the proxy, or its system, is closed");
    assert_int_equal(outcomes[3].calls, 1);
    soma_value_destroy(&five);
}

/* Wherever a call is when the proxy is closed, its function has returned by then. */
static void test_then_close(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct outcome *outcome = soma_test_alloc(test, sizeof(*outcome));
    soma_ref ref = tank_open(system, "tank/1");
    soma_proxy *proxy;
    soma_value five;
    assert_int_equal(soma_value_from_json("5", 1, &five), 0);
    for (int i = 1; i <= 20; i++) {
        assert_int_equal(soma_proxy_open_ref(system, ref, &proxy), 0);
        assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", five, done, outcome), 0);
        if (i % 2)
            assert_int_equal(soma_proxy_ping(proxy, LONG), 0);
        soma_proxy_close(&proxy);
        assert_int_equal(outcome->calls, i);
        assert_true(!outcome->error || outcome->error == SOMA_ECLOSED);
    }
    soma_value_destroy(&five);
}

static void close_done(void *context, int error, soma_value result, const char *text)
{
    (void)error, (void)result, (void)text;
    soma_proxy_close(context);
}

/* Its own function can't be waited for. */
static void test_then_closes(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy **proxy = soma_test_alloc(test, sizeof(soma_proxy *));
    soma_ref ref = tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_open_ref(system, ref, proxy), 0);
    assert_int_equal(soma_proxy_call_then(*proxy, LONG, "fill", SOMA_VALUE_NONE, close_done, proxy), 0);
    soma_test_settle(test);
    assert_null(*proxy);
}

/* Is the agent asked to hold, that is: has the call come to it? */
static bool is_holding(soma_test *test, soma_ref agent)
{
    const struct tank *my = soma_test_state(test, agent);
    return my && my->promise > 0;
}

/* Another one has the name by the time that the agent ends: the call is made to that. */
static void test_then_moves(soma_test *test)
{
    soma_system *here = soma_test_node(test, "here"), *there = soma_test_node(test, "there");
    const char *address = soma_bridge_address(soma_test_bridge(test, "there"), 0);
    struct outcome *outcomes = soma_test_alloc(test, 2 * sizeof(*outcomes));
    soma_proxy *proxies[2];
    assert_int_equal(soma_proxy_open(there, "tank", &proxies[0]), 0);
    assert_int_equal(soma_proxy_open_at(here, soma_test_bridge(test, "here"), address, "tank", &proxies[1]), 0);
    for (int i = 0; i < 2; i++) {
        soma_ref before = tank_open(there, "tank"), after;
        assert_int_equal(soma_proxy_call_then(proxies[i], LONG, "hold", SOMA_VALUE_NONE, done, &outcomes[i]), 0);
        soma_test_advance(test, SOMA_SECOND);
        assert_true(is_holding(test, before));
        assert_int_equal(soma_name_set(there, SOMA_REF_NULL, "tank"), 0);
        after = tank_open(there, "tank");
        assert_int_equal(soma_kill(there, before), 0);
        soma_test_advance(test, SOMA_SECOND);
        assert_true(is_holding(test, after));
        assert_int_equal(outcomes[i].calls, 0);
        assert_int_equal(soma_kill(there, after), 0);
        soma_test_advance(test, SOMA_SECOND);
        assert_int_equal(outcomes[i].error, SOMA_EGONE); // nobody is there any more
        assert_int_equal(outcomes[i].calls, 1);
        soma_proxy_close(&proxies[i]);
    }
}

/* A supervisor's child that is not back yet when it is called. */
static void test_then_supervised(soma_test *test)
{
    static const soma_child children[] = {{.name = "tank/1", .behavior = &tank}};
    static const soma_supervision top = {
        .children = children, .count = 1, .intensity = 10, .backoff = 100 * SOMA_MS, .backoff_max = 100 * SOMA_MS};
    soma_system *system = soma_test_system(test);
    struct outcome *outcomes = soma_test_alloc(test, 2 * sizeof(*outcomes));
    soma_proxy *proxy;
    soma_ref ref;
    soma_value five;
    assert_int_equal(soma_value_from_json("5", 1, &five), 0);
    assert_int_equal(soma_spawn(system, &soma_supervisor, &top, NULL), 0);
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_ref(proxy, LONG, &ref), 0);
    assert_int_equal(soma_kill(system, ref), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "fill", five, done, &outcomes[0]), 0);
    assert_int_equal(soma_proxy_call_then(proxy, 50 * SOMA_MS, "fill", five, done, &outcomes[1]), 0);
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(outcomes[0].calls, 1);
    assert_int_equal(outcomes[0].value, 5);
    assert_int_equal(outcomes[1].calls, 1);
    assert_int_not_equal(outcomes[1].error, 0); // it had no time for that
    soma_proxy_close(&proxy);
    soma_value_destroy(&five);
}

/* A wait without time looks once; but who is there has time to answer. */
static void test_wait_once(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    uint64_t before = soma_test_now(test);
    assert_int_equal(soma_proxy_wait(proxy, 0), SOMA_ETIMEOUT);
    assert_string_equal(soma_proxy_error(proxy), "no agent is called 'tank/1' here");
    assert_int_equal(soma_test_now(test), before);
    tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_wait(proxy, 0), 0);
    soma_proxy_close(&proxy);
}

/* ---- what is no use ---- */

static void test_arguments(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_value value;
    soma_ref ref;
    assert_int_equal(soma_proxy_open(NULL, "tank/1", &proxy), SOMA_EINVAL);
    assert_null(proxy);
    assert_int_equal(soma_proxy_open(system, "", &proxy), SOMA_EINVAL);
    assert_int_equal(soma_proxy_open(system, "tank/1", NULL), SOMA_EINVAL);
    assert_int_equal(soma_proxy_open_ref(system, SOMA_REF_NULL, &proxy), SOMA_EINVAL);
    assert_int_equal(soma_proxy_open_at(system, NULL, "tcp://127.0.0.1:1", "tank/1", &proxy), SOMA_EINVAL);
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_call(proxy, 0, "fill", SOMA_VALUE_NONE, NULL), SOMA_EINVAL);
    assert_string_equal(soma_proxy_error(proxy), "an argument is not valid: no timeout");
    assert_int_equal(soma_proxy_call(proxy, 1, NULL, SOMA_VALUE_NONE, NULL), SOMA_EINVAL);
    assert_string_equal(soma_proxy_error(proxy), NO_METHOD);
    assert_int_equal(soma_proxy_bind(proxy, 1, (soma_pattern)99, "a", NULL, NULL, NULL), SOMA_EINVAL);
    assert_string_equal(soma_proxy_error(proxy), "an argument is not valid: there is no such pattern");
    assert_int_equal(soma_proxy_send_to(proxy, 1, NULL, SOMA_VALUE_NONE), SOMA_EINVAL);
    assert_string_equal(soma_proxy_error(proxy), "an argument is not valid: no alias");
    assert_int_equal(soma_proxy_call(NULL, 1, "fill", SOMA_VALUE_NONE, &value), SOMA_EINVAL);
    assert_int_equal(soma_proxy_call_then(proxy, 1, "fill", SOMA_VALUE_NONE, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_proxy_get(proxy, 1, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_proxy_describe(proxy, 1, NULL), SOMA_EINVAL);
    assert_int_equal(soma_proxy_set(NULL, 1, NULL, SOMA_VALUE_NONE), SOMA_EINVAL);
    assert_int_equal(soma_proxy_wait(NULL, 0), SOMA_EINVAL);
    assert_int_equal(soma_proxy_ref(proxy, 0, &ref), SOMA_EINVAL);
    assert_int_equal(soma_proxy_kill(NULL, 1), SOMA_EINVAL);
    assert_string_equal(soma_proxy_error(NULL), "");
    assert_int_equal(soma_proxy_close(NULL), 0);
    soma_proxy_close(&proxy);
}

/* A system may be closed before its proxies are. */
static void test_system_first(void **state)
{
    (void)state;
    soma_system *system;
    soma_proxy *proxy;
    struct outcome outcome = {0};
    assert_int_equal(soma_system_open(&system, NULL), 0);
    tank_open(system, "tank/1");
    assert_int_equal(soma_proxy_open(system, "tank/1", &proxy), 0);
    assert_int_equal(soma_proxy_ping(proxy, LONG), 0);
    assert_int_equal(soma_proxy_call_then(proxy, LONG, "hold", SOMA_VALUE_NONE, done, &outcome), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(outcome.calls, 1);
    assert_int_equal(outcome.error, SOMA_ECLOSED);
    assert_int_equal(soma_proxy_close(&proxy), 0);
    assert_null(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_by_name, 50, 20000),
        SOMA_REAL(test_by_name),
        SOMA_SIM(test_by_ref, 50, 20000),
        SOMA_REAL(test_by_ref),
        SOMA_SIM(test_ref, 50, 20000),
        SOMA_REAL(test_ref),
        SOMA_SIM(test_other_node, 50, 20000),
        SOMA_REAL(test_other_node),
        SOMA_SIM(test_wait, 50, 20000),
        SOMA_REAL(test_wait),
        SOMA_SIM(test_same_name, 200, 20000),
        SOMA_REAL(test_same_name),
        SOMA_SIM(test_behind_its_back, 500, 20000),
        SOMA_REAL(test_behind_its_back),
        SOMA_SIM(test_supervised, 200, 20000),
        SOMA_REAL(test_supervised),
        SOMA_SIM(test_times_out, 50, 20000),
        SOMA_SIM(test_ends, 50, 20000),
        SOMA_REAL(test_ends),
        SOMA_SIM(test_ends_who_is_there, 50, 20000),
        SOMA_SIM(test_wordless, 50, 20000),
        SOMA_SIM(test_then, 200, 20000),
        SOMA_REAL(test_then),
        SOMA_SIM(test_then_close, 200, 20000),
        SOMA_REAL(test_then_close),
        SOMA_SIM(test_then_closes, 50, 20000),
        SOMA_SIM(test_then_moves, test_load(200), 20000),
        SOMA_SIM(test_then_supervised, test_load(100), 20000),
        SOMA_SIM(test_wait_once, 20, 20000),
        SOMA_SIM(test_arguments, 1, 20000),
        cmocka_unit_test(test_system_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
