/*
 * The life of channels: what opens one and what does not, closing from anywhere, and that an agent's end is that of its
 * channels, whoever else is killed and however short memory is.
 */
#include "channels/channel.h"
#include "player.h"
#include "runtime/system.h"
#include <stdlib.h>

static const soma_handler *const notes = PLAYER_NOTES;
static const struct player_end pull_bound = {SOMA_PULL, "in", "jobs", PLAYER_NOTES};
static const struct player_end push_to_pull = {SOMA_PULL, "out", "jobs", NULL};
static const soma_address push_at = {.transport = SOMA_INPROC, .pattern = SOMA_PUSH, .host = "jobs"};
static const soma_address pull_at = {.transport = SOMA_INPROC, .pattern = SOMA_PULL, .host = "jobs"};

/* ---- what is allowed ---- */

static int bind_at(soma_agent *self, soma_pattern pattern, const char *alias, const char *place,
                   const soma_handler *handlers)
{
    soma_address address = push_at;
    int error =
        soma_bind(self, pattern, alias, &(soma_channel_options){.place = place, .handlers = handlers}, &address);
    assert_int_equal(soma_address_valid(&address), !error);
    return error;
}

static int bind_wrongly(soma_agent *self, void *state, void *arg)
{
    static const soma_handler none[] = {{NULL, NULL, 0, NULL}};
    static const soma_handler no_function[] = {{&note_type, NULL, 0, NULL}, {NULL, NULL, 0, NULL}};
    char alias[SOMA_CHANNEL_ALIAS_MOST + 2];
    (void)state, (void)arg;
    memset(alias, 'a', sizeof(alias));
    alias[sizeof(alias) - 1] = '\0';
    assert_int_equal(bind_at(self, SOMA_PUSH, alias, NULL, NULL), SOMA_ETOOBIG);
    assert_int_equal(bind_at(self, SOMA_PUSH, "", NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PUSH, "a b", NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PUSH, "a/b", NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PUSH, NULL, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(NULL, SOMA_PUSH, "a", NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_ANY_PATTERN, "a", NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, (soma_pattern)99, "a", NULL, NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PUSH, "a", "somewhere", NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PUSH, "a", "inproc://jobs pull", NULL), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PULL, "a", NULL, none), SOMA_EINVAL);
    assert_int_equal(bind_at(self, SOMA_PULL, "a", NULL, no_function), SOMA_EINVAL);
    alias[SOMA_CHANNEL_ALIAS_MOST] = '\0';
    assert_int_equal(bind_at(self, SOMA_PUSH, alias, "inproc://jobs push", NULL), 0);
    assert_int_equal(bind_at(self, SOMA_PULL, alias, NULL, notes), SOMA_EEXIST);
    assert_int_equal(bind_at(self, SOMA_PULL, "a", "inproc://jobs", notes), SOMA_EEXIST);
    assert_int_equal(soma_channel_peers(self, "a"), SOMA_ENOENT); // what could not be bound is not there
    return 0;
}

/* Who must have handlers, and who can't. */
static int bind_all(soma_agent *self, void *state, void *arg)
{
    static const bool with[] = {
        [SOMA_PULL] = true,      [SOMA_SUB] = true,      [SOMA_REP] = true,     [SOMA_PAIR] = true,
        [SOMA_ASYNC_REP] = true, [SOMA_SYNC_PUB] = true, [SOMA_SYNC_SUB] = true};
    static const bool without[] = {
        [SOMA_PUSH] = true,      [SOMA_PUB] = true,  [SOMA_SUB] = true,     [SOMA_REQ] = true,
        [SOMA_ASYNC_REQ] = true, [SOMA_PAIR] = true, [SOMA_SYNC_SUB] = true};
    soma_address a, b;
    (void)state, (void)arg;
    for (soma_pattern pattern = SOMA_PUSH; pattern <= SOMA_SYNC_SUB; pattern++) {
        assert_int_equal(bind_at(self, pattern, "with", NULL, notes), with[pattern] ? 0 : SOMA_EINVAL);
        bool can = pattern != SOMA_SYNC_PUB && without[pattern];
        assert_int_equal(bind_at(self, pattern, "without", NULL, NULL), can ? 0 : SOMA_EINVAL);
        if (with[pattern] && can) {
            assert_int_equal(soma_channel_address(self, "with", &a), 0);
            assert_int_equal(soma_channel_address(self, "without", &b), 0);
            assert_int_equal(a.pattern, pattern);
            assert_false(soma_address_equal(&a, &b)); // each has a place of its own
        }
        assert_int_equal(soma_close_channels(self), 0);
        assert_int_equal(soma_channel_peers(self, "with"), SOMA_ENOENT);
    }
    return 0;
}

static int use_wrongly(soma_agent *self, void *state, void *arg)
{
    soma_address address;
    char topic[SOMA_TOPIC_MOST + 2];
    (void)state, (void)arg;
    memset(topic, 't', sizeof(topic));
    topic[sizeof(topic) - 1] = '\0';
    assert_int_equal(bind_at(self, SOMA_PUSH, "push", "inproc://jobs", NULL), 0);
    assert_int_equal(bind_at(self, SOMA_PUB, "pub", NULL, NULL), 0);
    assert_int_equal(bind_at(self, SOMA_SUB, "sub", NULL, NULL), 0);
    assert_int_equal(soma_connect(self, &pull_at, "x", NULL), SOMA_ETYPE); // there is a PUSH
    assert_int_equal(soma_connect(self, &push_at, "push", notes), SOMA_EEXIST);
    assert_int_equal(soma_connect(self, &push_at, "x", NULL), SOMA_EINVAL);
    assert_int_equal(soma_connect(self, NULL, "x", notes), SOMA_EINVAL);
    assert_int_equal(soma_address_parse("inproc://jobs", &address), 0);
    assert_int_equal(soma_connect(self, &address, "x", notes), SOMA_EINVAL); // of no pattern
    assert_int_equal(soma_send_to(self, "x", note), SOMA_ENOENT);
    assert_int_equal(soma_send_to(self, "sub", note), SOMA_ESTATE);
    assert_int_equal(soma_publish(self, "push", "t", note), SOMA_ESTATE);
    assert_int_equal(soma_publish(self, "pub", topic, note), SOMA_ETOOBIG);
    assert_int_equal(soma_subscribe(self, "sub", topic, notes), SOMA_ETOOBIG);
    assert_int_equal(soma_publish(self, "pub", "\003t", note), SOMA_EINVAL); // for answers
    assert_int_equal(soma_subscribe(self, "sub", "\003t", notes), SOMA_EINVAL);
    topic[SOMA_TOPIC_MOST] = '\0';
    assert_int_equal(soma_publish(self, "pub", topic, note), 0);
    assert_int_equal(soma_subscribe(self, "sub", topic, notes), 0);
    assert_int_equal(soma_subscribe(self, "sub", "t", NULL), SOMA_EINVAL);
    assert_int_equal(soma_subscribe(self, "pub", "t", notes), SOMA_ESTATE);
    assert_int_equal(soma_unsubscribe(self, "x", "t"), SOMA_ENOENT);
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    assert_int_equal(soma_request_to(self, "push", SOMA_SECOND, then, ask), SOMA_ESTATE);
    assert_int_equal(soma_request_to(self, "push", 0, then, ask), SOMA_EINVAL);
    assert_int_equal(soma_close_channel(self, "x"), SOMA_ENOENT);
    assert_null(soma_topic(self));
    return 0;
}

/* ---- a publisher that comes again ---- */

static char longest[SOMA_TOPIC_MOST + 1];
static const struct player_end news_bound = {SOMA_PUB, "news", "news", NULL};

/* Notes of which topics some have come. */
static int on_news(soma_agent *self, struct player *my, const struct note *m)
{
    assert_string_equal(soma_topic(self), m->number == 1 ? longest : "a");
    my->notes |= m->number;
    return 0;
}

static int subscribe_all(soma_agent *self, void *state, void *arg)
{
    const soma_handler *news = SOMA_HANDLERS(SOMA_ON(note, on_news));
    (void)state, (void)arg;
    player_connect(self, SOMA_PUB, "feed", "news", NULL);
    assert_int_equal(soma_subscribe(self, "feed", longest, news), 0);
    assert_int_equal(soma_subscribe(self, "feed", "a", news), 0);
    return 0;
}

static int forget_all(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)arg;
    ((struct player *)state)->notes = 0;
    return 0;
}

static int publish_all(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_publish(self, "news", longest, note, .number = 1), 0);
    assert_int_equal(soma_publish(self, "news", "a", note, .number = 2), 0);
    return 0;
}

/* Each time it hears of all subscriptions, also of that to the longest topic; of which first nobody knows. */
static void test_the_publisher_comes_again(soma_test *test)
{
    soma_ref publisher = player_open(test, &player_quiet), subscriber = player_open(test, &player_quiet);
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    memset(longest, 't', SOMA_TOPIC_MOST);
    player_move();
    player_do(test, subscriber, subscribe_all, NULL);
    for (int i = 0; i < 3; i++) {
        uint32_t looks = 0;
        player_do(test, publisher, player_binds, &news_bound);
        player_peers(test, publisher, "news", 1);
        do {
            player_do(test, publisher, publish_all, NULL);
            player_do(test, subscriber, player_look, look);
        } while (look->notes != 3 && player_wait(&looks));
        assert_int_equal(look->notes, 3);
        player_do(test, publisher, player_closes, "news");
        player_peers(test, subscriber, "feed", 0);
        player_do(test, subscriber, forget_all, NULL);
    }
}

PLAYER_WIRES(test_the_publisher_comes_again)

/* A simulated world has no sockets. */
static int use_sockets(soma_agent *self, void *state, void *arg)
{
    soma_address address;
    (void)state, (void)arg;
    assert_int_equal(bind_at(self, SOMA_PUSH, "a", "tcp://127.0.0.1", NULL), SOMA_ENOROUTE);
    assert_int_equal(bind_at(self, SOMA_PUSH, "a", "ipc:///tmp/soma-simulated", NULL), SOMA_ENOROUTE);
    assert_int_equal(soma_address_parse("tcp://127.0.0.1:1 push", &address), 0);
    assert_int_equal(soma_connect(self, &address, "a", notes), SOMA_ENOROUTE);
    return 0;
}

static void test_no_sockets_in_simulation(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), use_sockets, NULL);
}

static void test_what_is_allowed(soma_test *test)
{
    player_do(test, player_open(test, &player_quiet), bind_all, NULL);
    player_do(test, player_open(test, &player_quiet), bind_wrongly, NULL);
    soma_test_settle(test);
    soma_system *second = soma_test_node(test, "second"); // has places of its own
    soma_ref other;
    assert_int_equal(soma_spawn(second, &player_quiet, NULL, &other), 0);
    assert_int_equal(soma_post(second, other, use_wrongly, NULL, NULL), 0);
    soma_test_settle(test);
}

/* ---- closing ---- */

/* Sends itself two through a channel and closes it. */
static int send_and_close(soma_agent *self, void *state, void *arg)
{
    player_connects(self, state, (void *)(uintptr_t)&push_to_pull);
    assert_int_equal(soma_send_to(self, "out", note, .number = 1), 0);
    assert_int_equal(soma_send_to(self, "out", note, .number = 2), 0);
    return soma_close_channel(self, arg);
}

static void test_what_is_under_way(soma_test *test)
{
    soma_ref both = player_open(test, &player_quiet);
    player_do(test, both, player_binds, &pull_bound);
    player_do(test, both, send_and_close, "out"); // what was sent arrives
    player_expect(test, both, "1 2 ");
    assert_int_equal(player_stats(test).dead_letters, 0);
    player_do(test, both, send_and_close, "in"); // what nobody waits for doesn't
    player_expect(test, both, "1 2 ");
    assert_int_equal(player_stats(test).dead_letters, 2);
}

static int on_note_close(soma_agent *self, struct player *my, const struct note *m)
{
    player_log(my, "%u ", m->number);
    return soma_close_channels(self);
}

static const struct player_end closing = {SOMA_PULL, "in", "jobs", SOMA_HANDLERS(SOMA_ON(note, on_note_close))};

static int send_two(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "out", note, .number = 1), 0);
    assert_int_equal(soma_send_to(self, "out", note, .number = 2), 0);
    return 0;
}

static void test_a_handler_closes_its_channel(soma_test *test)
{
    soma_ref puller = player_open(test, &player_quiet), pusher = player_open(test, &player);
    player_do(test, puller, player_binds, &closing);
    player_do(test, pusher, player_connects, &push_to_pull);
    player_do(test, pusher, send_two, NULL);
    player_expect(test, puller, "1 ");
    player_expect(test, pusher, "out:1 out:0 ");
}

/* A handler's error is the agent's end, as everywhere. */
static int on_note_fail(soma_agent *self, struct player *my, const struct note *m)
{
    (void)my, (void)m;
    return soma_fail(self, -5, "enough");
}

static const struct player_end failing = {SOMA_PULL, "in", "jobs", SOMA_HANDLERS(SOMA_ON(note, on_note_fail))};

static void test_a_handler_fails(soma_test *test)
{
    soma_ref puller = player_open(test, &player_quiet), pusher = player_open(test, &player);
    player_do(test, puller, player_binds, &failing);
    player_do(test, pusher, player_connects, &push_to_pull);
    player_peers(test, pusher, "out", 1);
    player_do(test, pusher, send_two, NULL);
    player_expect(test, pusher, "out:1 out:0 "); // also over sockets: they are closed
    assert_int_equal(player_stats(test).agents, player_transport == SOMA_INPROC ? 1 : 2); // with the pusher's line
}

/* An init that fails leaves nothing behind. */
static int init_fails(soma_agent *self, void *state, const void *arg)
{
    (void)arg;
    player_binds(self, state, (void *)(uintptr_t)&pull_bound);
    return -9;
}

static const soma_behavior stillborn = {.name = "stillborn", .state_size = sizeof(struct player), .init = init_fails};

static void test_an_init_fails(soma_test *test)
{
    soma_ref puller = player_open(test, &player_quiet), none;
    assert_int_equal(soma_spawn(soma_test_system(test), &stillborn, NULL, &none), -9);
    player_do(test, puller, player_binds, &pull_bound);
}

/* ---- whatever happens ---- */

#define ACTORS 4u
#define STEPS 12u

SOMA_MESSAGE(step)

struct actor {
    uint32_t steps;
    uint32_t got;
    uint32_t sent;
    char peers[3]; /* as it was told, of each alias */
};

static const char *const aliases[] = {"a", "b", "c"};

static int on_got(soma_agent *self, struct actor *my, const struct note *m)
{
    (void)m;
    assert_non_null(soma_topic(self));
    my->got++;
    return soma_random(self) % 8 ? 0 : soma_close_channel(self, aliases[soma_random(self) % 3]) > 0;
}

static int on_question(soma_agent *self, struct actor *my, const struct ask *m)
{
    (void)my;
    soma_reply(self, answer, .number = m->number);
    return 0;
}

static int on_any_answer(soma_agent *self, struct actor *my, const struct answer *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_any_error(soma_agent *self, struct actor *my, const int *error)
{
    (void)self, (void)my;
    assert_true(*error < 0);
    return 0;
}

static const soma_handler *const all = SOMA_HANDLERS(SOMA_ON(note, on_got), SOMA_ON(ask, on_question));

/* Opens, uses or closes a channel of random kind at one of two places. */
static int on_step(soma_agent *self, struct actor *my, const struct step *m)
{
    static const char *const places[] = {"inproc://x", "inproc://y"};
    const char *alias = aliases[soma_random(self) % 3];
    soma_pattern pattern = (soma_pattern)(1 + soma_random(self) % SOMA_SYNC_SUB);
    soma_address address = {.transport = SOMA_INPROC, .pattern = pattern};
    soma_channel_options options = {.handlers = soma_random(self) % 2 ? all : NULL};
    (void)m;
    options.conflate = (pattern == SOMA_PULL || pattern == SOMA_SUB) && soma_random(self) % 2;
    switch (soma_random(self) % 6) {
    case 0:
        options.place = places[soma_random(self) % 2];
        soma_bind(self, pattern, alias, &options, NULL);
        break;
    case 1:
        snprintf(address.host, sizeof(address.host), "%s", soma_random(self) % 2 ? "x" : "y");
        address.pattern = soma_pattern_twin(pattern);
        soma_connect_with(self, &address, alias, &options);
        break;
    case 2:
        soma_close_channel(self, alias);
        break;
    case 3:
        if (soma_subscribe(self, alias, soma_random(self) % 2 ? "t" : "", all))
            soma_unsubscribe(self, alias, "t");
        break;
    default:
        my->sent += !soma_channel_send(self, alias, soma_random(self) % 2 ? "tt" : NULL, &note_type, &(struct note){1});
        soma_request_to(self, alias, SOMA_SECOND, SOMA_THEN(answer, on_any_answer, on_any_error), ask, .number = 1);
    }
    return ++my->steps < STEPS ? soma_send(self, soma_self(self), step) : 0;
}

static int on_changed(soma_agent *self, struct actor *my, const struct soma_channel_changed *m)
{
    my->peers[m->alias[0] - 'a'] = (char)m->peers;
    assert_int_equal(soma_channel_peers(self, m->alias), m->peers);
    return 0;
}

static const soma_behavior actor = {
    .name = "actor",
    .state_size = sizeof(struct actor),
    .handlers = SOMA_HANDLERS(SOMA_ON(step, on_step), SOMA_ON(soma_channel_changed, on_changed))};

/* ---- who lives and has a peer is had by it ---- */

struct actors {
    soma_system *system;
    soma_ref refs[ACTORS];
};

static const soma_agent *agent_find(const struct actors *actors, soma_ref ref)
{
    const soma_agent *agent = slots_find(&actors->system->slots, ref.slot);
    return life_generation(u64_load(&agent->life)) == ref.generation ? agent : NULL;
}

static bool has_peer(const soma_agent *agent, soma_handle port, const struct port_place *peer)
{
    const struct channel *channel = (struct channel *)port_find(agent, port);
    for (uint32_t i = 0; channel && i < channel->peer_count; i++)
        if (port_place_equal(&channel->peers[i].place, peer))
            return true;
    return false;
}

static void check_peers(soma_test *test, void *arg)
{
    const struct actors *actors = arg;
    for (uint32_t i = 0; i < ACTORS; i++) {
        const soma_agent *agent = agent_find(actors, actors->refs[i]);
        for (struct port *port = agent ? port_first(agent) : NULL; port; port = port->next) {
            const struct channel *channel = (struct channel *)port;
            const struct port_place here = {actors->refs[i], port->handle};
            if (!channel->bound && channel->peer_count > 1)
                soma_test_fail(test, "connected to %u at once", channel->peer_count);
            for (uint32_t k = 0; k < channel->peer_count; k++) {
                const struct port_place *there = &channel->peers[k].place;
                const soma_agent *other = agent_find(actors, there->agent);
                if (!other || !has_peer(other, there->port, &here))
                    soma_test_fail(test, "a peer of actor %u does not know it", i);
            }
        }
    }
}

/* Who wants to be connected where something fitting is bound is. */
static bool fits(const struct channel *wants, const struct channel *bound)
{
    return bound->bound && !strcmp(bound->address.host, wants->address.host) &&
           bound->pattern == soma_pattern_twin(wants->pattern) && (bound->pattern != SOMA_PAIR || !bound->peer_count);
}

static void check_connected(soma_test *test, void *arg)
{
    const struct actors *actors = arg;
    for (uint32_t i = 0; i < ACTORS; i++) {
        const soma_agent *agent = agent_find(actors, actors->refs[i]);
        for (struct port *port = agent ? port_first(agent) : NULL; port; port = port->next) {
            const struct channel *channel = (struct channel *)port;
            for (uint32_t k = 0; k < ACTORS && !channel->bound && !channel->peer_count; k++) {
                const soma_agent *other = agent_find(actors, actors->refs[k]);
                for (struct port *bound = other ? port_first(other) : NULL; bound; bound = bound->next)
                    if (fits(channel, (struct channel *)bound))
                        soma_test_fail(test, "actor %u is not connected to actor %u", i, k);
            }
        }
    }
}

static struct actors *actors_open(soma_test *test)
{
    struct actors *actors = soma_test_alloc(test, sizeof(*actors));
    actors->system = soma_test_system(test);
    for (uint32_t i = 0; i < ACTORS; i++)
        assert_int_equal(soma_spawn(actors->system, &actor, NULL, &actors->refs[i]), 0);
    return actors;
}

static void actors_run(soma_test *test, const struct actors *actors)
{
    for (uint32_t i = 0; i < ACTORS; i++)
        soma_send(actors->system, actors->refs[i], step);
    soma_test_advance(test, 2 * SOMA_SECOND);
}

static void test_whatever_happens(soma_test *test)
{
    struct actors *actors = actors_open(test);
    soma_test_at_rest(test, check_peers, actors);
    soma_test_at_rest(test, check_connected, actors);
    actors_run(test, actors);
}

/* Notices may be missed then, but nothing else goes wrong. */
static void test_without_memory(soma_test *test)
{
    actors_run(test, actors_open(test));
}

PLAYER_WIRES(test_a_handler_fails)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_no_sockets_in_simulation, 1, 100),
        SOMA_SIM(test_what_is_allowed, 20, 2000),
        SOMA_REAL(test_what_is_allowed),
        SOMA_SIM(test_what_is_under_way, 200, 2000),
        SOMA_SIM(test_a_handler_closes_its_channel, 200, 2000),
        SOMA_REAL(test_a_handler_closes_its_channel),
        SOMA_SIM(test_a_handler_fails, 200, 2000),
        PLAYER_OVER_WIRES(test_a_handler_fails),
        PLAYER_TABLE(test_the_publisher_comes_again, 20, 2000),
        SOMA_SIM(test_an_init_fails, 20, 2000),
        SOMA_REAL(test_an_init_fails),
        SOMA_SIM(test_whatever_happens, 20000, 4000),
        SOMA_SIM(test_whatever_happens, 10000, 4000, .kills = 2, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_without_memory, 10000, 4000, .kills = 1, .allocations = 3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
