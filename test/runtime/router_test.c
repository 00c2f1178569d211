/* Routers: who gets a message, what becomes of those that end, what a request gets. In virtual time. */
#include "one_thread.h"

SOMA_MESSAGE(job, (u64, key))
SOMA_MESSAGE(chunk, (bytes, data))
SOMA_MESSAGE(die)
SOMA_MESSAGE(ask, (u64, key))
SOMA_MESSAGE(told, (ref, member))
SOMA_MESSAGE(do_send, (ref, to), (u64, key))
SOMA_MESSAGE(do_ask, (ref, to), (u64, key))
SOMA_MESSAGE(do_list, (ref, router))

/* ---- members, which note what they get ---- */

#define MEMBERS 5
#define KEYS 1000

struct place {
    soma_ref ref;
    uint32_t jobs;
    uint32_t asked;
    soma_ref sender;
    const void *data; /* where the last chunk's bytes were */
};

static struct place places[MEMBERS];
static uint32_t went[KEYS]; /* which member got the job of a key */
static char order[256];

struct member {
    struct place *place;
};

static int member_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct member *)state)->place = (struct place *)(uintptr_t)arg;
    return 0;
}

static int on_job(soma_agent *self, struct member *my, const struct job *m)
{
    size_t length = strlen(order);
    my->place->jobs++;
    my->place->sender = soma_sender(self);
    went[m->key % KEYS] = (uint32_t)(my->place - places);
    if (length + 1 < sizeof(order))
        order[length] = (char)('a' + (my->place - places));
    return 0;
}

static int on_chunk(soma_agent *self, struct member *my, const struct chunk *m)
{
    my->place->sender = soma_sender(self);
    my->place->data = m->data.data;
    return 0;
}

static int on_ask(soma_agent *self, struct member *my, const struct ask *m)
{
    (void)m;
    my->place->asked++;
    return soma_reply(self, told, .member = soma_self(self));
}

static int on_die(soma_agent *self, struct member *my, const struct die *m)
{
    (void)self, (void)my, (void)m;
    return SOMA_EFORMAT;
}

static const soma_behavior member = {
    .name = "member",
    .state_size = sizeof(struct member),
    .init = member_init,
    .handlers =
        SOMA_HANDLERS(SOMA_ON(job, on_job), SOMA_ON(chunk, on_chunk), SOMA_ON(ask, on_ask), SOMA_ON(die, on_die)),
};

/* ---- one who sends and asks ---- */

static struct {
    uint32_t answers;
    uint32_t errors;
    int error;
    soma_ref member, answerer;
    soma_ref list[64];
    uint32_t count;
} got;

static soma_ref client;

static int on_told(soma_agent *self, void *my, const struct told *m)
{
    (void)my;
    got.answers++;
    got.member = m->member;
    got.answerer = soma_sender(self);
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    got.errors++;
    got.error = *error;
    return 0;
}

static int on_members(soma_agent *self, void *my, const struct soma_router_members *m)
{
    (void)self, (void)my;
    assert_true(m->members.count <= 64);
    got.count = m->members.count;
    for (uint32_t i = 0; i < got.count; i++)
        got.list[i] = m->members.items[i];
    return 0;
}

static int on_do_send(soma_agent *self, void *my, const struct do_send *m)
{
    (void)my;
    soma_send(self, m->to, job, .key = m->key);
    return 0;
}

static int on_do_ask(soma_agent *self, void *my, const struct do_ask *m)
{
    (void)my;
    return (int)soma_request(self, m->to, SOMA_NEVER, SOMA_THEN(told, on_told, on_error), ask, .key = m->key);
}

static int on_do_list(soma_agent *self, void *my, const struct do_list *m)
{
    (void)my;
    return (int)soma_request(self, m->router, SOMA_NEVER, SOMA_THEN(soma_router_members, on_members, on_error),
                             soma_router_list);
}

static const soma_behavior client_behavior = {
    .name = "client",
    .handlers = SOMA_HANDLERS(SOMA_ON(do_send, on_do_send), SOMA_ON(do_ask, on_do_ask), SOMA_ON(do_list, on_do_list)),
};

/* ---- what the tests share ---- */

static uint64_t key_of(const soma_type *type, const void *message)
{
    return type == &job_type ? ((const struct job *)message)->key : 0;
}

static void forget(void)
{
    memset(order, 0, sizeof(order));
    memset(&got, 0, sizeof(got));
    for (uint32_t i = 0; i < MEMBERS; i++)
        places[i] = (struct place){.ref = places[i].ref};
}

static soma_ref router_new(soma_routing_strategy strategy, uint32_t count)
{
    soma_ref refs[MEMBERS], router;
    for (uint32_t i = 0; i < count; i++)
        refs[i] = places[i].ref;
    const soma_routing routing = {.strategy = strategy, .members = refs, .count = count, .key = key_of};
    assert_int_equal(soma_spawn(sys, &soma_router, &routing, &router), 0);
    run();
    return router;
}

static void open_it(void)
{
    sys_open();
    assert_int_equal(soma_spawn(sys, &client_behavior, NULL, &client), 0);
    for (uint32_t i = 0; i < MEMBERS; i++)
        assert_int_equal(soma_spawn(sys, &member, &places[i], &places[i].ref), 0);
    forget();
}

static void close_it(void)
{
    assert_int_equal(soma_system_close(&sys), 0);
}

static uint64_t dead_letters(void)
{
    soma_stats stats;
    assert_int_equal(soma_system_stats(sys, &stats), 0);
    return stats.dead_letters;
}

static void send_jobs(soma_ref router, uint64_t from, uint64_t to)
{
    for (uint64_t key = from; key < to; key++)
        soma_send(sys, router, job, .key = key);
}

static void send_and_run(soma_ref router, uint32_t count)
{
    send_jobs(router, 0, count);
    run();
}

static uint32_t listed(soma_ref router)
{
    got.count = UINT32_MAX;
    soma_send(sys, client, do_list, .router = router);
    run();
    return got.count;
}

static void ask_and_run(soma_ref router)
{
    soma_send(sys, client, do_ask, .to = router);
    run();
}

/* ---- the tests ---- */

static void test_round_robin(void **state)
{
    (void)state;
    open_it();
    soma_ref router = router_new(SOMA_ROUND_ROBIN, 3);
    for (uint32_t i = 0; i < 7; i++)
        send_and_run(router, 1);
    assert_string_equal(order, "abcabca");
    assert_true(soma_ref_is_null(places[0].sender)); // it came from outside
    soma_send(sys, client, do_send, .to = router);
    run();
    assert_int_equal(places[1].jobs, 3);
    assert_true(soma_ref_equal(places[1].sender, client));
    close_it();
}

/* Whose turn it is, when those before it and it itself leave. */
static void test_turns_when_members_leave(void **state)
{
    (void)state;
    static const struct {
        uint32_t before, leaves;
        const char *then;
    } cases[] = {{2, 0, "cdbcd"}, {2, 2, "dabda"}, {2, 3, "cabca"}, {3, 3, "abcab"}, {0, 0, "bcdbc"}};
    for (uint32_t i = 0; i < 5; i++) {
        open_it();
        soma_ref router = router_new(SOMA_ROUND_ROBIN, 4);
        send_and_run(router, cases[i].before);
        forget();
        soma_send(sys, router, soma_router_remove, .member = places[cases[i].leaves].ref);
        for (uint32_t n = 0; n < 5; n++)
            send_and_run(router, 1);
        assert_string_equal(order, cases[i].then);
        close_it();
    }
}

static void test_random(void **state)
{
    (void)state;
    char before[sizeof(order)];
    for (uint32_t round = 0; round < 2; round++) {
        open_it();
        soma_ref router = router_new(SOMA_RANDOM, 4);
        for (uint32_t i = 0; i < 4000; i++)
            send_and_run(router, 1);
        for (uint32_t i = 0; i < 4; i++)
            assert_in_range(places[i].jobs, 850, 1150); // five sigma
        assert_int_equal(places[4].jobs, 0);
        if (round)
            assert_string_equal(order, before); // it follows from the seed
        memcpy(before, order, sizeof(order));
        close_it();
    }
}

/* The router runs first, so the members have what they were sent before it, too. */
static void test_least_loaded(void **state)
{
    (void)state;
    open_it();
    soma_ref router = router_new(SOMA_LEAST_LOADED, 3);
    send_and_run(router, 9);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(places[i].jobs, 3);
    forget();
    send_jobs(router, 0, 1);
    send_jobs(places[0].ref, 0, 4);
    send_jobs(places[2].ref, 0, 1);
    send_jobs(router, 1, 7);
    run();
    assert_int_equal(places[0].jobs, 4); // none of them by the router
    assert_int_equal(places[1].jobs + places[2].jobs, 8);
    assert_int_equal(places[1].jobs, 4);
    forget();
    for (uint32_t i = 0; i < 6; i++)
        send_and_run(router, 1); // all are idle: each in turn
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(places[i].jobs, 2);
    close_it();
}

static void test_broadcast(void **state)
{
    (void)state;
    static const char bytes[100000];
    open_it();
    soma_ref router = router_new(SOMA_BROADCAST, MEMBERS);
    send_and_run(router, 2);
    for (uint32_t i = 0; i < MEMBERS; i++)
        assert_int_equal(places[i].jobs, 2);
    soma_body *body;
    assert_int_equal(soma_body_new(&body, chunk, .data = {bytes, sizeof(bytes)}), 0);
    assert_int_equal(soma_send_body(sys, router, body), 0);
    run();
    for (uint32_t i = 0; i < MEMBERS; i++) // the very same bytes
        assert_ptr_equal(places[i].data, ((const struct chunk *)soma_body_message(body))->data.data);
    soma_body_close(&body);
    ask_and_run(router);
    assert_int_equal(got.error, SOMA_ESTATE);
    assert_int_equal(got.errors, 1);
    assert_int_equal(places[0].asked, 0);
    soma_send(sys, places[0].ref, die);
    soma_send(sys, places[3].ref, die);
    send_and_run(router, 1); // the router hears of their ends only later
    assert_int_equal(dead_letters(), 0);
    assert_int_equal(places[1].jobs + places[2].jobs + places[4].jobs, 9);
    assert_int_equal(listed(router), 3);
    close_it();
}

static void hash_all(soma_ref router, uint32_t *where)
{
    forget();
    for (uint64_t key = 0; key < KEYS; key += 100) {
        send_jobs(router, key, key + 100);
        run();
    }
    memcpy(where, went, sizeof(went));
}

static void test_hash(void **state)
{
    (void)state;
    static uint32_t first[KEYS], then[KEYS];
    uint32_t gains[MEMBERS] = {0};
    open_it();
    soma_ref router = router_new(SOMA_CONSISTENT_HASH, MEMBERS);
    hash_all(router, first);
    for (uint32_t i = 0; i < MEMBERS; i++)
        assert_in_range(places[i].jobs, 130, 270); // small numbers as keys are spread all the same
    hash_all(router, then);
    assert_memory_equal(first, then, sizeof(first));

    soma_send(sys, router, soma_router_remove, .member = places[1].ref);
    hash_all(router, then);
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_not_equal(then[i], 1);
        if (first[i] != 1)
            assert_int_equal(then[i], first[i]); // only its keys have moved
        else
            gains[then[i]]++;
    }
    for (uint32_t i = 0; i < MEMBERS; i++)
        assert_true(i == 1 || gains[i] > 20); // to all others
    soma_send(sys, router, soma_router_add, .member = places[1].ref);
    hash_all(router, then);
    assert_memory_equal(first, then, sizeof(first));

    soma_ref other = router_new(SOMA_CONSISTENT_HASH, 0); // they join in another order
    for (uint32_t i = MEMBERS; i-- > 0;)
        soma_send(sys, other, soma_router_add, .member = places[i].ref);
    hash_all(other, then);
    assert_memory_equal(first, then, sizeof(first));
    close_it();
}

/* Members end while messages for them wait in the router, ahead of the word of their end: others get those. */
static void test_ends(void **state)
{
    (void)state;
    for (uint32_t strategy = SOMA_ROUND_ROBIN; strategy <= SOMA_CONSISTENT_HASH; strategy++) {
        if (strategy == SOMA_BROADCAST)
            continue;
        open_it();
        soma_ref router = router_new((soma_routing_strategy)strategy, MEMBERS);
        soma_send(sys, places[1].ref, die);
        soma_send(sys, places[4].ref, die);
        send_jobs(router, 0, 60);
        run();
        assert_int_equal(places[0].jobs + places[2].jobs + places[3].jobs, 60);
        assert_int_equal(dead_letters(), 0);
        assert_int_equal(listed(router), 3);
        assert_true(soma_ref_equal(got.list[0], places[0].ref));
        assert_true(soma_ref_equal(got.list[1], places[2].ref));
        assert_true(soma_ref_equal(got.list[2], places[3].ref));
        assert_int_equal(soma_kill(sys, places[0].ref), 0); // and now with word of it only
        run();
        assert_int_equal(listed(router), 2);
        close_it();
    }
}

static void test_requests(void **state)
{
    (void)state;
    open_it();
    soma_ref router = router_new(SOMA_ROUND_ROBIN, 2);
    for (uint32_t i = 0; i < 4; i++) {
        ask_and_run(router);
        assert_int_equal(got.answers, i + 1);
        assert_true(soma_ref_equal(got.member, places[i % 2].ref));
        assert_true(soma_ref_equal(got.answerer, places[i % 2].ref)); // not by way of the router
    }
    soma_send(sys, client, do_ask, .to = router); // runs first, so the request is ahead of the word of the end
    soma_send(sys, places[0].ref, die);
    run();
    assert_int_equal(got.answers, 5);
    assert_int_equal(got.errors, 0);
    assert_true(soma_ref_equal(got.member, places[1].ref));
    soma_send(sys, router, soma_router_list); // no request, and no harm
    ask_and_run(router);
    assert_int_equal(got.answers, 6);
    close_it();
}

static void test_empty_pool(void **state)
{
    (void)state;
    for (uint32_t strategy = SOMA_ROUND_ROBIN; strategy <= SOMA_CONSISTENT_HASH; strategy++) {
        open_it();
        soma_ref router = router_new((soma_routing_strategy)strategy, 0);
        ask_and_run(router);
        assert_int_equal(got.error, SOMA_ENOENT);
        assert_int_equal(dead_letters(), 0);
        send_and_run(router, 2);
        assert_int_equal(dead_letters(), 2);
        assert_int_equal(listed(router), 0);
        soma_send(sys, router, soma_router_add, .member = places[0].ref);
        send_and_run(router, 1);
        assert_int_equal(places[0].jobs, 1);
        soma_send(sys, places[0].ref, die); // the last of the pool is found gone
        soma_send(sys, router, job, .key = 1);
        run();
        assert_int_equal(dead_letters(), 3);
        ask_and_run(router);
        assert_int_equal(got.errors, 2);
        assert_int_equal(got.error, SOMA_ENOENT);
        close_it();
    }
}

static void test_add_and_remove(void **state)
{
    (void)state;
    open_it();
    soma_ref router = router_new(SOMA_ROUND_ROBIN, 1), gone;
    for (uint32_t i = 0; i < 2 * MEMBERS; i++) // each twice
        soma_send(sys, router, soma_router_add, .member = places[i / 2].ref);
    soma_send(sys, router, soma_router_add, .member = SOMA_REF_NULL);
    soma_send(sys, router, soma_router_add, .member = router);
    assert_int_equal(listed(router), MEMBERS);
    soma_send(sys, router, soma_router_remove, .member = places[2].ref);
    soma_send(sys, router, soma_router_remove, .member = places[2].ref);
    soma_send(sys, router, soma_router_remove, .member = client);
    assert_int_equal(listed(router), MEMBERS - 1);
    soma_send(sys, places[2].ref, die); // no member any more
    run();
    gone = places[2].ref;
    soma_send(sys, router, soma_router_add, .member = gone);
    run();
    assert_int_equal(listed(router), MEMBERS - 1);
    for (uint32_t i = 0; i < 40; i++) { // the pool grows
        soma_ref ref;
        assert_int_equal(soma_spawn(sys, &member, &places[2], &ref), 0);
        soma_send(sys, router, soma_router_add, .member = ref);
    }
    assert_int_equal(listed(router), MEMBERS + 39);
    soma_shutdown(sys, router);
    run();
    assert_int_equal(soma_send(sys, router, job), SOMA_EGONE);
    send_jobs(places[0].ref, 0, 1); // a router's end is none of its members'
    run();
    assert_int_equal(places[0].jobs, 1);
    close_it();
}

/* A supervised member's next life has the same ref, and joins again only if somebody adds it. */
static void test_kept_members(void **state)
{
    (void)state;
    open_it();
    const soma_child child = {.behavior = &member, .arg = &places[0], .name = "kept"};
    const soma_supervision spec = {.children = &child, .count = 1, .backoff = SOMA_SECOND};
    soma_ref router = router_new(SOMA_ROUND_ROBIN, 0), supervisor, ref;
    assert_int_equal(soma_spawn(sys, &soma_supervisor, &spec, &supervisor), 0);
    assert_int_equal(soma_whereis(sys, "kept", &ref), 0);
    soma_send(sys, router, soma_router_add, .member = ref);
    assert_int_equal(listed(router), 1);
    for (uint32_t i = 1; i <= 2; i++) {
        soma_send(sys, ref, die);
        run();
        assert_int_equal(listed(router), 0);
        soma_send(sys, router, soma_router_add, .member = ref); // while it is down
        run();
        assert_int_equal(listed(router), 0);
        now_ns += 5 * SOMA_SECOND;
        clock_fire(sys, now_ns);
        run();
        assert_int_equal(listed(router), 0);
        soma_send(sys, router, soma_router_add, .member = ref);
        send_and_run(router, 1);
        assert_int_equal(listed(router), 1);
        assert_int_equal(places[0].jobs, i);
    }
    close_it();
}

static void test_bad_arguments(void **state)
{
    (void)state;
    open_it();
    const soma_ref refs[] = {places[0].ref, SOMA_REF_NULL};
    const soma_routing bad[] = {
        {.strategy = (soma_routing_strategy)77},
        {.strategy = SOMA_CONSISTENT_HASH, .members = refs, .count = 1},
        {.count = 1},
        {.members = refs, .count = 2},
    };
    soma_ref router;
    assert_int_equal(soma_spawn(sys, &soma_router, NULL, &router), SOMA_EINVAL);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(soma_spawn(sys, &soma_router, &bad[i], &router), SOMA_EINVAL);
    const soma_ref same[] = {refs[0], refs[0]};
    assert_int_equal(soma_spawn(sys, &soma_router, &(soma_routing){.members = same, .count = 2}, &router), 0);
    assert_int_equal(listed(router), 1);
    close_it();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_robin),  cmocka_unit_test(test_turns_when_members_leave),
        cmocka_unit_test(test_random),       cmocka_unit_test(test_least_loaded),
        cmocka_unit_test(test_broadcast),    cmocka_unit_test(test_hash),
        cmocka_unit_test(test_ends),         cmocka_unit_test(test_requests),
        cmocka_unit_test(test_empty_pool),   cmocka_unit_test(test_add_and_remove),
        cmocka_unit_test(test_kept_members), cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
