/* Closing channels: one of them, then all. What was sent before still arrives, within the time that a channel lingers;
 * and who was at the other end keeps its own side until it closes that, too. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(line, (u32, number))

enum { LINES = 500 };
static soma_address news, work; /* by sockets, which is where lingering matters */

/* ---- who binds, sends, and closes ---- */

static int sender_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    int error = soma_channel_defaults(self, &(soma_channel_options){.place = "ipc", .linger_ms = 20000});
    error = error ? error : soma_bind(self, SOMA_PUB, "news", NULL, &news);
    return error ? error : soma_bind(self, SOMA_PUSH, "work", NULL, &work);
}

static int on_there(soma_agent *self, void *my, const struct soma_channel_changed *m)
{
    (void)my, (void)m;
    if (soma_channel_peers(self, "news") != 1 || soma_channel_peers(self, "work") != 1)
        return 0;
    int error = soma_channel_linger(self, "news", 0); /* whoever has not got it goes without */
    error = error ? error : soma_close_channel(self, "news");
    printf("sender: has no 'news': %s\n", soma_strerror(soma_send_to(self, "news", line, .number = 1)));
    for (uint32_t i = 1; i <= LINES && !error; i++)
        error = soma_send_to(self, "work", line, .number = i);
    error = error ? error : soma_close_channels(self); /* "work" lingers for as long as the agent's defaults say */
    printf("sender: has no 'work': %s\n", soma_strerror(soma_channel_peers(self, "work")));
    return error;
}

static const soma_behavior sender = {
    .name = "sender", .init = sender_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_there))};

/* ---- who connects, and counts what comes in its order ---- */

static int end_if_all(soma_agent *self, const uint32_t *my)
{
    int there = soma_channel_peers(self, "news") + soma_channel_peers(self, "work");
    if (*my != LINES || there)
        return 0;
    printf("reader: all %u lines came, and both channels are still mine, with %d at the other end\n", *my, there);
    return soma_close_channels(self) || soma_system_stop(soma_agent_system(self));
}

static int on_line(soma_agent *self, uint32_t *my, const struct line *m)
{
    *my += m->number == *my + 1;
    return end_if_all(self, my);
}

static int on_left(soma_agent *self, uint32_t *my, const struct soma_channel_changed *m)
{
    return m->peers ? 0 : end_if_all(self, my);
}

static int reader_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
    int error = soma_connect(self, &news, "news", SOMA_HANDLERS(SOMA_ON(line, on_line)));
    return error ? error : soma_connect(self, &work, "work", SOMA_HANDLERS(SOMA_ON(line, on_line)));
}

static const soma_behavior reader = {.name = "reader",
                                     .state_size = sizeof(uint32_t),
                                     .init = reader_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_left))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL) || soma_spawn(system, &sender, NULL, NULL) ||
                soma_spawn(system, &reader, NULL, NULL) || soma_system_run(system);
    return soma_system_close(&system) || error;
}
