/*
 * Requests that are passed on from node to node before somebody answers, under the simulated network: whatever it does,
 * and whoever dies, each ends exactly once for who has asked, and nothing is left of it anywhere.
 */
#include "bridges/bridge.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <string.h>

SOMA_MESSAGE(begin, (u64, id))
SOMA_MESSAGE(ask, (u64, id), (bytes, load))
SOMA_MESSAGE(told, (u64, id))
SOMA_MESSAGE(later, (u64, id), (u64, promise))

#define NODES 4u
#define HOPS 6u
#define ASKS 256u
#define LOAD_MOST 200000u
static const char *const names[NODES] = {"north", "south", "west", "east"};

struct asked {
    uint32_t from; /* its node */
    soma_ref asker;
    uint32_t way[HOPS]; /* nodes, the last of which answers */
    uint32_t hops;
    uint32_t come;     /* so far it has come */
    uint64_t patience; /* of who answers, before he does */
    uint32_t load;
    uint32_t answers, errors;
    int error;
};

/* Of the run: one after another, in a process of their own. */
static struct {
    struct asked asked[ASKS];
    uint32_t count;
    soma_ref agents[NODES];
} ledger;

/* ---- who asks, passes on, and answers ---- */

static int on_told(soma_agent *self, void *my, const struct told *m)
{
    (void)my;
    assert_int_equal(m->id, soma_tag(self));
    ledger.asked[m->id].answers++;
    return 0;
}

static int on_error(soma_agent *self, void *my, const int *error)
{
    (void)my;
    ledger.asked[soma_tag(self)].errors++;
    ledger.asked[soma_tag(self)].error = *error;
    return 0;
}

static int on_begin(soma_agent *self, void *my, const struct begin *m)
{
    static const char bytes[LOAD_MOST];
    struct asked *asked = &ledger.asked[m->id];
    (void)my;
    asked->asker = soma_self(self);
    assert_true(soma_request(self, ledger.agents[asked->way[0]], SOMA_NEVER,
                             SOMA_THEN(told, on_told, on_error, .tag = m->id), ask, .id = m->id,
                             .load = {bytes, asked->load}) > 0);
    return 0;
}

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    struct asked *asked = &ledger.asked[m->id];
    assert_true(soma_ref_equal(soma_self(self), ledger.agents[asked->way[asked->come]]));
    if (++asked->come < asked->hops) {
        soma_forward(self, ledger.agents[asked->way[asked->come]]);
        return 0;
    }
    if (!asked->patience)
        return soma_reply(self, told, .id = m->id);
    soma_handle promise = soma_reply_later(self);
    return soma_after(self, asked->patience, later, .id = m->id, .promise = (uint64_t)promise) > 0 ? 0 : SOMA_ENOMEM;
}

static int on_later(soma_agent *self, void *my, const struct later *m)
{
    (void)my;
    return soma_reply_to(self, (soma_handle)m->promise, told, .id = m->id);
}

static const soma_behavior player = {
    .name = "player",
    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(ask, on_ask), SOMA_ON(later, on_later))};

static void player_at(soma_test *test, uint32_t node)
{
    soma_type_register(soma_test_node(test, names[node]), &told_type); // also for what is asked of one's own node
    assert_int_equal(soma_spawn(soma_test_node(test, names[node]), &player, NULL, &ledger.agents[node]), 0);
}

static void nodes_open(soma_test *test)
{
    memset(&ledger, 0, sizeof(ledger));
    for (uint32_t i = 0; i < NODES; i++)
        player_at(test, i);
    bool some = soma_test_random(test, 2);
    for (uint32_t i = 0; i < NODES; i++)
        soma_test_bridge(test, names[i])->options.compress_least = some && soma_test_random(test, 3) ? 64 : 0;
}

/* ---- asking ---- */

static struct asked *ask_by(soma_test *test, uint32_t from, const uint32_t *way, uint32_t hops)
{
    struct asked *asked = &ledger.asked[ledger.count];
    *asked = (struct asked){.from = from, .asker = ledger.agents[from], .hops = hops};
    memcpy(asked->way, way, hops * sizeof(*way));
    assert_int_equal(soma_send(soma_test_node(test, names[from]), ledger.agents[from], begin, .id = ledger.count++), 0);
    return asked;
}

#define ASK(test, from, ...)                                                                                           \
    ask_by(test, from, (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* One of a node that goes to any other, and on to any, also back home. */
static void ask_any(soma_test *test, uint32_t from)
{
    uint32_t way[HOPS], hops = 1 + (uint32_t)soma_test_random(test, HOPS);
    way[0] = (from + 1 + (uint32_t)soma_test_random(test, NODES - 1)) % NODES;
    for (uint32_t i = 1; i < hops; i++)
        way[i] = (uint32_t)soma_test_random(test, NODES);
    struct asked *asked = ask_by(test, from, way, hops);
    asked->patience = soma_test_random(test, 2) ? soma_test_random(test, 20 * SOMA_SECOND) : 0;
    asked->load = soma_test_random(test, 4) ? 0 : (uint32_t)soma_test_random(test, LOAD_MOST);
}

/* ---- what must hold ---- */

/* What is there for each request, once it is over. */
static void asked_check(soma_test *test, uint32_t at)
{
    const struct asked *asked = &ledger.asked[at];
    assert_true(asked->answers + asked->errors <= 1);
    if (!agent_alive(test, asked->asker))
        return;
    if (asked->answers + asked->errors != 1)
        soma_test_fail(test, "request %u pends, after %u of %u hops", at, asked->come, asked->hops);
    if (asked->errors)
        assert_int_equal(asked->error, SOMA_ENODEDOWN);
}

static void all_check(soma_test *test)
{
    for (uint32_t i = 0; i < ledger.count; i++)
        asked_check(test, i);
    for (uint32_t i = 0; i < NODES; i++) {
        const struct soma_bridge *bridge = soma_test_bridge(test, names[i]);
        if (!bridge)
            continue;
        assert_int_equal(bridge->moves.count, 0);
        for (uint32_t j = 0; j < bridge->peer_count; j++)
            if (bridge->list[j]->debts.count)
                soma_test_fail(test, "%u debts are left at %s", bridge->list[j]->debts.count, names[i]);
    }
}

enum { NORTH, SOUTH, WEST, EAST };

/* North and south are joined, so are south and west, and north and west. */
static void all_meet(soma_test *test)
{
    nodes_open(test);
    ASK(test, NORTH, SOUTH);
    ASK(test, NORTH, WEST);
    ASK(test, SOUTH, WEST);
    soma_test_advance(test, SOMA_SECOND);
    all_check(test);
}

/* ---- what was lost ---- */

/* Who has passed it on dies before the next one has it. */
static void test_passer_dies(soma_test *test)
{
    all_meet(test);
    soma_test_net_partition(test, "south", "west");
    struct asked *asked = ASK(test, NORTH, SOUTH, WEST);
    soma_test_advance(test, soma_test_random(test, 2) ? SOMA_SECOND : soma_test_random(test, 10 * SOMA_MS));
    soma_test_node_down(test, "south");
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(asked->errors, 1);
    assert_int_equal(asked->error, SOMA_ENODEDOWN);
    all_check(test);
}

/* Those two lose each other, and nobody else. */
static void test_way_lost(soma_test *test)
{
    all_meet(test);
    if (soma_test_random(test, 2))
        soma_test_net_partition(test, "south", "west");
    else
        soma_test_net_cut(test, "south", "west");
    struct asked *asked = ASK(test, NORTH, SOUTH, WEST);
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(asked->errors, 1);
    assert_int_equal(asked->error, SOMA_ENODEDOWN);
    soma_test_net_heal(test, "south", "west");
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(asked->come, 1);
    all_check(test);
}

/* The next one has it, and is waited for alone: who has passed it on may go. */
static void test_passer_leaves(soma_test *test)
{
    all_meet(test);
    struct asked *asked = ASK(test, NORTH, SOUTH, WEST);
    asked->patience = 20 * SOMA_SECOND;
    soma_test_advance(test, SOMA_SECOND);
    soma_test_node_down(test, "south");
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(asked->answers, 1);
    all_check(test);
}

/* So it may if it closes, as soon as all is said: a while later than it would if it did not answer for it. */
static void test_passer_closes(soma_test *test)
{
    all_meet(test);
    soma_test_net_delay(test, "south", "west", 0, SOMA_SECOND);
    soma_test_net_delay(test, "north", "south", 0, SOMA_SECOND);
    struct asked *asked = ASK(test, NORTH, SOUTH, WEST);
    asked->patience = 20 * SOMA_SECOND;
    while (!asked->come)
        soma_test_advance(test, SOMA_MS);
    struct soma_bridge *bridge = soma_test_bridge(test, "south");
    u32_store(&bridge->closing, 1);
    while (!bridge_is_drained(bridge))
        soma_test_advance(test, SOMA_MS);
    soma_test_node_down(test, "south");
    soma_test_advance(test, 30 * SOMA_SECOND);
    assert_int_equal(asked->answers, 1);
    all_check(test);
}

/* Of the word that it has gone on to west only the acknowledgement is lost, so south says it again in the next session;
 * and comes to have the request once more, on its way to east. That alone is waited for then. */
static void test_word_repeated(soma_test *test)
{
    all_meet(test);
    soma_test_bridge(test, "north")->options.down_ms = 2000; // it gives south up, the others keep each other
    soma_test_net_delay(test, "north", "south", 10 * SOMA_MS, 10 * SOMA_MS);
    struct asked *asked = ASK(test, NORTH, SOUTH, WEST, EAST, SOUTH, EAST);
    asked->patience = 60 * SOMA_SECOND;
    soma_test_net_partition_way(test, "east", "south");
    while (!asked->come)
        soma_test_advance(test, SOMA_MS);
    soma_test_net_partition_way(test, "north", "south");
    soma_test_advance(test, SOMA_SECOND);
    soma_test_net_partition(test, "north", "south");
    soma_test_advance(test, 3 * SOMA_SECOND);
    soma_test_net_heal(test, "north", "south");
    soma_test_advance(test, 2 * SOMA_SECOND);
    soma_test_net_heal(test, "east", "south");
    soma_test_advance(test, 2 * SOMA_SECOND);
    assert_int_equal(asked->come, asked->hops);
    assert_int_equal(asked->errors, 0);
    soma_test_node_down(test, "east");
    soma_test_advance(test, 20 * SOMA_SECOND);
    assert_int_equal(asked->errors, 1);
    all_check(test);
}

/* Nothing is lost, if nothing is worse than that. */
static void test_faithful(soma_test *test)
{
    nodes_open(test);
    for (uint32_t i = 0; i < 40; i++) {
        ask_any(test, (uint32_t)soma_test_random(test, NODES));
        if (soma_test_random(test, 4) == 0)
            soma_test_advance(test, soma_test_random(test, SOMA_SECOND));
    }
    soma_test_advance(test, 60 * SOMA_SECOND);
    all_check(test);
    for (uint32_t i = 0; i < ledger.count; i++)
        assert_int_equal(ledger.asked[i].answers, 1);
}

/* ---- outages of any length, and restarts ---- */

/* Of nodes from one on, and of the ways between them. */
static void outage(soma_test *test, uint32_t first)
{
    const uint32_t count = NODES - first, a = first + (uint32_t)soma_test_random(test, count),
                   b = first + (a - first + 1 + (uint32_t)soma_test_random(test, count - 1)) % count;
    switch (soma_test_random(test, 8)) {
    case 0:
        soma_test_net_cut(test, names[a], names[b]);
        break;
    case 1:
        soma_test_net_partition(test, names[a], names[b]);
        break;
    case 2:
        soma_test_net_partition_way(test, names[a], names[b]);
        break;
    case 3:
        soma_test_node_restart(test, names[a]);
        player_at(test, a);
        break;
    case 4:
        soma_test_node_stop(test, names[a]);
        break;
    case 5:
        soma_test_node_continue(test, names[a]);
        break;
    default:
        soma_test_net_heal(test, names[a], names[b]);
        break;
    }
}

static void outages(soma_test *test, uint32_t first)
{
    nodes_open(test);
    if (soma_test_random(test, 2))
        soma_test_net_delay(test, "north", "south", 0, 100 * SOMA_MS);
    for (uint32_t i = 0; i < 12; i++) {
        outage(test, first);
        for (uint64_t asks = soma_test_random(test, 6); asks; asks--)
            ask_any(test, (uint32_t)soma_test_random(test, NODES));
        soma_test_advance(test, soma_test_random(test, 2) ? soma_test_random(test, 14 * SOMA_SECOND)
                                                          : soma_test_random(test, 100 * SOMA_MS));
    }
    for (uint32_t i = 0; i < NODES; i++) {
        soma_test_node_continue(test, names[i]);
        for (uint32_t j = 0; j < i; j++)
            soma_test_net_heal(test, names[i], names[j]);
    }
    soma_test_advance(test, 90 * SOMA_SECOND);
    all_check(test);
}

/* Of those that pass it on. */
static void test_outages(soma_test *test)
{
    outages(test, SOUTH);
}

/* And of who asks: others may take it for down, and not it them. */
static void test_outages_all(soma_test *test)
{
    outages(test, NORTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_passer_dies, test_load(200), 20000),
        SOMA_SIM(test_way_lost, test_load(200), 20000),
        SOMA_SIM(test_passer_leaves, test_load(200), 20000),
        SOMA_SIM(test_passer_closes, test_load(200), 20000),
        SOMA_SIM(test_word_repeated, test_load(200), 20000),
        SOMA_SIM(test_faithful, test_load(200), 20000, .cuts = 2, .frames = 2, .pauses = 2),
        SOMA_SIM(test_outages, test_load(400), 20000),
        SOMA_SIM(test_outages, test_load(200), 20000, .frames = 3, .pauses = 2),
        SOMA_SIM(test_outages_all, test_load(400), 20000),
        SOMA_SIM(test_outages_all, test_load(200), 20000, .frames = 3, .pauses = 2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
