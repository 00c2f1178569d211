/*
 * What the tests of channels have in common: agents that do what the test posts to them, and write down what they get.
 * The test's functions run in the agent, as handlers.
 */
#ifndef TEST_CHANNELS_PLAYER_H
#define TEST_CHANNELS_PLAYER_H

#include <soma/fault.h>
#include <soma/test.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(note, (u32, number))
SOMA_MESSAGE(text, (string, words))
SOMA_MESSAGE(chunk, (bytes, data))
SOMA_MESSAGE(ask, (u32, number))
SOMA_MESSAGE(answer, (u32, number))

#define PLAYER_LOG 4096

struct player {
    char log[PLAYER_LOG]; /* all that came, a word each */
    size_t length;
    uint32_t notes;
    soma_handle promise; /* of a request to be answered later */
};

/* Writes down a word. */
static inline void player_log(struct player *my, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    my->length += (size_t)vsnprintf(my->log + my->length, PLAYER_LOG - my->length, format, arguments);
    va_end(arguments);
    assert_true(my->length < PLAYER_LOG);
}

/* `7` for a note that was sent to it, `sport/7` for one published. */
static inline int player_note(soma_agent *self, struct player *my, const struct note *m)
{
    my->notes++;
    player_log(my, "%s%u ", soma_topic(self), m->number);
    return 0;
}

static inline int player_error(soma_agent *self, struct player *my, const int *error)
{
    (void)self;
    player_log(my, "error%d ", *error);
    return 0;
}

static inline int player_answer(soma_agent *self, struct player *my, const struct answer *m)
{
    (void)self;
    player_log(my, "answer%u ", m->number);
    return 0;
}

/* `jobs:2` when the channel `jobs` has got to two peers. */
static inline int player_changed(soma_agent *self, struct player *my, const struct soma_channel_changed *m)
{
    (void)self;
    player_log(my, "%s:%u ", m->alias, m->peers);
    return 0;
}

static const soma_behavior player_quiet = {.name = "player", .state_size = sizeof(struct player)};

/* One that also writes down how many it is connected to. */
static const soma_behavior player = {.name = "player",
                                     .state_size = sizeof(struct player),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, player_changed))};

typedef int player_fn(soma_agent *self, void *state, void *arg);

static inline soma_ref player_open(soma_test *test, const soma_behavior *behavior)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), behavior, NULL, &ref), 0);
    return ref;
}

/* Lets an agent do something, and settles. */
static inline void player_do(soma_test *test, soma_ref agent, player_fn *fn, const void *arg)
{
    assert_int_equal(soma_post(soma_test_system(test), agent, fn, (void *)(uintptr_t)arg, NULL), 0);
    soma_test_settle(test);
}

/* What an agent has written down must be just that. */
static inline void player_expect(soma_test *test, soma_ref agent, const char *log)
{
    const struct player *my = soma_test_state(test, agent);
    assert_non_null(my);
    assert_string_equal(my->log, log);
}

#endif
