/* REQ and REP: one question at a time, ten of them, each asked when the one before is answered. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>
SOMA_MESSAGE(question, (u32, number))
SOMA_MESSAGE(square, (u32, value))

/* ---- who answers ---- */

static int on_question(soma_agent *self, void *my, const struct question *m)
{
    (void)my;
    return soma_reply(self, square, .value = m->number * m->number);
}

static int replier_init(soma_agent *self, void *my, const void *arg)
{
    const soma_channel_options options = {.handlers = SOMA_HANDLERS(SOMA_ON(question, on_question))};
    (void)my;
    return soma_bind(self, SOMA_REP, "main", &options, *(soma_address *const *)arg); /* at a place of its own */
}

static const soma_behavior replier = {.name = "replier", .init = replier_init};

/* ---- who asks ---- */

struct asker {
    uint32_t asked;
};

static int ask(soma_agent *self, struct asker *my);
static int on_square(soma_agent *self, struct asker *my, const struct square *m)
{
    printf("%u squared is %u\n", my->asked, m->value);
    return my->asked < 10 ? ask(self, my) : soma_system_stop(soma_agent_system(self));
}

static int on_failed(soma_agent *self, struct asker *my, const int *error)
{
    (void)my;
    soma_system_stop(soma_agent_system(self));
    return *error;
}

static int ask(soma_agent *self, struct asker *my)
{
    soma_handle handle = soma_request_to(self, "main", SOMA_SECOND, SOMA_THEN(square, on_square, on_failed), question,
                                         .number = ++my->asked);
    return handle < 0 ? (int)handle : 0;
}

/* Over ipc and tcp it takes a moment until there is somebody to ask. */
static int on_changed(soma_agent *self, struct asker *my, const struct soma_channel_changed *m)
{
    return m->peers ? ask(self, my) : 0;
}

static int asker_init(soma_agent *self, void *my, const void *arg)
{
    return (void)my, soma_connect(self, arg, "main", NULL);
}

static const soma_behavior asker = {.name = "asker",
                                    .state_size = sizeof(struct asker),
                                    .init = asker_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    soma_address address, *given = &address;
    char text[SOMA_ADDRESS_TEXT_SIZE];
    if (soma_system_open(&system, NULL) || soma_spawn(system, &replier, &given, NULL))
        return 1;
    soma_address_print(&address, text, sizeof(text)); /* it is bound when soma_spawn() returns */
    printf("bound at %s\n", text);
    int error = soma_spawn(system, &asker, &address, NULL) || soma_system_run(system);
    return soma_system_close(&system) || error;
}
