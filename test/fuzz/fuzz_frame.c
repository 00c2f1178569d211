/*
 * Any bytes, taken for each kind of frame, and for the items of one. What is read must come back the same from what is
 * written of it; items are given to a living node, whose agents they are for.
 */
#include "bridges/item.h"
#include "runtime/send.h"
#include "test/bridges/lone_node.h"

SOMA_MESSAGE(note, (u64, number), (string, text))
SOMA_MESSAGE(pair, (u32, left), (u32, right))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HERE 7u
#define THERE 8u

/* ---- frames ---- */

static bool span_equal(const struct span *a, const struct span *b)
{
    return a->size == b->size && (!a->size || !memcmp(a->text, b->text, a->size));
}

static void try_hello(const struct hello *hello)
{
    msgpack_sbuffer buffer;
    enum frame_kind kind;
    uint32_t count;
    struct hello again;
    REQUIRE(hello->node && hello->address_count <= ADDRESSES_MAX && hello->name.size <= NODE_NAME_MAX);
    msgpack_sbuffer_init(&buffer);
    REQUIRE(hello_write(&buffer, hello));
    struct reader reader = {(unsigned char *)buffer.data, (unsigned char *)buffer.data + buffer.size};
    REQUIRE(!frame_open(&reader, &kind, &count) && kind == FRAME_HELLO && !hello_read(&reader, count, &again));
    REQUIRE(!reader_left(&reader) && again.node == hello->node && again.version == hello->version &&
            again.least == hello->least && soma_ref_equal(again.agent, hello->agent) &&
            again.beat_ms == hello->beat_ms && again.reads == hello->reads &&
            again.address_count == hello->address_count);
    REQUIRE(span_equal(&hello->name, &again.name));
    for (uint32_t i = 0; i < again.address_count; i++)
        REQUIRE(span_equal(&hello->addresses[i], &again.addresses[i]));
    msgpack_sbuffer_destroy(&buffer);
}

static struct compressor compressor;

/* What comes out of it is as many bytes as it says, and comes back from what is made of that, if that is fewer. */
static void try_packed(const struct reader *items, uint64_t plain)
{
    unsigned char *bytes;
    struct compress_luck luck = {0};
    size_t size;
    REQUIRE(plain && plain <= COMPRESS_MOST);
    if (decompress(&compressor, items->at, reader_left(items), plain, &bytes))
        return;
    const char *smaller = compress(&compressor, &luck, (const char *)bytes, plain, &size);
    char *kept = smaller ? malloc(size) : NULL;
    REQUIRE(!smaller || (kept && size < plain));
    if (kept)
        REQUIRE(!memcmp(compress_undo(&compressor, memcpy(kept, smaller, size), size, plain), bytes, plain));
    free(kept);
    free(bytes);
}

static void try_frame(const uint8_t *data, size_t size)
{
    struct reader reader = {data, data + size};
    enum frame_kind kind;
    uint32_t count;
    uint64_t number, acked, plain;
    int error;
    struct hello hello;
    struct join join;
    struct span text;
    if (frame_open(&reader, &kind, &count))
        return;
    switch (kind) {
    case FRAME_HELLO:
        if (!hello_read(&reader, count, &hello) && hello_speaks(&hello))
            try_hello(&hello);
        break;
    case FRAME_SESSION:
        join_read(&reader, count, &join);
        break;
    case FRAME_DATA:
        data_read(&reader, count, &number, &acked);
        break;
    case FRAME_PACKED:
        if (!packed_read(&reader, count, &number, &acked, &plain))
            try_packed(&reader, plain);
        break;
    case FRAME_PING:
        ping_read(&reader, count, &acked, &number);
        break;
    case FRAME_REJECT:
        if (!reject_read(&reader, count, &error, &text))
            REQUIRE(error < 0 && text.size <= REASON_MAX);
        break;
    case FRAME_BYE:
        break;
    }
    REQUIRE(reader.at <= reader.end);
}

/* ---- items ---- */

static void try_items(const uint8_t *data, size_t size)
{
    struct reader reader = {data, data + size};
    struct item item;
    while (reader_left(&reader) && !item_read(&reader, HERE, THERE, &item)) {
        REQUIRE(reader.at <= reader.end && item.kind >= ITEM_TYPE && item.kind <= ITEM_LAST);
        bool part = item.kind == ITEM_BODY || item.kind == ITEM_SHARED;
        REQUIRE(!part || (item.number && reader_left(&item.body)));
        REQUIRE(item.body.at <= item.body.end && item.address_count <= ADDRESSES_MAX);
        REQUIRE(item.type < TYPES_MAX && item.text.size <= REASON_MAX);
    }
}

static int on_note(soma_agent *self, void *state, const struct note *m)
{
    (void)state;
    if (m->number == 13) // asked for more
        return soma_link(self, soma_sender(self));
    if (m->number == 14)
        return soma_monitor(self, soma_sender(self)) < 0 ? SOMA_ENOMEM : 0;
    return m->text ? soma_send(soma_agent_system(self), soma_sender(self), note, .number = strlen(m->text)) : 0;
}

static int on_pair(soma_agent *self, void *state, const struct pair *m)
{
    (void)state;
    return soma_reply(self, pair, .left = m->right, .right = m->left);
}

static const soma_behavior target = {.name = "target",
                                     .handlers = SOMA_HANDLERS(SOMA_ON(note, on_note), SOMA_ON(pair, on_pair))};

static struct lone lone;
static soma_ref agents[2];

/* A node is kept from input to input, and replaced when it has lost an agent. */
static bool is_whole(void)
{
    for (uint32_t i = 0; lone.system && i < 2; i++) {
        bool plainly = false;
        if (!target_look(lone.system, agents[i], &plainly) || !plainly)
            return false;
    }
    return lone.system != NULL;
}

static void node_close(void)
{
    if (lone.system)
        lone_close(&lone);
    compressor_close(&compressor);
}

static void deliver(const uint8_t *data, size_t size)
{
    static const soma_bridge_options options = {.name = "here", .insecure = true, .compress_least = 1};
    if (!is_whole()) {
        node_close();
        lone_open(&lone, &options);
        for (uint32_t i = 0; i < 2; i++)
            REQUIRE(!soma_spawn(lone.system, &target, NULL, &agents[i]));
    }
    struct hello hello = lone_hello(THERE);
    hello.reads = size & 1 ? READS_ALL : 0;
    const struct join join = {.mine = 5};
    lone_receive_hello(&lone, 1, &hello);
    lone_receive_join(&lone, 1, &join);
    struct peer *peer = peers_find(&lone.bridge->peers, THERE);
    REQUIRE(peer && peer->connection == 1 && peer->joined);
    lone_receive_data(&lone, 1, 1, 0, data, size);
    lone_pass(&lone, SOMA_MS);
    peer_end(peer, SOMA_ENODEDOWN);
    lone_settle(&lone);
    while (lone.bridge->connections)
        connection_end(lone.bridge, lone.bridge->connections, true);
    REQUIRE(!lone.bridge->connections && !peer->debts.count);
    if (lone.bridge->peer_count > 64 || u32_load(&lone.system->slots.used) > 3000)
        lone_close(&lone);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool arranged;
    if (!arranged)
        REQUIRE(!atexit(node_close));
    arranged = true;
    try_frame(data, size);
    try_items(data, size);
    deliver(data, size);
    return 0;
}
