/* Monitors: a keeper starts workers that fail, is told why each of them ended, and starts the next. docs/monitor.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(line, (string, text))
SOMA_MESSAGE(begin)

/* Adds up the numbers that it is sent; whatever else it is sent ends it. */
struct adder {
    long sum;
};

static int on_line(soma_agent *self, struct adder *my, const struct line *m)
{
    long number;
    if (sscanf(m->text, "%ld", &number) != 1)
        return soma_fail(self, SOMA_EFORMAT, "'%s' is no number, after %ld", m->text, my->sum);
    my->sum += number;
    return 0;
}

static const soma_behavior adder = {
    .name = "adder", .state_size = sizeof(struct adder), .handlers = SOMA_HANDLERS(SOMA_ON(line, on_line))};

struct keeper {
    uint32_t started;
};

static int on_begin(soma_agent *self, struct keeper *my, const struct begin *m)
{
    (void)m;
    static const char *const lines[] = {"1", "2", "three", "4"};
    soma_ref ref;
    soma_handle monitor = soma_spawn_monitor(self, &adder, NULL, &ref);
    for (uint32_t i = 0; i < 4; i++)
        soma_send(self, ref, line, .text = lines[i]);
    my->started++;
    return (int)monitor;
}

static int on_down(soma_agent *self, struct keeper *my, const struct soma_down *m)
{
    printf("adder %u has ended: %s (%s)\n", my->started, m->text ? m->text : "it said nothing",
           soma_strerror(m->reason));
    if (my->started < 3)
        return soma_send(self, soma_self(self), begin);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior keeper = {.name = "keeper",
                                     .state_size = sizeof(struct keeper),
                                     .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(soma_down, on_down))};

int main(void)
{
    soma_system *system;
    soma_ref ref;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &keeper, NULL, &ref))
        return 1;
    soma_send(system, ref, begin);
    soma_system_run(system);
    return soma_system_close(&system);
}
