/* Several nodes in one process, each a system with a bridge, for tests of what goes on between them. */
#ifndef TEST_BRIDGES_NODES_H
#define TEST_BRIDGES_NODES_H

#include "test_support.h"
#include <soma/bridge.h>
#include <soma/error.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

struct node {
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent; /* one that was spawned there, as its test likes */
};

#define PATIENCE (20 * SOMA_SECOND) /* for what surely comes */

/* Waits until a word has a value, which it does in the end; nothing is judged by the time. */
static inline void wait_word(const char *what, atomic_int *word, int value)
{
    for (int i = 0; i < 20000; i++) {
        if (atomic_load(word) == value)
            return;
        const struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    fail_msg("waited in vain for %s: it is %d, not %d", what, atomic_load(word), value);
}

/* A node that listens at `bind`; NULL: any port of loopback. It takes no slow node for a silent one: without a
 * connection the other could not say goodbye, and closing would wait for its last word in vain. */
static inline void node_open_at(struct node *node, const char *name, const char *const *bind)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {
        .name = name, .bind = bind ? bind : loopback, .down_ms = 20000, .heartbeat_ms = 6000};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF};
    *node = (struct node){0};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
}

static inline void node_open(struct node *node, const char *name)
{
    node_open_at(node, name, NULL);
}

/* An agent on it, which others find by its behavior's name. */
static inline void node_spawn(struct node *node, const soma_behavior *behavior)
{
    assert_int_equal(soma_spawn(node->system, behavior, NULL, &node->agent), 0);
    assert_int_equal(soma_name_set(node->system, node->agent, behavior->name), 0);
}

static inline soma_ref node_find(const struct node *from, const struct node *at, const char *name)
{
    soma_ref found;
    assert_int_equal(soma_bridge_find(from->bridge, soma_bridge_address(at->bridge, 0), name, PATIENCE, &found), 0);
    return found;
}

static inline void nodes_close(struct node *nodes, int count)
{
    for (int i = 0; i < count; i++)
        assert_int_equal(soma_system_close(&nodes[i].system), 0);
}

#endif
