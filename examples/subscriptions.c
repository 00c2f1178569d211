/* Subscriptions that change while messages flow: main adds one, gives another a new handler, and ends one.
 * docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE (5 * SOMA_SECOND)

static int text_print(soma_agent *self, const char *what, soma_value message)
{
    const char *text;
    uint32_t size;
    int error = soma_value_get_string(message, &text, &size);
    if (!error)
        printf("%s (%s): %.*s\n", what, soma_topic(self), (int)size, text);
    return error;
}

static int read_it(soma_agent *self, void *my, soma_value message, soma_value_builder *result)
{
    (void)my, (void)result;
    return text_print(self, "reads", message);
}

static int sing_it(soma_agent *self, void *my, soma_value message, soma_value_builder *result)
{
    (void)my, (void)result;
    return text_print(self, "sings", message);
}

static const soma_behavior listener = {
    .name = "listener",
    .base = &soma_channel_agent,
    .methods = SOMA_METHODS(SOMA_METHOD("read", read_it), SOMA_METHOD("sing", sing_it)),
};

static int publish(soma_proxy *press, soma_proxy *reader, const char *topic, const char *json)
{
    soma_value message;
    int error = soma_value_from_json(json, strlen(json), &message);
    error = error ? error : soma_proxy_publish(press, PATIENCE, "feed", topic, message);
    soma_value_destroy(&message);
    return error ? error : soma_proxy_ping(reader, PATIENCE); /* answered behind what came before */
}

static int run(soma_proxy *press, soma_proxy *reader)
{
    int error = soma_proxy_bind(press, PATIENCE, SOMA_PUB, "feed", "inproc://feed", NULL, NULL);
    error = error ? error : soma_proxy_connect(reader, PATIENCE, "inproc://feed pub", "paper", NULL);
    error = error ? error : soma_proxy_subscribe(reader, PATIENCE, "paper", "news", "read");
    error = error ? error : soma_proxy_wait_peers(press, PATIENCE, "feed", 1);
    error = error ? error : publish(press, reader, "news", "\"it rains\"");
    error = error ? error : publish(press, reader, "songs/rain", "\"nobody wants this yet\"");

    error = error ? error : soma_proxy_subscribe(reader, PATIENCE, "paper", "songs/", "read");
    error = error ? error : publish(press, reader, "songs/rain", "\"pitter patter\"");

    error = error ? error : soma_proxy_subscribe(reader, PATIENCE, "paper", "songs/", "sing"); /* in place of read */
    error = error ? error : publish(press, reader, "songs/rain", "\"pitter patter\"");

    error = error ? error : soma_proxy_unsubscribe(reader, PATIENCE, "paper", "news");
    error = error ? error : publish(press, reader, "news", "\"nobody wants this any more\"");
    return error ? error : publish(press, reader, "songs/sun", "\"la la la\"");
}

int main(void)
{
    soma_system *system;
    soma_proxy *press, *reader;
    soma_ref refs[2];
    if (soma_system_open(&system, NULL) || soma_spawn(system, &listener, NULL, &refs[0]) ||
        soma_spawn(system, &listener, NULL, &refs[1]) || soma_proxy_open_ref(system, refs[0], &press) ||
        soma_proxy_open_ref(system, refs[1], &reader))
        return 1;
    int error = run(press, reader);
    return soma_proxy_close(&press) || soma_proxy_close(&reader) || soma_system_close(&system) || error;
}
