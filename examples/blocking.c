/* Blocking work: an agent with a thread of its own reads a file while the others go on. docs/blocking.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(count_lines, (string, path))
SOMA_MESSAGE(lines, (u64, count))

/* It may block, as it holds up nobody: `blocking` gives it a thread. Everything else is as for any agent. */
static int on_count_lines(soma_agent *self, void *my, const struct count_lines *m)
{
    (void)my;
    FILE *file = fopen(m->path, "r");
    if (!file)
        return soma_reply_error(self, SOMA_ENOENT);
    uint64_t count = 0;
    for (int c; (c = getc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return soma_reply(self, lines, .count = count);
}

static const soma_behavior reader = {
    .name = "reader", .blocking = true, .handlers = SOMA_HANDLERS(SOMA_ON(count_lines, on_count_lines))};

SOMA_MESSAGE(tick)

struct watcher {
    soma_ref reader;
    const char *path;
    uint32_t ticks; /* it goes on while the reader reads */
};

static int on_lines(soma_agent *self, struct watcher *my, const struct lines *m)
{
    printf("%s has %llu lines\n", my->path, (unsigned long long)m->count);
    return soma_system_stop(soma_agent_system(self));
}

static int on_error(soma_agent *self, struct watcher *my, const int *error)
{
    fprintf(stderr, "%s: %s\n", my->path, soma_strerror(*error));
    return soma_system_stop(soma_agent_system(self));
}

static int watcher_init(soma_agent *self, void *state, const void *arg)
{
    struct watcher *my = state;
    my->path = arg;
    int error = soma_spawn(self, &reader, NULL, &my->reader);
    if (error)
        return error;
    soma_handle beat = soma_each(self, SOMA_MS, tick);
    soma_handle request = soma_request(self, my->reader, 10 * SOMA_SECOND, SOMA_THEN(lines, on_lines, on_error),
                                       count_lines, .path = my->path);
    return beat < 0 ? (int)beat : request < 0 ? (int)request : 0;
}

static int on_tick(soma_agent *self, struct watcher *my, const struct tick *m)
{
    (void)self, (void)m;
    my->ticks++;
    return 0;
}

static const soma_behavior watcher = {.name = "watcher",
                                      .state_size = sizeof(struct watcher),
                                      .init = watcher_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(tick, on_tick))};

int main(int argc, char **argv)
{
    soma_system *system;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &watcher, argc > 1 ? argv[1] : "/etc/services", NULL))
        return 1;
    return soma_system_run(system) || soma_system_close(&system);
}
