/* soma_call(): a thread outside waits for an agent's answer, by way of an agent of its own for the time of the call. */
#include "runtime/system.h"
#include "runtime/type.h"
#include <pthread.h>
#include <soma/error.h>
#include <soma/request.h>
#include <string.h>

/* On the caller's stack; the caller waits until the agent is done with it. */
struct call {
    soma_ref to;
    uint64_t timeout;
    const soma_type *reply;
    void *result;
    const soma_type *type;
    const void *body;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
    int error;
};

struct caller {
    struct call *call; /* NULL once the call is done */
};

static void call_done(struct caller *my, int error)
{
    struct call *call = my->call;
    my->call = NULL;
    pthread_mutex_lock(&call->lock);
    call->error = error;
    call->done = true;
    pthread_cond_signal(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

static int on_reply(soma_agent *self, void *state, const void *reply)
{
    struct caller *my = state;
    soma_agent_exit(self, 0);
    call_done(my, soma_type_copy(my->call->reply, my->call->result, reply));
    return 0;
}

static int on_error(soma_agent *self, void *state, const void *error)
{
    soma_agent_exit(self, 0);
    call_done(state, *(const int *)error);
    return 0;
}

static int caller_init(soma_agent *self, void *state, const void *arg)
{
    struct call *call = (struct call *)(uintptr_t)arg;
    const soma_then then = {.reply = call->reply, .on_reply = on_reply, .on_error = on_error};
    soma_handle handle = soma_request_send(self, call->to, call->timeout, &then, call->type, call->body);
    if (handle < 0)
        return (int)handle;
    ((struct caller *)state)->call = call;
    return 0;
}

static void caller_stop(soma_agent *self, void *state, int reason)
{
    (void)self;
    struct caller *my = state;
    if (my->call) // it was killed, or the system closes
        call_done(my, reason ? reason : SOMA_ECLOSED);
}

const soma_behavior call_agent = {
    .name = "caller", .state_size = sizeof(struct caller), .init = caller_init, .stop = caller_stop};

static bool call_is_done(const void *arg)
{
    return ((const struct call *)arg)->done;
}

static int call_wait(soma_system *system, struct call *call)
{
    if (system->driver.wait)
        system->driver.wait(system->driver.context, call_is_done, call);
    pthread_mutex_lock(&call->lock);
    while (!call->done)
        pthread_cond_wait(&call->changed, &call->lock);
    pthread_mutex_unlock(&call->lock);
    return call->error;
}

int soma_call_send(soma_system *system, soma_ref to, uint64_t timeout, const soma_type *reply, void *result,
                   const soma_type *type, const void *body)
{
    if (reply && result)
        memset(result, 0, reply->size);
    if (!system || !timeout || !reply || !result || !type || !body)
        return SOMA_EINVAL;
    if (system_on_worker(system))
        return SOMA_ESTATE;
    struct call call = {.to = to, .timeout = timeout, .reply = reply, .result = result, .type = type, .body = body};
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.changed, NULL);
    u32_add(&system->calling, 1);
    fence_full(); // pairs with system_end: a closer sees it, or the spawn sees that the system closes
    int error = soma_system_spawn(system, &call_agent, &call, NULL);
    u32_add(&system->calling, (uint32_t)-1); // from here on only the agent touches the system
    if (!error)
        error = call_wait(system, &call);
    pthread_cond_destroy(&call.changed);
    pthread_mutex_destroy(&call.lock);
    return error;
}
