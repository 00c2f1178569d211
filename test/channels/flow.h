/*
 * What the tests of faults have in common: a side of a channel that sends all the time, or asks much at once, so that a
 * fault finds something under way; and what came of each message.
 */
#ifndef TEST_CHANNELS_FLOW_H
#define TEST_CHANNELS_FLOW_H

#include "player.h"

#define QUESTIONS 100u
#define REPLIES (3 * QUESTIONS) /* of one who replies, at most */

/* How a side opens its channel. */
struct side {
    soma_pattern pattern;
    bool binds;
    const char *place;
    const soma_handler *handlers;
    uint32_t high_water;
    uint32_t heartbeat_ms;
};

static inline int side_open(soma_agent *self, void *state, void *arg)
{
    const struct side *side = arg;
    soma_address address;
    soma_channel_options options = {.serializer = "typed",
                                    .handlers = side->handlers,
                                    .high_water = side->high_water,
                                    .heartbeat_ms = side->heartbeat_ms,
                                    .insecure = true};
    (void)state;
    if (side->binds) {
        options.place = side->place;
        return soma_bind(self, side->pattern, "it", &options, NULL);
    }
    int error = soma_address_parse(side->place, &address);
    address.pattern = soma_pattern_twin(side->pattern);
    return error ? error : soma_connect_with(self, &address, "it", &options);
}

/* Until a side has been connected so many times, and is. */
static inline void connected_wait(soma_test *test, soma_ref ref, uint64_t connected)
{
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    do
        player_do(test, ref, player_counts, counts);
    while (counts->connected < connected && player_wait(&looks));
    assert_int_equal(counts->connected, connected);
    player_peers(test, ref, "it", 1);
}

/* ---- sending ---- */

struct pump {
    struct player player;
    uint32_t next;
    uint32_t until;
    bool publishes;
};

SOMA_MESSAGE(go, (u32, until))

/* A few at a time, as long as there is anybody. */
static inline int pump_send(soma_agent *self, struct pump *my)
{
    int error = 0;
    for (uint32_t i = 0; i < 50 && my->next < my->until && !error; i++)
        if (!(error = soma_send_to(self, "it", note, .number = my->next)))
            my->next++;
    assert_true(!error || (error == SOMA_EAGAIN && !my->publishes));
    return !error && my->next < my->until ? soma_send(self, soma_self(self), go) : 0;
}

static inline int on_go(soma_agent *self, struct pump *my, const struct go *m)
{
    my->until = m->until ? m->until : my->until;
    return pump_send(self, my);
}

static inline int on_peers(soma_agent *self, struct pump *my, const struct soma_channel_changed *m)
{
    return m->peers && !my->publishes ? pump_send(self, my) : 0;
}

static const soma_behavior pump = {.name = "pump",
                                   .state_size = sizeof(struct pump),
                                   .handlers =
                                       SOMA_HANDLERS(SOMA_ON(go, on_go), SOMA_ON(soma_channel_changed, on_peers))};

static inline int pump_publishes(soma_agent *self, void *state, void *arg)
{
    struct pump *my = state;
    (void)self, (void)arg;
    my->publishes = true;
    return 0;
}

static inline void pump_go(soma_test *test, soma_ref ref, uint32_t until)
{
    assert_int_equal(soma_send(soma_test_system(test), ref, go, .until = until), 0);
}

/* One of its own: who was bound before may not be gone when its agent is, and one who connects would find it. */
static inline void side_place(char place[64])
{
    player_move();
    if (player_transport == SOMA_IPC)
        snprintf(place, 64, "ipc:///tmp/soma-%ld-%u-side", (long)getpid(), player_moved);
    else
        snprintf(place, 64, "tcp://127.0.0.1:%u", player_port());
}

/* ---- asking ---- */

struct asker {
    struct player player;
    uint32_t answered;
    uint32_t gone;
    uint32_t base;           /* the next questions' numbers are from this one on */
    uint8_t ends[QUESTIONS]; /* of each question */
};

static inline int on_answered(soma_agent *self, struct asker *my, const struct answer *m)
{
    uint64_t question = soma_tag(self);
    assert_int_equal(m->number, question * 2);
    my->ends[question % QUESTIONS]++;
    my->answered++;
    return 0;
}

static inline int on_gone(soma_agent *self, struct asker *my, const int *error)
{
    assert_int_equal(*error, SOMA_EGONE);
    my->ends[soma_tag(self) % QUESTIONS]++;
    my->gone++;
    return 0;
}

static const soma_behavior asker = {.name = "asker", .state_size = sizeof(struct asker)};

/* Numbers that nothing else was asked by before. */
static inline int ask_from(soma_agent *self, void *state, void *arg)
{
    struct asker *my = state;
    memset(my->ends, 0, sizeof(my->ends));
    for (uint32_t i = my->base + *(const uint32_t *)arg; i < my->base + QUESTIONS; i++)
        assert_true(soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(answer, on_answered, on_gone, .tag = i), ask,
                                    .number = i) > 0);
    my->base += QUESTIONS;
    return 0;
}

static inline int look_asker(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct asker *)arg = *(const struct asker *)state;
    return 0;
}

static inline void asker_expect(soma_test *test, soma_ref ref, uint32_t answered, uint32_t gone)
{
    struct asker *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0;
    do
        player_do(test, ref, look_asker, seen);
    while (seen->answered + seen->gone < answered + gone && player_wait(&looks));
    assert_int_equal(seen->answered, answered);
    assert_int_equal(seen->gone, gone);
    for (uint32_t i = 0; i < QUESTIONS; i++)
        assert_true(seen->ends[i] <= 1);
}

/* ---- asking in lockstep, by a REQ ---- */

struct lockstep {
    struct player player;
    uint32_t next, until; /* questions */
    uint32_t answered, gone;
    bool waits;
    uint8_t ends[REPLIES]; /* of each question */
};

static inline int lockstep_ask(soma_agent *self, struct lockstep *my);

static inline int on_step(soma_agent *self, struct lockstep *my, const struct answer *m)
{
    assert_int_equal(m->number, soma_tag(self) * 2);
    my->ends[soma_tag(self)]++;
    my->answered++;
    my->waits = false;
    return lockstep_ask(self, my);
}

static inline int on_step_gone(soma_agent *self, struct lockstep *my, const int *error)
{
    assert_int_equal(*error, SOMA_EGONE);
    my->ends[soma_tag(self)]++;
    my->gone++;
    my->waits = false;
    return lockstep_ask(self, my);
}

/* The next question, once the last one has ended; while nobody is there, none. */
static inline int lockstep_ask(soma_agent *self, struct lockstep *my)
{
    const soma_then *then = SOMA_THEN(answer, on_step, on_step_gone, .tag = my->next);
    if (my->waits || my->next == my->until)
        return 0;
    soma_handle question = soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = my->next);
    assert_true(question > 0 || question == SOMA_EAGAIN);
    my->waits = question > 0;
    my->next += my->waits;
    return 0;
}

static inline int on_lockstep_peers(soma_agent *self, struct lockstep *my, const struct soma_channel_changed *m)
{
    player_changed(self, &my->player, m);
    return lockstep_ask(self, my);
}

static const soma_behavior lockstep = {.name = "lockstep",
                                       .state_size = sizeof(struct lockstep),
                                       .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_lockstep_peers))};

static inline int lockstep_until(soma_agent *self, void *state, void *arg)
{
    struct lockstep *my = state;
    my->until = *(const uint32_t *)arg;
    return lockstep_ask(self, my);
}

static inline int look_lockstep(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct lockstep *)arg = *(const struct lockstep *)state;
    return 0;
}

/* Once so many questions have ended, each once. */
static inline const struct lockstep *lockstep_wait(soma_test *test, soma_ref ref, uint32_t ended)
{
    struct lockstep *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0;
    do
        player_do(test, ref, look_lockstep, seen);
    while (seen->answered + seen->gone < ended && player_wait(&looks));
    assert_int_equal(seen->answered + seen->gone, ended);
    for (uint32_t i = 0; i < ended; i++)
        assert_int_equal(seen->ends[i], 1);
    return seen;
}

/* ---- what comes ---- */

#define TAKEN_MOST 60000u /* numbers that may come */

struct taker {
    struct player player;
    uint32_t next; /* behind the highest number */
    uint32_t count;
    bool mixes; /* what came by one connection with what came by the next */
    uint8_t seen[TAKEN_MOST];
};

/* Each once, and mostly in order; some may be lost. */
static inline int on_taken(soma_agent *self, struct taker *my, const struct note *m)
{
    (void)self;
    assert_true(m->number < TAKEN_MOST && (my->mixes || m->number >= my->next));
    assert_int_equal(my->seen[m->number]++, 0);
    my->next = m->number < my->next ? my->next : m->number + 1;
    my->count++;
    return 0;
}

static const soma_handler *const takes = SOMA_HANDLERS(SOMA_ON(note, on_taken));
static const soma_behavior taker = {.name = "taker", .state_size = sizeof(struct taker)};

/* One that is bound, and may not have read all of a connection when something comes by the next. */
static inline int taker_mixes(soma_agent *self, void *state, void *arg)
{
    struct taker *my = state;
    (void)self, (void)arg;
    my->mixes = true;
    return 0;
}

static inline int look_taker(soma_agent *self, void *state, void *arg)
{
    (void)self;
    *(struct taker *)arg = *(const struct taker *)state;
    return 0;
}

/* How often one or more in a row have not come. */
static inline uint32_t taker_gaps(const struct taker *seen)
{
    uint32_t gaps = 0;
    for (uint32_t i = 0; i < seen->next; i++)
        gaps += !seen->seen[i] && (!i || seen->seen[i - 1]);
    return gaps;
}

/* All have come, but for so many gaps. */
static inline const struct taker *taker_wait(soma_test *test, soma_ref ref, uint32_t next, uint32_t gaps)
{
    struct taker *seen = soma_test_alloc(test, sizeof(*seen));
    uint32_t looks = 0;
    do
        player_do(test, ref, look_taker, seen);
    while ((seen->next < next || taker_gaps(seen) > gaps) && player_wait(&looks));
    assert_int_equal(seen->next, next);
    assert_in_range(taker_gaps(seen), 0, gaps);
    return seen;
}

/* ---- answering ---- */

struct clerkship {
    struct player player;
    uint8_t asked[REPLIES];
    bool answers; /* else it keeps them */
};

/* Each question at most once. */
static inline int on_once(soma_agent *self, struct clerkship *my, const struct ask *m)
{
    assert_int_equal(my->asked[m->number]++, 0);
    return my->answers ? soma_reply(self, answer, .number = m->number * 2) : soma_reply_later(self) < 0;
}

static const soma_handler *const repliers = SOMA_HANDLERS(SOMA_ON(ask, on_once));
static const soma_behavior replier = {.name = "replier", .state_size = sizeof(struct clerkship)};

static inline int replier_begin(soma_agent *self, void *state, void *arg)
{
    struct clerkship *my = state;
    (void)self;
    my->answers = arg;
    return 0;
}

#endif
