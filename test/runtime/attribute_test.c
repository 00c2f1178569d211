/* Attributes, and what every agent answers by name: kinds, bounds, functions, inheritance, fallbacks. */
#include "test_support.h"
#include <soma/soma.h>
#include <stdlib.h>
#include <string.h>

struct tank {
    uint8_t pumps;
    int16_t degrees;
    uint64_t litres;
    float level;
    double pressure;
    bool open;
    soma_ref owner;
    char place[8];
    int32_t limit;
};

static int full_get(soma_agent *self, struct tank *my, soma_value_builder *result)
{
    (void)self;
    return soma_value_add_bool(result, my->litres >= 100);
}

static int limit_get(soma_agent *self, struct tank *my, soma_value_builder *result)
{
    (void)self;
    return soma_value_add_i64(result, my->limit);
}

static int limit_set(soma_agent *self, struct tank *my, soma_value value)
{
    int64_t limit;
    int error = soma_value_get_i64(value, &limit);
    if (error)
        return error;
    if (limit > 1000)
        return soma_fail(self, SOMA_EINVAL, "%d is over 1000", (int)limit);
    my->limit = (int32_t)limit;
    return 0;
}

static int drain(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    (void)self, (void)arguments, (void)result;
    my->litres = 0;
    return 0;
}

static const soma_behavior tank = {
    .name = "tank",
    .state_size = sizeof(struct tank),
    .methods = SOMA_METHODS(SOMA_METHOD("drain", drain, "lets all of it out")),
    .attributes = SOMA_ATTRIBUTES(
        SOMA_ATTRIBUTE("pumps", struct tank, pumps, "how many"), SOMA_ATTRIBUTE("degrees", struct tank, degrees, NULL),
        SOMA_ATTRIBUTE("litres", struct tank, litres, NULL), SOMA_ATTRIBUTE("level", struct tank, level, NULL),
        SOMA_ATTRIBUTE("pressure", struct tank, pressure, NULL), SOMA_ATTRIBUTE_READ("open", struct tank, open, NULL),
        SOMA_ATTRIBUTE("owner", struct tank, owner, NULL), SOMA_ATTRIBUTE("place", struct tank, place, NULL),
        SOMA_ATTRIBUTE_GET("full", full_get, "no more goes in"),
        SOMA_ATTRIBUTE_GET_SET("limit", limit_get, limit_set, "litres, at most")),
};

/* One attribute of its own, and one that hides its base's. */
static const soma_behavior lidded = {
    .name = "lidded",
    .state_size = sizeof(struct tank),
    .base = &tank,
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE("open", struct tank, open, "the lid"),
                                  SOMA_ATTRIBUTE_READ("limit", struct tank, limit, NULL)),
};

static int take_all(soma_agent *self, void *my, const soma_type *type, const void *message)
{
    (void)my, (void)type, (void)message;
    return soma_reply_error(self, 77);
}

static const soma_behavior plain = {.name = "plain"};
static const soma_behavior taker = {.name = "taker", .fallback = take_all};
static const soma_behavior tank_taker = {
    .name = "tank taker", .state_size = sizeof(struct tank), .base = &tank, .fallback = take_all};

/* Calls a method with JSON and compares what it gives with JSON; or with an error, if that is not 0. */
static void check(soma_system *system, soma_ref to, const char *method, const char *json, int error, const char *gives)
{
    soma_value arguments;
    struct soma_result result;
    char *text = NULL;
    assert_int_equal(soma_value_from_json(json, strlen(json), &arguments), 0);
    assert_int_equal(soma_call(system, to, 60 * SOMA_SECOND, &result, soma_result, soma_invoke, .method = method,
                               .arguments = arguments),
                     error);
    soma_value_destroy(&arguments);
    if (error)
        return;
    assert_int_equal(soma_value_to_json(result.value, &text), 0);
    assert_string_equal(text, gives);
    free(text);
    soma_result_destroy(&result);
}

static void test_members(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &tank, NULL, &ref), 0);
    check(system, ref, "soma.set",
          "{\"pumps\":255,\"degrees\":-32768,\"level\":2,\"pressure\":0.1,\"place\":\"cellar!\"}", 0, "null");
    check(system, ref, "soma.set",
          "{\"litres\":{\"$u64\":\"18446744073709551615\"},\"owner\":{\"$ref\":\"00000000000000ab/2/3\"}}", 0, "null");
    check(system, ref, "soma.get", "\"pumps\"", 0, "255");
    check(system, ref, "soma.get", "\"degrees\"", 0, "-32768");
    check(system, ref, "soma.get", "\"litres\"", 0, "{\"$u64\":\"18446744073709551615\"}");
    check(system, ref, "soma.get", "\"level\"", 0, "2.0");
    check(system, ref, "soma.get", "\"owner\"", 0, "{\"$ref\":\"00000000000000ab/2/3\"}");
    check(system, ref, "soma.get", "\"place\"", 0, "\"cellar!\"");
    check(system, ref, "soma.set", "{\"place\":\"loft\"}", 0, "null");
    check(system, ref, "soma.get", "\"place\"", 0, "\"loft\"");
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_what_does_not_fit(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &tank, NULL, &ref), 0);
    check(system, ref, "soma.set", "{\"pumps\":7,\"place\":\"loft\",\"degrees\":5}", 0, "null");
    check(system, ref, "soma.set", "{\"pumps\":256}", SOMA_ETYPE, NULL);
    check(system, ref, "soma.set", "{\"pumps\":-1}", SOMA_ETYPE, NULL);
    check(system, ref, "soma.set", "{\"pumps\":\"two\"}", SOMA_ETYPE, NULL);
    check(system, ref, "soma.set", "{\"pumps\":null}", SOMA_ETYPE, NULL);
    check(system, ref, "soma.set", "{\"place\":\"on the roof\"}", SOMA_ETOOBIG, NULL);
    check(system, ref, "soma.set", "{\"place\":1}", SOMA_ETYPE, NULL);
    check(system, ref, "soma.set", "{\"open\":true}", SOMA_ESTATE, NULL);
    check(system, ref, "soma.set", "{\"full\":true}", SOMA_ESTATE, NULL);
    check(system, ref, "soma.set", "{\"colour\":1}", SOMA_ENOENT, NULL);
    check(system, ref, "soma.set", "{\"degrees\":6,\"colour\":1,\"pumps\":8}", SOMA_ENOENT, NULL); // in their order
    check(system, ref, "soma.set", "[1]", SOMA_ETYPE, NULL);
    check(system, ref, "soma.get", "\"colour\"", SOMA_ENOENT, NULL);
    check(system, ref, "soma.get", "1", SOMA_ETYPE, NULL);
    check(system, ref, "soma.get", "\"pumps\"", 0, "7");
    check(system, ref, "soma.get", "\"place\"", 0, "\"loft\"");
    check(system, ref, "soma.get", "\"degrees\"", 0, "6");
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_functions(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &tank, NULL, &ref), 0);
    check(system, ref, "soma.get", "\"full\"", 0, "false");
    check(system, ref, "soma.set", "{\"litres\":100,\"limit\":1000}", 0, "null");
    check(system, ref, "soma.get", "\"full\"", 0, "true");
    check(system, ref, "soma.get", "\"limit\"", 0, "1000");
    check(system, ref, "soma.set", "{\"limit\":1001}", SOMA_EINVAL, NULL);
    check(system, ref, "soma.get", "\"limit\"", 0, "1000");
    check(system, ref, "drain", "null", 0, "null");
    check(system, ref, "soma.get", "\"full\"", 0, "false");
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_all_at_once(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, other, none;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &tank, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &lidded, NULL, &other), 0);
    assert_int_equal(soma_spawn(system, &plain, NULL, &none), 0);
    check(system, ref, "soma.get", "null", 0,
          "{\"pumps\":0,\"degrees\":0,\"litres\":0,\"level\":0.0,\"pressure\":0.0,\"open\":false,\"owner\":{\"$ref\":"
          "\"0000000000000000/0/0\"},\"place\":\"\",\"full\":false,\"limit\":0}");
    check(system, other, "soma.set", "{\"open\":true,\"pumps\":1}", 0, "null"); // its own before the base's
    check(system, other, "soma.set", "{\"limit\":1}", SOMA_ESTATE, NULL);
    check(system, other, "soma.get", "null", 0,
          "{\"open\":true,\"limit\":0,\"pumps\":1,\"degrees\":0,\"litres\":0,\"level\":0.0,\"pressure\":0.0,\"owner\":{"
          "\"$ref\":\"0000000000000000/0/0\"},\"place\":\"\",\"full\":false}");
    check(system, none, "soma.get", "null", 0, "{}");
    assert_int_equal(soma_system_close(&system), 0);
}

static void test_describe(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, other;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &lidded, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &plain, NULL, &other), 0);
    check(
        system, ref, "soma.describe", "null", 0,
        "{\"behavior\":\"lidded\",\"methods\":[{\"name\":\"drain\",\"about\":\"lets all of it out\"}],\"attributes\":["
        "{\"name\":\"open\",\"type\":\"bool\",\"settable\":true,\"about\":\"the lid\"},"
        "{\"name\":\"limit\",\"type\":\"i32\",\"settable\":false,\"about\":null},"
        "{\"name\":\"pumps\",\"type\":\"u8\",\"settable\":true,\"about\":\"how many\"},"
        "{\"name\":\"degrees\",\"type\":\"i16\",\"settable\":true,\"about\":null},"
        "{\"name\":\"litres\",\"type\":\"u64\",\"settable\":true,\"about\":null},"
        "{\"name\":\"level\",\"type\":\"f32\",\"settable\":true,\"about\":null},"
        "{\"name\":\"pressure\",\"type\":\"f64\",\"settable\":true,\"about\":null},"
        "{\"name\":\"owner\",\"type\":\"ref\",\"settable\":true,\"about\":null},"
        "{\"name\":\"place\",\"type\":\"string\",\"settable\":true,\"about\":null},"
        "{\"name\":\"full\",\"type\":\"value\",\"settable\":false,\"about\":\"no more goes in\"}]}");
    check(system, other, "soma.describe", "null", 0, "{\"behavior\":\"plain\",\"methods\":[],\"attributes\":[]}");
    assert_int_equal(soma_system_close(&system), 0);
}

/* A fallback gets all that its behavior does not know, as it ever did; one with a table to be called by knows this. */
static void test_fallback(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, other, none;
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_spawn(system, &plain, NULL, &none), 0);
    assert_int_equal(soma_spawn(system, &taker, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &tank_taker, NULL, &other), 0);
    check(system, none, "soma.ping", "null", 0, "null");
    check(system, none, "soma.pong", "null", SOMA_ENOENT, NULL);
    check(system, ref, "soma.ping", "null", 77, NULL);
    check(system, other, "soma.ping", "null", 0, "null");
    assert_int_equal(soma_system_close(&system), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_members),   cmocka_unit_test(test_what_does_not_fit),
                                       cmocka_unit_test(test_functions), cmocka_unit_test(test_all_at_once),
                                       cmocka_unit_test(test_describe),  cmocka_unit_test(test_fallback)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
