/*
 * A request ends exactly once, with a reply or an error that its answerer's conduct allows: whoever replies at once,
 * later, by way of another, not at all, ends, or is killed; and whenever the time is over.
 */
#include "test_support.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/test.h>

#define SERVERS 3u
#define CLIENTS 2u
#define EACH 8u
#define TIMEOUT (5 * SOMA_MS)
#define REFUSAL (-1000)

/* What whom is asked does. */
enum {
    REPLIES,
    REFUSES,
    REPLIES_LATER,
    BREAKS_ITS_WORD,
    FORWARDS,
    SAYS_NOTHING,
    MISTAKES,
    LEAVES,
    HAS_NO_HANDLER,
    WAYS
};

SOMA_MESSAGE(meet, (ref, other))
SOMA_MESSAGE(begin)
SOMA_MESSAGE(ask, (u32, how), (u32, number))
SOMA_MESSAGE(ask_in_vain, (u32, number))
SOMA_MESSAGE(answer, (u32, number))
SOMA_MESSAGE(mistake)
SOMA_MESSAGE(due, (i64, promise), (u32, number))

/* ---- servers ---- */

struct server {
    soma_ref other;
};

static int on_meet(soma_agent *self, struct server *my, const struct meet *m)
{
    (void)self;
    my->other = m->other;
    return 0;
}

static int answer_later(soma_agent *self, uint32_t number)
{
    soma_handle promise = soma_reply_later(self);
    assert_true(promise > 0);
    assert_int_equal(soma_reply(self, answer, .number = number), SOMA_ESTATE);
    return soma_after(self, soma_random(self) % (2 * TIMEOUT), due, .promise = promise, .number = number) < 0;
}

static int on_ask(soma_agent *self, struct server *my, const struct ask *m)
{
    switch (m->how) {
    case REPLIES:
        assert_int_equal(soma_reply(self, answer, .number = m->number), 0);
        assert_int_equal(soma_reply(self, answer, .number = m->number), SOMA_ESTATE);
        return 0;
    case REFUSES:
        return soma_reply_error(self, REFUSAL);
    case REPLIES_LATER:
        return answer_later(self, m->number);
    case BREAKS_ITS_WORD:
        return soma_reply_error_to(self, soma_reply_later(self), REFUSAL);
    case FORWARDS: // round and round, until somebody is gone or the time is over
        (void)soma_forward(self, soma_random(self) % 4 ? my->other : SOMA_REF_NULL);
        return 0;
    case MISTAKES:
        return soma_reply(self, mistake);
    case LEAVES:
        soma_agent_exit(self, 0);
        return soma_reply_later(self) < 0;
    default:
        return 0;
    }
}

static int on_due(soma_agent *self, struct server *my, const struct due *m)
{
    (void)my;
    return soma_reply_to(self, m->promise, answer, .number = m->number);
}

static const soma_behavior server = {
    .name = "server",
    .state_size = sizeof(struct server),
    .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask), SOMA_ON(meet, on_meet), SOMA_ON(due, on_due))};

/* ---- clients: what each request may end with, and whether it has ---- */

struct client {
    const soma_ref *servers;
    bool kills;
    uint32_t sent;
    uint8_t how[EACH];
    bool limited[EACH];
    uint8_t ended[EACH];
    soma_handle handle[EACH];
};

static int client_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    *(struct client *)state = *(const struct client *)arg;
    return 0;
}

static void request_ended(struct client *my, uint64_t tag)
{
    assert_true(tag < my->sent);
    assert_int_equal(my->ended[tag]++, 0);
}

static int on_answer(soma_agent *self, struct client *my, const struct answer *m)
{
    uint64_t tag = soma_tag(self);
    request_ended(my, tag);
    assert_int_equal(m->number, tag);
    assert_true(my->how[tag] == REPLIES || my->how[tag] == REPLIES_LATER);
    return 0;
}

static int on_error(soma_agent *self, struct client *my, const int *error)
{
    static const int may[WAYS] = {[REFUSES] = REFUSAL,
                                  [BREAKS_ITS_WORD] = REFUSAL,
                                  [FORWARDS] = SOMA_EGONE,
                                  [SAYS_NOTHING] = SOMA_ENOREPLY,
                                  [MISTAKES] = SOMA_ETYPE,
                                  [LEAVES] = SOMA_EGONE,
                                  [HAS_NO_HANDLER] = SOMA_EUNHANDLED};
    uint64_t tag = soma_tag(self);
    request_ended(my, tag);
    assert_true(*error == may[my->how[tag]] || (*error == SOMA_ETIMEOUT && my->limited[tag]) ||
                *error == SOMA_EGONE); // killed, or it left when another one asked
    return 0;
}

static void request_send(soma_agent *self, struct client *my)
{
    uint32_t tag = my->sent++;
    soma_ref to = my->servers[soma_random(self) % SERVERS];
    const soma_then *then = SOMA_THEN(answer, on_answer, on_error, .tag = tag);
    my->how[tag] = (uint8_t)(soma_random(self) % WAYS);
    my->limited[tag] = soma_random(self) % 2;
    uint64_t timeout = my->limited[tag] ? TIMEOUT : SOMA_NEVER;
    my->handle[tag] = my->how[tag] == HAS_NO_HANDLER
                          ? soma_request(self, to, timeout, then, ask_in_vain, .number = tag)
                          : soma_request(self, to, timeout, then, ask, .how = my->how[tag], .number = tag);
    assert_true(my->handle[tag] > 0);
}

/* One that is cancelled in time must not end any more: it counts as ended. */
static int on_begin(soma_agent *self, struct client *my, const struct begin *m)
{
    (void)m;
    request_send(self, my);
    uint64_t other = soma_random(self) % my->sent;
    if (soma_random(self) % 6 == 0) {
        int error = soma_request_cancel(self, my->handle[other]);
        assert_int_equal(error, my->ended[other] ? SOMA_ENOENT : 0);
        my->ended[other] = 1;
    }
    return my->sent < EACH ? soma_send(self, soma_self(self), begin) : 0;
}

static const soma_behavior client = {.name = "client",
                                     .state_size = sizeof(struct client),
                                     .init = client_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

static void test_requests(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref *servers = soma_test_alloc(test, SERVERS * sizeof(*servers)), clients[CLIENTS];
    const struct client plan = {.servers = servers};
    for (uint32_t i = 0; i < SERVERS; i++)
        assert_int_equal(soma_spawn(system, &server, NULL, &servers[i]), 0);
    for (uint32_t i = 0; i < SERVERS; i++)
        assert_int_equal(soma_send(system, servers[i], meet, .other = servers[(i + 1) % SERVERS]), 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        assert_int_equal(soma_spawn(system, &client, &plan, &clients[i]), 0);
        soma_test_spare(test, clients[i]);
        assert_int_equal(soma_send(system, clients[i], begin), 0);
    }
    soma_test_advance(test, SOMA_SECOND);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *state = soma_test_state(test, clients[i]);
        assert_int_equal(state->sent, EACH);
        for (uint32_t tag = 0; tag < EACH; tag++)
            assert_int_equal(state->ended[tag], 1);
    }
}

/* ---- from outside: the answer, or the error, and never both ---- */

static void test_calls(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_ref asked;
    assert_int_equal(soma_spawn(system, &server, NULL, &asked), 0);
    for (uint32_t i = 0; i < EACH; i++) {
        struct answer result;
        uint32_t how = (uint32_t)soma_test_random(test, LEAVES);
        int error = soma_call(system, asked, TIMEOUT, &result, answer, ask, .how = how, .number = i);
        assert_int_equal(result.number, error ? 0 : i);
        assert_true(how != REPLIES || !error || error == SOMA_ETIMEOUT);
        assert_true(how != REFUSES || error == REFUSAL || error == SOMA_ETIMEOUT);
        assert_true(how != SAYS_NOTHING || error == SOMA_ENOREPLY || error == SOMA_ETIMEOUT);
    }
    soma_test_advance(test, SOMA_SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_requests, 10000, 2000, .late = 3, .reorders = 4, .pauses = 1),
        SOMA_SIM(test_requests, 10000, 2000, .late = 2, .kills = 2, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_calls, 10000, 2000, .late = 2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
