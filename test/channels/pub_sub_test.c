/* PUB and SUB: who gets which topic, with subscriptions that change while messages flow; the same of SYNC_PUB and
 * SYNC_SUB, and what these ask. */
#include "player.h"
#include <stdlib.h>

/* A second handler, so that it can be seen which one ran. */
static int on_loud(soma_agent *self, struct player *my, const struct note *m)
{
    player_log(my, "!%s%u ", soma_topic(self), m->number);
    return 0;
}

static const soma_handler *const notes = PLAYER_NOTES;
static const soma_handler *const loud = SOMA_HANDLERS(SOMA_ON(note, on_loud));

static const struct player_end sub_bound = {SOMA_SUB, "feed", "news", PLAYER_NOTES};
static const struct player_end pub_to_sub = {SOMA_SUB, "feed", "news", NULL};

/* ---- a publisher and its subscribers ---- */

static soma_pattern publishes = SOMA_PUB; /* or SOMA_SYNC_PUB */

/* Publishes before and after its answer, so the order can be seen. */
static int on_ask(soma_agent *self, void *state, const struct ask *m)
{
    (void)state;
    assert_int_equal(soma_publish(self, "feed", "x", note, .number = m->number), 0);
    assert_int_equal(soma_reply(self, answer, .number = m->number + 1), 0);
    assert_int_equal(soma_publish(self, "feed", "x", note, .number = m->number + 2), 0);
    return 0;
}

static int pub_bind(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    player_bind(self, publishes, "feed", "news",
                publishes == SOMA_SYNC_PUB ? SOMA_HANDLERS(SOMA_ON(ask, on_ask)) : NULL);
    return 0;
}

/* To all topics, if it has handlers for them. */
static int sub_connect(soma_agent *self, void *state, void *arg)
{
    (void)state;
    player_connect(self, publishes, "feed", "news", arg);
    return 0;
}

static soma_ref publisher_open(soma_test *test, const soma_behavior *behavior)
{
    soma_ref publisher = player_open(test, behavior);
    player_do(test, publisher, pub_bind, NULL);
    return publisher;
}

static soma_ref subscriber_open(soma_test *test, const soma_behavior *behavior, const soma_handler *handlers)
{
    soma_ref subscriber = player_open(test, behavior);
    player_do(test, subscriber, sub_connect, handlers);
    return subscriber;
}

/* A publisher, and two who have subscribed to everything. */
static soma_ref three_open(soma_test *test, const soma_handler *handlers, soma_ref subscribers[2])
{
    soma_ref publisher = publisher_open(test, &player_quiet);
    for (int i = 0; i < 2; i++)
        subscribers[i] = subscriber_open(test, &player_quiet, handlers);
    player_peers(test, publisher, "feed", 2);
    return publisher;
}

/* Subscribes to the topics in `arg`, each ended by a space. */
static int sub_topics(soma_agent *self, void *state, void *arg)
{
    char topics[64];
    (void)state;
    snprintf(topics, sizeof(topics), "%s", (const char *)arg);
    for (char *topic = topics, *end; (end = strchr(topic, ' ')); topic = end + 1) {
        *end = '\0';
        assert_int_equal(soma_subscribe(self, "feed", topic, notes), 0);
    }
    return 0;
}

static soma_ref topics_open(soma_test *test, const char *topics)
{
    soma_ref subscriber = subscriber_open(test, &player_quiet, NULL);
    player_do(test, subscriber, sub_topics, topics);
    return subscriber;
}

static int unsubscribe(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_unsubscribe(self, "feed", arg), 0);
    assert_int_equal(soma_unsubscribe(self, "feed", arg), SOMA_ENOENT);
    return 0;
}

static int subscribe_loud(soma_agent *self, void *state, void *arg)
{
    (void)state;
    assert_int_equal(soma_subscribe(self, "feed", arg, loud), 0);
    return 0;
}

/* One message each under the empty topic, fo, foo and bar. */
static int publish_four(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "feed", note, .number = 1), 0);
    assert_int_equal(soma_publish(self, "feed", "fo", note, .number = 2), 0);
    assert_int_equal(soma_publish(self, "feed", "foo", note, .number = 3), 0);
    assert_int_equal(soma_publish(self, "feed", "bar", note, .number = 4), 0);
    return 0;
}

/* ---- until the publisher has heard of all that a subscriber has said ---- */

static uint32_t fence_number; /* so that one that was for the fence before is not taken for this one's */

static int on_fence(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    my->notes += m->number == fence_number;
    return 0;
}

static int fence_subscribe(soma_agent *self, void *state, void *arg)
{
    (void)arg;
    ((struct player *)state)->notes = 0; // only those of the fence count
    assert_int_equal(soma_subscribe(self, "feed", "~", SOMA_HANDLERS(SOMA_ON(note, on_fence))), 0);
    return 0;
}

static int fence_publish(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_publish(self, "feed", "~", note, .number = fence_number), 0);
    return 0;
}

static int fence_end(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_unsubscribe(self, "feed", "~"), 0);
    return 0;
}

/* For one who has not subscribed to everything. */
static void fence(soma_test *test, soma_ref publisher, soma_ref subscriber)
{
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    if (player_transport == SOMA_INPROC)
        return;
    fence_number++;
    player_do(test, subscriber, fence_subscribe, NULL);
    do {
        player_do(test, publisher, fence_publish, NULL);
        player_do(test, subscriber, player_look, look);
    } while (!look->notes && player_wait(&looks));
    assert_true(look->notes > 0);
    player_do(test, subscriber, fence_end, NULL);
}

static void test_who_gets_what(soma_test *test)
{
    static const char *const topics[] = {"foo ", "foo bar ", "bar ", "fo ", "foobar ", " "};
    static const char *const get[] = {"foo3 ", "foo3 bar4 ", "bar4 ", "fo2 foo3 ", "", "1 fo2 foo3 bar4 "};
    soma_ref publisher = publisher_open(test, &player), subscribers[6];
    player_do(test, publisher, publish_four, NULL); // to nobody
    for (int i = 0; i < 6; i++) {
        subscribers[i] = topics_open(test, topics[i]);
        player_peers(test, publisher, "feed", i + 1);
        if (i < 5)
            fence(test, publisher, subscribers[i]);
    }
    player_do(test, publisher, publish_four, NULL);
    for (int i = 0; i < 6; i++)
        player_expect(test, subscribers[i], get[i]);
    player_expect(test, publisher, "feed:1 feed:2 feed:3 feed:4 feed:5 feed:6 ");
}

/* The PUB connects, and several to one SUB. */
static void test_the_subscriber_binds(soma_test *test)
{
    soma_ref subscriber = player_open(test, &player), publishers[2];
    player_do(test, subscriber, player_binds, &sub_bound);
    for (int i = 0; i < 2; i++) {
        publishers[i] = player_open(test, &player);
        player_do(test, publishers[i], player_connects, &pub_to_sub);
        player_peers(test, publishers[i], "feed", 1);
        player_do(test, publishers[i], publish_four, NULL);
        player_expect(test, publishers[i], "feed:1 ");
        player_expect(test, subscriber,
                      i ? "feed:1 1 fo2 foo3 bar4 feed:2 1 fo2 foo3 bar4 " : "feed:1 1 fo2 foo3 bar4 ");
    }
    player_expect(test, subscriber, "feed:1 1 fo2 foo3 bar4 feed:2 1 fo2 foo3 bar4 ");
    player_do(test, subscriber, unsubscribe, "");
    player_expect(test, publishers[0], "feed:1 feed:0 ");
    player_do(test, subscriber, sub_topics, "bar ");
    player_peers(test, publishers[0], "feed", 1);
    player_do(test, publishers[0], publish_four, NULL);
    player_expect(test, subscriber, "feed:1 1 fo2 foo3 bar4 feed:2 1 fo2 foo3 bar4 bar4 ");
}

static void test_subscriptions_change(soma_test *test)
{
    soma_ref subscriber = topics_open(test, "foo bar "), publisher = publisher_open(test, &player_quiet);
    player_peers(test, publisher, "feed", 1);
    fence(test, publisher, subscriber);
    player_do(test, publisher, publish_four, NULL);
    player_expect(test, subscriber, "foo3 bar4 ");
    player_do(test, subscriber, unsubscribe, "foo");
    fence(test, publisher, subscriber);
    player_do(test, publisher, publish_four, NULL);
    player_expect(test, subscriber, "foo3 bar4 bar4 ");
    player_do(test, subscriber, subscribe_loud, "foo"); // back, with another handler
    fence(test, publisher, subscriber);
    player_do(test, publisher, publish_four, NULL);
    player_expect(test, subscriber, "foo3 bar4 bar4 !foo3 bar4 ");
    player_do(test, subscriber, subscribe_loud, "bar"); // another handler for this topic alone
    player_do(test, subscriber, sub_topics, "foo ");
    player_do(test, publisher, publish_four, NULL);
    player_expect(test, subscriber, "foo3 bar4 bar4 !foo3 bar4 foo3 !bar4 ");
}

/* A message that several subscriptions fit comes once, and each handler runs. */
static void test_several_fit(soma_test *test)
{
    soma_ref publisher = publisher_open(test, &player_quiet), subscriber = subscriber_open(test, &player_quiet, notes);
    player_do(test, subscriber, subscribe_loud, "foo");
    player_peers(test, publisher, "feed", 1);
    player_do(test, publisher, publish_four, NULL);
    player_expect(test, subscriber, "1 fo2 foo3 !foo3 bar4 ");
}

static const soma_behavior narrow = {
    .name = "narrow", .state_size = sizeof(struct player), .limit = {.messages = 2, .policy = SOMA_REJECT}};
static const soma_behavior latest = {
    .name = "latest", .state_size = sizeof(struct player), .limit = {.messages = 2, .policy = SOMA_DROP_OLDEST}};

/* Subscribers with limits miss what these turn away, which is counted; the others don't. What one does not want takes
 * no room of it: it is not sent. */
static void test_limits_hold(soma_test *test)
{
    soma_ref publisher = publisher_open(test, &player_quiet), rejects = subscriber_open(test, &narrow, notes),
             drops = subscriber_open(test, &latest, notes), all = subscriber_open(test, &player_quiet, notes),
             picks = subscriber_open(test, &narrow, NULL);
    player_do(test, picks, sub_topics, "foo ");
    player_do(test, publisher, publish_four, NULL);
    player_expect(test, picks, "foo3 ");
    player_expect(test, rejects, "1 fo2 ");
    player_expect(test, drops, "foo3 bar4 ");
    player_expect(test, all, "1 fo2 foo3 bar4 ");
    assert_int_equal(player_stats(test).rejected, 2);
    assert_int_equal(player_stats(test).dropped, 2);
}

/* What is under way when a subscription ends is not handled, and is no dead letter. */
static int publish_and_stop(soma_agent *self, void *state, void *arg)
{
    publish_four(self, state, arg);
    assert_int_equal(soma_unsubscribe(self, "mine", ""), 0);
    assert_int_equal(soma_subscribe(self, "mine", "b", notes), 0);
    return 0;
}

static const struct player_end mine = {SOMA_PUB, "mine", "news", PLAYER_NOTES};

static void test_what_is_under_way(soma_test *test)
{
    soma_ref both = publisher_open(test, &player_quiet);
    player_do(test, both, player_connects, &mine);
    player_peers(test, both, "feed", 1);
    player_do(test, both, publish_and_stop, NULL);
    player_expect(test, both, "bar4 ");
    assert_int_equal(player_stats(test).dead_letters, 0);
}

/* A handler may change the subscriptions that its own message is being given to, and close the channel. */
static int on_change(soma_agent *self, struct player *my, const struct note *m)
{
    player_log(my, "change%u ", m->number);
    assert_int_equal(soma_unsubscribe(self, "feed", "foo"), 0);
    assert_int_equal(soma_subscribe(self, "feed", "f", notes), 0); // from the next one on
    return 0;
}

static int on_close(soma_agent *self, struct player *my, const struct note *m)
{
    player_log(my, "close%u ", m->number);
    assert_int_equal(soma_close_channel(self, "feed"), 0);
    assert_string_equal(soma_topic(self), "foo");
    return 0;
}

static int sub_careless(soma_agent *self, void *state, void *arg)
{
    (void)state;
    player_connect(self, publishes, "feed", "news", NULL);
    const soma_handler *first = arg ? SOMA_HANDLERS(SOMA_ON(note, on_close)) : SOMA_HANDLERS(SOMA_ON(note, on_change));
    assert_int_equal(soma_subscribe(self, "feed", "fo", first), 0);
    assert_int_equal(soma_subscribe(self, "feed", "foo", loud), 0);
    return 0;
}

static int publish_foo(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_publish(self, "feed", "foo", note, .number = 1), 0);
    return 0;
}

static void test_handlers_that_change_things(soma_test *test)
{
    soma_ref publisher = publisher_open(test, &player_quiet), changes = player_open(test, &player_quiet),
             closes = player_open(test, &player_quiet);
    player_do(test, changes, sub_careless, NULL);
    player_do(test, closes, sub_careless, "");
    player_peers(test, publisher, "feed", 2);
    player_do(test, publisher, publish_foo, NULL);
    player_expect(test, changes, "change1 ");
    player_expect(test, closes, "close1 ");
}

/* Large ones are made once, whoever gets them. */
static int on_chunk(soma_agent *self, struct player *my, const struct chunk *m)
{
    const unsigned char *bytes = m->data.data;
    assert_int_equal(m->data.size, 100000);
    assert_int_equal(bytes[99999], 7);
    soma_body *body = soma_current_body(self);
    assert_non_null(body);
    assert_ptr_equal(soma_body_message(body), m);
    soma_body_close(&body);
    player_log(my, "%s ", soma_topic(self));
    return 0;
}

static int publish_chunk(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    unsigned char *bytes = calloc(1, 100000);
    assert_non_null(bytes);
    bytes[99999] = 7;
    assert_int_equal(soma_publish(self, "feed", "big", chunk, .data = {bytes, 100000}), 0);
    free(bytes);
    return 0;
}

static void test_large_ones_are_shared(soma_test *test)
{
    soma_ref subscribers[2], publisher = three_open(test, SOMA_HANDLERS(SOMA_ON(chunk, on_chunk)), subscribers);
    player_do(test, publisher, publish_chunk, NULL);
    player_expect(test, subscribers[0], "big ");
    player_expect(test, subscribers[1], "big ");
}

/* ---- bodies, which are handed over within a system ---- */

static const void *handed; /* the message in the body */

static int on_handed(soma_agent *self, struct player *my, const struct chunk *m)
{
    assert_int_equal(m->data.size, 5);
    assert_memory_equal(m->data.data, "hello", 5);
    assert_int_equal(m == handed, player_transport == SOMA_INPROC);
    player_log(my, "%s- ", soma_topic(self));
    return 0;
}

static const struct player_end handed_pull = {SOMA_PUSH, "work", "jobs", SOMA_HANDLERS(SOMA_ON(chunk, on_handed))};
static const struct player_end handed_push = {SOMA_PUSH, "work", "jobs", NULL};

static soma_body *handed_body(void)
{
    soma_body *body;
    assert_int_equal(soma_body_new(&body, chunk, .data = {"hello", 5}), 0);
    handed = soma_body_message(body);
    return body;
}

static int publish_bodies(soma_agent *self, void *state, void *arg)
{
    soma_body *body = handed_body();
    (void)state, (void)arg;
    assert_int_equal(soma_send_body_to(self, "feed", body), 0);
    assert_int_equal(soma_channel_send_body(self, "feed", "big", body), 0);
    assert_int_equal(soma_send_body_to(self, "none", body), SOMA_ENOENT);
    assert_int_equal(soma_send_body_to(self, "feed", NULL), SOMA_EINVAL);
    soma_body_close(&body);
    return 0;
}

static void test_bodies_are_published(soma_test *test)
{
    soma_ref subscribers[2], publisher = three_open(test, SOMA_HANDLERS(SOMA_ON(chunk, on_handed)), subscribers);
    player_do(test, publisher, publish_bodies, NULL);
    player_expect(test, subscribers[0], "- big- ");
    player_expect(test, subscribers[1], "- big- ");
}

static int push_bodies(soma_agent *self, void *state, void *arg)
{
    soma_body *body = handed_body();
    (void)state, (void)arg;
    assert_int_equal(soma_send_body_to(self, "work", body), 0);
    assert_int_equal(soma_send_body_to(self, "work", body), 0);
    assert_int_equal(soma_channel_send_body(self, "work", "big", body), SOMA_ESTATE);
    soma_body_close(&body);
    return 0;
}

static void test_bodies_are_pushed(soma_test *test)
{
    soma_ref sender = player_open(test, &player_quiet), worker = player_open(test, &player_quiet);
    player_do(test, sender, player_binds, &handed_push);
    player_do(test, worker, player_connects, &handed_pull);
    player_peers(test, sender, "work", 1);
    player_do(test, sender, push_bodies, NULL);
    player_expect(test, worker, "- - ");
}

/* ---- synchronous publications ---- */

static int sync_ask(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    assert_true(soma_request_to(self, "feed", SOMA_SECOND, then, ask, .number = 10) > 0);
    assert_true(soma_request_to(self, "feed", SOMA_SECOND, then, ask, .number = 20) > 0);
    return 0;
}

static void test_a_subscriber_asks(soma_test *test)
{
    soma_ref subscribers[2];
    publishes = SOMA_SYNC_PUB;
    three_open(test, notes, subscribers);
    player_peers(test, subscribers[0], "feed", 1);
    player_do(test, subscribers[0], sync_ask, NULL);
    player_expect(test, subscribers[0], "x10 answer11 x12 x20 answer21 x22 ");
    player_expect(test, subscribers[1], "x10 x12 x20 x22 ");
    publishes = SOMA_PUB;
}

/* What a PUB does a SYNC_PUB does, too. */
#define SYNC(body)                                                                                                     \
    static void sync_##body(soma_test *test)                                                                           \
    {                                                                                                                  \
        publishes = SOMA_SYNC_PUB;                                                                                     \
        (body)(test);                                                                                                  \
        publishes = SOMA_PUB;                                                                                          \
    }

SYNC(test_who_gets_what)
SYNC(test_subscriptions_change)
SYNC(test_several_fit)
SYNC(test_limits_hold)
SYNC(test_handlers_that_change_things)
SYNC(test_bodies_are_published)

PLAYER_WIRES(sync_test_who_gets_what)
PLAYER_WIRES(sync_test_subscriptions_change)
PLAYER_WIRES(sync_test_several_fit)
PLAYER_WIRES(sync_test_handlers_that_change_things)
PLAYER_WIRES(sync_test_bodies_are_published)
PLAYER_WIRES(test_who_gets_what)
PLAYER_WIRES(test_the_subscriber_binds)
PLAYER_WIRES(test_subscriptions_change)
PLAYER_WIRES(test_several_fit)
PLAYER_WIRES(test_handlers_that_change_things)
PLAYER_WIRES(test_bodies_are_published)
PLAYER_WIRES(test_bodies_are_pushed)
PLAYER_WIRES(test_a_subscriber_asks)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAYER_TABLE(test_who_gets_what, 200, 2000),
        PLAYER_TABLE(test_the_subscriber_binds, 200, 2000),
        PLAYER_TABLE(test_subscriptions_change, 200, 2000),
        PLAYER_TABLE(test_several_fit, 200, 2000),
        SOMA_SIM(test_what_is_under_way, 200, 2000),
        SOMA_REAL(test_what_is_under_way),
        SOMA_SIM(test_limits_hold, 200, 2000),
        PLAYER_TABLE(test_handlers_that_change_things, 200, 2000),
        SOMA_SIM(test_large_ones_are_shared, 200, 2000),
        SOMA_REAL(test_large_ones_are_shared),
        PLAYER_TABLE(test_bodies_are_published, 200, 2000),
        PLAYER_TABLE(test_bodies_are_pushed, 200, 2000),
        PLAYER_TABLE(test_a_subscriber_asks, 200, 2000),
        PLAYER_TABLE(sync_test_who_gets_what, 50, 2000),
        PLAYER_TABLE(sync_test_subscriptions_change, 50, 2000),
        PLAYER_TABLE(sync_test_several_fit, 50, 2000),
        SOMA_SIM(sync_test_limits_hold, 50, 2000),
        PLAYER_TABLE(sync_test_handlers_that_change_things, 50, 2000),
        PLAYER_TABLE(sync_test_bodies_are_published, 50, 2000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
