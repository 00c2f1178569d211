/*
 * Any bytes, in any pieces, by a connection of a node without keys, over a socket. What becomes of them is what the
 * bytes say, wherever they were cut; and no more is kept than what has come. The bridge is the target.
 *
 * An input is steps that say what the other side says; so few bytes make long frames.
 */
#include "bridges/zmtp_parts.h"
#include "test/bridges/lone_node.h"
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __wrap_bridge_received(struct soma_bridge *bridge, uint64_t id, const void *frame, size_t size);
void __wrap_bridge_connected(struct soma_bridge *bridge, uint64_t id);
void __wrap_bridge_broken(struct soma_bridge *bridge, uint64_t id);
void __wrap_bridge_turned_away(struct soma_bridge *bridge, uint64_t id, const char *why, bool guess);

#define BYTES_MOST ((size_t)320 << 10) /* of what is said in all */
#define MESSAGE_MOST (1u << 18)
#define STRANGER_ENDS 0xfe /* a message that begins so has the bridge hang up */

static unsigned char filling[BYTES_MOST + 256]; /* of frames */
static struct lone lone;
static struct zmtp_wire *wire;

/* ---- what is said ---- */

struct script {
    bool called;  /* the other side has made the connection */
    bool says;    /* its first message is a hello */
    bool flushes; /* each piece is a byte, unless it is much */
    uint64_t seed;
    unsigned char *bytes; /* BYTES_MOST */
    size_t size;
};

static void script_add(struct script *script, const void *bytes, size_t size)
{
    if (size > BYTES_MOST - script->size)
        return;
    memcpy(script->bytes + script->size, bytes, size);
    script->size += size;
}

static void script_frame(struct script *script, unsigned flags, size_t size, unsigned char fill)
{
    unsigned char head[ZMTP_HEAD_MOST];
    size_t head_size = zmtp_head(head, size);
    head[0] |= (unsigned char)flags;
    if (flags & 2 && head_size == 2) { // a long head of one that is short
        memcpy(head, (const unsigned char[]){(unsigned char)flags, 0, 0, 0, 0, 0, 0, 0, (unsigned char)size}, 9);
        head_size = 9;
    }
    if (head_size + size > BYTES_MOST - script->size)
        return;
    script_add(script, head, head_size);
    script_add(script, filling + fill, size);
}

static void script_greet(struct script *script)
{
    unsigned char greeting[ZMTP_GREETING], ready[ZMTP_READY_MOST];
    zmtp_greet(greeting);
    script_add(script, greeting, sizeof(greeting));
    script_add(script, ready, zmtp_ready(ready, !script->called));
}

static void script_read(struct script *script, const uint8_t *data, size_t size)
{
    static const uint32_t sizes[16] = {0,    1,    200,   255,   256,   4086,   4087,   4095,
                                       4096, 8193, 65527, 65536, 70000, 131073, 262144, 300000};
    const uint8_t *end = data + size;
    const unsigned flags = *data++;
    script->called = flags & 1;
    script->says = flags & 2;
    script->flushes = flags & 8;
    script->seed = flags >> 4;
    if (flags & 4)
        script_greet(script);
    while (data < end) {
        const unsigned step = *data++, argument = step >> 2;
        const size_t left = (size_t)(end - data), raw = argument + 1 < left ? argument + 1 : left;
        const unsigned char ping[7 + 64] = "\4PING";
        unsigned char head[ZMTP_HEAD_MOST];
        script->seed = script->seed * 31 + step;
        switch (step & 3) {
        case 0:
            script_add(script, data, raw);
            data += raw;
            break;
        case 1:
            script_frame(script, argument & 16 ? 2 : 0, sizes[argument & 15], left ? *data++ : 0);
            break;
        case 2:
            zmtp_head(head, 7 + (argument & 31));
            head[0] = 4;
            script_add(script, head, 2);
            script_add(script, ping, 7 + (argument & 31));
            break;
        default:
            for (int i = 0; i < (argument == 63 ? 300 : 1); i++) // more than are read before others have their turn
                script_frame(script, argument == 63 ? 0 : 2, argument & 31, left ? *data : 0);
            data += left > 0;
        }
    }
}

/* ---- what becomes of it ---- */

struct outcome {
    uint64_t hash; /* of all messages */
    uint32_t messages;
    uint32_t answers; /* bytes */
    uint32_t met;     /* times that the bridge was told of a connection that was made here */
    bool over;        /* nothing is heard any more */
    bool said;
    size_t said_by; /* foreseen: bytes that have come by then */
    uint32_t least; /* likewise: bytes that are answered wherever it is cut; of pings read at once one is answered */
};

/* A message; of no bytes: one that makes no sense. */
static void outcome_message(const struct script *script, struct outcome *outcome, const unsigned char *bytes,
                            size_t size)
{
    REQUIRE(!outcome->over);
    outcome->messages++;
    outcome->hash = (outcome->hash * 31 + size) * 31 + checksum_more(0, bytes, size);
    outcome->over = !size || bytes[0] == STRANGER_ENDS;
    outcome->said |= script->says && !outcome->over;
}

/* What should become of it, by all of the bytes at once. */
static struct outcome foresee(const struct script *script)
{
    const size_t all = MESSAGE_MOST + (1u << 20);
    const unsigned char *at = script->bytes, *end = at + script->size;
    struct outcome outcome = {.hash = 1};
    enum zmtp_greeted greeted = zmtp_greeting_read(at, script->size);
    outcome.answers = greeted == ZMTP_WAITS || greeted == ZMTP_WRONG ? ZMTP_GREETING_FIRST : ZMTP_GREETING;
    outcome.least = outcome.answers; // 11, up to a whole one: its version may be what is wrong
    if (greeted == ZMTP_WRONG)
        outcome.answers = ZMTP_GREETING;
    if (greeted != ZMTP_GREETED)
        return outcome;
    unsigned char answer[ZMTP_READY_MOST];
    struct zmtp_frame frame;
    const uint32_t said = outcome.least += (uint32_t)zmtp_ready(answer, script->called);
    outcome.answers = said;
    at += ZMTP_GREETING;
    for (bool met = false; !outcome.over; at += frame.whole) {
        const size_t most = script->called && !outcome.said ? UNSAID_MOST : all;
        int whole = zmtp_frame_read(at, (size_t)(end - at), most, &frame);
        if (!whole)
            break;
        if (!met) {
            met = whole > 0 && frame.command && zmtp_ready_read(&frame, script->called);
            outcome.over = !met;
            outcome.met = met && !script->called;
        } else if (whole > 0 && frame.command) {
            outcome.answers += (uint32_t)zmtp_answer(&frame, answer);
            outcome.least = outcome.least == said ? outcome.answers : outcome.least;
        } else {
            outcome_message(script, &outcome, frame.body, whole < 0 || frame.more ? 0 : frame.size);
            if (outcome.said && !outcome.said_by)
                outcome.said_by = (size_t)(at - script->bytes) + frame.whole;
        }
    }
    return outcome;
}

/* ---- in place of the bridge ---- */

static const struct script *played;
static struct outcome *told;

void __wrap_bridge_received(struct soma_bridge *bridge, uint64_t id, const void *frame, size_t size)
{
    REQUIRE(stream_find(wire, id) && !stream_find(wire, id)->gone);
    const bool before = told->said;
    outcome_message(played, told, frame, size);
    if (told->over)
        bridge->wire.hang_up(bridge->wire.context, id);
    else if (told->said && !before)
        bridge->wire.greeted(bridge->wire.context, id);
}

void __wrap_bridge_connected(struct soma_bridge *bridge, uint64_t id)
{
    (void)bridge, (void)id;
    REQUIRE(!played->called && !told->over && !told->messages);
    told->met++;
}

void __wrap_bridge_broken(struct soma_bridge *bridge, uint64_t id)
{
    (void)bridge, (void)id;
    told->over = true;
}

void __wrap_bridge_turned_away(struct soma_bridge *bridge, uint64_t id, const char *why, bool guess)
{
    (void)bridge, (void)id, (void)guess;
    REQUIRE(!played->called && why && !told->met);
    told->over = true;
}

/* ---- the connection ---- */

static struct stream *stream_begin(int socket)
{
    struct stream *stream = stream_new(wire, socket, STREAM_GREETS);
    REQUIRE(stream);
    stream->called = played->called;
    wire->waiting += stream->called;
    REQUIRE(post_watch_handle(&wire->keeper.post, socket, stream->id, false));
    stream_greet(wire, stream);
    return stream;
}

/* The keeper's round. The stream, if it is still there. */
static struct stream *stream_turn(uint64_t id, bool ended)
{
    struct keeper *keeper = &wire->keeper;
    const uint64_t key = id | (ended ? POST_ENDED : 0);
    keeper->ways->note(keeper, &key, 1);
    while (keeper->looks)
        keeper->ways->look(keeper, true);
    keeper->ways->tell(keeper);
    keeper->ways->watch(keeper);
    return stream_find(wire, id);
}

/* What it keeps is bounded by what has come. */
static void stream_check(const struct stream *stream, size_t come)
{
    const size_t least = 64 * 1024;
    REQUIRE(stream->kept_size <= stream->kept_room && stream->kept_size <= come);
    REQUIRE(stream->kept_room <= (2 * come > least ? 2 * come : least));
    REQUIRE(!stream->kept_whole || stream->kept_whole <= MESSAGE_MOST + (1u << 20) + ZMTP_HEAD_MOST);
    REQUIRE(!stream->called || stream->said || stream->kept_room <= UNSAID_MOST + ZMTP_HEAD_MOST);
    REQUIRE(stream->state <= STREAM_OPEN || told->over);
    REQUIRE(wire->waiting == (stream->called && !stream->said));
}

/* What the node has answered. False: it has ended the connection. */
static bool answers_take(int socket, struct outcome *outcome)
{
    unsigned char some[4096];
    ssize_t size;
    while ((size = recv(socket, some, sizeof(some), MSG_DONTWAIT)) > 0)
        outcome->answers += (uint32_t)size;
    return size < 0 && errno == EAGAIN;
}

static size_t piece_next(const struct script *script, uint64_t *seed)
{
    static const size_t most[4] = {1, 16, 5000, 100000};
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return script->flushes && script->size < 2000 ? 1 : (*seed >> 40) % most[*seed >> 33 & 3] + 1;
}

static struct outcome play(const struct script *script)
{
    struct outcome outcome = {.hash = 1};
    int ends[2];
    REQUIRE(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
    played = script;
    told = &outcome;
    struct stream *stream = stream_begin(ends[0]);
    const uint64_t id = stream->id;
    uint64_t seed = script->seed;
    bool goes_on = true;
    for (size_t at = 0; at < script->size && stream && goes_on;) {
        size_t piece = piece_next(script, &seed);
        piece = piece < script->size - at ? piece : script->size - at;
        ssize_t sent = send(ends[1], script->bytes + at, piece, MSG_NOSIGNAL);
        at += sent > 0 ? (size_t)sent : 0;
        stream = stream_turn(id, false);
        if (stream)
            stream_check(stream, at);
        goes_on = answers_take(ends[1], &outcome);
    }
    answers_take(ends[1], &outcome);
    shutdown(ends[1], SHUT_WR);
    stream = stream_turn(id, true);
    if (stream && stream->state == STREAM_RESTS) { // the bridge finds out when it sends
        stream_fail(wire, stream);
        stream = stream_turn(id, true);
    }
    REQUIRE(!stream && outcome.over && !wire->streams && !wire->waiting && !wire->look_count);
    close(ends[1]);
    return outcome;
}

/* ---- the node ---- */

static struct wire own; /* the lone node's */

static void node_close(void)
{
    lone.bridge->wire = own;
    keeper_free(&wire->keeper);
    lone_close(&lone);
}

static void node_open(void)
{
    static const soma_bridge_options options = {.name = "here", .message_most = MESSAGE_MOST};
    lone_open(&lone, &options);
    own = lone.bridge->wire;
    REQUIRE(!zmtp_wire_open(lone.bridge));
    wire = (struct zmtp_wire *)lone.bridge->keeper;
    lone.bridge->keeper = NULL; // it is ours
    REQUIRE(!atexit(node_close));
    for (size_t i = 0; i < sizeof(filling); i++)
        filling[i] = (unsigned char)(i + (i >> 8) * 37);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!wire)
        node_open();
    if (!size)
        return 0;
    static unsigned char room[BYTES_MOST];
    struct script script = {.bytes = room};
    script_read(&script, data, size);
    script.bytes = malloc(script.size ? script.size : 1); // of that size alone: every read behind the end is seen
    REQUIRE(script.bytes);
    memcpy(script.bytes, room, script.size);
    const struct outcome expected = foresee(&script), outcome = play(&script);
    // Strangers who say much are cut off once they have, and what has come by then is handled.
    if (!script.called || script.size <= UNSAID_MOST || (expected.said && expected.said_by <= UNSAID_MOST)) {
        REQUIRE(outcome.hash == expected.hash && outcome.messages == expected.messages);
        REQUIRE(outcome.said == expected.said && outcome.met == expected.met);
        REQUIRE(outcome.answers >= expected.least && outcome.answers <= expected.answers);
    }
    free(script.bytes);
    return 0;
}
