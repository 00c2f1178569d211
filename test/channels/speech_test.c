/*
 * How messages look over ipc and tcp: each serializer, and what becomes of what one side says in another way than the
 * other reads it.
 */
#include "player.h"
#include <soma/value.h>
#include <stdlib.h>

static const soma_handler *const notes = PLAYER_NOTES;

SOMA_MESSAGE(any, (value, content))
SOMA_MESSAGE(raw, (bytes, data))
SOMA_MESSAGE(mixed, (u32, number), (string, words), (array, f64, samples))

static int on_any(soma_agent *self, struct player *my, const struct any *m)
{
    char *json = NULL;
    (void)self;
    assert_int_equal(soma_value_to_json(m->content, &json), 0);
    player_log(my, "%s ", json);
    free(json);
    return 0;
}

static int on_raw(soma_agent *self, struct player *my, const struct raw *m)
{
    (void)self;
    player_log(my, "raw:%.*s ", (int)m->data.size, (const char *)m->data.data);
    return 0;
}

static int on_mixed(soma_agent *self, struct player *my, const struct mixed *m)
{
    (void)self;
    player_log(my, "%u%s%u ", m->number, m->words, m->samples.count);
    return 0;
}

/* One of the user's: a note as its number in decimal. */
static int decimal_pack(const soma_type *type, const void *message, void **data, size_t *size)
{
    char *text = malloc(16);
    if (type != &note_type || !text) {
        free(text);
        return SOMA_ETYPE;
    }
    *size = (size_t)snprintf(text, 16, "%u", ((const struct note *)message)->number);
    *data = text;
    return 0;
}

static int decimal_unpack(const soma_type *type, const void *data, size_t size, void *message)
{
    char text[16];
    if (type != &note_type)
        return SOMA_ETYPE;
    if (!size || size >= sizeof(text))
        return SOMA_EFORMAT;
    memcpy(text, data, size);
    text[size] = '\0';
    ((struct note *)message)->number = (uint32_t)strtoul(text, NULL, 10);
    return 0;
}

static int other_pack(const soma_type *type, const void *message, void **data, size_t *size)
{
    return decimal_pack(type, message, data, size);
}

static const soma_serializer decimal = {"decimal", decimal_pack, decimal_unpack};

/* ---- two sides ---- */

/* What each side speaks. */
struct speaks {
    const char *sends;
    const char *takes;
    const soma_handler *handlers;
};

static int pull_speaking(soma_agent *self, void *state, void *arg)
{
    const struct speaks *speaks = arg;
    soma_address at = player_at("speech", SOMA_PULL);
    char place[SOMA_ADDRESS_TEXT_SIZE];
    (void)state;
    assert_true(soma_address_print(&at, place, sizeof(place)) > 0);
    const soma_channel_options options = {.place = place, .serializer = speaks->takes, .handlers = speaks->handlers};
    assert_int_equal(soma_bind(self, SOMA_PULL, "in", &options, NULL), 0);
    return 0;
}

static int push_speaking(soma_agent *self, void *state, void *arg)
{
    const struct speaks *speaks = arg;
    soma_address at = player_at("speech", SOMA_PULL);
    const soma_channel_options options = {.serializer = speaks->sends};
    (void)state;
    assert_int_equal(soma_connect_with(self, &at, "out", &options), 0);
    return 0;
}

static int send_mixed(soma_agent *self, void *state, void *arg)
{
    static const double samples[] = {0.5, 2};
    (void)state, (void)arg;
    return soma_send_to(self, "out", mixed, .number = 7, .words = "x", .samples = {samples, 2});
}

static int send_note(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", note, .number = 12);
}

static int send_raw(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "out", raw, .data = {"abc", 3});
}

static int send_not(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    assert_int_equal(soma_send_to(self, "out", mixed, .number = 7), SOMA_ETYPE); // it has no such form
    return 0;
}

static void speak(soma_test *test, const struct speaks *speaks, player_fn *send, const char *expected)
{
    soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &player_quiet);
    struct speaks *given = soma_test_alloc(test, sizeof(*given));
    *given = *speaks;
    player_do(test, takes, pull_speaking, given);
    player_do(test, sends, push_speaking, given);
    player_peers(test, sends, "out", 1);
    player_do(test, sends, send, NULL);
    player_expect(test, takes, expected);
    assert_int_equal(soma_kill(soma_test_system(test), takes), 0);
    assert_int_equal(soma_kill(soma_test_system(test), sends), 0);
    soma_test_settle(test);
}

static const soma_handler *const mixeds = SOMA_HANDLERS(SOMA_ON(note, player_note), SOMA_ON(mixed, on_mixed));
static const soma_handler *const anys = SOMA_HANDLERS(SOMA_ON(any, on_any));
static const soma_handler *const raws = SOMA_HANDLERS(SOMA_ON(raw, on_raw));

static void test_serializers(soma_test *test)
{
    player_transport = SOMA_TCP;
    speak(test, &(struct speaks){.handlers = mixeds}, send_mixed, "7x2 "); // msgpack, by the names of the fields
    speak(test, &(struct speaks){"json", "json", mixeds}, send_mixed, "7x2 ");
    speak(test, &(struct speaks){"typed", "typed", mixeds}, send_mixed, "7x2 ");
    speak(test, &(struct speaks){.handlers = anys}, send_mixed,
          "{\"number\":7,\"words\":\"x\",\"samples\":[0.5,2.0]} ");
    speak(test, &(struct speaks){"json", "json", anys}, send_note, "{\"number\":12} ");
    speak(test, &(struct speaks){"json", "raw", raws}, send_note, "raw:{\"number\":12} ");
    speak(test, &(struct speaks){"raw", "raw", raws}, send_raw, "raw:abc ");
    speak(test, &(struct speaks){"raw", "raw", raws}, send_not, "");
    player_transport = SOMA_INPROC;
}

/* ---- one's own ---- */

static int register_wrongly(soma_agent *self, void *state, void *arg)
{
    static const char *const name = "a123456789b123456789c123456789d";
    soma_system *system = soma_agent_system(self);
    const soma_serializer *own = &decimal;
    (void)state, (void)arg;
    assert_int_equal(
        soma_bind(self, SOMA_PUSH, "out", &(soma_channel_options){.place = "ipc", .serializer = "decimal"}, NULL),
        SOMA_EINVAL); // nobody has registered it yet
    assert_int_equal(soma_serializer_register(NULL, own), SOMA_EINVAL);
    assert_int_equal(soma_serializer_register(system, NULL), SOMA_EINVAL);
    const soma_serializer wrong[] = {
        {NULL, own->pack, own->unpack}, {"", own->pack, own->unpack}, {"a", NULL, own->unpack}, {"a", own->pack, NULL}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        assert_int_equal(soma_serializer_register(system, &wrong[i]), SOMA_EINVAL);
    const soma_serializer json = {"json", own->pack, own->unpack}, most = {name, own->pack, own->unpack},
                          more = {"a123456789b123456789c123456789d1", own->pack, own->unpack};
    assert_int_equal(strlen(name), SOMA_SERIALIZER_NAME_MOST);
    assert_int_equal(soma_serializer_register(system, &json), SOMA_EEXIST);
    assert_int_equal(soma_serializer_register(system, &most), 0);
    assert_int_equal(soma_channel_defaults(self, &(soma_channel_options){.serializer = name}), 0);
    assert_int_equal(soma_serializer_register(system, &more), SOMA_ETOOBIG);
    assert_int_equal(soma_serializer_register(system, own), 0);
    assert_int_equal(soma_serializer_register(system, &(const soma_serializer){"decimal", own->pack, own->unpack}), 0);
    assert_int_equal(soma_serializer_register(system, &(const soma_serializer){"decimal", other_pack, own->unpack}),
                     SOMA_EEXIST);
    return 0;
}

/* It is said by its name, wherever one is: among the options, as a default, in the environment. */
static void test_own(soma_test *test)
{
    const soma_channel_options decimals = {.serializer = "decimal"};
    player_transport = SOMA_TCP;
    player_do(test, player_open(test, &player_quiet), register_wrongly, NULL);
    speak(test, &(struct speaks){"decimal", "decimal", notes}, send_note, "12 ");
    speak(test, &(struct speaks){"decimal", "raw", raws}, send_note, "raw:12 ");
    assert_int_equal(soma_system_channel_defaults(soma_test_system(test), &decimals), 0);
    speak(test, &(struct speaks){NULL, "raw", raws}, send_note, "raw:12 ");
    assert_int_equal(soma_system_channel_defaults(soma_test_system(test), NULL), 0);
    setenv("SOMA_CHANNEL_SERIALIZER", "decimal", 1);
    speak(test, &(struct speaks){NULL, "raw", raws}, send_note, "raw:12 ");
    unsetenv("SOMA_CHANNEL_SERIALIZER");
    player_transport = SOMA_INPROC;
}

/* ---- two that do not agree ---- */

/* What the two sides do not agree about is counted where it comes, and harms nothing that comes after it. */
static int look_counts(soma_agent *self, void *state, void *arg)
{
    (void)state;
    return soma_channel_count(self, "in", arg);
}

/* A note of another program: of the same name, with a number of another kind. */
static const soma_field other_fields[] = {{.name = "number", .kind = SOMA_KIND_U64}};
static const soma_type other_note_type = {
    .name = "note", .size = sizeof(uint64_t), .field_count = 1, .fields = other_fields, .flat = true};

static int send_other_note(soma_agent *self, void *state, void *arg)
{
    static const uint64_t number = 12;
    (void)state, (void)arg;
    return soma_channel_send(self, "out", NULL, &other_note_type, &number);
}

/* What one sends makes no sense to the other, or is missed; what is sent then by one who speaks as that one does comes.
 */
static void mismatch(soma_test *test, const struct speaks *differ, player_fn *send, const struct speaks *agree,
                     uint64_t missed)
{
    soma_ref takes = player_open(test, &player_quiet), sends = player_open(test, &player_quiet),
             good = player_open(test, &player_quiet);
    soma_channel_counts *counts = soma_test_alloc(test, sizeof(*counts));
    uint32_t looks = 0;
    player_move();
    player_do(test, takes, pull_speaking, differ);
    player_do(test, sends, push_speaking, differ);
    player_peers(test, sends, "out", 1);
    player_do(test, sends, send, NULL);
    do
        player_do(test, takes, look_counts, counts);
    while (!counts->malformed && !counts->missed && player_wait(&looks));
    assert_int_equal(counts->missed, missed);
    assert_int_equal(counts->malformed, 1 - missed);
    player_do(test, good, push_speaking, agree);
    player_peers(test, good, "out", 1);
    player_do(test, good, send_note, NULL);
    player_expect(test, takes, "12 ");
}

static void test_mismatch(soma_test *test)
{
    const struct speaks json = {"json", "msgpack", notes}, msgpack = {"msgpack", "msgpack", notes},
                        typed = {"typed", "typed", notes};
    mismatch(test, &json, send_note, &msgpack, 0);
    mismatch(test, &typed, send_other_note, &typed, 0);
}

/* ---- one that has no memory ---- */

static atomic_bool short_of_memory;

static int short_unpack(const soma_type *type, const void *data, size_t size, void *message)
{
    return atomic_exchange(&short_of_memory, false) ? SOMA_ENOMEM : decimal_unpack(type, data, size, message);
}

/* What can't be read for want of memory is missed: it is not malformed, and no other handler's type is tried. */
static void test_short(soma_test *test)
{
    const soma_serializer shortly = {"short", decimal_pack, short_unpack};
    const struct speaks speaks = {"short", "short", mixeds};
    assert_int_equal(soma_serializer_register(soma_test_system(test), &shortly), 0);
    atomic_store(&short_of_memory, true);
    mismatch(test, &speaks, send_note, &speaks, 1);
}

PLAYER_WIRES(test_mismatch)
PLAYER_WIRES(test_short)

int main(void)
{
    const struct CMUnitTest tests[] = {SOMA_REAL(test_serializers), SOMA_REAL(test_own),
                                       PLAYER_OVER_WIRES(test_mismatch), PLAYER_OVER_WIRES(test_short)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
