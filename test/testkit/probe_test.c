/* Probes: what they record, what the body expects of it, and what they do; simulated and on real threads. */
#include "test_support.h"
#include "testkit/says.h"
#include <soma/error.h>
#include <soma/probe.h>
#include <string.h>

SOMA_MESSAGE(get, (u64, key))
SOMA_MESSAGE(value, (u64, key), (string, text))
SOMA_MESSAGE(put, (u64, key), (string, text))
SOMA_MESSAGE(start, (ref, store), (u64, key))
SOMA_MESSAGE(done, (u64, worker))
SOMA_MESSAGE(wait, (u64, duration), (ref, teller))
SOMA_MESSAGE(ring)

/* ---- what is tested: a clerk that asks a store and puts what it got back; a bell ---- */

struct clerk {
    soma_ref store;
};

static int on_value(soma_agent *self, struct clerk *my, const struct value *m)
{
    return soma_send(self, my->store, put, .key = m->key + 1, .text = m->text);
}

static int on_error(soma_agent *self, struct clerk *my, const int *error)
{
    soma_send(self, my->store, put, .text = soma_strerror(*error));
    return 0;
}

static int on_start(soma_agent *self, struct clerk *my, const struct start *m)
{
    my->store = m->store;
    return (int)soma_request(self, m->store, SOMA_SECOND, SOMA_THEN(value, on_value, on_error), get, .key = m->key);
}

static int on_wait(soma_agent *self, struct clerk *my, const struct wait *m)
{
    my->store = m->teller;
    return (int)soma_after(self, m->duration, ring);
}

static int on_ring(soma_agent *self, struct clerk *my, const struct ring *m)
{
    (void)m;
    return soma_send(self, my->store, ring);
}

static int on_get(soma_agent *self, struct clerk *my, const struct get *m)
{
    (void)my;
    if (!m->key)
        return soma_reply_error(self, 42);
    return soma_reply(self, value, .key = m->key, .text = "from a clerk");
}

static int on_done(soma_agent *self, struct clerk *my, const struct done *m)
{
    (void)my;
    soma_agent_exit(self, (int)m->worker);
    return 0;
}

static const soma_behavior clerk = {.name = "clerk",
                                    .state_size = sizeof(struct clerk),
                                    .handlers = SOMA_HANDLERS(SOMA_ON(start, on_start), SOMA_ON(wait, on_wait),
                                                              SOMA_ON(ring, on_ring), SOMA_ON(get, on_get),
                                                              SOMA_ON(done, on_done))};

static soma_ref clerk_new(soma_test *test)
{
    soma_ref ref;
    assert_int_equal(soma_spawn(soma_test_system(test), &clerk, NULL, &ref), 0);
    return ref;
}

/* A clerk that has asked the store for 7. */
static soma_ref clerk_asks(soma_test *test, soma_probe *store)
{
    soma_ref ref = clerk_new(test);
    assert_int_equal(soma_send(soma_test_system(test), ref, start, .store = soma_probe_ref(store), .key = 7), 0);
    return ref;
}

static soma_probe *probe_new(soma_test *test)
{
    return soma_probe_open(test, soma_test_system(test), NULL);
}

/* ---- expecting ---- */

static void test_next(soma_test *test)
{
    soma_probe *store = soma_probe_open(test, soma_test_system(test), "store");
    soma_ref asker = clerk_asks(test, store);
    const struct get *ask = soma_expect(store, get, SOMA_SECOND);
    assert_int_equal(ask->key, 7);
    assert_true(soma_ref_equal(soma_probe_sender(store), asker));
    soma_probe_reply(store, value, .key = 8, .text = "eight");
    const struct put *written = soma_expect(store, put, SOMA_SECOND);
    assert_int_equal(written->key, 9);
    assert_string_equal(written->text, "eight");
    soma_expect_none(store, 0);
    assert_int_equal(ask->key, 7); // still there
}

static void test_reply_error(soma_test *test)
{
    soma_probe *store = probe_new(test);
    clerk_asks(test, store);
    soma_expect(store, get, SOMA_SECOND);
    soma_probe_reply_error(store, SOMA_EFULL);
    assert_string_equal(soma_expect(store, put, SOMA_SECOND)->text, soma_strerror(SOMA_EFULL));
}

#define WORKERS 4

static bool is_worker(const struct done *m, const uint64_t *worker)
{
    return m->worker == *worker;
}

static void test_any_order(soma_test *test)
{
    soma_probe *hub = probe_new(test), *workers[WORKERS];
    uint64_t third = 3, first = 1;
    for (uint64_t i = 0; i < WORKERS; i++) {
        workers[i] = probe_new(test);
        soma_probe_send(workers[i], soma_probe_ref(hub), done, .worker = i);
    }
    soma_probe_send(workers[2], soma_probe_ref(hub), put, .key = 2);
    soma_expect_where(hub, done, SOMA_SECOND, is_worker, &third);
    assert_true(soma_ref_equal(soma_probe_sender(hub), soma_probe_ref(workers[3])));
    soma_expect_where(hub, done, SOMA_SECOND, is_worker, &first);
    assert_int_equal(soma_expect_among(hub, put, SOMA_SECOND)->key, 2);
    uint64_t sum = soma_expect(hub, done, SOMA_SECOND)->worker; // in the order in which they came
    sum += soma_expect(hub, done, SOMA_SECOND)->worker;
    assert_int_equal(sum, 0 + 2);
    soma_expect_none(hub, 0);
}

static void test_ignore(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *probe = probe_new(test);
    soma_ref ref = soma_probe_ref(probe);
    assert_int_equal(soma_send(system, ref, ring), 0);
    soma_test_settle(test);
    soma_probe_ignore(probe, ring); // also what has come already
    assert_int_equal(soma_send(system, ref, put, .key = 1), 0);
    assert_int_equal(soma_send(system, ref, ring), 0);
    assert_int_equal(soma_expect(probe, put, SOMA_SECOND)->key, 1);
    assert_true(soma_ref_is_null(soma_probe_sender(probe)));
    soma_expect_none(probe, 0);
}

/* Only simulated: hours pass. */
static void test_time(soma_test *test)
{
    const uint64_t minute = 60 * SOMA_SECOND;
    soma_probe *probe = probe_new(test);
    soma_probe_send(probe, clerk_new(test), wait, .duration = 60 * minute, .teller = soma_probe_ref(probe));
    soma_expect_none(probe, 59 * minute);
    assert_int_equal(soma_test_now(test), 59 * minute);
    soma_expect(probe, ring, SOMA_NEVER);
    assert_int_equal(soma_test_now(test), 60 * minute);
}

/* What is under way is not too late, however slow the machine is. */
static void test_no_time(soma_test *test)
{
    soma_probe *probe = probe_new(test);
    clerk_asks(test, probe);
    soma_expect(probe, get, 0);
}

/* ---- acting ---- */

static void test_request(soma_test *test)
{
    soma_probe *probe = probe_new(test), *silent = probe_new(test);
    soma_ref asked = clerk_new(test);
    soma_probe_request(probe, asked, SOMA_SECOND, value, get, .key = 5);
    const struct value *reply = soma_expect(probe, value, SOMA_SECOND);
    assert_int_equal(reply->key, 5);
    assert_string_equal(reply->text, "from a clerk");
    assert_true(soma_ref_equal(soma_probe_sender(probe), asked));
    soma_probe_request(probe, asked, SOMA_SECOND, value, get, .key = 0);
    assert_int_equal(soma_expect(probe, soma_probe_error, SOMA_SECOND)->error, 42);
    soma_probe_request(probe, asked, SOMA_SECOND, value, put);
    assert_int_equal(soma_expect(probe, soma_probe_error, SOMA_SECOND)->error, SOMA_EUNHANDLED);
    soma_probe_request(probe, soma_probe_ref(silent), SOMA_MS, value, get);
    assert_int_equal(soma_expect(probe, soma_probe_error, SOMA_SECOND)->error, SOMA_ETIMEOUT);
    assert_true(soma_ref_equal(soma_probe_sender(probe), soma_probe_ref(silent)));
}

static void test_forward(soma_test *test)
{
    soma_probe *asker = probe_new(test), *middle = probe_new(test), *last = probe_new(test);
    soma_probe_request(asker, soma_probe_ref(middle), SOMA_SECOND, value, get, .key = 5);
    soma_expect(middle, get, SOMA_SECOND);
    soma_probe_forward(middle, soma_probe_ref(last));
    assert_int_equal(soma_expect(last, get, SOMA_SECOND)->key, 5);
    assert_true(soma_ref_equal(soma_probe_sender(last), soma_probe_ref(asker)));
    soma_probe_reply(last, value, .text = "the direct way");
    assert_string_equal(soma_expect(asker, value, SOMA_SECOND)->text, "the direct way");
    assert_true(soma_ref_equal(soma_probe_sender(asker), soma_probe_ref(last)));

    soma_probe_send(asker, soma_probe_ref(middle), put, .key = 6);
    soma_expect(middle, put, SOMA_SECOND);
    soma_probe_forward(middle, soma_probe_ref(last));
    assert_int_equal(soma_expect(last, put, SOMA_SECOND)->key, 6);
    soma_probe_reply(last, ring); // no request: a message to its sender
    soma_expect(asker, ring, SOMA_SECOND);
}

static void test_ends(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_probe *probe = probe_new(test);
    soma_ref watched = clerk_new(test), linked = clerk_new(test);
    soma_probe_monitor(probe, watched);
    soma_probe_link(probe, linked);
    soma_probe_send(probe, watched, done, .worker = 5);
    const struct soma_down *down = soma_expect(probe, soma_down, SOMA_SECOND);
    assert_int_equal(down->reason, 5);
    assert_true(soma_ref_equal(down->agent, watched));
    soma_probe_send(probe, linked, done, .worker = 6);
    assert_int_equal(soma_expect(probe, soma_exited, SOMA_SECOND)->reason, 6);
    assert_int_equal(soma_shutdown(system, soma_probe_ref(probe)), 0); // one more message
    assert_int_equal(soma_expect(probe, soma_exited, SOMA_SECOND)->reason, SOMA_ESHUTDOWN);
}

/* A probe that was killed does nothing any more, and nobody minds. */
static void test_killed(soma_test *test)
{
    soma_probe *probe = probe_new(test), *other = probe_new(test);
    soma_probe_send(other, soma_probe_ref(probe), put);
    soma_expect(probe, put, SOMA_SECOND);
    assert_int_equal(soma_kill(soma_test_system(test), soma_probe_ref(probe)), 0);
    soma_probe_send(probe, soma_probe_ref(other), ring);
    soma_test_settle(test);
    soma_probe_reply(probe, ring);
    soma_expect_none(other, 0);
}

/* ---- a named agent is replaced ---- */

static void test_name(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref original = clerk_new(test), found;
    assert_int_equal(soma_name_set(system, original, "store"), 0);
    soma_probe *store = soma_probe_open(test, system, "store");
    assert_int_equal(soma_whereis(system, "store", &found), 0);
    assert_true(soma_ref_equal(found, soma_probe_ref(store)));
    soma_probe_request(store, original, SOMA_SECOND, value, get, .key = 1); // it lives on
    soma_expect(store, value, SOMA_SECOND);
}

/* The seed's kills strike whom they like, but no probe. */
static void test_spared(soma_test *test)
{
    soma_probe *probe = probe_new(test);
    soma_ref ref = clerk_new(test);
    soma_probe_monitor(probe, ref);
    for (uint32_t i = 0; i < 100; i++)
        soma_probe_send(probe, ref, put); // unhandled
    soma_probe_send(probe, ref, done, .worker = 5);
    int reason = soma_expect(probe, soma_down, SOMA_SECOND)->reason;
    assert_true(reason == 5 || reason == SOMA_EKILLED || reason == SOMA_EGONE);
    assert_null(soma_test_state(test, ref));
    soma_probe_send(probe, soma_probe_ref(probe), ring);
    soma_expect(probe, ring, SOMA_SECOND);
}

/* ---- all at once, from many threads ---- */

#define MANY 32
#define EACH 50

static int crowd_ready(soma_agent *self, void *state)
{
    const soma_ref *to = state;
    for (uint64_t i = 0; i < EACH; i++)
        soma_send(self, *to, done, .worker = i);
    return 0;
}

static int crowd_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    memcpy(state, arg, sizeof(soma_ref));
    return 0;
}

static const soma_behavior crowd = {
    .name = "crowd", .state_size = sizeof(soma_ref), .init = crowd_init, .ready = crowd_ready};

static void test_crowd(soma_test *test)
{
    soma_probe *probe = probe_new(test);
    soma_ref to = soma_probe_ref(probe);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < MANY; i++)
        assert_int_equal(soma_spawn(soma_test_system(test), &crowd, &to, NULL), 0);
    for (uint32_t i = 0; i < MANY * EACH; i++)
        sum += soma_expect(probe, done, SOMA_SECOND)->worker;
    assert_int_equal(sum, MANY * EACH * (EACH - 1) / 2);
    soma_expect_none(probe, 0);
}

/* ---- what fails, and what it says ---- */

/* Three messages, of which the first is expected and the second ignored. */
static soma_probe *probe_with_mail(soma_test *test)
{
    soma_probe *probe = soma_probe_open(test, soma_test_system(test), "inbox");
    soma_probe *sender = soma_probe_open(test, soma_test_system(test), "friend");
    soma_probe_ignore(probe, ring);
    soma_probe_send(sender, soma_probe_ref(probe), put, .key = 1, .text = "hi");
    soma_probe_send(sender, soma_probe_ref(probe), ring);
    soma_expect(probe, put, SOMA_SECOND);
    soma_test_advance(test, SOMA_SECOND);
    soma_probe_request(sender, soma_probe_ref(probe), SOMA_SECOND, value, get, .key = 2);
    return probe;
}

static void fail_other(soma_test *test)
{
    soma_expect(probe_with_mail(test), put, SOMA_SECOND);
}

static void fail_late(soma_test *test)
{
    soma_probe *probe = probe_with_mail(test);
    soma_probe_send(probe, clerk_new(test), wait, .duration = SOMA_SECOND, .teller = soma_probe_ref(probe));
    soma_expect_among(probe, value, SOMA_SECOND / 2);
}

static bool never(const struct get *m, const void *arg)
{
    (void)m, (void)arg;
    return false;
}

static void fail_where(soma_test *test)
{
    soma_expect_where(probe_with_mail(test), get, 0, never, NULL);
}

static void fail_some(soma_test *test)
{
    soma_expect_none(probe_with_mail(test), 0);
}

static void fail_nothing(soma_test *test)
{
    soma_expect(probe_new(test), put, SOMA_SECOND);
}

static void fail_many(soma_test *test)
{
    soma_probe *probe = probe_new(test);
    for (uint64_t i = 0; i < 100; i++)
        soma_send(soma_test_system(test), soma_probe_ref(probe), done, .worker = i);
    soma_test_settle(test);
    soma_expect(probe, put, 0);
}

static void fail_twice(soma_test *test)
{
    soma_probe *probe = probe_with_mail(test);
    soma_expect(probe, get, SOMA_SECOND);
    soma_probe_reply(probe, value);
    soma_probe_reply_error(probe, 1);
}

static void fail_no_request(soma_test *test)
{
    soma_probe *probe = probe_with_mail(test);
    soma_probe_reply_error(probe, 1);
}

static void fail_outside(soma_test *test)
{
    soma_probe *probe = probe_new(test);
    soma_send(soma_test_system(test), soma_probe_ref(probe), put);
    soma_expect(probe, put, 0);
    soma_probe_reply(probe, ring);
}

static void fail_early(soma_test *test)
{
    soma_probe_reply(probe_new(test), ring);
}

static void fail_null(soma_test *test)
{
    (void)test;
    soma_expect(NULL, put, 0);
}

static int inside(soma_agent *self, void *state, void *arg)
{
    (void)self, (void)state;
    soma_expect_none((soma_probe *)arg, 0);
    return 0;
}

static void fail_inside(soma_test *test)
{
    soma_probe *probe = probe_new(test);
    soma_post(soma_test_system(test), soma_probe_ref(probe), inside, probe, NULL);
    soma_test_settle(test);
}

#define LISTED                                                                                                         \
    "0.000000  put{key: 1, text: \"hi\"} from friend 1, expected before\n"                                             \
    "    0.000000  ring{} from friend 1, ignored\n"                                                                    \
    "    1.000000  get{key: 2} from friend 1, a request\n"

static void test_failures(void **state)
{
    (void)state;
    says(fail_other, __FILE__); // where the test failed, not the kit
    says(fail_other, "the probe 'inbox' expected put within 1 s, but get came next\nIt has got:\n    " LISTED);
    says(fail_late, "the probe 'inbox' expected value within 0.5 s, but none came\nIt has got:\n    " LISTED);
    says(fail_where, "the probe 'inbox' expected get that fits within 0 s, but none came\nIt has got:\n    " LISTED);
    says(fail_some, "the probe 'inbox' expected nothing, but get came\nIt has got:\n    " LISTED);
    says(fail_nothing, "the probe 'probe' expected put within 1 s, but none came\nIt has got nothing.\n");
    says(fail_many, "It has got:\n    (60 more)\n    0.000000  done{worker: 60} from outside\n");
    says(fail_many, "\n    0.000000  done{worker: 99} from outside\n");
    says(fail_twice, "soma_probe_reply_error: get is answered already");
    says(fail_no_request, "soma_probe_reply_error: what was expected last is no request");
    says(fail_outside, "soma_probe_reply: put came from outside");
    says(fail_early, "soma_probe_reply: the probe 'probe' has expected nothing yet");
    says(fail_null, "soma_expect: the probe is NULL");
    says(fail_inside, "only the body may call it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_next, 300, 1000),
        SOMA_REAL(test_next),
        SOMA_SIM(test_next, 1000, 1000, .schedule = SOMA_SCHEDULE_EXHAUSTIVE),
        SOMA_SIM(test_reply_error, 300, 1000),
        SOMA_REAL(test_reply_error),
        SOMA_SIM(test_any_order, 300, 1000),
        SOMA_SIM(test_any_order, 300, 1000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_REAL(test_any_order),
        SOMA_SIM(test_ignore, 300, 1000),
        SOMA_REAL(test_ignore),
        SOMA_SIM(test_time, 300, 1000),
        SOMA_SIM(test_no_time, 300, 1000),
        SOMA_REAL(test_no_time),
        SOMA_SIM(test_request, 300, 1000),
        SOMA_REAL(test_request),
        SOMA_SIM(test_forward, 300, 1000),
        SOMA_REAL(test_forward),
        SOMA_SIM(test_ends, 300, 1000),
        SOMA_REAL(test_ends),
        SOMA_SIM(test_killed, 300, 1000),
        SOMA_REAL(test_killed),
        SOMA_SIM(test_name, 300, 1000),
        SOMA_REAL(test_name),
        SOMA_SIM(test_spared, 300, 1000, .kills = 3),
        SOMA_SIM(test_crowd, 30, 10000),
        SOMA_REAL(test_crowd),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
