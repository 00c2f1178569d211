/*
 * Where a node without keys listens and calls: paths and names of hosts, and files that are out. And how it closes: in
 * time, whatever others do, and with all given back.
 */
#include "bridges/keeper.h"
#include "bridges/zmtp_parts.h"
#include "raw_peer.h"
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <soma/error.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>

SOMA_MESSAGE(load, (bytes, content))

static char folder[] = "/tmp/soma-zmtp-XXXXXX";

/* ---- the resolver ---- */

int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found);

static atomic_uint asks;
static atomic_bool stands; /* it does not answer for hosts that are called slow */

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *wanted, struct addrinfo **found)
{
    atomic_fetch_add(&asks, 1);
    while (!strncmp(host, "slow", 4) && atomic_load(&stands))
        sched_yield();
    return strstr(host, ".invalid")
               ? EAI_NONAME
               : __real_getaddrinfo(strcmp(host, "slow") ? host : "127.0.0.1", port, wanted, found);
}

static int files_open(void)
{
    DIR *list = opendir("/proc/self/fd");
    int count = 0;
    assert_non_null(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

/* A system with a bridge that may not come to be. */
static int bridge_try(struct raw_node *node, soma_bridge_options options)
{
    const soma_options quiet = {.log_level = SOMA_LOG_OFF, .workers = 1};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    return soma_bridge_open(node->system, &options, &node->bridge);
}

static int bind_try(const char *address)
{
    const char *const bind[] = {address, NULL};
    struct raw_node node;
    int error = bridge_try(&node, (soma_bridge_options){.bind = bind});
    raw_node_close(&node);
    return error;
}

/* ---- paths ---- */

static void path_serves(const char *address)
{
    const char *const bind[] = {address, NULL};
    struct raw_node node;
    struct raw raw;
    raw_node_open(&node, (soma_bridge_options){.bind = bind, .close_ms = 1});
    assert_string_equal(soma_bridge_address(node.bridge, 0), address);
    raw_come(&raw, &node, 0);
    assert_int_equal(bind_try(address), SOMA_EEXIST);
    assert_true(raw_say(&raw, "\4\7\4PING\0", 9) && raw_hear(&raw)); // who came second has taken nothing away
    raw_close(&raw);
    raw_node_close(&node);
}

static void address_make(char address[128], const char *name)
{
    snprintf(address, 128, "ipc://%s/%s", folder, name);
}

static void test_path(void **state)
{
    (void)state;
    char address[128];
    address_make(address, "path");
    path_serves(address);
    assert_int_equal(access(address + 6, F_OK), -1);
    path_serves(address);
}

static void test_abstract(void **state)
{
    (void)state;
    char address[128];
    snprintf(address, sizeof(address), "ipc://@soma-zmtp-%d", (int)getpid());
    path_serves(address);
}

/* Of a socket that nobody has any more; but not of what is no socket. */
static void test_path_left(void **state)
{
    (void)state;
    char address[128];
    struct sockaddr_storage there;
    address_make(address, "left");
    const socklen_t size = raw_place(address, &there);
    int before = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(before, (struct sockaddr *)&there, size), 0);
    assert_int_equal(bind_try(address), SOMA_EEXIST); // it may listen yet
    close(before);
    path_serves(address);
    close(open(address + 6, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(bind_try(address), SOMA_EEXIST);
    assert_int_equal(unlink(address + 6), 0);
    address_make(address, "none/such");
    assert_int_equal(bind_try(address), SOMA_EINVAL);
}

/* 107 bytes are the most that the kernel takes. */
static void test_path_too_long(void **state)
{
    (void)state;
    char address[128];
    struct raw_node node;
    const int before = files_open();
    memset(address, 'x', sizeof(address));
    address_make(address, "");
    address[strlen(address)] = 'x';
    address[6 + 108] = '\0';
    const char *const there[] = {address, NULL};
    assert_int_equal(bind_try(address), SOMA_EINVAL);
    raw_node_open(&node, (soma_bridge_options){.connect = there, .close_ms = 1}); // nobody can be there
    raw_node_close(&node);
    assert_int_equal(files_open(), before);
    address[6 + 107] = '\0';
    path_serves(address);
}

/* ---- IPs ---- */

static void test_ip(void **state)
{
    (void)state;
    static const char *const loopback[] = {"tcp://127.0.0.1", "tcp://127.0.0.1:*", "tcp://127.0.0.1:0", NULL};
    static const char *const many[] = {
        "tcp://127.0.0.1", "tcp://127.0.0.1", "tcp://127.0.0.1", "tcp://127.0.0.1", "tcp://127.0.0.1",
        "tcp://127.0.0.1", "tcp://127.0.0.1", "tcp://127.0.0.1", "tcp://127.0.0.1", NULL};
    static const char *const others[] = {"tcp://localhost", "tcp://no-such-host.invalid", "tcp://lo", "tcp://192.0.2.1",
                                         "tcp://*"};
    static const int errors[] = {SOMA_EINVAL, SOMA_EINVAL, 0, SOMA_EINVAL, 0};
    const int before = files_open();
    struct raw_node node, other;
    raw_node_open(&node, (soma_bridge_options){.bind = loopback});
    assert_null(soma_bridge_address(node.bridge, 3));
    for (uint32_t i = 0; i < 3; i++) {
        struct raw raw;
        raw_open(&raw, soma_bridge_address(node.bridge, i), 0);
        raw_greet(&raw, false);
        raw_close(&raw);
        assert_int_equal(bind_try(soma_bridge_address(node.bridge, i)), SOMA_EEXIST);
    }
    raw_node_close(&node);
    assert_int_equal(bridge_try(&other, (soma_bridge_options){.bind = many}), SOMA_ETOOBIG);
    raw_node_close(&other);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        const char *const bind[] = {others[i], NULL};
        assert_int_equal(bridge_try(&other, (soma_bridge_options){.bind = bind, .insecure = true}), errors[i]);
        raw_node_close(&other);
    }
    assert_int_equal(files_open(), before);
}

/* ---- calling ---- */

/* Where somebody else listens; at the address that is written then. */
static int listen_at(char address[128], const char *host)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(here);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&here, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &size), 0);
    snprintf(address, 128, "tcp://%s:%u", host, ntohs(here.sin_port));
    return listener;
}

static struct raw accept_at(int listener)
{
    struct raw raw = {.socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC), .node = 77};
    assert_true(raw.socket >= 0);
    return raw;
}

/* The node calls, and says hello first. */
static void call_try(const char *host)
{
    char address[128];
    const char *const connect[] = {address, NULL};
    struct raw_node node;
    struct join join;
    uint32_t count;
    msgpack_sbuffer frame;
    msgpack_sbuffer_init(&frame);
    int listener = listen_at(address, host);
    raw_node_open(&node, (soma_bridge_options){.connect = connect, .close_ms = 1});
    struct raw raw = accept_at(listener);
    raw_greet(&raw, true);
    raw_expect(&raw, FRAME_HELLO, &count);
    hello_of(&raw, &frame);
    assert_true(raw_say_frame(&raw, &frame));
    struct reader reader = raw_expect(&raw, FRAME_SESSION, &count);
    assert_int_equal(join_read(&reader, count, &join), 0);
    join = (struct join){.mine = 5, .yours = join.mine};
    assert_true(join_write(&frame, &join) && raw_say_frame(&raw, &frame));
    while (!raw_shown(&node).connected)
        sched_yield();
    raw_close(&raw);
    close(listener);
    msgpack_sbuffer_destroy(&frame);
    raw_node_close(&node);
}

static void test_call(void **state)
{
    (void)state;
    call_try("127.0.0.1");
    call_try("localhost");
}

/* Who is called ends it, makes no sense, or is no ROUTER: the node calls again. */
static void test_call_in_vain(void **state)
{
    (void)state;
    char address[128];
    const char *const connect[] = {address, NULL};
    struct raw_node node;
    unsigned char greeting[ZMTP_GREETING];
    int listener = listen_at(address, "127.0.0.1");
    raw_node_open(&node, (soma_bridge_options){.connect = connect, .close_ms = 1, .retry_most_ms = 10});
    for (int what = 0; what < 6; what++) {
        struct raw raw = accept_at(listener);
        zmtp_greet(greeting);
        if (what == 1)
            assert_true(raw_say(&raw, "SSH-2.0", 7));
        if (what == 2)
            greeting[10] = 1;
        if (what == 3)
            memcpy(greeting + 12, "CURVE", 5);
        if (what >= 2)
            assert_true(raw_say(&raw, greeting, sizeof(greeting)));
        if (what == 4)
            assert_true(raw_say(&raw, "\4\x19\5READY\x0bSocket-Type\0\0\0\3PUB", 27));
        if (what == 5)
            assert_true(raw_say(&raw, "\0\5hello", 7));
        if (what)
            raw_ends(&raw);
        else
            raw_close(&raw);
    }
    struct raw raw = accept_at(listener);
    raw_greet(&raw, true);
    raw_close(&raw);
    close(listener);
    raw_node_close(&node);
}

static void count_unknown(void *context, const soma_log_record *record)
{
    atomic_fetch_add((atomic_uint *)context,
                     strstr(record->text, "'tcp://no-such-host.invalid:7810' has a host that the resolver") != NULL);
}

/* It is asked for again and again, and the log says so once. */
static void test_no_such_host(void **state)
{
    (void)state;
    static const char *const connect[] = {"tcp://no-such-host.invalid:7810", NULL};
    const int before = files_open();
    const unsigned asked = atomic_load(&asks);
    struct raw_node node;
    const soma_bridge_options options = {.connect = connect, .insecure = true, .retry_most_ms = 10};
    atomic_uint lines = 0;
    const soma_options loud = {.log_sink = count_unknown, .log_context = &lines};
    assert_int_equal(soma_system_open(&node.system, &loud), 0);
    assert_int_equal(soma_bridge_open(node.system, &options, &node.bridge), 0);
    while (atomic_load(&asks) < asked + 3)
        sched_yield();
    raw_node_close(&node);
    assert_int_equal(atomic_load(&lines), 1);
    while (files_open() != before)
        sched_yield();
}

/* The resolver stands still: the node serves others meanwhile, and closes. What that still has it gives back by itself
 * when it goes on; whether it has found the host, or not. */
static void test_slow_resolver(void **state)
{
    (void)state;
    static const char *const connect[] = {"tcp://slow:7810", "tcp://slow.invalid:7810", NULL};
    const int before = files_open();
    for (int closes = 0; closes < 2; closes++) {
        struct raw_node node;
        struct raw raw;
        const unsigned asked = atomic_load(&asks);
        atomic_store(&stands, true);
        raw_node_open(&node, (soma_bridge_options){.connect = connect, .insecure = true, .close_ms = 1});
        while (atomic_load(&asks) < asked + 2)
            sched_yield();
        raw_come(&raw, &node, 0);
        if (closes)
            raw_node_close(&node);
        atomic_store(&stands, false);
        raw_close(&raw);
        if (!closes)
            raw_node_close(&node);
        while (files_open() != before)
            sched_yield();
    }
}

/* Who is called again and again while the resolver stands still is asked for once, and no more than so many are at a
 * time. What it says in the end counts, late as it is. */
static void test_many_lookups(void **state)
{
    (void)state;
    enum { HOSTS = 40, MOST = 16 };
    char hosts[HOSTS][40];
    const char *connect[HOSTS + 1] = {NULL};
    const int before = files_open();
    const unsigned asked = atomic_load(&asks);
    struct raw_node node;
    for (int i = 0; i < HOSTS; i++) {
        snprintf(hosts[i], sizeof(hosts[i]), "tcp://slow%d.invalid:7810", i);
        connect[i] = hosts[i];
    }
    atomic_store(&stands, true);
    raw_node_open(&node,
                  (soma_bridge_options){.connect = connect, .insecure = true, .retry_most_ms = 1, .close_ms = 1});
    while (atomic_load(&asks) < asked + MOST)
        sched_yield();
    for (int i = 0; i < 10; i++) { // the node's turns go on
        struct raw raw;
        raw_come(&raw, &node, 0);
        raw_close(&raw);
    }
    assert_int_equal(atomic_load(&asks), asked + MOST);
    atomic_store(&stands, false);
    while (atomic_load(&asks) < asked + HOSTS)
        sched_yield();
    raw_node_close(&node);
    while (files_open() != before)
        sched_yield();
}

/* ---- files that are out ---- */

#define GUESTS 20

/* Who comes while there is no file for him waits, and is let in once there is one. */
static void test_files_out(void **state)
{
    (void)state;
    struct raw_node node;
    struct raw guests[GUESTS];
    struct rlimit limit, few;
    int taken[256], count = 0;
    unsigned char greeting[ZMTP_GREETING_FIRST];
    struct sockaddr_storage there;
    raw_node_open(&node, (soma_bridge_options){.close_ms = 1});
    const socklen_t size = raw_place(soma_bridge_address(node.bridge, 0), &there);
    for (int i = 0; i < GUESTS; i++)
        guests[i] = (struct raw){.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = (struct rlimit){(rlim_t)guests[GUESTS - 1].socket + 100, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (count < 256 && (taken[count] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)) >= 0)
        count++;
    for (int i = 0; i < GUESTS; i++)
        assert_int_equal(connect(guests[i].socket, (struct sockaddr *)&there, size), 0);
    struct keeper *keeper = node.bridge->keeper;
    for (bool out = false; !out;) {
        pthread_mutex_lock(&keeper->post.turn);
        out = ((struct zmtp_wire *)keeper)->opens != UINT64_MAX;
        pthread_mutex_unlock(&keeper->post.turn);
        sched_yield();
    }
    assert_int_equal(raw_counts(&node).accepted, 0);
    close(taken[--count]); // there is one
    assert_true(raw_take(&guests[0], greeting, sizeof(greeting)));
    while (count)
        close(taken[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 1; i < GUESTS; i++)
        assert_true(raw_take(&guests[i], greeting, sizeof(greeting)));
    assert_int_equal(raw_counts(&node).accepted, GUESTS);
    for (int i = 0; i < GUESTS; i++)
        raw_close(&guests[i]);
    raw_node_close(&node);
}

/* ---- closing ---- */

/* One who does not read is owed much; others are in the midst of a handshake, of a frame, or only called. */
static void test_close(void **state)
{
    (void)state;
    static unsigned char content[1 << 20];
    const int before = files_open();
    char address[128], local[128], unsaid[128];
    address_make(local, "close");
    int listener = listen_at(address, "localhost"), silent = listen_at(unsaid, "127.0.0.1");
    const char *const connect[] = {address, unsaid, NULL}, *const bind[] = {"tcp://127.0.0.1", local, NULL};
    struct raw_node node;
    struct raw raw, path, guests[4];
    raw_node_open(
        &node, (soma_bridge_options){.bind = bind, .connect = connect, .close_ms = 100, .window = (uint64_t)64 << 20});
    raw_come(&raw, &node, 4096);
    raw_open(&path, soma_bridge_address(node.bridge, 1), 0);
    raw_greet(&path, false);
    struct raw called = accept_at(listener);
    for (int i = 0; i < 4; i++) {
        raw_open(&guests[i], soma_bridge_address(node.bridge, 0), 0);
        if (i == 1)
            assert_true(raw_say(&guests[i], "\xff\0", 2));
        if (i > 1)
            raw_greet(&guests[i], false);
        if (i > 2)
            assert_true(raw_say(&guests[i], "\0\xff", 2));
    }
    for (int i = 0; i < 24; i++)
        assert_int_equal(soma_send(node.system, ((soma_ref){77, 1, 1}), load, .content = {content, sizeof(content)}),
                         0);
    while (raw_shown(&node).bytes_before < 16 * sizeof(content))
        sched_yield();
    assert_int_equal(soma_bridge_close(&node.bridge), SOMA_ETIMEOUT);
    assert_int_equal(soma_system_close(&node.system), 0);
    for (int i = 0; i < 4; i++)
        raw_ends(&guests[i]);
    raw_ends(&raw);
    raw_ends(&path);
    raw_ends(&called);
    close(listener);
    close(silent);
    assert_int_equal(access(local + 6, F_OK), -1);
    while (files_open() != before) // one who asked the resolver may be the last
        sched_yield();
}

/* A goodbye gets to all who listen, though another does not read. */
static void test_goodbye(void **state)
{
    (void)state;
    struct raw_node node;
    struct raw raw;
    uint32_t count;
    raw_node_open(&node, (soma_bridge_options){.close_ms = 1});
    raw_come(&raw, &node, 0);
    assert_int_equal(soma_bridge_close(&node.bridge), 0);
    raw_expect(&raw, FRAME_BYE, &count);
    raw_ends(&raw);
    assert_int_equal(soma_system_close(&node.system), 0);
}

/* A bridge that could not be opened gives all back, too. */
static void test_not_opened(void **state)
{
    (void)state;
    char address[128];
    address_make(address, "none/such");
    const char *const bind[] = {"tcp://127.0.0.1", address, NULL}, *const wrong[] = {"tcp://127.0.0.1", "x", NULL};
    const int before = files_open();
    struct raw_node node;
    assert_int_equal(bridge_try(&node, (soma_bridge_options){.bind = bind}), SOMA_EINVAL);
    raw_node_close(&node);
    assert_int_equal(bridge_try(&node, (soma_bridge_options){.connect = wrong}), SOMA_EINVAL);
    raw_node_close(&node);
    assert_int_equal(files_open(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path),          cmocka_unit_test(test_abstract),     cmocka_unit_test(test_path_left),
        cmocka_unit_test(test_path_too_long), cmocka_unit_test(test_ip),           cmocka_unit_test(test_call),
        cmocka_unit_test(test_call_in_vain),  cmocka_unit_test(test_no_such_host), cmocka_unit_test(test_slow_resolver),
        cmocka_unit_test(test_many_lookups),  cmocka_unit_test(test_files_out),    cmocka_unit_test(test_close),
        cmocka_unit_test(test_goodbye),       cmocka_unit_test(test_not_opened),
    };
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
