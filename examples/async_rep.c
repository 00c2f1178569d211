/* Asynchronous REP: questions that take a while are answered when they are done, and the asker goes on meanwhile; one
 * takes longer than the asker waits. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(cook, (string, dish), (u32, minutes))
SOMA_MESSAGE(served, (string, dish))
SOMA_MESSAGE(ready, (i64, promise), (string, dish))

static const soma_address kitchen = {.transport = SOMA_INPROC, .pattern = SOMA_ASYNC_REP, .host = "kitchen"};

/* ---- the kitchen: a minute is 10 ms ---- */

static int on_cook(soma_agent *self, void *my, const struct cook *m)
{
    (void)my;
    soma_handle promise = soma_reply_later(self);
    soma_handle timer = soma_after(self, m->minutes * 10 * SOMA_MS, ready, .promise = promise, .dish = m->dish);
    return promise < 0 ? (int)promise : timer < 0 ? (int)timer : 0;
}

static int on_ready(soma_agent *self, void *my, const struct ready *m)
{
    (void)my;
    return soma_reply_to(self, m->promise, served, .dish = m->dish);
}

static int chef_init(soma_agent *self, void *my, const void *arg)
{
    const soma_channel_options options = {.place = "inproc://kitchen",
                                          .handlers = SOMA_HANDLERS(SOMA_ON(cook, on_cook))};
    (void)my, (void)arg;
    return soma_bind(self, SOMA_ASYNC_REP, "orders", &options, NULL);
}

static const soma_behavior chef = {
    .name = "chef", .init = chef_init, .handlers = SOMA_HANDLERS(SOMA_ON(ready, on_ready))};

/* ---- the waiter ---- */

static int waiter_done(soma_agent *self, uint32_t *open)
{
    return --*open ? 0 : soma_system_stop(soma_agent_system(self));
}

static int on_served(soma_agent *self, uint32_t *open, const struct served *m)
{
    printf("here is the %s\n", m->dish);
    return waiter_done(self, open);
}

static int on_failed(soma_agent *self, uint32_t *open, const int *error)
{
    printf("sorry: %s\n", soma_strerror(*error));
    return waiter_done(self, open);
}

static int waiter_init(soma_agent *self, void *state, const void *arg)
{
    static const struct cook orders[] = {{"roast", 1000}, {"stew", 6}, {"soup", 3}, {"salad", 1}};
    const soma_then *then = SOMA_THEN(served, on_served, on_failed);
    int error = soma_connect(self, &kitchen, "kitchen", NULL);
    (void)arg;
    for (; !error && *(uint32_t *)state < 4; ++*(uint32_t *)state)
        error = soma_channel_request(self, "kitchen", SOMA_SECOND, then, &cook_type, &orders[*(uint32_t *)state]) < 0;
    printf("all is ordered\n");
    return error;
}

static const soma_behavior waiter = {.name = "waiter", .state_size = sizeof(uint32_t), .init = waiter_init};

int main(void)
{
    soma_system *system;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &chef, NULL, NULL) ||
        soma_spawn(system, &waiter, NULL, NULL))
        return 1;
    return soma_system_run(system) || soma_system_cancel(&system);
}
