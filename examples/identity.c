/* Identity: a plain ZeroMQ ROUTER, as any program may have one, knows by name who asks it, and answers by that name.
 * Here it is on the main thread, and an agent asks. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>
#include <zmq.h>

SOMA_MESSAGE(text, (string, text))

static soma_address router_at;

/* ---- an agent with two channels, whose aliases are their identities; its state is how many answers it has ---- */

static int on_answer(soma_agent *self, uint32_t *count, const struct text *m)
{
    printf("the answer: %s\n", m->text);
    return ++*count == 2 ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int on_error(soma_agent *self, uint32_t *count, const int *error)
{
    (void)self, (void)count;
    return *error;
}

static int asker_ready(soma_agent *self, void *state)
{
    const soma_channel_options alice = {.serializer = "raw", .identity = "Alice"};
    const soma_channel_options bob = {.serializer = "raw", .identity = "Bob"};
    (void)state;
    int error = soma_connect_with(self, &router_at, "Alice", &alice);
    return error ? error : soma_connect_with(self, &router_at, "Bob", &bob);
}

static int on_changed(soma_agent *self, uint32_t *count, const struct soma_channel_changed *m)
{
    const soma_then *then = SOMA_THEN(text, on_answer, on_error);
    soma_handle asked = m->peers ? soma_request_to(self, m->alias, SOMA_SECOND, then, text, .text = "who am I?") : 0;
    (void)count;
    return asked < 0 ? (int)asked : 0;
}

static const soma_behavior asker = {.name = "asker",
                                    .state_size = sizeof(uint32_t),
                                    .ready = asker_ready,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

/* ---- the router: who asks, 12 bytes that he knows the question by, an empty frame, the question ---- */

static void answer(void *router)
{
    char name[256] = "", question[12], text[512];
    int length = zmq_recv(router, name, sizeof(name) - 1, 0);
    zmq_recv(router, question, sizeof(question), 0);
    zmq_recv(router, text, 0, 0);
    zmq_recv(router, text, sizeof(text), 0);
    int size = snprintf(text, sizeof(text), "you are %s", name);
    zmq_send(router, name, (size_t)length, ZMQ_SNDMORE);
    zmq_send(router, question, sizeof(question), ZMQ_SNDMORE);
    zmq_send(router, "", 0, ZMQ_SNDMORE);
    zmq_send(router, text, (size_t)size, 0);
}

int main(void)
{
    char place[256];
    size_t size = sizeof(place);
    soma_system *system;
    void *context = zmq_ctx_new(), *router = zmq_socket(context, ZMQ_ROUTER);
    int error = zmq_bind(router, "tcp://127.0.0.1:*") || zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, place, &size) ||
                soma_address_parse(place, &router_at) || soma_system_open(&system, NULL);
    router_at.pattern = SOMA_REP;
    error = error || soma_spawn(system, &asker, NULL, NULL);
    for (int i = 0; i < 2 && !error; i++)
        answer(router);
    error = error || soma_system_run(system) || soma_system_close(&system);
    zmq_close(router);
    zmq_ctx_term(context);
    return error;
}
