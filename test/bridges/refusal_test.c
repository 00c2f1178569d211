/* Who is not let in, or can't be, is told why where it can be mended: in its own log, and in that of who refuses it. */
#include "nodes.h"
#include "test/bridges/lone_node.h"
#include <pthread.h>
#include <sched.h>
#include <soma/request.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- logs ---- */

struct heard {
    pthread_mutex_t lock;
    char text[16384];
};

static void hear(void *context, const soma_log_record *record)
{
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    size_t size = strlen(heard->text);
    snprintf(heard->text + size, sizeof(heard->text) - size, "%s\n", record->text);
    pthread_mutex_unlock(&heard->lock);
}

/* How many lines hold a text. */
static int lines_with(struct heard *heard, const char *text)
{
    int count = 0;
    pthread_mutex_lock(&heard->lock);
    for (const char *at = heard->text; (at = strstr(at, text)); at++)
        count++;
    pthread_mutex_unlock(&heard->lock);
    return count;
}

static void wait_line(struct heard *heard, const char *text)
{
    for (int i = 0; i < 20000; i++) {
        if (lines_with(heard, text))
            return;
        const struct timespec nap = {0, 1000000};
        nanosleep(&nap, NULL);
    }
    fail_msg("no line with '%s' in:\n%s", text, heard->text);
}

/* ---- nodes that are heard ---- */

struct loud {
    struct node node;
    struct heard heard;
    char public_key[SOMA_BRIDGE_KEY_SIZE];
    char secret_key[SOMA_BRIDGE_KEY_SIZE];
};

static void loud_begin(struct loud *loud, bool keyed)
{
    *loud = (struct loud){.heard.lock = PTHREAD_MUTEX_INITIALIZER};
    if (keyed)
        assert_int_equal(soma_bridge_keygen(loud->public_key, loud->secret_key), 0);
}

static void loud_open(struct loud *loud, const char *allowed)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_options options = {.log_level = SOMA_LOG_INFO, .log_sink = hear, .log_context = &loud->heard};
    const soma_bridge_options bridge = {
        .bind = bind, .secret_key = loud->secret_key[0] ? loud->secret_key : NULL, .allowed = allowed};
    assert_int_equal(soma_system_open(&loud->node.system, &options), 0);
    assert_int_equal(soma_bridge_open(loud->node.system, &bridge, &loud->node.bridge), 0);
}

/* Where it listens, without its key. */
static void place(const struct loud *loud, char *text, size_t size)
{
    const char *address = soma_bridge_address(loud->node.bridge, 0);
    snprintf(text, size, "%.*s", (int)strcspn(address, " "), address);
}

static int find(const struct loud *loud, const char *address, uint64_t timeout)
{
    soma_ref agent;
    return soma_bridge_find(loud->node.bridge, address, "nobody", timeout, &agent);
}

/* It calls that address in vain: its log says so, in these words; or with some more, if it has heard no more but that
 * the other side has closed. */
static void calls_in_vain(struct loud *loud, const char *address, const char *says)
{
    char line[512];
    assert_int_equal(find(loud, address, 10 * SOMA_MS), SOMA_ETIMEOUT);
    snprintf(line, sizeof(line), "bridge: '%s' ", address);
    wait_line(&loud->heard, line);
    wait_line(&loud->heard, says);
}

static void louds_close(struct loud *one, struct loud *other)
{
    assert_int_equal(soma_system_close(&one->node.system), 0);
    assert_int_equal(soma_system_close(&other->node.system), 0);
}

/* ---- keys ---- */

static void test_key_refused(void **state)
{
    (void)state;
    struct loud node, stranger;
    char line[200];
    loud_begin(&node, true);
    loud_begin(&stranger, true);
    loud_open(&node, NULL);
    loud_open(&stranger, node.public_key);
    calls_in_vain(&stranger, soma_bridge_address(node.node.bridge, 0), "refuses this node's key");
    snprintf(line, sizeof(line), "the key '%s' of 127.0.0.1 is not allowed", stranger.public_key);
    wait_line(&node.heard, line);
    soma_bridge_counts counts;
    do
        assert_int_equal(soma_bridge_count(node.node.bridge, &counts), 0);
    while (counts.failed < 2 && !sched_yield());                              // it tries again
    assert_int_equal(lines_with(&node.heard, "before it said who it is"), 0); // it has been said
    louds_close(&stranger, &node);
}

static void test_plain_calls_keyed(void **state)
{
    (void)state;
    struct loud node, plain;
    char address[200];
    loud_begin(&node, true);
    loud_begin(&plain, false);
    loud_open(&node, NULL);
    loud_open(&plain, NULL);
    place(&node, address, sizeof(address));
    calls_in_vain(&plain, address, "of a node with keys");
    wait_line(&node.heard, "bridge: a connection from 127.0.0.1 has ");
    louds_close(&plain, &node);
}

static void test_keyed_calls_plain(void **state)
{
    (void)state;
    struct loud node, plain;
    char address[200];
    loud_begin(&node, true);
    loud_begin(&plain, false);
    loud_open(&node, node.public_key);
    loud_open(&plain, NULL);
    place(&plain, address, sizeof(address));
    snprintf(address + strlen(address), sizeof(address) - strlen(address), " %s", node.public_key);
    calls_in_vain(&node, address, "of a node without keys");
    wait_line(&plain.heard, "bridge: a connection from 127.0.0.1 has ");
    louds_close(&node, &plain);
}

/* The key in the address is another node's. */
static void test_another_key(void **state)
{
    (void)state;
    struct loud node, caller;
    char address[200];
    loud_begin(&node, true);
    loud_begin(&caller, true);
    loud_open(&node, caller.public_key);
    loud_open(&caller, caller.public_key);
    place(&node, address, sizeof(address));
    snprintf(address + strlen(address), sizeof(address) - strlen(address), " %s", caller.public_key);
    calls_in_vain(&caller, address, "closed the connection during the handshake");
    wait_line(&node.heard, "a connection from 127.0.0.1 has ended before it said who it is");
    louds_close(&caller, &node);
}

/* A key that this side does not allow: nobody need wait for that. */
static void test_key_not_allowed(void **state)
{
    (void)state;
    struct loud node, caller;
    loud_begin(&node, true);
    loud_begin(&caller, true);
    loud_open(&node, caller.public_key);
    loud_open(&caller, NULL);
    assert_int_equal(find(&caller, soma_bridge_address(node.node.bridge, 0), PATIENCE), SOMA_EINVAL);
    wait_line(&caller.heard, "is not among those that are allowed here");
    assert_int_equal(soma_bridge_keys_reload(caller.node.bridge, node.public_key), 0);
    assert_int_equal(find(&caller, soma_bridge_address(node.node.bridge, 0), PATIENCE), SOMA_ENOENT);
    louds_close(&caller, &node);
}

/* ---- addresses ---- */

/* The log says why, also if strangers have just used up all their lines. */
static void test_introduced_in_vain(void **state)
{
    (void)state;
    static const char *const far[] = {"tcp://8.8.8.8:1"};
    struct loud loud;
    struct soma_bridge_introduced done;
    loud_begin(&loud, false);
    loud_open(&loud, NULL);
    while (trust_may_log(loud.node.bridge))
        ;
    assert_int_equal(soma_call(loud.node.system, soma_bridge_agent(loud.node.bridge), PATIENCE, &done,
                               soma_bridge_introduced, soma_bridge_introduce, .node = 7, .addresses = {far, 1}),
                     SOMA_EINVAL);
    wait_line(&loud.heard, "'tcp://8.8.8.8:1' is on another machine: that wants keys, or the option `insecure`");
    assert_int_equal(soma_system_close(&loud.node.system), 0);
}

/* One of its own: at once, as nobody else answers there. */
static void test_own_address(void **state)
{
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        struct loud loud;
        loud_begin(&loud, keyed);
        loud_open(&loud, NULL);
        assert_int_equal(find(&loud, soma_bridge_address(loud.node.bridge, 0), PATIENCE), SOMA_EINVAL);
        wait_line(&loud.heard, "' is an address of this node itself");
        assert_int_equal(soma_system_close(&loud.node.system), 0);
    }
}

/* ---- opening ---- */

static void test_second_bridge(void **state)
{
    (void)state;
    struct loud loud;
    soma_bridge *second;
    loud_begin(&loud, false);
    loud_open(&loud, NULL);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){0}, &second), SOMA_EEXIST);
    wait_line(&loud.heard, "the system has a bridge already");
    assert_int_equal(soma_bridge_close(&loud.node.bridge), 0);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){0}, &second), 0);
    assert_int_equal(soma_system_close(&loud.node.system), 0);
}

/* What is no socket is nobody's to remove. */
static void test_a_file_of_another(void **state)
{
    (void)state;
    char address[] = "ipc:///tmp/soma-file-XXXXXX", *path = address + strlen("ipc://");
    const char *const bind[] = {address, NULL};
    soma_system *system;
    soma_bridge *bridge;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_int_equal(soma_system_open(&system, NULL), 0);
    assert_int_equal(soma_bridge_open(system, &(soma_bridge_options){.bind = bind}, &bridge), SOMA_EEXIST);
    assert_int_equal(unlink(path), 0); // it is still there
    assert_int_equal(soma_system_close(&system), 0);
}

static const soma_behavior listener = {.name = "listener"};

/* Where one node listens, by file or by name, another can't, until that one is gone. */
static void test_bound_by_another(void **state)
{
    (void)state;
    static const char *const forms[] = {"ipc:///tmp/soma-bound-%d", "ipc://@soma-bound-%d"};
    for (int i = 0; i < 2; i++) {
        char address[64];
        struct node first, second;
        const char *const bind[] = {address, NULL};
        const soma_options quiet = {.log_level = SOMA_LOG_OFF};
        snprintf(address, sizeof(address), forms[i], (int)getpid());
        node_open_at(&first, "first", bind);
        assert_int_equal(soma_system_open(&second.system, &quiet), 0);
        assert_int_equal(soma_bridge_open(second.system, &(soma_bridge_options){.bind = bind}, &second.bridge),
                         SOMA_EEXIST);
        assert_int_equal(soma_system_close(&second.system), 0);
        node_open_at(&second, "second", NULL);
        node_spawn(&first, &listener);
        node_find(&second, &first, "listener"); // it can still be reached
        nodes_close(&first, 1);
        nodes_close(&second, 1);
        node_open_at(&first, "first", bind);
        nodes_close(&first, 1);
    }
}

static void test_nothing_to_reload(void **state)
{
    (void)state;
    struct loud keyed, plain;
    loud_begin(&keyed, true);
    loud_begin(&plain, false);
    loud_open(&keyed, keyed.public_key);
    loud_open(&plain, NULL);
    assert_int_equal(soma_bridge_keys_reload(keyed.node.bridge, NULL), SOMA_ESTATE);
    assert_int_equal(soma_bridge_keys_reload(plain.node.bridge, ""), SOMA_ESTATE);
    wait_line(&keyed.heard, "bridge: there is no file of allowed keys to read again");
    wait_line(&plain.heard, "bridge: no keys can be allowed, as the node has none of its own");
    louds_close(&keyed, &plain);
}

static void test_long_name(void **state)
{
    (void)state;
    struct loud loud;
    char name[65];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    loud_begin(&loud, false);
    loud_open(&loud, NULL);
    assert_int_equal(soma_bridge_close(&loud.node.bridge), 0);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.name = name}, &loud.node.bridge),
                     SOMA_ETOOBIG);
    wait_line(&loud.heard, "bridge: the name has 64 bytes, and may have 63");
    name[63] = '\0';
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.name = name}, &loud.node.bridge), 0);
    assert_int_equal(soma_system_close(&loud.node.system), 0);
}

/* Wherever they end: ZeroMQ, which would end the process for want of one, is not asked then. */
static void open_at_each_limit(struct loud *loud)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (rlim_t left = 0; left < 60; left++) {
        int next = dup(0);
        assert_true(next >= 0);
        close(next);
        const struct rlimit few = {.rlim_cur = (rlim_t)next + left, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int error = soma_bridge_open(loud->node.system, &(soma_bridge_options){.bind = bind}, &loud->node.bridge);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_true(!error || error == SOMA_ENOMEM);
        assert_int_equal(soma_bridge_close(&loud->node.bridge), 0);
    }
}

static void test_no_more_files(void **state)
{
    (void)state;
    struct loud loud;
    struct rlimit before;
    loud_begin(&loud, false);
    loud_open(&loud, NULL);
    assert_int_equal(soma_bridge_close(&loud.node.bridge), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int error = soma_bridge_open(loud.node.system, &(soma_bridge_options){0}, &loud.node.bridge);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(error, SOMA_ENOMEM);
    wait_line(&loud.heard, "bridge: no sockets: Too many open files");
    open_at_each_limit(&loud);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){0}, &loud.node.bridge), 0);
    assert_int_equal(soma_system_close(&loud.node.system), 0);
}

/* Two places for one thing: whoever gives both means one, and nobody knows which. */
static void test_both_places(void **state)
{
    (void)state;
    struct loud loud;
    loud_begin(&loud, true);
    loud_open(&loud, NULL);
    assert_int_equal(soma_bridge_close(&loud.node.bridge), 0);
    const soma_bridge_options secrets = {.secret_key = loud.secret_key, .secret_file = "/dev/null"};
    assert_int_equal(soma_bridge_open(loud.node.system, &secrets, &loud.node.bridge), SOMA_EINVAL);
    wait_line(&loud.heard, "both `secret_key` and `secret_file`");
    const soma_bridge_options lists = {
        .secret_key = loud.secret_key, .allowed = loud.public_key, .allowed_file = "/dev/null"};
    assert_int_equal(soma_bridge_open(loud.node.system, &lists, &loud.node.bridge), SOMA_EINVAL);
    wait_line(&loud.heard, "both `allowed` and `allowed_file`");
    assert_int_equal(soma_system_close(&loud.node.system), 0);
}

/* Who beats as seldom as others are given up would give up each that has nothing to say. */
static void test_beats(void **state)
{
    (void)state;
    struct loud loud;
    soma_bridge *second;
    struct lone lone;
    loud_begin(&loud, false);
    loud_open(&loud, NULL);
    assert_int_equal(soma_bridge_close(&loud.node.bridge), 0);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.heartbeat_ms = 10000}, &second),
                     SOMA_EINVAL);
    wait_line(&loud.heard, "`heartbeat_ms` (10000) must be less than `down_ms` (10000)");
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.heartbeat_ms = 9999}, &second), 0);
    assert_int_equal(soma_system_close(&loud.node.system), 0);
    lone_open(&lone, &(soma_bridge_options){.down_ms = 900}); // the one follows the other
    assert_int_equal(lone.bridge->options.heartbeat_ms, 301);
    lone_close(&lone);
}

/* ---- not too often ---- */

static void test_few_lines(void **state)
{
    (void)state;
    static struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static const char *const there[] = {"tcp://127.0.0.1:7000", NULL};
    const soma_bridge_options options = {.name = "here", .connect = there};
    struct lone lone;
    lone_open(&lone, &options);
    lone.heard = hear;
    lone.hearer = &heard;
    for (uint64_t i = 1; i <= 100; i++) { // some 5 s between two
        while (lone.dials < i)
            lone_pass(&lone, SOMA_SECOND);
        bridge_turned_away(lone.bridge, lone.dials, "does not want it", i % 2);
    }
    int lines = lines_with(&heard, "bridge: 'tcp://127.0.0.1:7000' does not want it");
    assert_true(lines > 1 && (uint64_t)lines <= 1 + lone.now / (60 * SOMA_SECOND));
    lone_close(&lone);
}

/* Where a node has answered, a connection that is closed is no refusal; a key that is refused is. */
static void test_outage(void **state)
{
    (void)state;
    static struct heard heard = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static const char *const there[] = {"tcp://127.0.0.1:7000", NULL};
    const soma_bridge_options options = {.name = "here", .connect = there};
    const struct hello hello = lone_hello(9);
    struct lone lone;
    lone_open(&lone, &options);
    lone.heard = hear;
    lone.hearer = &heard;
    lone_pass(&lone, SOMA_SECOND);
    assert_int_equal(lone.dials, 1);
    bridge_connected(lone.bridge, 1);
    lone_receive_hello(&lone, 1, &hello);
    bridge_broken(lone.bridge, 1);
    for (uint64_t i = 2; i <= 3; i++) {
        while (lone.dials < i)
            lone_pass(&lone, SOMA_SECOND);
        bridge_turned_away(lone.bridge, i, "has closed", i == 2);
        assert_int_equal(lines_with(&heard, "has closed"), i - 2);
    }
    lone_close(&lone);
}

/* What ZeroMQ would not explain, or would call for ever without a word. */
static void test_no_such_addresses(void **state)
{
    static const char *const six[] = {"tcp://[::1]:7000", "tcp://::1:7000", "tcp://[fe80::1]", NULL};
    static const char *const named[] = {"tcp://localhost:7000", NULL};
    struct loud loud;
    soma_bridge *bridge;
    (void)state;
    loud_begin(&loud, false);
    loud_open(&loud, NULL);
    assert_int_equal(soma_bridge_close(&loud.node.bridge), 0);
    for (size_t i = 0; six[i]; i++) {
        const char *const here[] = {six[i], NULL};
        assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.bind = here}, &bridge),
                         SOMA_EINVAL);
        assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.connect = here}, &bridge),
                         SOMA_EINVAL);
        assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.advertise = here}, &bridge),
                         SOMA_EINVAL);
    }
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.bind = named}, &bridge), SOMA_EINVAL);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.advertise = named}, &bridge),
                     SOMA_EINVAL);
    assert_int_equal(soma_bridge_open(loud.node.system, &(soma_bridge_options){.down_ms = 1}, &bridge), SOMA_EINVAL);
    assert_int_equal(soma_system_close(&loud.node.system), 0);
    assert_int_equal(lines_with(&loud.heard, "is an address of IPv6: bridges are IPv4 only"), 9);
    assert_int_equal(lines_with(&loud.heard, "can't bind 'tcp://localhost:7000'"), 1);
    assert_int_equal(lines_with(&loud.heard, "`advertise` wants `bind`: nobody listens at 'tcp://localhost:7000'"), 1);
    assert_int_equal(lines_with(&loud.heard, "no name of a host will do: only a number, as 127.0.0.1"), 1);
    assert_int_equal(lines_with(&loud.heard, "`down_ms` is 1, and must be more than 10"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_refused),
        cmocka_unit_test(test_plain_calls_keyed),
        cmocka_unit_test(test_keyed_calls_plain),
        cmocka_unit_test(test_another_key),
        cmocka_unit_test(test_key_not_allowed),
        cmocka_unit_test(test_second_bridge),
        cmocka_unit_test(test_a_file_of_another),
        cmocka_unit_test(test_bound_by_another),
        cmocka_unit_test(test_both_places),
        cmocka_unit_test(test_beats),
        cmocka_unit_test(test_introduced_in_vain),
        cmocka_unit_test(test_own_address),
        cmocka_unit_test(test_nothing_to_reload),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_no_more_files),
        cmocka_unit_test(test_few_lines),
        cmocka_unit_test(test_outage),
        cmocka_unit_test(test_no_such_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
