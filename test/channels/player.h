/*
 * What the tests of channels have in common: agents that do what the test posts to them, and write down what they get.
 * The test's functions run in the agent, as handlers.
 */
#ifndef TEST_CHANNELS_PLAYER_H
#define TEST_CHANNELS_PLAYER_H

#include <arpa/inet.h>
#include <errno.h>
#include <soma/fault.h>
#include <soma/test.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

/* ---- transports: a body runs over each ---- */

static soma_transport player_transport = SOMA_INPROC;

/* PLAYER_WIRES(body) defines what PLAYER_TABLE(body) lists: the body over ipc and tcp, which is on real threads. */
#define PLAYER_WIRES(body)                                                                                             \
    static void body##_ipc(soma_test *test)                                                                            \
    {                                                                                                                  \
        player_transport = SOMA_IPC;                                                                                   \
        (body)(test);                                                                                                  \
        player_transport = SOMA_INPROC;                                                                                \
    }                                                                                                                  \
    static void body##_tcp(soma_test *test)                                                                            \
    {                                                                                                                  \
        player_transport = SOMA_TCP;                                                                                   \
        (body)(test);                                                                                                  \
        player_transport = SOMA_INPROC;                                                                                \
    }

#define PLAYER_OVER_WIRES(body) SOMA_REAL(body##_ipc), SOMA_REAL(body##_tcp)
#define PLAYER_TABLE(body, seeds, steps) SOMA_SIM(body, seeds, steps), SOMA_REAL(body), PLAYER_OVER_WIRES(body)

/* A port that is free now. */
static inline uint16_t player_free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(probe >= 0);
    assert_int_equal(bind(probe, (const struct sockaddr *)&name, size), 0);
    assert_int_equal(getsockname(probe, (struct sockaddr *)&name, &size), 0);
    close(probe);
    return ntohs(name.sin_port);
}

static uint16_t player_own_port;
static unsigned player_moved;

/* One for the whole test, until it moves. */
static inline uint16_t player_port(void)
{
    if (!player_own_port)
        player_own_port = player_free_port();
    return player_own_port;
}

/* From now on names are of other places: who was bound at them before may not be gone. */
static inline void player_move(void)
{
    player_own_port = 0;
    player_moved++;
}

/* Where channels of a name are bound: over tcp a test has one such name. */
static inline soma_address player_at(const char *name, soma_pattern pattern)
{
    soma_address address = {.transport = player_transport, .pattern = pattern};
    if (player_transport == SOMA_INPROC)
        snprintf(address.host, sizeof(address.host), "%s", name);
    else if (player_transport == SOMA_IPC)
        snprintf(address.host, sizeof(address.host), "/tmp/soma-%ld-%u-%s", (long)getpid(), player_moved, name);
    else
        snprintf(address.host, sizeof(address.host), "127.0.0.1");
    address.port = player_transport == SOMA_TCP ? player_port() : 0;
    return address;
}

/* The same everywhere: so messages keep their types on the wire. */
static inline void player_bind(soma_agent *self, soma_pattern pattern, const char *alias, const char *name,
                               const soma_handler *handlers)
{
    char place[SOMA_ADDRESS_TEXT_SIZE];
    soma_address expected = player_at(name, pattern), address;
    assert_true(soma_address_print(&expected, place, sizeof(place)) > 0);
    const soma_channel_options options = {.place = place, .handlers = handlers, .serializer = "typed"};
    assert_int_equal(soma_bind(self, pattern, alias, &options, &address), 0);
    assert_true(soma_address_equal(&address, &expected));
}

/* To what is bound by a pattern. */
static inline void player_connect(soma_agent *self, soma_pattern pattern, const char *alias, const char *name,
                                  const soma_handler *handlers)
{
    const soma_channel_options options = {.handlers = handlers, .serializer = "typed"};
    soma_address address = player_at(name, pattern);
    assert_int_equal(soma_connect_with(self, &address, alias, &options), 0);
}

/* An end of a channel, for the two steps that follow. Its pattern is that of what is bound, on either side. */
struct player_end {
    soma_pattern pattern;
    const char *alias, *name;
    const soma_handler *handlers;
};

static inline int player_binds(soma_agent *self, void *state, void *arg)
{
    const struct player_end *end = arg;
    (void)state;
    player_bind(self, end->pattern, end->alias, end->name, end->handlers);
    return 0;
}

static inline int player_connects(soma_agent *self, void *state, void *arg)
{
    const struct player_end *end = arg;
    (void)state;
    player_connect(self, end->pattern, end->alias, end->name, end->handlers);
    return 0;
}

/* Closes the channel of an alias. */
static inline int player_closes(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_close_channel(self, arg), 0);
    return 0;
}

#define PLAYER_NOTES SOMA_HANDLERS(SOMA_ON(note, player_note))

typedef int player_fn(soma_agent *self, void *state, void *arg);

static inline soma_ref player_open(soma_test *test, const soma_behavior *behavior)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), behavior, NULL, &ref), 0);
    return ref;
}

struct player_step {
    player_fn *fn;
    const void *arg;
    atomic_bool done;
};

static inline int player_step_run(soma_agent *self, void *state, void *arg)
{
    struct player_step *step = arg;
    int result = step->fn(self, state, (void *)(uintptr_t)step->arg);
    atomic_store(&step->done, true);
    return result;
}

static inline void player_step_drop(void *arg)
{
    atomic_store(&((struct player_step *)arg)->done, true);
}

/* Lets an agent do something, and settles: until it is done, as what comes from sockets may be on its way to the agent,
 * too, which settling can't see. */
static inline void player_do(soma_test *test, soma_ref agent, player_fn *fn, const void *arg)
{
    struct player_step *step = soma_test_alloc(test, sizeof(*step));
    *step = (struct player_step){.fn = fn, .arg = arg};
    assert_int_equal(soma_post(soma_test_system(test), agent, player_step_run, step, player_step_drop), 0);
    do
        soma_test_settle(test);
    while (player_transport != SOMA_INPROC && !atomic_load(&step->done));
}

/* ---- looking ---- */

/* What is looked for, in the agent's own turn. */
struct player_look {
    const char *alias;
    int peers;
    uint32_t notes;
    char log[PLAYER_LOG];
};

/* The counts of the channel "it", into a soma_channel_counts. */
static inline int player_counts(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_channel_count(self, "it", arg), 0);
    return 0;
}

static inline int player_look(soma_agent *self, void *state, void *arg)
{
    const struct player *my = state;
    struct player_look *look = arg;
    snprintf(look->log, sizeof(look->log), "%s", my->log);
    look->notes = my->notes;
    look->peers = look->alias ? soma_channel_peers(self, look->alias) : 0;
    return 0;
}

#define PLAYER_PATIENCE 20000 /* looks */

/* Looks again and again, as what is on its way in a socket nobody can tell; false if the last look was the last one. */
static inline bool player_wait(uint32_t *looks)
{
    const struct timespec moment = {0, 500000};
    if (player_transport == SOMA_INPROC || ++*looks == PLAYER_PATIENCE)
        return false;
    nanosleep(&moment, NULL);
    return true;
}

/* What an agent has written down, once that is, or else only ends in, something. */
static inline const char *player_log_when(soma_test *test, soma_ref agent, const char *log, bool ends)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    size_t size = strlen(log), length;
    uint32_t looks = 0;
    soma_test_settle(test);
    do {
        player_do(test, agent, player_look, look);
        length = strlen(look->log);
    } while (strcmp(look->log + (ends && length > size ? length - size : 0), log) != 0 && player_wait(&looks));
    return look->log + (ends && length > size ? length - size : 0);
}

/* It must be just that. */
static inline void player_expect(soma_test *test, soma_ref agent, const char *log)
{
    assert_string_equal(player_log_when(test, agent, log, false), log);
}

/* It must end so. */
static inline void player_expect_end(soma_test *test, soma_ref agent, const char *end)
{
    assert_string_equal(player_log_when(test, agent, end, true), end);
}

static inline soma_stats player_stats(soma_test *test)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(soma_test_system(test), &stats), 0);
    return stats;
}

/* So many must be connected to a channel of an agent. */
static inline void player_peers(soma_test *test, soma_ref agent, const char *alias, int peers)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    look->alias = alias;
    soma_test_settle(test);
    do
        player_do(test, agent, player_look, look);
    while (look->peers != peers && player_wait(&looks));
    assert_int_equal(look->peers, peers);
}

#endif
