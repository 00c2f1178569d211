/* What an agent says of a request that it fails, and whom it reaches. */
#include "test_support.h"
#include <soma/soma.h>
#include <soma/test.h>
#include <string.h>

SOMA_MESSAGE(ask, (u32, what))
SOMA_MESSAGE(answer)
SOMA_MESSAGE(begin, (ref, to), (u32, what))
SOMA_MESSAGE(heard, (i32, error), (string, text))
SOMA_MESSAGE(later, (i64, promise))

enum { TEXT, NO_TEXT, OTHER_CODE, PROMISE, LATER, SET_TEXT, SET_NO_TEXT, SET_OTHER_CODE };

/* Attributes that are set, in place of asking. */
static const char *const sets[] = {
    [SET_TEXT] = "{\"level\":10}", [SET_NO_TEXT] = "{\"level\":\"high\"}", [SET_OTHER_CODE] = "{\"level\":-1}"};

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    switch (m->what) {
    case TEXT:
        return soma_reply_error(self, soma_fail(self, SOMA_EFORMAT, "it is torn\nat %u", 3));
    case NO_TEXT:
        return soma_reply_error(self, SOMA_EFORMAT);
    case OTHER_CODE: // what was said is not of this
        soma_fail(self, SOMA_EFORMAT, "it is torn");
        return soma_reply_error(self, SOMA_ETYPE);
    case PROMISE:
        return soma_reply_error_to(self, soma_reply_later(self), soma_fail(self, SOMA_EINVAL, "no promise"));
    default:
        soma_fail(self, SOMA_EFORMAT, "long ago");
        soma_after(self, SOMA_MS, later, .promise = soma_reply_later(self));
        return 0;
    }
}

static int on_later(soma_agent *self, void *my, const struct later *m)
{
    (void)my;
    return soma_reply_error_to(self, m->promise, SOMA_EFORMAT); // the text of before does not count any more
}

static int level_get(soma_agent *self, void *my, soma_value_builder *result)
{
    (void)self, (void)my;
    return soma_value_add_i64(result, 1);
}

static int level_set(soma_agent *self, void *my, soma_value value)
{
    int64_t level;
    int error = soma_value_get_i64(value, &level);
    (void)my;
    if (error)
        return error;
    if (level >= 0)
        return soma_fail(self, SOMA_EINVAL, "%d is too high", (int)level);
    soma_fail(self, SOMA_EFORMAT, "it is torn");
    return SOMA_EINVAL;
}

static const soma_behavior asked = {.name = "asked",
                                    .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(later, on_later)),
                                    .attributes =
                                        SOMA_ATTRIBUTES(SOMA_ATTRIBUTE_GET_SET("level", level_get, level_set, NULL))};

struct asker {
    soma_handle promise;
};

static int inner_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    return soma_error_text(self) ? SOMA_EEXIST : 0; // what its spawner handles is not its
}

static const soma_behavior inner = {.name = "inner", .init = inner_init};

static int on_answer(soma_agent *self, struct asker *my, const struct answer *m)
{
    (void)self, (void)my, (void)m;
    return SOMA_ESTATE;
}

static int on_error(soma_agent *self, struct asker *my, const int *error)
{
    int failed = soma_spawn(self, &inner, NULL, NULL);
    return failed ? failed : soma_reply_to(self, my->promise, heard, .error = *error, .text = soma_error_text(self));
}

static int on_result(soma_agent *self, struct asker *my, const struct soma_result *m)
{
    (void)self, (void)my, (void)m;
    return SOMA_ESTATE;
}

static int level_ask(soma_agent *self, const struct begin *m)
{
    soma_value value;
    int error = soma_value_from_json(sets[m->what], strlen(sets[m->what]), &value);
    if (error)
        return error;
    soma_handle request = soma_request(self, m->to, SOMA_SECOND, SOMA_THEN(soma_result, on_result, on_error),
                                       soma_invoke, .method = "soma.set", .arguments = value);
    soma_value_destroy(&value);
    return (int)request;
}

static int on_begin(soma_agent *self, struct asker *my, const struct begin *m)
{
    my->promise = soma_reply_later(self);
    if (soma_error_text(self))
        return SOMA_ESTATE;
    if (m->what >= SET_TEXT)
        return level_ask(self, m);
    return (int)soma_request(self, m->to, SOMA_SECOND, SOMA_THEN(answer, on_answer, on_error), ask, .what = m->what);
}

static const soma_behavior asker = {
    .name = "asker", .state_size = sizeof(struct asker), .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

struct nodes {
    soma_system *here;
    soma_ref asker, asked;
};

static void check(const struct nodes *nodes, uint32_t what, int error, const char *text)
{
    struct heard heard;
    assert_int_equal(
        soma_call(nodes->here, nodes->asker, 60 * SOMA_SECOND, &heard, heard, begin, .to = nodes->asked, .what = what),
        0);
    assert_int_equal(heard.error, error);
    assert_string_equal(heard.text ? heard.text : "none", text ? text : "none");
    heard_destroy(&heard);
}

static void check_all(const struct nodes *nodes)
{
    check(nodes, TEXT, SOMA_EFORMAT, "it is torn at 3");
    check(nodes, NO_TEXT, SOMA_EFORMAT, NULL);
    check(nodes, OTHER_CODE, SOMA_ETYPE, NULL);
    check(nodes, PROMISE, SOMA_EINVAL, "no promise");
    check(nodes, LATER, SOMA_EFORMAT, NULL);
    check(nodes, SET_TEXT, SOMA_EINVAL, "10 is too high");
    check(nodes, SET_NO_TEXT, SOMA_ETYPE, "attribute 'level': a value or message is of another type than expected");
    check(nodes, SET_OTHER_CODE, SOMA_EINVAL, "attribute 'level': an argument is not valid");
}

static void test_text(soma_test *test)
{
    struct nodes nodes = {.here = soma_test_system(test)};
    assert_int_equal(soma_spawn(nodes.here, &asker, NULL, &nodes.asker), 0);
    assert_int_equal(soma_spawn(nodes.here, &asked, NULL, &nodes.asked), 0);
    check_all(&nodes);
}

/* The same over a link. */
static void test_remote(soma_test *test)
{
    struct nodes nodes = {.here = soma_test_node(test, "here")};
    assert_int_equal(soma_spawn(nodes.here, &asker, NULL, &nodes.asker), 0);
    assert_int_equal(soma_spawn(soma_test_node(test, "there"), &asked, NULL, &nodes.asked), 0);
    check_all(&nodes);
}

/* soma_call() gets the code. */
static void test_outside(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    struct answer answer;
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &asked, NULL, &ref), 0);
    assert_int_equal(soma_call(system, ref, SOMA_SECOND, &answer, answer, ask, .what = TEXT), SOMA_EFORMAT);
    assert_null(soma_error_text(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_SIM(test_text, 20, 10000),    SOMA_REAL(test_text),
                                       SOMA_SIM(test_remote, 20, 10000),  SOMA_REAL(test_remote),
                                       SOMA_SIM(test_outside, 20, 10000), SOMA_REAL(test_outside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
