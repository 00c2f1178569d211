/* Gates and burdens; see flow.h. */
#include "bridges/flow.h"
#include "bridges/bridge.h"
#include "bridges/item.h"
#include "runtime/pressure.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <stdlib.h>

#define BUCKETS 256u /* of a peer's gates */

static const soma_behavior gate_behavior = {.name = "link"};

soma_agent *gate_spawn(struct soma_bridge *bridge)
{
    soma_ref ref;
    bool spawned = !soma_system_spawn(bridge->system, &gate_behavior, NULL, &ref);
    return spawned ? &bridge->system->slots.base[ref.slot] : NULL;
}

static uint32_t slot_of(const struct soma_bridge *bridge, const soma_agent *agent)
{
    return (uint32_t)(agent - bridge->system->slots.base);
}

static void gate_shut(const struct soma_bridge *bridge, soma_agent *agent)
{
    u32_store(&agent->pressure, PRESSURE_OVERLOADED);
    pressure_release(bridge->worker, slot_of(bridge, agent)); // who has entered himself before: see flow.h
}

static void gate_open(const struct soma_bridge *bridge, soma_agent *agent)
{
    u32_store(&agent->pressure, 0);
    pressure_release(bridge->worker, slot_of(bridge, agent));
}

/* ---- those of agents ---- */

/* Where the gate for an agent is linked, or would be; NULL if there never was any. */
static struct gate **gate_place(const struct gates *gates, soma_ref to)
{
    if (!gates->buckets)
        return NULL;
    struct gate **link = &gates->buckets[to.slot % BUCKETS];
    while (*link && !soma_ref_equal((*link)->to, to))
        link = &(*link)->next;
    return link;
}

/* The gate of an agent there, which is shut; NULL for none. Under busy. */
static soma_agent *gate_of(const struct peer *peer, soma_ref to)
{
    struct gate **link = u32_load(&peer->gates.count) ? gate_place(&peer->gates, to) : NULL;
    return link && *link ? (*link)->agent : NULL;
}

soma_agent *bridge_gate(void *context, soma_ref to)
{
    struct peer *peer = peers_find(&((struct soma_bridge *)context)->peers, to.node);
    if (!peer || !u32_load(&peer->gates.count)) // the gate of one that was forgotten just now opens soon, too
        return peer ? peer->gate : NULL;
    peer = peer_lock(&((struct soma_bridge *)context)->peers, to.node);
    if (!peer)
        return NULL;
    soma_agent *gate = gate_of(peer, to);
    if (!gate)
        gate = peer->gate;
    spin_unlock(&peer->busy);
    return gate;
}

void gate_press(struct peer *peer, struct worker *worker, soma_ref to, bool presses)
{
    if (peer->out.bytes > OUT_HIGH)
        u32_store(&peer->gate->pressure, PRESSURE_OVERLOADED); // release: senders look after their push
    if (!worker || !presses)
        return;
    const soma_agent *gate = gate_of(peer, to);
    if (gate)
        worker_press(worker, slot_of(peer->bridge, gate));
    if (u32_load(&peer->gate->pressure))
        worker_press(worker, slot_of(peer->bridge, peer->gate));
}

void gate_look(struct peer *peer)
{
    if (!peer->gate || !u32_load(&peer->gate->pressure)) // a stranger has none
        return;
    spin_lock(&peer->busy);
    bool over = peer->out.bytes < OUT_LOW;
    if (over)
        u32_store(&peer->gate->pressure, 0);
    spin_unlock(&peer->busy);
    if (over)
        pressure_release(peer->bridge->worker, slot_of(peer->bridge, peer->gate));
}

/* A gate that is shut, not linked yet; NULL when memory or slots are out. */
static struct gate *gate_take(struct soma_bridge *bridge, soma_ref to)
{
    struct gate *gate = bridge->gates;
    if (gate)
        bridge->gates = gate->next;
    else if ((gate = calloc(1, sizeof(*gate))) && !(gate->agent = gate_spawn(bridge))) {
        free(gate);
        gate = NULL;
    }
    if (gate) {
        gate->to = to;
        gate_shut(bridge, gate->agent);
    }
    return gate;
}

static void gate_give(struct soma_bridge *bridge, struct gate *gate)
{
    gate_open(bridge, gate->agent);
    gate->next = bridge->gates;
    bridge->gates = gate;
}

/* Without memory for a gate nobody is held up. */
static void gate_add(struct peer *peer, soma_ref to)
{
    struct gates *gates = &peer->gates;
    if (u32_load(&gates->count) >= GATES_MOST)
        return;
    struct gate **buckets = gates->buckets ? NULL : calloc(BUCKETS, sizeof(struct gate *));
    if (!gates->buckets && !buckets)
        return;
    struct gate *gate = gate_take(peer->bridge, to);
    spin_lock(&peer->busy);
    if (buckets)
        gates->buckets = buckets;
    struct gate **link = gate_place(gates, to);
    if (gate) {
        gate->next = *link;
        *link = gate;
        u32_add(&gates->count, 1);
    }
    spin_unlock(&peer->busy);
}

static void gate_remove(struct peer *peer, struct gate **link)
{
    struct gate *gate = *link;
    spin_lock(&peer->busy);
    *link = gate->next;
    u32_add(&peer->gates.count, (uint32_t)-1);
    spin_unlock(&peer->busy);
    gate_give(peer->bridge, gate);
}

int pressure_arrive(struct peer *peer, const struct item *item)
{
    struct gate **link = gate_place(&peer->gates, item->from); // this thread alone changes them
    bool shut = link && *link;
    if (item->on && !shut)
        gate_add(peer, item->from);
    else if (!item->on && shut)
        gate_remove(peer, link);
    return 0;
}

void gates_end(struct peer *peer)
{
    for (uint32_t i = 0; peer->gates.buckets && i < BUCKETS; i++)
        while (peer->gates.buckets[i])
            gate_remove(peer, &peer->gates.buckets[i]);
    free(peer->gates.buckets);
    peer->gates.buckets = NULL;
}

static void gate_list_free(struct gate *gate)
{
    for (struct gate *next; gate; gate = next) {
        next = gate->next;
        free(gate);
    }
}

void gates_free(struct gates *gates)
{
    for (uint32_t i = 0; gates->buckets && i < BUCKETS; i++)
        gate_list_free(gates->buckets[i]);
    free(gates->buckets);
    gates->buckets = NULL;
}

/* ---- burdens ---- */

struct burden {
    struct burden *next;
    struct soma_bridge *bridge;
    soma_ref agent;       /* who is under pressure */
    soma_agent *stand_in; /* muted for it until its pressure is over */
    shared_u32 relieved;  /* that has been let go */
    uint64_t bytes;       /* that came since */
    struct peer **told;   /* who must be told of the end */
    uint32_t told_count;
    uint32_t told_capacity;
};

static const soma_behavior stand_in_behavior = {.name = "stand-in"};

/* The stand-in was let go. */
static int stand_in_run(soma_agent *self, void *state, void *arg)
{
    struct burden *burden = arg;
    struct soma_bridge *bridge = burden->bridge;
    (void)self, (void)state;
    u32_store(&burden->relieved, 1); // release: from here on it is the bridge thread's
    u32_store(&bridge->burdens.relieved, 1);
    bridge->wire.wake(bridge->wire.context);
    return 0;
}

/* One whose stand-in is held; NULL when memory or slots are out. */
static struct burden *burden_take(struct soma_bridge *bridge)
{
    struct burden *burden = bridge->burdens.spare;
    soma_ref ref;
    if (burden && mailbox_hold(&burden->stand_in->mailbox)) { // else its turn is not quite over
        bridge->burdens.spare = burden->next;
        return burden;
    }
    burden = calloc(1, sizeof(*burden));
    if (!burden || soma_system_spawn(bridge->system, &stand_in_behavior, NULL, &ref)) {
        free(burden);
        return NULL;
    }
    burden->bridge = bridge;
    burden->stand_in = &bridge->system->slots.base[ref.slot];
    mailbox_hold(&burden->stand_in->mailbox); // nobody else knows it
    return burden;
}

static struct burden *burden_begin(struct soma_bridge *bridge, soma_ref agent)
{
    struct worker *worker = bridge->worker;
    struct message *message = message_new(worker, MESSAGE_CALLBACK, sizeof(struct callback));
    struct burden *burden = message ? burden_take(bridge) : NULL;
    if (!burden) {
        if (message)
            message_free(worker, message);
        return NULL;
    }
    burden->agent = agent;
    burden->bytes = 0;
    u32_store(&burden->relieved, 0);
    struct burden **bucket = &bridge->burdens.buckets[agent.slot % BURDEN_BUCKETS];
    burden->next = *bucket;
    *bucket = burden;
    const struct callback callback = {stand_in_run, NULL, burden};
    memcpy(message->body, &callback, sizeof(callback));
    message->generation = life_generation(u64_load(&burden->stand_in->life));
    ptr_store(&burden->stand_in->mailbox.tail, NULL);
    mailbox_push(&burden->stand_in->mailbox, message);
    pressure_mute(worker, burden->stand_in, agent.slot);
    return burden;
}

static struct burden *burden_find(const struct soma_bridge *bridge, soma_ref agent)
{
    struct burden *burden = bridge->burdens.buckets[agent.slot % BURDEN_BUCKETS];
    while (burden && !soma_ref_equal(burden->agent, agent))
        burden = burden->next;
    return burden;
}

static bool is_told(const struct burden *burden, const struct peer *peer)
{
    for (uint32_t i = burden->told_count; i; i--) // who sends most was often told last
        if (burden->told[i - 1] == peer)
            return true;
    return false;
}

static int pressure_say(struct peer *peer, soma_ref agent, bool on)
{
    spin_lock(&peer->busy);
    int error = outbound_pressure(peer, agent, on);
    spin_unlock(&peer->busy);
    return error;
}

/* Without memory the next message is another try. */
static void burden_tell(struct burden *burden, struct peer *peer)
{
    if (burden->told_count == burden->told_capacity) {
        uint32_t capacity = burden->told_capacity ? burden->told_capacity * 2 : 4;
        struct peer **grown = realloc(burden->told, capacity * sizeof(struct peer *));
        if (!grown)
            return;
        burden->told = grown;
        burden->told_capacity = capacity;
    }
    if (!pressure_say(peer, burden->agent, true))
        burden->told[burden->told_count++] = peer;
}

void burden_weigh(struct peer *peer, soma_ref agent, uint64_t bytes)
{
    struct soma_bridge *bridge = peer->bridge;
    const soma_agent *target = target_find(bridge->system, agent);
    bridge->worker->pressing = false;
    if (!target || !u32_load(&target->pressure))
        return;
    struct burden *burden = burden_find(bridge, agent);
    if (!burden && !(burden = burden_begin(bridge, agent)))
        return;
    burden->bytes += bytes;
    // One that is over this very moment says so afterwards.
    if (burden->bytes >= bridge->mail_most && !u32_load(&burden->relieved) && !is_told(burden, peer))
        burden_tell(burden, peer);
}

/* True if all who were told of it know that it is over. */
static bool burden_end(struct burden *burden)
{
    while (burden->told_count && !pressure_say(burden->told[burden->told_count - 1], burden->agent, false))
        burden->told_count--;
    return !burden->told_count;
}

static void bucket_look(struct burdens *burdens, struct burden **link)
{
    while (*link) {
        struct burden *burden = *link;
        bool relieved = u32_load(&burden->relieved); // acquire: the stand-in is done with it
        if (!relieved || !burden_end(burden)) {
            if (relieved) // memory is out: at the next turn
                u32_store(&burdens->relieved, 1);
            link = &burden->next;
            continue;
        }
        *link = burden->next;
        burden->next = burdens->spare;
        burdens->spare = burden;
    }
}

void burdens_look(struct soma_bridge *bridge)
{
    struct burdens *burdens = &bridge->burdens;
    if (!u32_load(&burdens->relieved))
        return;
    u32_store(&burdens->relieved, 0); // before the look: who is over later sets it again
    for (uint32_t i = 0; i < BURDEN_BUCKETS; i++)
        bucket_look(burdens, &burdens->buckets[i]);
}

static void burden_forget(struct burden *burden, const struct peer *peer)
{
    for (uint32_t i = 0; i < burden->told_count; i++)
        if (burden->told[i] == peer)
            burden->told[i--] = burden->told[--burden->told_count];
}

void burdens_forget(struct peer *peer)
{
    for (uint32_t i = 0; i < BURDEN_BUCKETS; i++)
        for (struct burden *burden = peer->bridge->burdens.buckets[i]; burden; burden = burden->next)
            burden_forget(burden, peer);
}

static void burden_list_free(struct burden *burden)
{
    for (struct burden *next; burden; burden = next) {
        next = burden->next;
        free(burden->told);
        free(burden);
    }
}

void burdens_free(struct soma_bridge *bridge)
{
    for (uint32_t i = 0; i < BURDEN_BUCKETS; i++)
        burden_list_free(bridge->burdens.buckets[i]);
    burden_list_free(bridge->burdens.spare);
    gate_list_free(bridge->gates);
}
