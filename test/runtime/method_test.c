/* Methods by name: arguments and results, errors, inheritance, answers of their own, plain sends. */
#include "test_support.h"
#include <soma/soma.h>
#include <string.h>

struct counter {
    int64_t count;
};

static int add(soma_agent *self, struct counter *my, soma_value arguments, soma_value_builder *result)
{
    (void)self;
    int64_t by;
    int error = soma_value_get_i64(arguments, &by);
    if (error)
        return error;
    my->count += by;
    return soma_value_add_i64(result, my->count);
}

static int nothing(soma_agent *self, struct counter *my, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)my, (void)arguments, (void)result;
    return 0;
}

static int half(soma_agent *self, struct counter *my, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)my, (void)arguments;
    return soma_value_begin_map(result); // never ended
}

static int own(soma_agent *self, struct counter *my, soma_value arguments, soma_value_builder *result)
{
    (void)my, (void)result;
    return soma_reply(self, soma_result, .value = arguments);
}

static int something(soma_agent *self, struct counter *my, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)arguments;
    return soma_value_add_i64(result, my->count + 100);
}

static const soma_behavior counter = {
    .name = "counter",
    .state_size = sizeof(struct counter),
    .methods = SOMA_METHODS(SOMA_METHOD("add", add), SOMA_METHOD("nothing", nothing), SOMA_METHOD("half", half),
                            SOMA_METHOD("own", own)),
};

static const soma_behavior extended = {
    .name = "extended",
    .state_size = sizeof(struct counter),
    .base = &counter,
    .methods = SOMA_METHODS(SOMA_METHOD("nothing", something)),
};

static int call(soma_system *system, soma_ref to, const char *method, const char *json, struct soma_result *result)
{
    soma_value arguments;
    assert_int_equal(soma_value_from_json(json, strlen(json), &arguments), 0);
    int error = soma_call(system, to, 60 * SOMA_SECOND, result, soma_result, soma_invoke, .method = method,
                          .arguments = arguments);
    soma_value_destroy(&arguments);
    return error;
}

static int64_t number(struct soma_result *result)
{
    int64_t n = -1;
    assert_int_equal(soma_value_get_i64(result->value, &n), 0);
    soma_result_destroy(result);
    return n;
}

static void test_methods(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, other;
    struct soma_result result;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &counter, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &extended, NULL, &other), 0);
    assert_int_equal(call(system, ref, "add", "40", &result), 0);
    assert_int_equal(number(&result), 40);
    assert_int_equal(call(system, ref, "add", "2", &result), 0);
    assert_int_equal(number(&result), 42);
    assert_int_equal(call(system, ref, "add", "\"two\"", &result), SOMA_ETYPE); // the agent lives on
    assert_int_equal(call(system, ref, "no such", "1", &result), SOMA_ENOENT);
    assert_int_equal(call(system, ref, NULL, "1", &result), SOMA_ENOENT);
    assert_int_equal(call(system, ref, "nothing", "1", &result), 0);
    assert_int_equal(soma_value_get_kind(result.value), SOMA_VALUE_NIL);
    soma_result_destroy(&result);
    assert_int_equal(call(system, ref, "own", "7", &result), 0);
    assert_int_equal(number(&result), 7);
    assert_int_equal(call(system, other, "add", "1", &result), 0); // the base's
    assert_int_equal(number(&result), 1);
    assert_int_equal(call(system, other, "nothing", "1", &result), 0); // its own before the base's
    assert_int_equal(number(&result), 101);
    assert_int_equal(soma_send(system, ref, soma_invoke, .method = "nothing"), 0); // nobody asked: no answer
    assert_int_equal(call(system, ref, "add", "0", &result), 0);
    assert_int_equal(number(&result), 42);
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_unfinished_result(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    struct soma_result result;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &counter, NULL, &ref), 0);
    assert_int_equal(call(system, ref, "half", "1", &result), SOMA_ESTATE);
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_methods), cmocka_unit_test(test_unfinished_result)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
