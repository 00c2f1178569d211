/*
 * A conversation with a living node: the input is a list of what two others say on several connections, of what agents
 * here do, and of the time between. Whatever is said, what the node keeps must fit together.
 *
 * A step is a byte that says what happens and on which connection, and, for most, a length and as many bytes.
 */
#include "test/bridges/lone_node.h"

SOMA_MESSAGE(note, (u64, number), (string, text))
SOMA_MESSAGE(load, (bytes, data)) /* what is large: a text would be looked at byte by byte, most of the time */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONNECTIONS 4u /* that others have made, as many as this node has: they are numbered apart */
#define ACCEPTED 1000u
#define FIRST_NODE 100u

enum step { STEP_RAW, STEP_HELLO, STEP_DATA, STEP_TIME, STEP_ACT, STEP_BROKEN, STEP_CONNECTED, STEP_PING };

struct script {
    const uint8_t *at;
    const uint8_t *end;
};

static uint8_t next_byte(struct script *script)
{
    return script->at < script->end ? *script->at++ : 0;
}

static const uint8_t *next_block(struct script *script, size_t *size)
{
    size_t wanted = next_byte(script), left = (size_t)(script->end - script->at);
    const uint8_t *block = script->at;
    *size = wanted < left ? wanted : left;
    script->at += *size;
    return block;
}

/* ---- agents here ---- */

static int on_note(soma_agent *self, void *state, const struct note *m)
{
    (void)state;
    soma_ref from = soma_sender(self);
    switch (m->number) {
    case 1:
        return soma_link(self, from);
    case 2:
        return soma_monitor(self, from) < 0 ? SOMA_ENOMEM : 0;
    case 3:
        return soma_fail(self, -1000, "it was asked to");
    case 4:
        return soma_reply(self, note, .number = 5);
    default:
        return soma_send(soma_agent_system(self), from, note, .number = 6, .text = m->text);
    }
}

static const soma_behavior target = {.name = "target", .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note))};

static soma_body *shared; /* that agents here have for some time */

/* A shared body for several of those there, or for nobody any more. */
static void act_shared(struct lone *lone, soma_ref there, uint8_t how, soma_bytes data)
{
    if (!shared)
        REQUIRE(!soma_body_new(&shared, load, .data = data));
    for (uint32_t i = 0; i < how; i++)
        soma_send_body(lone->system, there, shared);
    if (how & 1)
        soma_body_close(&shared);
}

/* An agent here does something to one there. */
static void act(struct lone *lone, soma_ref here, uint8_t what)
{
    static const char large[200000];
    const soma_ref there = {FIRST_NODE + (what & 1), 1 + (what >> 1 & 1), 1};
    uint8_t how = what >> 4;
    switch (what >> 2 & 3) {
    case 0:
        if (how == 15)
            soma_send(lone->system, there, load, .data = {large, sizeof(large)});
        else
            soma_send(lone->system, there, note, .number = 9, .text = "from nobody");
        break;
    case 1:
        if (how)
            act_shared(lone, there, how, (soma_bytes){large, how > 12 ? sizeof(large) : 1000});
        else
            soma_kill(lone->system, there);
        break;
    case 2: // in the other's name, to which the agent here answers
        soma_send(lone->system, here, note, .number = how);
        break;
    default:
        soma_system_shutdown(lone->system, there);
        break;
    }
}

/* ---- what fits together ---- */

/* What is to leave is what is counted. */
static void check_out(const struct peer *peer)
{
    size_t bytes = peer->transit.held.size;
    const struct chunk *bodies[] = {peer->transit.first, peer->out.first};
    for (int i = 0; i < 2; i++)
        for (const struct chunk *chunk = bodies[i]; chunk; chunk = chunk->next)
            bytes += chunk->items.size - chunk->at;
    REQUIRE(bytes == peer->out.bytes);
}

static void check(const struct lone *lone)
{
    const struct soma_bridge *bridge = lone->bridge;
    for (uint32_t i = 0; i < bridge->peer_count; i++) {
        const struct peer *peer = bridge->list[i];
        const struct session *session = &peer->session;
        uint32_t found = 0;
        size_t bytes = 0;
        for (const struct connection *c = bridge->connections; c; c = c->next)
            found += c->id == peer->connection && c->peer == peer && c->ready == peer->joined;
        REQUIRE(found == (peer->connection != 0));
        REQUIRE(session->acked <= session->sent && session->sent - session->acked <= session->capacity);
        REQUIRE(session->told <= session->received && (peer->open || !session->sent));
        REQUIRE(!peer->joined || (peer->connection && session->mine && session->yours)); // both know it
        for (uint64_t number = session->acked + 1; number <= session->sent; number++)
            bytes += session_kept(session, number)->plain;
        REQUIRE(bytes == session->bytes && session->after <= session->before);
        check_out(peer);
    }
}

/* ---- steps ---- */

/* A hello, or a word of the session: a new one, the one that there is, or nearly so. */
static void say_hello(struct lone *lone, uint64_t connection, uint8_t how)
{
    const struct peer *peer = peer_seen(lone->bridge, FIRST_NODE + (how & 1));
    struct hello hello = lone_hello(FIRST_NODE + (how & 1));
    struct join join = {.mine = 5};
    hello.reads = how & 1 ? 0 : READS_ALL;
    if (how & 2 && peer) // it goes on where it was
        join = (struct join){5, peer->session.mine, peer->session.sent};
    if (how & 8)
        join.mine += how >> 5;
    else if (how & 16)
        join.received -= how >> 5;
    else
        join.yours += how >> 5;
    if (!(how & 4))
        lone_receive_hello(lone, connection, &hello);
    lone_receive_join(lone, connection, &join);
}

/* As zstd has it if nothing is gained: so what is changed in an input is changed in the items. */
static bool frame_pack(msgpack_sbuffer *frame, uint64_t number, uint64_t acked, const uint8_t *items, size_t size)
{
    char packed[9 + UINT8_MAX] = "\x28\xb5\x2f\xfd\x20";
    packed[5] = (char)size;
    packed[6] = (char)(size << 3 | 1); // the last block
    packed[7] = (char)(size >> 5);
    memcpy(packed + 9, items, size);
    return packed_write(frame, number, acked, size, packed, 9 + size);
}

/* The next frame of data, if there is a session; else any. */
static void say_data(struct lone *lone, uint64_t connection, bool packed, const uint8_t *items, size_t size)
{
    const struct connection *c = lone->bridge->connections;
    while (c && c->id != connection)
        c = c->next;
    uint64_t number = c && c->peer ? c->peer->session.received + 1 : 1,
             acked = c && c->peer ? c->peer->session.sent : 0;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    REQUIRE(packed ? frame_pack(&frame, number, acked, items, size)
                   : data_write(&frame, number, acked, (const char *)items, size));
    lone_receive(lone, connection, frame.data, frame.size);
    msgpack_sbuffer_destroy(&frame);
}

static void step(struct lone *lone, soma_ref here, struct script *script)
{
    static const uint64_t times[] = {SOMA_MS, 60 * SOMA_MS, 1100 * SOMA_MS, 6 * SOMA_SECOND, 11 * SOMA_SECOND};
    uint8_t what = next_byte(script);
    size_t size = 0;
    uint64_t connection = what & 8 ? ACCEPTED + (what >> 4) % CONNECTIONS : lone->dials - (what >> 4) % CONNECTIONS;
    const uint8_t *block = script->at;
    msgpack_sbuffer frame;
    switch ((enum step)(what & 7)) {
    case STEP_RAW:
        block = next_block(script, &size);
        lone_receive(lone, connection, block, size);
        break;
    case STEP_HELLO:
        say_hello(lone, connection, next_byte(script));
        break;
    case STEP_DATA:
        block = next_block(script, &size);
        say_data(lone, connection, what & 64, block, size);
        break;
    case STEP_TIME:
        lone_pass(lone, times[next_byte(script) % 5]);
        break;
    case STEP_ACT:
        act(lone, here, next_byte(script));
        lone_pass(lone, 0);
        break;
    case STEP_BROKEN:
        bridge_broken(lone->bridge, connection);
        lone_settle(lone);
        break;
    case STEP_CONNECTED:
        bridge_connected(lone->bridge, connection);
        break;
    case STEP_PING:
        msgpack_sbuffer_init(&frame);
        what = next_byte(script);
        REQUIRE(ping_write(&frame, what, what >> 6));
        lone_receive(lone, connection, frame.data, frame.size);
        msgpack_sbuffer_destroy(&frame);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const connect[] = {"tcp://127.0.0.1:1", "tcp://127.0.0.1:2", NULL};
    const soma_bridge_options options = {.name = "here", .connect = connect, .compress_least = size & 1 ? 64 : 0};
    static struct lone lone;
    struct script script = {data, data + size};
    soma_ref here;
    lone_open(&lone, &options);
    lone.dials = CONNECTIONS; // no connection is 0
    REQUIRE(!soma_spawn(lone.system, &target, NULL, &here));
    lone_pass(&lone, 0);
    for (uint32_t i = 0; i < 200 && script.at < script.end; i++) {
        step(&lone, here, &script);
        check(&lone);
    }
    lone_close(&lone);
    soma_body_close(&shared);
    return 0;
}
