/* What comes to an end, or is somebody else's, while questions over sockets wait for their answers. */
#include "desk.h"
#include "runtime/request.h"
#include "runtime/worker.h"

static soma_ref clerks[2]; /* who has asked, */
static uint64_t names[2];  /* and what by */
static int asked_so_far;
static soma_ref helper;        /* who answers for who was asked, */
static atomic_int answers_now; /* and is about to */

/* ---- a serializer that takes its time for the helper's answer: until the channel is closed ---- */

static int slow_pack(const soma_type *type, const void *message, void **data, size_t *size)
{
    if (atomic_load(&answers_now)) {
        wait_word("the channel's end", &left, 1);
        atomic_store(&answers_now, 0);
    }
    return soma_type_pack(type, message, data, size);
}

static int slow_unpack(const soma_type *type, const void *data, size_t size, void *message)
{
    return soma_type_unpack(type, message, data, size);
}

static const soma_serializer slow = {"slow", slow_pack, slow_unpack};

/* ---- who is asked ---- */

static int on_passed(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    return soma_forward(self, helper);
}

static int on_helped(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my;
    atomic_store(&answers_now, 1);
    return soma_reply(self, chunk, .data = {bytes, size_asked(m)});
}

/* With a thread of its own, as it stands still for another agent's turn. */
static const soma_behavior helpful = {
    .name = "helper", .blocking = true, .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_helped))};

static int on_kept(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    clerks[asked_so_far] = soma_sender(self);
    names[asked_so_far++] = self->worker->current->body[0];
    int64_t promise = soma_reply_later(self);
    atomic_fetch_add(&held, 1);
    return promise < 0;
}

/* ---- who watches a clerk, or ends it ---- */

static atomic_int down;
static int down_reason;

static int on_watched(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    assert_true(soma_monitor(self, soma_sender(self)) > 0);
    assert_true(soma_reply_later(self) > 0);
    atomic_fetch_add(&held, 1);
    return 0;
}

static int on_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)self, (void)my;
    down_reason = m->reason;
    atomic_store(&down, 1);
    return 0;
}

static const soma_behavior watchful = {.name = "watchful desk",
                                       .init = desk_init,
                                       .handlers =
                                           SOMA_HANDLERS(SOMA_ON(leave, on_leave), SOMA_ON(soma_down, on_down))};

static int on_end(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    assert_true(soma_reply_later(self) > 0);
    assert_int_equal(soma_kill(soma_agent_system(self), soma_sender(self)), 0);
    return 0;
}

#define FLOOD 5000u /* questions: more than a line takes that nobody handles */

static atomic_int refused;

static int on_refused(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    assert_int_equal(*error, SOMA_EGONE);
    atomic_fetch_add(&refused, 1);
    return 0;
}

static int flood(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    const soma_then then = *SOMA_THEN(chunk, on_answer, on_refused);
    (void)state;
    for (uint32_t i = 0; m->peers && i < FLOOD; i++)
        assert_true(soma_request_to(self, "it", SOMA_NEVER, &then, chunk, .data = {"1234", 4}) > 0);
    return 0;
}

static const soma_behavior floods = {.name = "floods",
                                     .state_size = sizeof(struct asker),
                                     .init = asker_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, flood))};

/* ---- a clerk that is had to ask for itself ---- */

static soma_ref keeps; /* who never answers it */
static atomic_int timed_out;

static int on_kept_for_good(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    return soma_reply_later(self) < 0;
}

static const soma_behavior silent = {.name = "silent", .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_kept_for_good))};

static int on_clerk_answer(soma_agent *self, void *state, const struct chunk *m)
{
    (void)self, (void)state, (void)m;
    fail();
    return 0;
}

static int on_clerk_error(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    assert_int_equal(*error, SOMA_ETIMEOUT);
    atomic_store(&timed_out, 1);
    return 0;
}

static int clerk_asks(soma_agent *self, void *state, void *arg)
{
    const soma_then *then = SOMA_THEN(chunk, on_clerk_answer, on_clerk_error);
    (void)state, (void)arg;
    return soma_request(self, keeps, SOMA_MS, then, chunk, .data = {"1234", 4}) < 0;
}

static int on_posted(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my;
    assert_int_equal(soma_post(soma_agent_system(self), soma_sender(self), clerk_asks, NULL, NULL), 0);
    return soma_reply(self, chunk, .data = {bytes, size_asked(m)});
}

/* ---- many questions at a time ---- */

#define MANY 3000u

static soma_handle promises[MANY];
static uint32_t kept;

/* The last one has all answered, from the first on. */
static int on_one_of_many(soma_agent *self, void *my, const struct chunk *m)
{
    (void)my, (void)m;
    promises[kept++] = soma_reply_later(self);
    for (uint32_t i = 0; kept == MANY && i < MANY; i++)
        assert_int_equal(soma_reply_to(self, promises[i], chunk, .data = {bytes, i % MOST}), 0);
    return 0;
}

static int on_one_answer(soma_agent *self, struct asker *my, const struct chunk *m)
{
    (void)self;
    assert_int_equal(m->data.size, (uint32_t)my->count++ % MOST);
    atomic_fetch_add(&answered, 1);
    return 0;
}

static int many(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    for (uint32_t i = 0; m->peers && i < MANY; i++)
        assert_true(soma_request_to(self, "it", SOMA_NEVER, SOMA_THEN(chunk, on_one_answer, on_no_answer), chunk,
                                    .data = {"1234", 4}) > 0);
    return 0;
}

static const soma_behavior asks_many = {.name = "asks many",
                                        .state_size = sizeof(struct asker),
                                        .init = asker_init,
                                        .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, many))};

/* ---- tests ---- */

static uint64_t late_replies(soma_system *system)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(system, &stats), 0);
    return stats.late_replies;
}

/* An answer to one clerk with the handle of another one's question is to nothing. */
static void test_of_another_clerk(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    struct chunk answer = {.data = {bytes, 9}};
    (void)state;
    node_open(&node, "two desks");
    for (int i = 0; i < 2; i++) {
        desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_kept)), asked);
        wait_word("a question", &held, 1);
    }
    assert_int_equal(reply_send(node.system, NULL, SOMA_REF_NULL, clerks[0], names[1], &chunk_type, &answer), 0);
    assert_int_equal(late_replies(node.system), 1);
    answer.data.size = 5;
    assert_int_equal(reply_send(node.system, NULL, SOMA_REF_NULL, clerks[1], names[1], &chunk_type, &answer), 0);
    wait_word("the answer", &answered, 1);
    assert_int_equal(sizes[0], 5);
    assert_int_equal(errors[0], 0);
    nodes_close(&node, 1);
}

/* Who watches whom a question comes from hears of the channel's end as of any that is well. */
static void test_that_a_clerk_is_watched(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    (void)state;
    node_open(&node, "watches");
    desk_ask_at(&node, &watchful, SOMA_HANDLERS(SOMA_ON(chunk, on_watched)), asked);
    wait_word("a question", &held, 1);
    assert_int_equal(soma_send(node.system, node.agent, leave), 0);
    wait_word("word of its end", &down, 1);
    assert_int_equal(down_reason, 0);
    wait_word("no answer", &answered, 1);
    assert_int_equal(errors[0], SOMA_EGONE);
    nodes_close(&node, 1);
}

/* It is ended: who has asked hears of it, and so does who asks then. */
static void test_that_a_clerk_is_killed(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    soma_ref ref;
    soma_stats stats = {0};
    (void)state;
    node_open(&node, "kills");
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_end)), asked);
    wait_word("no answer", &answered, 1);
    assert_int_equal(errors[0], SOMA_EGONE);
    assert_int_equal(soma_spawn(node.system, &floods, asked, &ref), 0);
    wait_word("all that is asked then", &refused, (int)FLOOD);
    assert_int_equal(soma_system_stats(node.system, &stats), 0);
    assert_int_equal(stats.dead_letters, 0);
    nodes_close(&node, 1);
}

/* Who answers while the channel is closed was first: the line closes behind that. */
static void test_of_a_channel(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    (void)state;
    node_open(&node, "leaves");
    assert_int_equal(soma_serializer_register(node.system, &slow), 0);
    speaks = (soma_channel_options){.serializer = "slow"};
    assert_int_equal(soma_spawn(node.system, &helpful, NULL, &helper), 0);
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_passed)), asked);
    wait_word("an answer that is written", &answers_now, 1);
    assert_int_equal(soma_send(node.system, node.agent, leave), 0);
    wait_word("the answer", &answered, 1);
    assert_int_equal(errors[0], 0);
    assert_int_equal(sizes[0], 5);
    speaks = (soma_channel_options){.serializer = "raw", .message_most = MOST};
    nodes_close(&node, 1);
}

/* What it asks by a call that was posted to it is a request as any agent's. */
static void test_that_a_clerk_asks(void **state)
{
    static const uint32_t asked[] = {5, 0};
    struct node node;
    (void)state;
    node_open(&node, "asks itself");
    assert_int_equal(soma_spawn(node.system, &silent, NULL, &keeps), 0);
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_posted)), asked);
    wait_word("an answer", &answered, 1);
    wait_word("a limit of time", &timed_out, 1);
    nodes_close(&node, 1);
}

/* As many wait as come, each in its place. */
static void test_of_many(void **state)
{
    static const uint32_t asked[] = {0};
    struct node node;
    soma_ref ref;
    (void)state;
    node_open(&node, "many");
    desk_ask(&node, SOMA_HANDLERS(SOMA_ON(chunk, on_one_of_many)), asked);
    assert_int_equal(soma_spawn(node.system, &asks_many, asked, &ref), 0);
    wait_word("all answers", &answered, MANY);
    nodes_close(&node, 1);
}

int main(void)
{
    bytes_fill();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_another_clerk),        cmocka_unit_test(test_of_a_channel),
        cmocka_unit_test(test_that_a_clerk_is_watched), cmocka_unit_test(test_that_a_clerk_is_killed),
        cmocka_unit_test(test_that_a_clerk_asks),       cmocka_unit_test(test_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
