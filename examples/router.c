/* Three supervised workers behind a router: who fails leaves the pool, and its next life joins again. docs/router.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(ask, (u32, n))
SOMA_MESSAGE(square, (u64, value), (ref, worker))

static int worker_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    soma_ref router;
    int error = soma_whereis(soma_agent_system(self), "router", &router);
    return error ? error : soma_send(self, router, soma_router_add, .member = soma_self(self));
}

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    if (m->n % 7 == 0)
        return soma_fail(self, SOMA_EFORMAT, "%u is unlucky", m->n);
    return soma_reply(self, square, .value = (uint64_t)m->n * m->n, .worker = soma_self(self));
}

static const soma_behavior worker = {
    .name = "worker", .init = worker_init, .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

static const soma_routing routing = {.strategy = SOMA_ROUND_ROBIN};
static const soma_child kind = {.behavior = &worker};
static const soma_supervision pool = {.strategy = SOMA_POOL, .children = &kind, .count = 3};

/* The router first: should it ever be restarted, the workers are, too, and join the new one. */
static const soma_child children[] = {
    {.name = "router", .behavior = &soma_router, .arg = &routing},
    {.name = "workers", .behavior = &soma_supervisor, .arg = &pool},
};
static const soma_supervision top = {.strategy = SOMA_REST_FOR_ONE, .children = children, .count = 2};

int main(void)
{
    soma_system *system;
    soma_ref root, router;
    struct square answer;
    struct soma_router_members members;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &soma_supervisor, &top, &root) ||
        soma_whereis(system, "router", &router))
        return 1;
    for (uint32_t n = 1; n <= 10; n++) {
        int error = soma_call(system, router, SOMA_SECOND, &answer, square, ask, .n = n);
        if (error)
            printf("%u: %s\n", n, soma_strerror(error));
        else
            printf("%u: %llu, says %u\n", n, (unsigned long long)answer.value, answer.worker.slot);
    }
    if (!soma_call(system, router, SOMA_SECOND, &members, soma_router_members, soma_router_list))
        printf("%u members\n", members.members.count);
    soma_router_members_destroy(&members);
    soma_shutdown(system, root);
    return soma_system_close(&system);
}
