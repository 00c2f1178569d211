/*
 * A plain ZeroMQ program as the other side of channels: here in Python, examples/python/plain_peer.py, whose argument
 * is the two addresses that this prints. What is asked and told is JSON. It ends with its input. docs/channels.md
 */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(sum_of, (array, i64, numbers))
SOMA_MESSAGE(sum, (i64, sum))

/* Answers who has asked, and tells all who care. */
static int on_sum_of(soma_agent *self, void *state, const struct sum_of *m)
{
    int64_t all = 0;
    (void)state;
    for (uint32_t i = 0; i < m->numbers.count; i++)
        all += m->numbers.items[i];
    int error = soma_reply(self, sum, .sum = all);
    return error ? error : soma_publish(self, "sums", all % 2 ? "odd" : "even", sum, .sum = all);
}

static int adder_ready(soma_agent *self, void *state)
{
    const soma_channel_options asked = {
        .place = "tcp", .serializer = "json", .handlers = SOMA_HANDLERS(SOMA_ON(sum_of, on_sum_of))};
    const soma_channel_options tells = {.place = "tcp", .serializer = "json"};
    soma_address desk, sums;
    (void)state;
    int error = soma_bind(self, SOMA_REP, "desk", &asked, &desk);
    error = error ? error : soma_bind(self, SOMA_PUB, "sums", &tells, &sums);
    if (!error) {
        printf("tcp://%s:%u tcp://%s:%u\n", desk.host, desk.port, sums.host, sums.port);
        fflush(stdout);
    }
    return error;
}

static const soma_behavior adder = {.name = "adder", .ready = adder_ready};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    error = error ? error : soma_spawn(system, &adder, NULL, NULL);
    while (!error && getchar() != EOF)
        ;
    return soma_system_close(&system) || error;
}
