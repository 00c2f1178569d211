/* Agents for the tests of wiring: what comes through their channels goes to methods, which write it down. */
#ifndef TEST_NAMESERVICE_WIRING_H
#define TEST_NAMESERVICE_WIRING_H

#include "test_support.h"
#include <soma/fault.h>
#include <soma/soma.h>
#include <soma/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG (60 * SOMA_SECOND)

SOMA_MESSAGE(job, (u32, number), (string, what))

struct part {
    char log[512]; /* all that came, a word each */
    uint32_t count;
};

static inline void part_log(struct part *my, const char *word)
{
    size_t length = strlen(my->log);
    snprintf(my->log + length, sizeof(my->log) - length, "%s ", word);
    my->count++;
}

static inline int take(soma_agent *self, struct part *my, soma_value arguments, soma_value_builder *result)
{
    char *text;
    (void)self, (void)result;
    int error = soma_value_to_json(arguments, &text);
    if (error)
        return error;
    part_log(my, text);
    free(text);
    return 0;
}

/* What came under the topics that begin with sport. */
static inline int cheer(soma_agent *self, struct part *my, soma_value arguments, soma_value_builder *result)
{
    (void)arguments, (void)result;
    part_log(my, soma_topic(self));
    return 0;
}

static inline int answer(soma_agent *self, struct part *my, soma_value arguments, soma_value_builder *result)
{
    int64_t number;
    int error = take(self, my, arguments, result);
    if (error || soma_value_get_i64(arguments, &number))
        return soma_fail(self, SOMA_EINVAL, "what number?");
    return soma_value_add_i64(result, number * number);
}

static inline int on_failed(soma_agent *self, struct part *my, const struct soma_channel_failed *m)
{
    char word[80];
    (void)self;
    snprintf(word, sizeof(word), "%s%d", m->alias, m->error);
    part_log(my, word);
    return 0;
}

static const soma_behavior part = {
    .name = "part",
    .state_size = sizeof(struct part),
    .base = &soma_channel_agent,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_failed, on_failed)),
    .methods = SOMA_METHODS(SOMA_METHOD("take", take), SOMA_METHOD("cheer", cheer), SOMA_METHOD("answer", answer)),
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE_READ("log", struct part, log, "what came"),
                                  SOMA_ATTRIBUTE_READ("count", struct part, count, "how often")),
};

/* A part and a proxy for it, in one system or, with a bridge, from another one. */
static inline soma_proxy *part_open(soma_system *system, const char *name)
{
    soma_proxy *proxy;
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &part, NULL, &ref), 0);
    assert_int_equal(soma_name_set(system, ref, name), 0);
    assert_int_equal(soma_proxy_open(system, name, &proxy), 0);
    return proxy;
}

static inline soma_value json(const char *text)
{
    soma_value value;
    assert_int_equal(soma_value_from_json(text, strlen(text), &value), 0);
    return value;
}

static inline int send_json(soma_proxy *proxy, const char *alias, const char *topic, const char *text)
{
    soma_value value = json(text);
    int error = soma_proxy_publish(proxy, LONG, alias, topic, value);
    soma_value_destroy(&value);
    return error;
}

/* Behind what was sent in this system before. Elsewhere it may take a while, but comes in the end. */
static inline void check_log(soma_test *test, soma_proxy *proxy, const char *expected)
{
    soma_value value;
    const char *text;
    uint32_t size;
    char log[512];
    for (;;) {
        assert_int_equal(soma_proxy_get(proxy, LONG, "log", &value), 0);
        assert_int_equal(soma_value_get_string(value, &text, &size), 0);
        snprintf(log, sizeof(log), "%.*s", (int)size, text);
        soma_value_destroy(&value);
        if (strlen(log) >= strlen(expected))
            break;
        soma_test_advance(test, SOMA_MS);
    }
    assert_string_equal(log, expected);
}

#endif
