/* Slowing down threads outside; see outside.h. */
#include "runtime/outside.h"
#include "runtime/pressure.h"
#include "runtime/send.h"
#include "runtime/thread.h"
#include <soma/error.h>

#define OUTSIDE_MANY                                                                                                   \
    (UINT64_C(4) << 20) /* bytes from outside that wait for agents, from which on each receiver is marked */
#define OUTSIDE_LOOK (UINT64_C(64) << 10) /* bytes between two counts of them */

/* How many wait. The counters of a system whose agents run are never exact, which doesn't matter here. */
static uint64_t outside_waiting(soma_system *system)
{
    struct counters sum = {0};
    uint64_t sent = u64_load(&system->outside_sent);
    system_counters(system, &sum);
    return sent - sum.outside_done.value;
}

static bool is_relieved(const void *target)
{
    return !u32_load(&((const soma_agent *)target)->pressure);
}

static void outside_wait(soma_system *system, const soma_agent *target)
{
    if (system->driver.wait) {
        system->driver.wait(system->driver.context, is_relieved, target);
        return;
    }
    u32_add(&system->outside_waiters, 1);
    fence_full(); // pairs with pressure_release: either we see that the pressure has ended, or its end sees us
    for (;;) {
        uint32_t relief = u32_load(&system->relief);
        if (!u32_load(&target->pressure) || u32_load(&system->closing))
            break;
        futex_wait(&system->relief, relief, FUTEX_FOREVER);
    }
    u32_add(&system->outside_waiters, (uint32_t)-1);
}

/* What stands for an agent on another node. */
static soma_agent *gate_of(soma_system *system, soma_ref to)
{
    const struct route *route = to.node ? ptr_load(&system->route) : NULL;
    return route && route->gate ? route->gate(route->context, to) : NULL;
}

/* Whose pressure holds up who sends there; NULL for nobody's. */
static const soma_agent *in_the_way(soma_system *system, soma_ref to)
{
    return to.node == system->node ? target_find(system, to) : gate_of(system, to);
}

int outside_enter(soma_system *system, soma_ref to, bool waits)
{
    // There may be two gates in the way: of an agent elsewhere, and of the link. Not more often: others may be faster.
    for (int i = 0; i < 2; i++) {
        const soma_agent *target = in_the_way(system, to);
        if (!target || !u32_load(&target->pressure))
            break;
        // No handler waits, not even one of another system: that of two, each could wait for the other.
        if (worker_here() || system_on_worker(system))
            break;
        if (!waits)
            return SOMA_EAGAIN;
        outside_wait(system, target);
        if (u32_load(&system->closing))
            break;
    }
    return 0;
}

void outside_mark(soma_system *system, soma_agent *target, struct message *message)
{
    if (message->kind > MESSAGE_SHARED || message->class != POOL_HEAP)
        return;
    message->marks |= MARK_OUTSIDE;
    uint64_t size = message_bytes(message), sent = u64_add(&system->outside_sent, size);
    if (sent / OUTSIDE_LOOK != (sent + size) / OUTSIDE_LOOK)
        u32_store(&system->outside_many, outside_waiting(system) > OUTSIDE_MANY);
    if (u32_load(&system->outside_many) && !worker_here()) {
        struct worker guest;
        worker_guest(&guest, system);
        pressure_mark(&guest, target);
    }
}

void outside_release(soma_system *system)
{
    if (!u32_load(&system->outside_waiters))
        return;
    u32_add(&system->relief, 1);
    futex_wake_all(&system->relief);
}
