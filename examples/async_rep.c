/* Asynchronous REP: questions are answered when the work is done, in whatever order, and the asker goes on meanwhile.
 * One is not answered for as long as the asker waits. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(cook, (u32, dish))
SOMA_MESSAGE(served, (u32, dish))

enum { STEW, SOUP, SALAD, PANS, ROAST = PANS };

static const char *const dishes[] = {"stew", "soup", "salad", "roast"};
static const soma_address kitchen = {.transport = SOMA_INPROC, .pattern = SOMA_ASYNC_REP, .host = "kitchen"};

/* ---- the kitchen: it begins when all pans are full, and the last one is done first ---- */

struct pans {
    soma_handle orders[PANS + 1];
    uint32_t full;
};

static int on_cook(soma_agent *self, struct pans *my, const struct cook *m)
{
    soma_handle promise = my->orders[m->dish] = soma_reply_later(self);
    int error = promise < 0 ? (int)promise : 0;
    if (m->dish != ROAST && ++my->full == PANS)
        for (uint32_t dish = PANS; dish-- && !error;)
            error = soma_reply_to(self, my->orders[dish], served, .dish = dish);
    return error;
}

static int chef_init(soma_agent *self, void *my, const void *arg)
{
    const soma_handler *handlers = SOMA_HANDLERS(SOMA_ON(cook, on_cook));
    const soma_channel_options options = {.place = "inproc://kitchen", .handlers = handlers};
    return (void)my, (void)arg, soma_bind(self, SOMA_ASYNC_REP, "orders", &options, NULL);
}

static const soma_behavior chef = {.name = "chef", .state_size = sizeof(struct pans), .init = chef_init};

/* ---- the waiter: each question has handlers of its own, and a time ---- */

static int on_failed(soma_agent *self, void *my, const int *error)
{
    printf("sorry: %s\n", soma_strerror(*error));
    return (void)my, soma_system_stop(soma_agent_system(self));
}

static int order(soma_agent *self, uint32_t dish, uint64_t timeout);
static int on_served(soma_agent *self, void *my, const struct served *m)
{
    printf("here is the %s\n", dishes[m->dish]);
    return (void)my, m->dish ? 0 : order(self, ROAST, 50 * SOMA_MS);
}

static int order(soma_agent *self, uint32_t dish, uint64_t timeout)
{
    const soma_then *then = SOMA_THEN(served, on_served, on_failed);
    soma_handle handle = soma_request_to(self, "kitchen", timeout, then, cook, .dish = dish);
    return handle < 0 ? (int)handle : 0;
}

static int waiter_init(soma_agent *self, void *my, const void *arg)
{
    int error = soma_connect(self, &kitchen, "kitchen", NULL);
    for (uint32_t dish = STEW; !error && dish < PANS; dish++)
        error = order(self, dish, SOMA_NEVER);
    printf("all is ordered\n");
    return (void)my, (void)arg, error;
}
static const soma_behavior waiter = {.name = "waiter", .init = waiter_init};

int main(void)
{
    soma_system *system;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &chef, NULL, NULL) ||
        soma_spawn(system, &waiter, NULL, NULL))
        return 1;
    return soma_system_run(system) || soma_system_cancel(&system);
}
