/*
 * An agent with one channel, whose other side is a program that is not of Soma: test/channels/zmq_peers.py. Says what
 * it gets; sends, or asks, once for each line on standard input, and says what came of it; ends with its input.
 *
 *     zmq_peer PATTERN bind|connect PLACE SERIALIZER FRAMING IDENTITY [SECRET PUBLIC]
 *
 * An identity of no letters is none. The keys are its own, and the other side's.
 */
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SOMA_MESSAGE(item, (u32, number), (string, text))
SOMA_MESSAGE(lump, (bytes, data))

static struct {
    soma_pattern pattern;
    bool binds;
    bool raw;
    soma_channel_options options;
    soma_channel_keys keys;
    const char *place;
} given;

/* ---- what comes ---- */

static bool answers(void)
{
    return given.pattern == SOMA_REP || given.pattern == SOMA_ASYNC_REP || given.pattern == SOMA_SYNC_PUB;
}

static int on_item(soma_agent *self, void *state, const struct item *m)
{
    (void)state;
    printf("got '%s' %u %s\n", soma_topic(self), m->number, m->text);
    if (!answers())
        return 0;
    if (m->number == 99)
        return soma_reply_error(self, soma_fail(self, -77, "no 99"));
    return soma_reply(self, item, .number = m->number * 2, .text = "answer");
}

static int on_lump(soma_agent *self, void *state, const struct lump *m)
{
    (void)state;
    printf("got '%s' %.*s\n", soma_topic(self), (int)m->data.size, (const char *)m->data.data);
    return answers() ? soma_reply(self, lump, .data = m->data) : 0;
}

static int on_item_answer(soma_agent *self, void *state, const struct item *m)
{
    (void)self, (void)state;
    printf("answer %u %s\n", m->number, m->text);
    return 0;
}

static int on_lump_answer(soma_agent *self, void *state, const struct lump *m)
{
    (void)self, (void)state;
    printf("answer %.*s\n", (int)m->data.size, (const char *)m->data.data);
    return 0;
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    const char *text = soma_error_text(self);
    (void)state;
    printf("error %d %s\n", *error, text ? text : "");
    return 0;
}

static const soma_handler *const items = SOMA_HANDLERS(SOMA_ON(item, on_item));
static const soma_handler *const lumps = SOMA_HANDLERS(SOMA_ON(lump, on_lump));

/* ---- what goes ---- */

static int send_one(soma_agent *self, void *state, void *arg)
{
    static const char *const topics[] = {"a/1", "b/1", "a/2"};
    uint32_t *sent = state;
    bool publishes = given.pattern == SOMA_PUB || given.pattern == SOMA_SYNC_PUB;
    bool asks = given.pattern == SOMA_REQ || given.pattern == SOMA_ASYNC_REQ || given.pattern == SOMA_SYNC_SUB;
    char text[16];
    (void)arg;
    int length = snprintf(text, sizeof(text), "m%u", *sent);
    const struct item item = {.number = *sent, .text = text};
    const struct lump lump = {.data = {text, (uint32_t)length}};
    const soma_type *type = given.raw ? &lump_type : &item_type;
    const void *body = given.raw ? (const void *)&lump : (const void *)&item;
    const soma_then *then =
        given.raw ? SOMA_THEN(lump, on_lump_answer, on_error) : SOMA_THEN(item, on_item_answer, on_error);
    soma_handle result = asks ? soma_channel_request(self, "it", 10 * SOMA_SECOND, then, type, body)
                              : soma_channel_send(self, "it", publishes ? topics[*sent % 3] : NULL, type, body);
    if (publishes && !soma_channel_peers(self, "it"))
        result = SOMA_EAGAIN;
    *sent += result >= 0;
    printf(result < 0 ? "not sent %lld\n" : "sent\n", (long long)result);
    return 0;
}

static int channel_open(soma_agent *self, void *state, void *arg)
{
    char text[SOMA_ADDRESS_TEXT_SIZE];
    soma_address address;
    int error;
    (void)state, (void)arg;
    if (given.binds) {
        given.options.place = given.place;
        error = soma_bind(self, given.pattern, "it", &given.options, &address);
    } else if (!(error = soma_address_parse(given.place, &address))) {
        address.pattern = soma_pattern_twin(given.pattern);
        error = soma_connect_with(self, &address, "it", &given.options);
    }
    if (!error && (given.pattern == SOMA_SUB || given.pattern == SOMA_SYNC_SUB))
        error = soma_subscribe(self, "it", "a", given.raw ? lumps : items);
    address.pattern = SOMA_ANY_PATTERN;
    if (!error && soma_address_print(&address, text, sizeof(text)) > 0)
        puts(text);
    return error;
}

static const soma_behavior peer = {.name = "peer", .state_size = sizeof(uint32_t)};

int main(int argc, char **argv)
{
    soma_system *system;
    soma_ref ref;
    char line[64];
    if (argc != 7 && argc != 9)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    given.pattern = soma_pattern_find(argv[1]);
    given.binds = !strcmp(argv[2], "bind");
    given.place = argv[3];
    given.raw = !strcmp(argv[4], "raw");
    given.options = (soma_channel_options){
        .serializer = argv[4], .framing = (soma_framing)atoi(argv[5]), .identity = *argv[6] ? argv[6] : NULL};
    if (argc == 9) {
        given.keys = (soma_channel_keys){.secret = argv[7], .server = argv[8], .allowed = argv[8]};
        given.options.keys = &given.keys;
    }
    if (given.pattern == SOMA_PULL || given.pattern == SOMA_PAIR || answers())
        given.options.handlers = given.raw ? lumps : items;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &peer, NULL, &ref) ||
        soma_post(system, ref, channel_open, NULL, NULL))
        return 1;
    while (fgets(line, sizeof(line), stdin))
        soma_post(system, ref, send_one, NULL, NULL);
    return soma_system_close(&system) != 0;
}
