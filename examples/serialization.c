/*
 * Explicit serialization: how messages look to others is said in the environment, for an agent, or for one channel,
 * and the nearest counts. Whoever reads raw bytes sees what was sent. docs/channels.md
 */
#include <ctype.h>
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>

SOMA_MESSAGE(reading, (string, place), (i32, celsius))
SOMA_MESSAGE(remark, (string, text)) /* raw bytes are of messages with one text, or with bytes */
SOMA_MESSAGE(frame, (bytes, data))

/* What a sender's agent says, and its channel. */
struct sender {
    const char *name, *agent, *channel;
};

static const struct sender senders[] = {
    {"environment", NULL, NULL}, {"agent", "raw", NULL}, {"channel", "raw", "msgpack"}};

#define SENDERS 3u

static soma_address there;

static int on_frame(soma_agent *self, uint32_t *count, const struct frame *m)
{
    const unsigned char *bytes = m->data.data;
    for (uint32_t i = 0; i < m->data.size; i++)
        printf(isprint(bytes[i]) ? "%c" : "\\x%02x", bytes[i]);
    printf("\n");
    if (++*count == SENDERS)
        soma_system_stop(soma_agent_system(self));
    return 0;
}

static int reader_init(soma_agent *self, void *state, const void *arg)
{
    const soma_channel_options options = {
        .place = "ipc", .serializer = "raw", .handlers = SOMA_HANDLERS(SOMA_ON(frame, on_frame))};
    (void)state, (void)arg;
    return soma_bind(self, SOMA_PULL, "in", &options, &there);
}

static int sender_init(soma_agent *self, void *state, const void *arg)
{
    struct sender *my = state;
    *my = *(const struct sender *)arg;
    int error = my->agent ? soma_channel_defaults(self, &(soma_channel_options){.serializer = my->agent}) : 0;
    return error ? error : soma_connect_with(self, &there, "out", &(soma_channel_options){.serializer = my->channel});
}

static int on_changed(soma_agent *self, struct sender *my, const struct soma_channel_changed *m)
{
    int error = m->peers ? soma_send_to(self, "out", reading, .place = my->name, .celsius = 21) : 0;
    if (error == SOMA_ETYPE) // the sender knows at once
        error = soma_send_to(self, "out", remark, .text = "agent: a reading can't be raw, but this can");
    return error;
}

static const soma_behavior reader = {.name = "reader", .state_size = sizeof(uint32_t), .init = reader_init};
static const soma_behavior sender = {.name = "sender",
                                     .state_size = sizeof(struct sender),
                                     .init = sender_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    setenv("SOMA_CHANNEL_SERIALIZER", "json", 1); // as a rule who starts the program does that
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &reader, NULL, NULL);
    for (uint32_t i = 0; i < SENDERS && !error; i++)
        error = soma_spawn(system, &sender, &senders[i], NULL);
    if (!error)
        error = soma_system_run(system);
    return soma_system_close(&system) || error;
}
