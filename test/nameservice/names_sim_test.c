/*
 * The whole service in virtual time, over many seeds: a hub with the name server, and nodes that register, look up and
 * watch, while agents end, the network is cut and nodes restart. What must hold is checked at each answer, and when all
 * is whole again.
 */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include "nameservice/server.h"
#include "test_support.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <soma/fault.h>
#include <soma/monitor.h>
#include <soma/nameservice.h>
#include <soma/timer.h>
#include <stdio.h>
#include <string.h>

#define NODES 3u
#define NAMES 6u  /* that each node registers */
#define SHARED 2u /* that all of them want */
#define NAMES_ALL (NODES * NAMES + SHARED)
#define STALE_MS 500u
/* From a restart of the server until all is as before, at most: docs/nameservice.md. */
#define BACK_TIME (10 * SOMA_SECOND + 200 * SOMA_MS + 4 * SOMA_SECOND)
#define REMOVALS_MOST 256u

SOMA_MESSAGE(begin, (u64, ignored))
SOMA_MESSAGE(ask_again, (u64, ignored))

static const char *const leaves[NODES] = {"north", "south", "west"};

/* What the checks know of a name of a leaf. */
struct fact {
    char name[16];
    soma_ref agent;  /* registered under it; the null ref: none */
    bool said;       /* the server has had that one: what it is to hear of only later, it can't know to be gone */
    uint64_t unsaid; /* since when it has not any more; 0: it has, or never had */
};

/* A leaf's part of the run. */
struct leaf {
    soma_names *names;
    soma_ref asker, watcher;
    soma_ref rivals[SHARED];
    struct fact facts[NAMES];
};

/* What the server has said: of each ref that it ever had under a name, when it was removed. */
struct removal {
    soma_ref agent;
    uint64_t at;
};

struct ledger {
    soma_test *test;
    soma_ref server;
    struct leaf leaves[NODES];
    struct removal removals[REMOVALS_MOST];
    uint32_t removal_count;
    uint64_t answers, hits;
    bool quiet; /* nobody wants what another one has any more */
};

static struct ledger *ledger; // of the run: one after another, in a process of their own

static const struct nameserver *server_state(void)
{
    return soma_test_state(ledger->test, ledger->server);
}

/* The ref that the server has under a name; the null ref: none. */
static soma_ref server_has(const char *name)
{
    const struct nameserver *server = server_state();
    const struct record *record = server ? (struct record *)index_find(&server->names, name) : NULL;
    return record && record->owner ? record->entry.agent : SOMA_REF_NULL;
}

/* After every step: what was there, and is no more, is written down. Agents never come back to a name here. */
static void removals_note(soma_test *test, void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NAMES; j++) {
            struct fact *fact = &ledger->leaves[i].facts[j];
            if (soma_ref_is_null(fact->agent))
                continue;
            bool there = soma_ref_equal(server_has(fact->name), fact->agent);
            fact->said |= there;
            if (there)
                fact->unsaid = 0;
            else if (fact->said && !fact->unsaid && !agent_alive(test, fact->agent))
                fact->unsaid = soma_test_now(test) + 1;
        }
}

/* ---- what is registered ---- */

struct singer {
    const struct fact *fact;
    soma_ref names;
    bool takeover;
};

static int on_registered(soma_agent *self, struct singer *my, const struct soma_name_registered *m)
{
    (void)my;
    if (!m->error)
        return 0;
    assert_int_equal(m->error, SOMA_EEXIST); // the one before is not known to be gone yet
    return soma_after(self, SOMA_SECOND, begin) < 0 ? SOMA_ENOMEM : 0;
}

static int on_not_registered(soma_agent *self, void *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int on_begin(soma_agent *self, struct singer *my, const struct begin *m)
{
    (void)m;
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_registered, on_registered, on_not_registered),
                        soma_name_register, .name = my->fact->name, .takeover = my->takeover, .timeout = SOMA_NEVER) < 0
               ? SOMA_ENOMEM
               : 0;
}

static int singer_init(soma_agent *self, void *state, const void *arg)
{
    memcpy(state, arg, sizeof(struct singer));
    return soma_send(self, soma_self(self), begin);
}

static const soma_behavior singer = {.name = "singer",
                                     .state_size = sizeof(struct singer),
                                     .init = singer_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

/* ---- what is wanted by all ---- */

struct rival {
    soma_ref names;
    uint32_t number; /* of the name */
    bool holds;      /* was told that it has it, and not yet that it is lost */
};

static int rival_again(soma_agent *self)
{
    uint64_t pause = SOMA_SECOND + soma_random(self) % (4 * SOMA_SECOND);
    return ledger->quiet || soma_after(self, pause, begin) > 0 ? 0 : SOMA_ENOMEM;
}

static int on_rival_registered(soma_agent *self, struct rival *my, const struct soma_name_registered *m)
{
    my->holds = !m->error;
    assert_true(m->error == 0 || m->error == SOMA_EEXIST);
    assert_true(soma_ref_equal(m->holder, soma_self(self)) == my->holds);
    return my->holds ? 0 : rival_again(self);
}

static int on_rival_lost(soma_agent *self, struct rival *my, const struct soma_name_lost *m)
{
    assert_true(soma_ref_equal(m->agent, soma_self(self)));
    assert_false(soma_ref_equal(m->holder, soma_self(self)));
    my->holds = false;
    return rival_again(self);
}

static int on_rival_begin(soma_agent *self, struct rival *my, const struct begin *m)
{
    char name[16];
    (void)m;
    snprintf(name, sizeof(name), "shared/%u", my->number);
    return soma_request(self, my->names, SOMA_NEVER,
                        SOMA_THEN(soma_name_registered, on_rival_registered, on_not_registered), soma_name_register,
                        .name = name, .takeover = soma_random(self) % 4 == 0, .timeout = SOMA_NEVER) < 0
               ? SOMA_ENOMEM
               : 0;
}

static int rival_init(soma_agent *self, void *state, const void *arg)
{
    memcpy(state, arg, sizeof(struct rival));
    return soma_send(self, soma_self(self), begin);
}

static const soma_behavior rival = {
    .name = "rival",
    .state_size = sizeof(struct rival),
    .init = rival_init,
    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_rival_begin), SOMA_ON(soma_name_lost, on_rival_lost))};

/* ---- who looks up ---- */

struct asker {
    soma_ref names;
    uint64_t begun;
    bool fresh, dead; /* the ref that it may get was dead, and the server knew it, before it asked */
    struct fact *fact;
    soma_ref agent;
};

static int asker_next(soma_agent *self, struct asker *my);

static bool known_dead(const struct fact *fact, soma_ref agent, uint64_t before)
{
    if (soma_ref_equal(fact->agent, agent))
        return fact->unsaid && fact->unsaid - 1 < before;
    for (uint32_t i = 0; i < ledger->removal_count; i++)
        if (soma_ref_equal(ledger->removals[i].agent, agent))
            return ledger->removals[i].at < before;
    return false;
}

static int on_name(soma_agent *self, struct asker *my, const struct soma_name *m)
{
    uint64_t bound = my->fresh ? my->begun : my->begun > STALE_MS * SOMA_MS ? my->begun - STALE_MS * SOMA_MS : 0;
    assert_string_equal(m->name, my->fact->name);
    assert_false(known_dead(my->fact, m->agent, bound));
    ledger->answers++;
    ledger->hits++;
    return asker_next(self, my);
}

static int on_no_name(soma_agent *self, struct asker *my, const int *error)
{
    assert_true(*error == SOMA_ENOENT || *error == SOMA_ETIMEOUT);
    ledger->answers++;
    return asker_next(self, my);
}

static int on_ask_again(soma_agent *self, struct asker *my, const struct ask_again *m)
{
    (void)m;
    my->fact = &ledger->leaves[soma_random(self) % NODES].facts[soma_random(self) % NAMES];
    my->fresh = soma_random(self) % 4 == 0;
    my->begun = soma_now(self);
    bool waits = soma_random(self) % 4 == 0;
    assert_true(soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name, on_name, on_no_name), soma_name_lookup,
                             .name = my->fact->name, .fresh = my->fresh, .waits = waits,
                             .timeout = 3 * SOMA_SECOND) > 0);
    return 0;
}

static int asker_next(soma_agent *self, struct asker *my)
{
    (void)my;
    return soma_after(self, soma_random(self) % (300 * SOMA_MS), ask_again) < 0 ? SOMA_ENOMEM : 0;
}

static int asker_init(soma_agent *self, void *state, const void *names)
{
    struct asker *my = state;
    memcpy(&my->names, names, sizeof(my->names));
    return asker_next(self, my);
}

static const soma_behavior asker = {.name = "asker",
                                    .state_size = sizeof(struct asker),
                                    .init = asker_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(ask_again, on_ask_again))};

/* ---- who watches ---- */

struct view {
    soma_ref names;
    struct sight {
        char name[16], address[32]; /* of its alias, if it has one */
        soma_ref agent;
    } seen[NAMES_ALL];
    uint32_t count;
    bool current;
};

static const char *address_of(const struct soma_name *entry)
{
    uint32_t place = alias_find(entry, "main");
    return place < entry->aliases.count ? entry->aliases.items[place].address : "";
}

static int on_event(soma_agent *self, struct view *my, const struct soma_name_event *m)
{
    uint32_t i = 0;
    (void)self;
    if (m->event == SOMA_NAME_CURRENT || m->event == SOMA_NAME_STALE) {
        assert_true(my->current == (m->event == SOMA_NAME_STALE));
        my->current = !my->current;
        return 0;
    }
    while (i < my->count && strcmp(my->seen[i].name, m->name.name) != 0)
        i++;
    assert_true((i == my->count) == (m->event == SOMA_NAME_ADDED));
    if (m->event == SOMA_NAME_REMOVED) {
        assert_true(soma_ref_equal(my->seen[i].agent, m->name.agent));
        my->seen[i] = my->seen[--my->count];
        return 0;
    }
    assert_true(i < NAMES_ALL);
    struct sight now = {.agent = m->name.agent};
    snprintf(now.name, sizeof(now.name), "%s", m->name.name);
    snprintf(now.address, sizeof(now.address), "%s", address_of(&m->name));
    assert_true(m->event == SOMA_NAME_ADDED || memcmp(&now, &my->seen[i], sizeof(now)) != 0); // it has changed
    my->seen[i] = now;
    my->count += i == my->count;
    return 0;
}

static int on_watching(soma_agent *self, struct view *my, const struct soma_name_watching *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_not_watching(soma_agent *self, struct view *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int view_init(soma_agent *self, void *state, const void *names)
{
    struct view *my = state;
    memcpy(&my->names, names, sizeof(my->names));
    return soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_watching, on_watching, on_not_watching),
                        soma_name_watch) < 0
               ? SOMA_ENOMEM
               : 0;
}

static const soma_behavior watcher = {.name = "watcher",
                                      .state_size = sizeof(struct view),
                                      .init = view_init,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(soma_name_event, on_event))};

/* ---- the world ---- */

/* An agent takes the place of another that ends now. */
static void fact_begin(soma_test *test, uint32_t leaf, uint32_t number)
{
    struct fact *fact = &ledger->leaves[leaf].facts[number];
    soma_system *system = soma_test_node(test, leaves[leaf]);
    if (!soma_ref_is_null(fact->agent)) {
        assert_true(ledger->removal_count < REMOVALS_MOST);
        // One that the server still has is not followed any more.
        ledger->removals[ledger->removal_count++] =
            (struct removal){fact->agent, fact->unsaid ? fact->unsaid - 1 : UINT64_MAX};
        soma_kill(system, fact->agent);
    }
    fact->unsaid = 0;
    fact->said = false;
    snprintf(fact->name, sizeof(fact->name), "%s/%u", leaves[leaf], number);
    const struct singer start = {fact, soma_names_agent(ledger->leaves[leaf].names), soma_test_random(test, 2)};
    assert_int_equal(soma_spawn(system, &singer, &start, &fact->agent), 0);
}

static void leaf_open(soma_test *test, uint32_t number)
{
    struct leaf *leaf = &ledger->leaves[number];
    soma_system *system = soma_test_node(test, leaves[number]);
    const char *const addresses[] = {"sim://hub", NULL};
    const soma_names_options options = {.addresses = addresses, .stale_ms = STALE_MS};
    assert_int_equal(soma_names_open(system, soma_test_bridge(test, leaves[number]), &options, &leaf->names), 0);
    soma_ref names = soma_names_agent(leaf->names);
    soma_test_spare(test, names);
    assert_int_equal(soma_spawn(system, &asker, &names, &leaf->asker), 0);
    assert_int_equal(soma_spawn(system, &watcher, &names, &leaf->watcher), 0);
    for (uint32_t i = 0; i < NAMES; i++)
        fact_begin(test, number, i);
    for (uint32_t i = 0; i < SHARED; i++) {
        const struct rival start = {.names = names, .number = i};
        assert_int_equal(soma_spawn(system, &rival, &start, &leaf->rivals[i]), 0);
    }
}

static void world_open(soma_test *test)
{
    ledger = soma_test_alloc(test, sizeof(*ledger));
    ledger->test = test;
    soma_test_node(test, "hub");
    for (uint32_t i = 0; i < NODES; i++)
        soma_test_node(test, leaves[i]);
    soma_test_always(test, removals_note, NULL);
    assert_int_equal(soma_nameserver_start(soma_test_node(test, "hub"), NULL, &ledger->server), 0);
    for (uint32_t i = 0; i < NODES; i++)
        leaf_open(test, i);
}

/* All that the server says of a name is as the client that put it has it. */
static void entry_check(soma_test *test, const struct leaf *leaf, const char *name)
{
    const struct client *client = soma_test_state(test, soma_names_agent(leaf->names));
    struct index_node *node = index_find(&client->holdings, name);
    assert_non_null(node);
    const struct record *record = (struct record *)index_find(&server_state()->names, name);
    assert_true(soma_name_equal(&CONTAINER(node, holding, node)->entry, &record->entry));
}

/* What a watcher was told is what the server has. */
static void view_check(const struct view *view, uint32_t there)
{
    assert_true(view->current);
    assert_int_equal(view->count, there);
    for (uint32_t i = 0; i < there; i++) {
        const struct sight *seen = &view->seen[i];
        assert_true(soma_ref_equal(server_has(seen->name), seen->agent));
        const struct record *record = (struct record *)index_find(&server_state()->names, seen->name);
        assert_string_equal(seen->address, address_of(&record->entry));
    }
}

/* Who of the rivals has a name knows it, and nobody else believes so. */
static bool shared_check(soma_test *test, uint32_t number)
{
    char name[16];
    snprintf(name, sizeof(name), "shared/%u", number);
    soma_ref has = server_has(name);
    uint32_t holders = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        const struct rival *state = soma_test_state(test, ledger->leaves[i].rivals[number]);
        if (!state || !state->holds)
            continue;
        assert_true(soma_ref_equal(has, ledger->leaves[i].rivals[number]));
        holders++;
    }
    assert_int_equal(holders, !soma_ref_is_null(has));
    return holders;
}

/* All is whole, and had time: each living agent is registered, no other, and all watchers have seen that. */
static void world_check(soma_test *test)
{
    uint32_t there = 0;
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NAMES; j++) {
            const struct fact *fact = &ledger->leaves[i].facts[j];
            bool alive = agent_alive(test, fact->agent);
            assert_true(soma_ref_equal(server_has(fact->name), alive ? fact->agent : SOMA_REF_NULL));
            if (alive)
                entry_check(test, &ledger->leaves[i], fact->name);
            there += alive;
        }
    for (uint32_t i = 0; i < SHARED; i++)
        there += shared_check(test, i);
    assert_int_equal(server_state()->names.count, there);
    for (uint32_t i = 0; i < NODES; i++)
        view_check(soma_test_state(test, ledger->leaves[i].watcher), there);
}

/* ---- what happens ---- */

static void kill_one(soma_test *test)
{
    uint64_t leaf = soma_test_random(test, NODES), number = soma_test_random(test, NAMES);
    soma_kill(soma_test_node(test, leaves[leaf]), ledger->leaves[leaf].facts[number].agent);
}

/* A name gets an alias, or another address for it, now or when its client can tell. */
static void alias_one(soma_test *test, uint32_t leaf, uint32_t number)
{
    char address[32];
    snprintf(address, sizeof(address), "tcp://10.0.0.1:%u", (uint32_t)soma_test_random(test, 3));
    int error =
        soma_names_alias(ledger->leaves[leaf].names, ledger->leaves[leaf].facts[number].name, "main", address, SOMA_MS);
    assert_true(!error || error == SOMA_ENOENT || error == SOMA_ETIMEOUT);
}

/* As a process that is started again: all that the node had is gone, and its handle is not closed. */
static void leaf_restart(soma_test *test, uint32_t number)
{
    free(ledger->leaves[number].names);
    soma_test_node_restart(test, leaves[number]);
    leaf_open(test, number);
}

static void hub_restart(soma_test *test)
{
    soma_system *hub = soma_test_node_restart(test, "hub");
    assert_int_equal(soma_nameserver_start(hub, NULL, &ledger->server), 0);
}

static void happen(soma_test *test)
{
    uint32_t leaf = (uint32_t)soma_test_random(test, NODES);
    uint32_t number = (uint32_t)soma_test_random(test, NAMES);
    switch (soma_test_random(test, 10)) {
    case 0:
        hub_restart(test);
        break;
    case 1:
        leaf_restart(test, leaf);
        break;
    case 2:
        soma_test_net_cut(test, "hub", leaves[leaf]);
        break;
    case 3:
        soma_test_net_partition(test, "hub", leaves[leaf]);
        break;
    case 4:
        soma_test_net_partition_way(test, leaves[leaf], "hub");
        break;
    case 5:
        soma_test_net_heal(test, "hub", leaves[leaf]);
        break;
    case 6:
        fact_begin(test, leaf, number);
        break;
    case 7:
        alias_one(test, leaf, number);
        break;
    default:
        kill_one(test);
        break;
    }
}

static void world_close(soma_test *test)
{
    for (uint32_t i = 0; i < NODES; i++) {
        soma_kill(soma_test_node(test, leaves[i]), ledger->leaves[i].asker);
        assert_int_equal(soma_names_close(&ledger->leaves[i].names), 0);
    }
    soma_test_advance(test, SOMA_SECOND);
    assert_int_equal(server_state()->names.count, 0);
}

static void test_peace(soma_test *test)
{
    world_open(test);
    soma_test_advance(test, 5 * SOMA_SECOND);
    ledger->quiet = true;
    soma_test_advance(test, SOMA_SECOND);
    world_check(test);
    for (uint32_t i = 0; i < 4; i++)
        kill_one(test);
    soma_test_advance(test, 2 * SOMA_SECOND);
    world_check(test);
    assert_true(ledger->hits > 5);
    world_close(test);
}

/* The server is gone and comes back: what its clients hold is there again, and no name of theirs is said not to be. */
static void test_server_restart(soma_test *test)
{
    soma_ref found;
    world_open(test);
    soma_test_advance(test, 5 * SOMA_SECOND);
    uint64_t begun = soma_test_now(test);
    hub_restart(test);
    ledger->quiet = true;
    assert_int_equal(soma_names_wait(ledger->leaves[0].names, "south/1", 20 * SOMA_SECOND, &found), 0);
    assert_true(soma_ref_equal(found, ledger->leaves[1].facts[1].agent));
    assert_true(soma_test_now(test) - begun < BACK_TIME);
    soma_test_advance(test, BACK_TIME - (soma_test_now(test) - begun));
    world_check(test);
    world_close(test);
}

static void test_turmoil(soma_test *test)
{
    world_open(test);
    if (soma_test_random(test, 2))
        soma_test_net_delay(test, "hub", "north", 0, 50 * SOMA_MS);
    soma_test_advance(test, 3 * SOMA_SECOND);
    for (uint32_t i = 0; i < 8; i++) {
        happen(test);
        soma_test_advance(test, soma_test_random(test, 2) ? soma_test_random(test, 14 * SOMA_SECOND)
                                                          : soma_test_random(test, 200 * SOMA_MS));
    }
    for (uint32_t i = 0; i < NODES; i++)
        soma_test_net_heal(test, "hub", leaves[i]);
    ledger->quiet = true;
    soma_test_advance(test, 40 * SOMA_SECOND);
    world_check(test);
    world_close(test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_peace, test_load(100), 100000),
        SOMA_SIM(test_peace, test_load(100), 100000, .schedule = SOMA_SCHEDULE_PCT),
        SOMA_SIM(test_server_restart, test_load(100), 100000),
        SOMA_SIM(test_turmoil, test_load(400), 200000),
        SOMA_SIM(test_turmoil, test_load(200), 200000, .cuts = 2, .frames = 2, .pauses = 1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
