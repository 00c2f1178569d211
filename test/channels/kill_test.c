/*
 * The other side of a channel, of Soma or a plain ZeroMQ socket, is a process that is killed with no warning, and
 * started again: what each pattern promises then, counted message by message. The other side says each number that
 * comes to it, so what it got is known even of one that is dead.
 */
#include "flow.h"
#include "nameservice/programs.h"
#include "typed.h"
#include <soma/soma.h>
#include <stdlib.h>

#define FIRST 4000u /* messages before the kill */
#define ALL 8000u   /* in all */
#define HELD 50u    /* from this one on the first process does not answer */

/* ---- the other side ---- */

static uint32_t held = UINT32_MAX;

static int on_said(soma_agent *self, void *state, const struct note *m)
{
    char line[16];
    (void)self, (void)state;
    snprintf(line, sizeof(line), "%u", m->number);
    program_say(line);
    return 0;
}

static int on_asked(soma_agent *self, void *state, const struct ask *m)
{
    char line[16];
    (void)state;
    snprintf(line, sizeof(line), "%u", m->number);
    program_say(line);
    return m->number < held ? soma_reply(self, answer, .number = m->number * 2) : soma_reply_later(self) < 0;
}

static const soma_handler *const says = SOMA_HANDLERS(SOMA_ON(note, on_said));
static const soma_handler *const answers = SOMA_HANDLERS(SOMA_ON(ask, on_asked));

static int program_ask(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    return m->peers && soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = 7) < 0;
}

static const soma_behavior asks_once = {.name = "other",
                                        .state_size = sizeof(struct player),
                                        .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, program_ask))};

/* PATTERN bind|connect PLACE HELD */
static int peer_run(char **arguments)
{
    soma_system *system;
    soma_ref ref;
    struct side side = {soma_pattern_find(arguments[0]), !strcmp(arguments[1], "bind"), arguments[2], NULL, ALL, 0};
    held = (uint32_t)strtoul(arguments[3], NULL, 10);
    bool asked = side.pattern == SOMA_REP || side.pattern == SOMA_ASYNC_REP || side.pattern == SOMA_SYNC_PUB;
    bool asks = side.pattern == SOMA_REQ;
    side.handlers = asks ? NULL : asked ? answers : says;
    if (soma_system_open(&system, NULL) || soma_spawn(system, asks ? &asks_once : &player_quiet, NULL, &ref) ||
        soma_post(system, ref, side_open, &side, NULL))
        return 1;
    program_wait();
    return soma_system_close(&system) != 0;
}

/* ---- the other side, without Soma ---- */

#define FRAMES 4u

static const int kinds[] = {[SOMA_PULL] = ZMQ_PULL,        [SOMA_PAIR] = ZMQ_PAIR,     [SOMA_SUB] = ZMQ_SUB,
                            [SOMA_ASYNC_REP] = ZMQ_ROUTER, [SOMA_SYNC_PUB] = ZMQ_XPUB, [SOMA_REQ] = ZMQ_REQ};

struct frame {
    unsigned char data[TYPED_MOST];
    size_t size;
};

static uint32_t frames_receive(void *socket, struct frame frames[FRAMES])
{
    uint32_t count = 0;
    int more = 1;
    for (size_t width = sizeof(more); more && count < FRAMES; count++) {
        frames[count].size = (size_t)zmq_recv(socket, frames[count].data, TYPED_MOST, 0);
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &width);
    }
    return count;
}

/* A subscriber's question, or that it wants something: its frames become those that an answer begins with. */
static bool asking_split(struct frame frames[FRAMES])
{
    const struct frame whole = frames[0];
    const size_t topic = whole.data[9], head = 10 + topic;
    if (whole.data[0] != 2)
        return false;
    memcpy(frames[0].data, whole.data + 10, frames[0].size = topic);
    memcpy(frames[1].data, whole.data + 1, frames[1].size = 8);
    frames[2].size = 0;
    memcpy(frames[3].data, whole.data + head, frames[3].size = whole.size - head);
    return true;
}

static void plain_hear(void *socket, soma_pattern pattern)
{
    struct frame frames[FRAMES];
    char line[16];
    uint32_t count = frames_receive(socket, frames);
    if (pattern == SOMA_SYNC_PUB && !asking_split(frames))
        return;
    bool asked = pattern == SOMA_SYNC_PUB || pattern == SOMA_ASYNC_REP;
    uint32_t number = typed_number(frames[asked ? FRAMES - 1 : count - 1].data);
    snprintf(line, sizeof(line), "%u", number);
    program_say(line);
    for (uint32_t i = 0; asked && number < held && i < FRAMES - 1; i++)
        zmq_send(socket, frames[i].data, frames[i].size, ZMQ_SNDMORE);
    if (asked && number < held)
        typed_send(socket, &answer_type, 2 * number);
}

/* The same arguments. */
static int plain_run(char **arguments)
{
    const int none = 0, room = ALL;
    const soma_pattern pattern = soma_pattern_find(arguments[0]);
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, kinds[pattern]);
    zmq_pollitem_t items[] = {{.socket = socket, .events = ZMQ_POLLIN}, {.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
    held = (uint32_t)strtoul(arguments[3], NULL, 10);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &room, sizeof(room));
    if (pattern == SOMA_SUB)
        zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    if ((strcmp(arguments[1], "bind") ? zmq_connect : zmq_bind)(socket, arguments[2]))
        return 1;
    if (pattern == SOMA_REQ)
        typed_send(socket, &ask_type, 7);
    while (zmq_poll(items, 2, -1) > 0 && !items[1].revents)
        plain_hear(socket, pattern);
    zmq_close(socket);
    if (!strcmp(arguments[1], "bind") && !strncmp(arguments[2], "ipc://", 6))
        unlink(arguments[2] + 6);
    return zmq_ctx_term(context);
}

/* ---- its life ---- */

static void peer_start(struct program *program, const char *role, const struct side *side, const char *answered)
{
    const char *const arguments[] = {soma_pattern_name(side->pattern), side->binds ? "bind" : "connect", side->place,
                                     answered, NULL};
    program_start(program, role, arguments);
}

/* The next number that it says; false when it is dead, and has no more. */
static bool peer_says(const struct program *program, uint32_t *number)
{
    char line[32] = "";
    struct pollfd ready = {.fd = program->out, .events = POLLIN};
    for (size_t length = 0; length < sizeof(line) - 1; length++) {
        assert_int_equal(poll(&ready, 1, 60000), 1); // it surely says something, or ends
        if (read(program->out, line + length, 1) != 1)
            return false;
        if (line[length] == '\n')
            break;
    }
    *number = (uint32_t)strtoul(line, NULL, 10);
    return true;
}

static void peer_kill(struct program *program)
{
    int status;
    assert_int_equal(kill(program->pid, SIGKILL), 0);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    assert_true(WIFSIGNALED(status));
}

static void peer_close(const struct program *program)
{
    close(program->in);
    close(program->out);
}

/* What a process got: a run of numbers without a gap; the last is known when it has come, or when it is dead. */
struct run {
    uint32_t first;
    uint32_t count;
};

static bool run_read(const struct program *program, struct run *run)
{
    uint32_t number;
    if (!peer_says(program, &number))
        return false;
    run->first = run->count ? run->first : number;
    assert_int_equal(number, run->first + run->count);
    run->count++;
    return true;
}

/* ---- this side ---- */

#define ROLES 2u

static const char *const others[ROLES] = {"peer", "plain"};

/* What a PUSH or PAIR has sent: to the first process a run from the first on, to the second one from some later one to
 * the last; what is between was lost with the connection, and nothing comes twice. */
static void pusher_and_killed(soma_test *test, const char *role, soma_pattern pattern, bool binds)
{
    char place[64];
    struct program program;
    struct run before = {0}, after = {0};
    side_place(place);
    const struct side here = {pattern, binds, place, NULL, ALL, 0},
                      there = {soma_pattern_twin(pattern), !binds, place, NULL, ALL, 0};
    soma_ref sender = player_open(test, &pump);
    player_do(test, sender, side_open, &here);
    peer_start(&program, role, &there, "0");
    player_peers(test, sender, "it", 1);
    pump_go(test, sender, FIRST);
    while (before.count < FIRST / 8)
        assert_true(run_read(&program, &before));
    peer_kill(&program);
    while (run_read(&program, &before))
        ;
    peer_close(&program);
    player_peers(test, sender, "it", 0);
    peer_start(&program, role, &there, "0");
    player_peers(test, sender, "it", 1);
    pump_go(test, sender, ALL);
    while (!after.count || after.first + after.count < ALL)
        assert_true(run_read(&program, &after));
    program_end(&program);
    assert_int_equal(before.first, 0);
    assert_true(after.first >= before.count);
    assert_true(after.first <= FIRST);
    assert_int_equal(soma_kill(soma_test_system(test), sender), 0);
    soma_test_settle(test);
}

static void test_push(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        pusher_and_killed(test, others[i], SOMA_PUSH, true);
        pusher_and_killed(test, others[i], SOMA_PUSH, false);
    }
}

PLAYER_WIRES(test_push)

static void test_pair(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        pusher_and_killed(test, others[i], SOMA_PAIR, true);
        pusher_and_killed(test, others[i], SOMA_PAIR, false);
    }
}

PLAYER_WIRES(test_pair)

/* ---- publications ---- */

static int on_all(soma_agent *self, struct player *my, const struct note *m)
{
    (void)self;
    assert_int_equal(m->number, my->notes);
    my->notes++;
    return 0;
}

static const soma_handler *const all = SOMA_HANDLERS(SOMA_ON(note, on_all));

/* One that is killed costs others nothing; and who comes again gets all from when it has subscribed. */
static void publisher_and_killed(soma_test *test, const char *role)
{
    char place[64];
    struct program program;
    struct run before = {0}, after = {0};
    struct player_look *look = soma_test_alloc(test, sizeof(*look));
    uint32_t looks = 0;
    side_place(place);
    const struct side here = {SOMA_PUB, true, place, NULL, ALL, 0}, there = {SOMA_SUB, false, place, NULL, ALL, 0},
                      good = {SOMA_SUB, false, place, all, ALL, 0};
    soma_ref publisher = player_open(test, &pump), subscriber = player_open(test, &player_quiet);
    player_do(test, publisher, pump_publishes, NULL);
    player_do(test, publisher, side_open, &here);
    player_do(test, subscriber, side_open, &good);
    peer_start(&program, role, &there, "0");
    player_peers(test, publisher, "it", 2);
    pump_go(test, publisher, FIRST);
    while (before.count < FIRST / 8)
        assert_true(run_read(&program, &before));
    peer_kill(&program);
    while (run_read(&program, &before))
        ;
    peer_close(&program);
    player_peers(test, publisher, "it", 1);
    peer_start(&program, role, &there, "0");
    player_peers(test, publisher, "it", 2);
    pump_go(test, publisher, ALL);
    while (!after.count || after.first + after.count < ALL)
        assert_true(run_read(&program, &after));
    program_end(&program);
    assert_int_equal(before.first, 0);
    assert_in_range(after.first, before.count, FIRST); // of the first ones some may have come late to this one
    do
        player_do(test, subscriber, player_look, look);
    while (look->notes < ALL && player_wait(&looks));
    assert_int_equal(look->notes, ALL);
}

static void test_pub(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        publisher_and_killed(test, others[i]);
}

PLAYER_WIRES(test_pub)

/* ---- questions ---- */

/* Each question ends once: with its answer, or, if whoever had it is killed, with SOMA_EGONE. */
static void asker_and_killed(soma_test *test, const char *role, soma_pattern pattern, bool binds)
{
    static const uint32_t first = 0, later = HELD;
    char place[64];
    struct program program;
    uint32_t number = 0, asked = 0;
    side_place(place);
    const struct side here = {pattern, binds, place, NULL, ALL, 0},
                      there = {soma_pattern_twin(pattern), !binds, place, NULL, ALL, 0};
    soma_ref ref = player_open(test, &asker);
    player_do(test, ref, side_open, &here);
    peer_start(&program, role, &there, "50");
    player_peers(test, ref, "it", 1);
    player_do(test, ref, ask_from, &first);
    for (; asked < QUESTIONS; asked++) {
        assert_true(peer_says(&program, &number));
        assert_int_equal(number, asked);
    }
    asker_expect(test, ref, HELD, 0);
    peer_kill(&program);
    asker_expect(test, ref, HELD, QUESTIONS - HELD);
    assert_false(peer_says(&program, &number)); // none has come twice
    peer_close(&program);
    player_peers(test, ref, "it", 0);
    peer_start(&program, role, &there, "4294967295");
    player_peers(test, ref, "it", 1);
    player_do(test, ref, ask_from, &later);
    asker_expect(test, ref, QUESTIONS, QUESTIONS - HELD);
    program_end(&program);
    assert_int_equal(soma_kill(soma_test_system(test), ref), 0);
    soma_test_settle(test);
}

static void test_req(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++) {
        asker_and_killed(test, others[i], SOMA_ASYNC_REQ, true);
        asker_and_killed(test, others[i], SOMA_ASYNC_REQ, false);
    }
}

PLAYER_WIRES(test_req)

static void test_sync_sub(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        asker_and_killed(test, others[i], SOMA_SYNC_SUB, false);
}

PLAYER_WIRES(test_sync_sub)

/* ---- an answer for one who is dead ---- */

static int on_ask_kept(soma_agent *self, struct player *my, const struct ask *m)
{
    player_log(my, "ask%u ", m->number);
    return (my->promise = soma_reply_later(self)) < 0;
}

static const soma_handler *const keeps = SOMA_HANDLERS(SOMA_ON(ask, on_ask_kept));

static int answer_late(soma_agent *self, void *state, void *arg)
{
    struct player *my = state;
    (void)arg;
    return soma_reply_to(self, my->promise, answer, .number = 1);
}

static void killed_with_a_question(soma_test *test, const char *role)
{
    char place[64];
    struct program program;
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    side_place(place);
    const struct side here = {SOMA_REP, true, place, keeps, ALL, 0}, there = {SOMA_REQ, false, place, NULL, ALL, 0};
    soma_ref keeper = player_open(test, &player_quiet);
    player_do(test, keeper, side_open, &here);
    peer_start(&program, role, &there, "0");
    player_expect(test, keeper, "ask7 ");
    peer_kill(&program);
    peer_close(&program);
    player_peers(test, keeper, "it", 0);
    // ZeroMQ says that somebody is gone before it has done away with him, but lets the next one in only after that.
    player_do(test, player_open(test, &player_quiet), side_open, &there);
    player_peers(test, keeper, "it", 1);
    player_do(test, keeper, answer_late, NULL);
    do
        player_do(test, keeper, player_counts, counts);
    while (!counts->missed && player_wait(&looks));
    assert_int_equal(counts->missed, 1);
    assert_int_equal(counts->malformed, 0);
}

static void test_rep(soma_test *test)
{
    for (size_t i = 0; i < ROLES; i++)
        killed_with_a_question(test, others[i]);
}

PLAYER_WIRES(test_rep)

int main(int argc, char **argv)
{
    static const struct role roles[] = {{"peer", peer_run}, {"plain", plain_run}, {NULL, NULL}};
    const struct CMUnitTest tests[] = {
        PLAYER_OVER_WIRES(test_push), PLAYER_OVER_WIRES(test_pair),     PLAYER_OVER_WIRES(test_pub),
        PLAYER_OVER_WIRES(test_req),  PLAYER_OVER_WIRES(test_sync_sub), PLAYER_OVER_WIRES(test_rep),
    };
    int status;
    (void)argc;
    return role_run(roles, argv, &status) ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
