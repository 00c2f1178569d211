/* A serializer of one's own: a reading is a line of comma-separated values to whoever gets it. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SOMA_MESSAGE(reading, (string, place), (i32, celsius))
SOMA_MESSAGE(line, (string, text))

static int csv_pack(const soma_type *type, const void *message, void **data, size_t *size)
{
    const struct reading *m = message;
    if (type != &reading_type)
        return SOMA_ETYPE; /* which the sender gets */
    *data = malloc(100);
    if (*data)
        *size = (size_t)snprintf(*data, 100, "%.63s,%d", m->place, m->celsius);
    return *data ? 0 : SOMA_ENOMEM;
}

/* Of bytes from anywhere. */
static int csv_unpack(const soma_type *type, const void *data, size_t size, void *message)
{
    struct reading *m = message;
    char text[100], place[64];
    snprintf(text, sizeof(text), "%.*s", (int)size, (const char *)data);
    if (type != &reading_type || sscanf(text, "%63[^,],%d", place, &m->celsius) != 2)
        return SOMA_EFORMAT;
    m->place = strdup(place); /* the channel ends the message */
    return m->place ? 0 : SOMA_ENOMEM;
}

static const soma_serializer csv = {"csv", csv_pack, csv_unpack};

/* ---- an agent with all the ends; its state is how many have come ---- */

static int on_reading(soma_agent *self, uint32_t *count, const struct reading *m)
{
    printf("read by the same: in the %s %d degrees\n", m->place, m->celsius);
    return ++*count == 2 ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int on_line(soma_agent *self, uint32_t *count, const struct line *m)
{
    printf("read as it is: %s\n", m->text);
    return ++*count == 2 ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int station_ready(soma_agent *self, void *state)
{
    const soma_channel_options sends = {.place = "ipc", .serializer = "csv"};
    const soma_channel_options same = {.serializer = "csv", .handlers = SOMA_HANDLERS(SOMA_ON(reading, on_reading))};
    const soma_channel_options raw = {.serializer = "raw", .handlers = SOMA_HANDLERS(SOMA_ON(line, on_line))};
    soma_address at;
    (void)state;
    int error = soma_bind(self, SOMA_PUB, "out", &sends, &at);
    error = error ? error : soma_connect_with(self, &at, "same", &same);
    return error ? error : soma_connect_with(self, &at, "raw", &raw);
}

static int on_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    return m->peers == 2 ? soma_send_to(self, "out", reading, .place = "cellar", .celsius = 12) : 0;
}

static const soma_behavior station = {.name = "station",
                                      .state_size = sizeof(uint32_t),
                                      .ready = station_ready,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    error = error ? error : soma_serializer_register(system, &csv); /* from now on it is known by its name */
    error = error ? error : soma_spawn(system, &station, NULL, NULL);
    error = error ? error : soma_system_run(system);
    return soma_system_close(&system) || error;
}
