/*
 * Names in a cluster of three etcd processes, of which some are killed, registered by nodes that are processes, too,
 * and killed as well. This program is also such a node: `etcd_cluster_test ADDRESS`, which registers what it is told
 * to.
 */
#include "bridges/nodes.h"
#include "nameservice/etcd/base64.h"
#include "nameservice/etcd/http.h"
#include "nameservice/etcd/text.h"
#include "nameservice/etcd_cluster.h"
#include <pthread.h>
#include <soma/nameservice.h>
#include <soma/timer.h>

#define LEASE_S 3

SOMA_MESSAGE(ask, (u64, number))
SOMA_MESSAGE(told, (u64, number))

static int on_ask(soma_agent *self, void *my, const struct ask *m)
{
    (void)my;
    return soma_reply(self, told, .number = m->number + 1);
}

static const soma_behavior teller = {.name = "teller", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

/* Who was killed does not acknowledge anything any more: it is not waited for. */
static void here_open(struct node *node)
{
    static const char *const loopback[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {.bind = loopback, .close_ms = 200};
    const soma_options quiet = {.log_level = SOMA_LOG_OFF};
    assert_int_equal(soma_system_open(&node->system, &quiet), 0);
    assert_int_equal(soma_bridge_open(node->system, &options, &node->bridge), 0);
}

static void here_close(struct node *node)
{
    int error = soma_system_close(&node->system);
    assert_true(!error || error == SOMA_ETIMEOUT);
}

static soma_names *names_open(const struct node *node, const char *address)
{
    const char *const addresses[] = {address, NULL};
    const soma_names_options options = {.addresses = addresses, .lease_s = LEASE_S};
    soma_names *names;
    assert_int_equal(soma_names_open(node->system, node->bridge, &options, &names), 0);
    return names;
}

/* ---- a node that is a process ---- */

static int node_main(const char *address)
{
    struct node node;
    char name[64];
    here_open(&node);
    soma_names *names = names_open(&node, address);
    while (fgets(name, sizeof(name), stdin)) {
        name[strcspn(name, "\n")] = 0;
        soma_ref agent;
        assert_int_equal(soma_spawn(node.system, &teller, NULL, &agent), 0);
        printf("%d\n", soma_names_register(names, name, agent, 3 * PATIENCE));
        fflush(stdout);
    }
    assert_int_equal(soma_names_close(&names), 0);
    here_close(&node);
    return 0;
}

struct process {
    pid_t pid;
    FILE *in, *out;
};

static void process_start(struct process *process, const char *address)
{
    int in[2], out[2];
    char *const arguments[] = {"node", (char *)(uintptr_t)address, NULL};
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    process->pid = fork();
    if (!process->pid) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execv("/proc/self/exe", arguments);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    process->in = fdopen(in[1], "w");
    process->out = fdopen(out[0], "r");
}

static void process_tell(const struct process *process, const char *name)
{
    fprintf(process->in, "%s\n", name);
    fflush(process->in);
}

static void process_has(const struct process *process)
{
    int error;
    assert_int_equal(fscanf(process->out, "%d", &error), 1);
    assert_int_equal(error, 0);
}

static void process_register(const struct process *process, const char *name)
{
    process_tell(process, name);
    process_has(process);
}

/* Its end: by itself, or killed. */
static void process_end(const struct process *process, bool killed)
{
    int status;
    if (killed)
        kill(process->pid, SIGKILL);
    fclose(process->in);
    assert_int_equal(waitpid(process->pid, &status, 0), process->pid);
    fclose(process->out);
    assert_int_equal(status, killed ? SIGKILL : 0);
}

/* ---- what a watch tells: kept, and checked for its order ---- */

#define SEEN_MOST 16

struct seen {
    pthread_mutex_t lock;
    char names[SEEN_MOST][64];
    soma_ref agents[SEEN_MOST];
    bool current;
    int stale; /* how often */
    int wrong; /* events that can't follow what came before */
};

static int place_of(const struct seen *seen, const char *name)
{
    int i = 0;
    while (i < SEEN_MOST && strcmp(seen->names[i], name) != 0)
        i++;
    return i;
}

static void on_event(void *context, const struct soma_name_event *event)
{
    struct seen *seen = context;
    pthread_mutex_lock(&seen->lock);
    const char *name = event->name.name ? event->name.name : "";
    int place = *name ? place_of(seen, name) : 0;
    bool is_name = event->event <= SOMA_NAME_REMOVED, is_new = event->event == SOMA_NAME_ADDED;
    if (is_name && is_new != (place == SEEN_MOST)) {
        seen->wrong++;
    } else if (is_name) {
        if (is_new)
            place = place_of(seen, "");
        snprintf(seen->names[place], sizeof(seen->names[0]), "%s", event->event == SOMA_NAME_REMOVED ? "" : name);
        seen->agents[place] = event->name.agent;
    } else {
        bool current = event->event == SOMA_NAME_CURRENT;
        seen->wrong += current == seen->current;
        seen->current = current;
        seen->stale += !current;
    }
    pthread_mutex_unlock(&seen->lock);
}

/* Waits until the watch has told so: the agent that a name has; the null ref: none. */
static void seen_wait(struct seen *seen, const char *name, soma_ref agent)
{
    for (int i = 0; i < 30000; i++) {
        pthread_mutex_lock(&seen->lock);
        int place = place_of(seen, name);
        bool there = place < SEEN_MOST, good = there ? soma_ref_equal(seen->agents[place], agent) : !agent.node;
        good = good && seen->current;
        pthread_mutex_unlock(&seen->lock);
        if (good)
            return;
        nap_ms(1);
    }
    fail_msg("the watch does not tell of '%s'", name);
}

static void stale_wait(struct seen *seen, int count)
{
    int stale = 0;
    for (int i = 0; i < 30000 && stale < count; i++, nap_ms(1)) {
        pthread_mutex_lock(&seen->lock);
        stale = seen->stale;
        pthread_mutex_unlock(&seen->lock);
    }
    assert_true(stale >= count);
}

/* ---- a world: the cluster, and a node here that looks ---- */

static struct etcd_cluster cluster;

struct world {
    char address[128];
    struct node node;
    soma_names *names;
    struct seen seen;
};

static void world_open(struct world *world, const char *prefix, const char *watched)
{
    soma_ref watcher;
    *world = (struct world){.seen = {.lock = PTHREAD_MUTEX_INITIALIZER}};
    etcd_cluster_address(&cluster, prefix, world->address);
    here_open(&world->node);
    world->names = names_open(&world->node, world->address);
    assert_int_equal(soma_names_watch(world->names, watched, on_event, &world->seen, &watcher), 0);
}

static void world_close(struct world *world)
{
    assert_int_equal(world->seen.wrong, 0);
    assert_int_equal(soma_names_close(&world->names), 0);
    here_close(&world->node);
}

/* Its name is there, and the ref leads to it, though nobody but etcd has told of its node. */
static soma_ref find(struct world *world, const char *name)
{
    struct told answer = {0};
    soma_ref agent;
    assert_int_equal(soma_names_wait(world->names, name, PATIENCE, &agent), 0);
    assert_int_equal(soma_call(world->node.system, agent, PATIENCE, &answer, told, ask, .number = 7), 0);
    assert_int_equal(answer.number, 8);
    seen_wait(&world->seen, name, agent);
    return agent;
}

/* It is known to be gone, and then nobody is given it any more. */
static void find_none(struct world *world, const char *name)
{
    struct soma_name entry;
    soma_ref agent;
    seen_wait(&world->seen, name, SOMA_REF_NULL);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(soma_names_lookup(world->names, name, PATIENCE, &agent), SOMA_ENOENT);
        assert_int_equal(soma_names_info(world->names, name, PATIENCE, &entry), SOMA_ENOENT);
    }
}

/* ---- what is lost ---- */

static void test_member_lost(void **state)
{
    struct world world;
    struct process one, two;
    (void)state;
    world_open(&world, "member", NULL);
    process_start(&one, world.address);
    process_start(&two, world.address);
    process_register(&one, "one/a");
    process_register(&two, "two/a");
    soma_ref first = find(&world, "one/a");
    find(&world, "two/a");
    etcd_member_kill(&cluster, 0); // which all talk to
    process_register(&one, "one/b");
    find(&world, "one/b");
    etcd_member_start(&cluster, 0);
    assert_true(etcd_member_wait(&cluster, 0));
    etcd_member_kill(&cluster, 1); // the one that they have gone to
    process_register(&two, "two/b");
    find(&world, "two/b");
    assert_true(soma_ref_equal(find(&world, "one/a"), first));
    etcd_member_start(&cluster, 1);
    assert_true(etcd_member_wait(&cluster, 1));
    process_end(&one, false); // who leaves takes its names along
    find_none(&world, "one/a");
    find_none(&world, "one/b");
    find(&world, "two/a");
    process_end(&two, false);
    find_none(&world, "two/b");
    world_close(&world);
}

static void test_node_lost(void **state)
{
    struct world world;
    struct process one, two, three;
    soma_ref here, holder;
    (void)state;
    world_open(&world, "node", NULL);
    process_start(&one, world.address);
    process_start(&two, world.address);
    process_register(&one, "one/a");
    process_register(&one, "one/b");
    process_register(&two, "two/a");
    soma_ref dead = find(&world, "one/a");
    find(&world, "one/b");
    find(&world, "two/a");
    assert_int_equal(soma_spawn(world.node.system, &teller, NULL, &here), 0);
    assert_int_equal(soma_names_register_as(world.names, "one/a", here, SOMA_VALUE_NONE, false, PATIENCE, &holder),
                     SOMA_EEXIST);
    assert_true(soma_ref_equal(holder, dead));
    process_end(&one, true);
    // Who knows that it is gone need not wait for the end of the lease.
    assert_int_equal(soma_names_register_as(world.names, "one/a", here, SOMA_VALUE_NONE, true, PATIENCE, &holder), 0);
    assert_true(soma_ref_equal(find(&world, "one/a"), here));
    find_none(&world, "one/b");
    process_start(&three, world.address);
    process_register(&three, "one/b"); // it is free
    find(&world, "one/b");
    assert_true(soma_ref_equal(find(&world, "one/a"), here)); // not touched by the end of the lease that had it
    find(&world, "two/a");
    process_end(&two, false);
    process_end(&three, false);
    world_close(&world);
}

/* A member is lost for good, and then a node: its names go, all others stay, and what is free is given anew. */
static void test_both_lost(void **state)
{
    struct world world;
    struct process one, two;
    (void)state;
    world_open(&world, "both", NULL);
    process_start(&one, world.address);
    process_start(&two, world.address);
    process_register(&one, "one/a");
    process_register(&two, "two/a");
    find(&world, "one/a");
    soma_ref lives = find(&world, "two/a");
    etcd_member_kill(&cluster, 0); // which all talk to
    process_end(&one, true);
    find_none(&world, "one/a");
    assert_true(soma_ref_equal(find(&world, "two/a"), lives));
    process_register(&two, "one/a");
    find(&world, "one/a");
    etcd_member_start(&cluster, 0);
    assert_true(etcd_member_wait(&cluster, 0));
    assert_true(soma_ref_equal(find(&world, "two/a"), lives));
    process_end(&two, false);
    find_none(&world, "one/a");
    assert_int_equal(world.seen.stale, 0); // nobody had to doubt what the watch had told
    world_close(&world);
}

/* More names than etcd gives at once: who comes later has them all. */
static void test_pages(void **state)
{
    struct world world;
    struct soma_name_page page;
    char name[16];
    soma_ref agent;
    const uint32_t many = ETCD_PAGE + 20;
    (void)state;
    world_open(&world, "pages", "none");
    assert_int_equal(soma_spawn(world.node.system, &teller, NULL, &agent), 0);
    for (uint32_t i = 0; i < many; i++) {
        snprintf(name, sizeof(name), "n%03u", i);
        assert_int_equal(soma_names_register(world.names, name, agent, PATIENCE), 0);
    }
    soma_names *late = names_open(&world.node, world.address);
    assert_int_equal(soma_names_list(late, "n", NULL, 0, PATIENCE, &page), 0);
    assert_int_equal(page.names.count, many);
    assert_false(page.more);
    for (uint32_t i = 0; i < many; i++) {
        snprintf(name, sizeof(name), "n%03u", i);
        assert_string_equal(page.names.items[i].name, name);
        assert_true(soma_ref_equal(page.names.items[i].agent, agent));
    }
    soma_name_page_destroy(&page);
    assert_int_equal(soma_names_close(&late), 0);
    world_close(&world);
}

#define FAT ((size_t)1500000) /* bytes of a value in base64; etcd takes up to 1.5 MiB of it */

static void nothing(void *context, struct http_result *result)
{
    (void)context;
    http_result_free(result);
}

/* What others have put below the prefix is more than is read at once: names are found and put all the same. */
static void test_foreign(void **state)
{
    struct world world;
    struct process one;
    struct http *http;
    char url[64], key[32], *value = malloc(FAT + 1), *data = calloc(1, FAT);
    (void)state;
    assert_int_equal(http_open(&http, nothing, NULL), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v3/kv/put", cluster.members[0].port);
    etcd_base64_write(value, data, FAT / 4 * 3);
    for (int i = 0; i < 6; i++) {
        etcd_base64_write(key, (char[]){'/', 'f', '/', (char)('0' + i)}, 4);
        json_t *json = json_pack("{s:s, s:s}", "key", key, "value", value);
        char *text = json_dumps(json, JSON_COMPACT);
        assert_int_equal(http_ask(http, url, text, 20000), 200);
        free(text);
        json_decref(json);
    }
    world_open(&world, "f", NULL);
    process_start(&one, world.address);
    process_register(&one, "one/a");
    find(&world, "one/a");
    process_end(&one, false);
    find_none(&world, "one/a");
    world_close(&world);
    http_close(http);
    free(value);
    free(data);
}

/* Without most of its members nobody can tell anything. All is back with them, by itself. */
static void test_quorum_lost(void **state)
{
    struct world world;
    struct process one, late;
    struct soma_name entry;
    soma_ref here;
    (void)state;
    world_open(&world, "quorum", NULL);
    process_start(&one, world.address);
    process_register(&one, "one/a");
    soma_ref first = find(&world, "one/a");
    assert_int_equal(soma_spawn(world.node.system, &teller, NULL, &here), 0);
    assert_int_equal(soma_names_register(world.names, "here", here, PATIENCE), 0);
    etcd_member_kill(&cluster, 0);
    etcd_member_kill(&cluster, 2);
    stale_wait(&world.seen, 1);
    assert_int_equal(soma_names_info(world.names, "one/a", 10 * SOMA_MS, &entry), SOMA_ETIMEOUT);
    process_start(&late, world.address); // it waits until there is somebody to ask
    process_tell(&late, "late");
    etcd_member_start(&cluster, 0);
    etcd_member_start(&cluster, 2);
    process_has(&late);
    find(&world, "late");
    assert_true(soma_ref_equal(find(&world, "one/a"), first));
    assert_true(soma_ref_equal(find(&world, "here"), here));
    process_end(&one, false);
    find_none(&world, "one/a");
    process_end(&late, false);
    world_close(&world);
}

static int setup(void **state)
{
    (void)state;
    etcd_cluster_start(&cluster, MEMBERS_MOST);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    etcd_cluster_stop(&cluster);
    return 0;
}

int main(int count, char **arguments)
{
    if (count > 1)
        return node_main(arguments[1]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_member_lost), cmocka_unit_test(test_node_lost),
                                       cmocka_unit_test(test_both_lost),   cmocka_unit_test(test_pages),
                                       cmocka_unit_test(test_quorum_lost), cmocka_unit_test(test_foreign)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
