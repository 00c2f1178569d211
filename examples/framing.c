/* Framing: how topic and message share frames over ipc and tcp, for others who expect it in one way or the other. A
 * reader that takes all as raw bytes sees what they see. docs/channels.md */
#include <ctype.h>
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(result, (u32, home), (u32, away))
SOMA_MESSAGE(frame, (bytes, data))

/* Both of osBrain's, for JSON and for raw bytes. */
static const soma_channel_options ways[] = {
    {.place = "ipc", .serializer = "json", .framing = SOMA_FRAMES_SEPARATED},
    {.place = "ipc", .serializer = "json", .framing = SOMA_FRAMES_PREFIX},
};

#define WAYS 2u

static const char *const aliases[WAYS] = {"separated", "prefix"};

/* ---- an agent with all the ends; its state is how many have come ---- */

static int on_result(soma_agent *self, uint32_t *count, const struct result *m)
{
    printf("of '%s': %u to %u\n", soma_topic(self), m->home, m->away);
    return ++*count == 2 * WAYS ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int on_frame(soma_agent *self, uint32_t *count, const struct frame *m)
{
    const unsigned char *bytes = m->data.data;
    printf("in one frame: ");
    for (uint32_t i = 0; i < m->data.size; i++)
        printf(isprint(bytes[i]) ? "%c" : "<%02x>", bytes[i]);
    printf("\n");
    return ++*count == 2 * WAYS ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int press_ready(soma_agent *self, void *state)
{
    static const char *const readers[WAYS][2] = {{"reader0", "raw0"}, {"reader1", "raw1"}};
    const soma_channel_options raw = {
        .serializer = "raw", .framing = SOMA_FRAMES_PREFIX, .handlers = SOMA_HANDLERS(SOMA_ON(frame, on_frame))};
    int error = 0;
    (void)state;
    for (uint32_t i = 0; i < WAYS && !error; i++) {
        soma_channel_options same = {.serializer = "json", .framing = ways[i].framing};
        soma_address at;
        error = soma_bind(self, SOMA_PUB, aliases[i], &ways[i], &at);
        error = error ? error : soma_connect_with(self, &at, readers[i][0], &same);
        error = error ? error : soma_subscribe(self, readers[i][0], "sport", SOMA_HANDLERS(SOMA_ON(result, on_result)));
        error = error ? error : soma_connect_with(self, &at, readers[i][1], &raw);
    }
    return error;
}

/* As soon as both read it. */
static int on_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    return m->peers == 2 ? soma_publish(self, m->alias, "sport", result, .home = 2, .away = 1) : 0;
}

static const soma_behavior press = {.name = "press",
                                    .state_size = sizeof(uint32_t),
                                    .ready = press_ready,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    error = error ? error : soma_spawn(system, &press, NULL, NULL);
    error = error ? error : soma_system_run(system);
    return soma_system_close(&system) || error;
}
