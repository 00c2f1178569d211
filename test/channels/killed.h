/*
 * A process that is the other side of a channel, of Soma or a plain ZeroMQ socket, in the tests that kill it. It says
 * each number that comes to it, so what it got is known even of one that is dead.
 */
#ifndef TEST_CHANNELS_KILLED_H
#define TEST_CHANNELS_KILLED_H

#include "flow.h"
#include "nameservice/programs.h"
#include "typed.h"
#include <soma/soma.h>
#include <stdlib.h>

#define FIRST 4000u /* messages before the kill */
#define ALL 8000u   /* in all */

/* ---- the other side ---- */

static uint32_t held = UINT32_MAX;

static inline int on_said(soma_agent *self, void *state, const struct note *m)
{
    char line[16];
    (void)self, (void)state;
    snprintf(line, sizeof(line), "%u", m->number);
    program_say(line);
    return 0;
}

static inline int on_asked(soma_agent *self, void *state, const struct ask *m)
{
    char line[16];
    (void)state;
    snprintf(line, sizeof(line), "%u", m->number);
    program_say(line);
    return m->number < held ? soma_reply(self, answer, .number = m->number * 2) : soma_reply_later(self) < 0;
}

static const soma_handler *const says = SOMA_HANDLERS(SOMA_ON(note, on_said));
static const soma_handler *const answers = SOMA_HANDLERS(SOMA_ON(ask, on_asked));

static inline int program_ask(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    const soma_then *then = SOMA_THEN(answer, player_answer, player_error);
    return m->peers && soma_request_to(self, "it", SOMA_NEVER, then, ask, .number = 7) < 0;
}

static const soma_behavior asks_once = {.name = "other",
                                        .state_size = sizeof(struct player),
                                        .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, program_ask))};

static inline int program_publish(soma_agent *self, struct pump *my, const struct soma_channel_changed *m)
{
    my->publishes = true;
    my->next = held;
    my->until = held + FIRST;
    return m->peers ? pump_send(self, my) : 0;
}

static const soma_behavior publishes = {
    .name = "other",
    .state_size = sizeof(struct pump),
    .handlers = SOMA_HANDLERS(SOMA_ON(go, on_go), SOMA_ON(soma_channel_changed, program_publish))};

/* PATTERN bind|connect PLACE HELD; a PUB publishes from HELD on to its first subscriber. */
static inline int peer_run(char **arguments)
{
    soma_system *system;
    soma_ref ref;
    struct side side = {soma_pattern_find(arguments[0]), !strcmp(arguments[1], "bind"), arguments[2], NULL, ALL, 0};
    held = (uint32_t)strtoul(arguments[3], NULL, 10);
    bool asked = side.pattern == SOMA_REP || side.pattern == SOMA_ASYNC_REP || side.pattern == SOMA_SYNC_PUB;
    const soma_behavior *asks = side.pattern == SOMA_REQ ? &asks_once : side.pattern == SOMA_PUB ? &publishes : NULL;
    side.handlers = asks ? NULL : asked ? answers : says;
    if (soma_system_open(&system, NULL) || soma_spawn(system, asks ? asks : &player_quiet, NULL, &ref) ||
        soma_post(system, ref, side_open, &side, NULL))
        return 1;
    program_wait();
    return soma_system_close(&system) != 0;
}

/* ---- the other side, without Soma ---- */

#define FRAMES 4u

static const int kinds[] = {
    [SOMA_PULL] = ZMQ_PULL,     [SOMA_PAIR] = ZMQ_PAIR, [SOMA_SUB] = ZMQ_SUB, [SOMA_ASYNC_REP] = ZMQ_ROUTER,
    [SOMA_SYNC_PUB] = ZMQ_XPUB, [SOMA_REQ] = ZMQ_REQ,   [SOMA_REP] = ZMQ_REP, [SOMA_PUB] = ZMQ_XPUB};

struct frame {
    unsigned char data[TYPED_MOST];
    size_t size;
};

static inline uint32_t frames_receive(void *socket, struct frame frames[FRAMES])
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
static inline bool asking_split(struct frame frames[FRAMES])
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

static inline void plain_publish(void *socket)
{
    for (uint32_t number = held; number < held + FIRST; number++) {
        zmq_send(socket, "", 0, ZMQ_SNDMORE);
        typed_send(socket, &note_type, number);
    }
}

static inline void plain_hear(void *socket, soma_pattern pattern)
{
    struct frame frames[FRAMES];
    char line[16];
    uint32_t count = frames_receive(socket, frames);
    if (pattern == SOMA_PUB && frames[0].data[0] == 1)
        plain_publish(socket);
    if (pattern == SOMA_PUB || (pattern == SOMA_SYNC_PUB && !asking_split(frames)))
        return;
    bool asked = pattern == SOMA_SYNC_PUB || pattern == SOMA_ASYNC_REP || pattern == SOMA_REP;
    uint32_t last = pattern == SOMA_SYNC_PUB ? FRAMES - 1 : count - 1;
    uint32_t number = typed_number(frames[last].data);
    snprintf(line, sizeof(line), "%u", number);
    program_say(line);
    for (uint32_t i = 0; asked && number < held && i < last; i++)
        zmq_send(socket, frames[i].data, frames[i].size, ZMQ_SNDMORE);
    if (asked && number < held)
        typed_send(socket, &answer_type, 2 * number);
}

/* The same arguments. */
static inline int plain_run(char **arguments)
{
    const int none = 0, room = ALL;
    const soma_pattern pattern = soma_pattern_find(arguments[0]);
    void *context = zmq_ctx_new(), *socket = zmq_socket(context, kinds[pattern]);
    zmq_pollitem_t items[] = {{.socket = socket, .events = ZMQ_POLLIN}, {.fd = STDIN_FILENO, .events = ZMQ_POLLIN}};
    held = (uint32_t)strtoul(arguments[3], NULL, 10);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof(none));
    zmq_setsockopt(socket, ZMQ_RCVHWM, &room, sizeof(room));
    zmq_setsockopt(socket, ZMQ_SNDHWM, &room, sizeof(room));
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

static inline void peer_start(struct program *program, const char *role, const struct side *side, const char *answered)
{
    const char *const arguments[] = {soma_pattern_name(side->pattern), side->binds ? "bind" : "connect", side->place,
                                     answered, NULL};
    program_start(program, role, arguments);
}

/* The next number that it says; false when it is dead, and has no more. */
static inline bool peer_says(const struct program *program, uint32_t *number)
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

static inline void peer_kill(struct program *program)
{
    int status;
    assert_int_equal(kill(program->pid, SIGKILL), 0);
    assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
    assert_true(WIFSIGNALED(status));
}

static inline void peer_close(const struct program *program)
{
    close(program->in);
    close(program->out);
}

/* What a process got: a run of numbers without a gap; the last is known when it has come, or when it is dead. */
struct run {
    uint32_t first;
    uint32_t count;
};

static inline bool run_read(const struct program *program, struct run *run)
{
    uint32_t number;
    if (!peer_says(program, &number))
        return false;
    run->first = run->count ? run->first : number;
    assert_int_equal(number, run->first + run->count);
    run->count++;
    return true;
}

#endif
