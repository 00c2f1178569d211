/*
 * wordcount [--top N] [--nodes N | --on NAME,…] PATH…: counts the words in files and folders; a word is a run of the
 * letters A–Z and a–z, in lower case, and every other byte parts words. So any file will do, text or not.
 *
 * A reader reads a chunk of a file and sends each word to the agent that owns it by hash (thousands of them). A feeder
 * gives each reader one chunk at a time: it is done when the owners have acknowledged all of its words, so memory is
 * bounded however large the files are. At the end the owners report to the reporter. Readers and owners are spawned on
 * all nodes alike, each a process of its own; they can't tell. The nodes are started here, or they are found by name:
 * each was started by wordcount --serve NAME. See docs/wordcount.md.
 */
#include "wordcount_text.h"
#include <inttypes.h>
#include <soma/soma.h>
#include <stdio.h>
#include <sys/wait.h>

#define READERS 16u
#define OWNERS 4096u
#define NODES_MOST 16u
#define PATIENCE (60 * SOMA_SECOND) /* with nodes and name servers that are yet to be started */

SOMA_MESSAGE(begin)
SOMA_MESSAGE(owner_setup, (ref, reporter))
SOMA_MESSAGE(reader_setup, (array, ref, owners))
SOMA_MESSAGE(chunk, (string, path), (u64, start))
SOMA_MESSAGE(chunk_done, (bool, failed))
SOMA_MESSAGE(words, (bytes, text)) /* each word ends in a newline */
SOMA_MESSAGE(counted)
SOMA_MESSAGE(report)
SOMA_MESSAGE(result, (string, word), (u64, count))
SOMA_MESSAGE(owner_done)

/* A process, and what may be spawned there. */
struct node {
    soma_ref owners, readers;
};

/* What main sets up before the system runs: for the feeder and the reporter, who live where main does. */
static struct job {
    struct files files;
    size_t failures; /* beside those of the files; the feeder's alone while the system runs */
    bool reported;   /* the reporter's */
    size_t top;
    struct node nodes[NODES_MOST];
    uint32_t node_count;
    char *on;          /* names of nodes with commas between; NULL: nodes of its own */
    const char *serve; /* the name of this node, which counts nothing by itself; or NULL */
    soma_ref reporter;
} job = {.top = 20, .node_count = 1};

/* What a handler returns that has asked for something. */
static int error_of(soma_handle asked)
{
    return asked < 0 ? (int)asked : 0;
}

/* ---- owners: count the words that are theirs ---- */

struct owner {
    struct counts counts;
    soma_ref reporter;
};

static int on_words(soma_agent *self, struct owner *my, const struct words *m)
{
    const char *at = m->text.data, *end = at + m->text.size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        counts_add(&my->counts, at, (size_t)(newline - at), OWNERS);
        at = newline + 1;
    }
    return soma_send(self, soma_sender(self), counted);
}

static int on_report(soma_agent *self, struct owner *my, const struct report *m)
{
    (void)m;
    for (size_t i = 0; i < my->counts.size; i++) {
        const struct entry *entry = &my->counts.entries[i];
        if (entry->word)
            soma_send(self, my->reporter, result, .word = entry->word, .count = entry->count);
    }
    return soma_send(self, my->reporter, owner_done);
}

static int owner_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    ((struct owner *)state)->reporter = ((const struct owner_setup *)arg)->reporter;
    return 0;
}

static void owner_stop(soma_agent *self, void *state, int reason)
{
    (void)self, (void)reason;
    counts_free(&((struct owner *)state)->counts);
}

static const soma_behavior owner = {.name = "owner",
                                    .state_size = sizeof(struct owner),
                                    .init = owner_init,
                                    .stop = owner_stop,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(words, on_words), SOMA_ON(report, on_report))};

/* ---- readers: read a part of a file, sort its words by owner, send them ---- */

struct reader {
    soma_ref owners[OWNERS];
    soma_handle promise; /* of the chunk that is read */
    uint32_t unacknowledged;
};

static int reader_init(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    const struct reader_setup *setup = arg;
    if (setup->owners.count != OWNERS)
        return SOMA_EINVAL;
    memcpy(((struct reader *)state)->owners, setup->owners.items, sizeof(((struct reader *)state)->owners));
    return 0;
}

/* To each owner the words that are its. */
static int words_send(soma_agent *self, struct reader *my, const struct basket *baskets)
{
    int error = 0;
    for (uint32_t i = 0; i < OWNERS && !error; i++) {
        if (!baskets[i].length)
            continue;
        error = soma_send(self, my->owners[i], words, .text = {baskets[i].text, (uint32_t)baskets[i].length});
        my->unacknowledged++;
    }
    return error;
}

static int on_chunk(soma_agent *self, struct reader *my, const struct chunk *m)
{
    struct text text = {0};
    struct basket *baskets = calloc(OWNERS, sizeof(*baskets));
    if (!baskets)
        out_of_memory();
    bool done = text_read(m->path, (off_t)m->start, &text);
    if (done)
        words_split(&text, baskets, OWNERS);
    else
        fprintf(stderr, "wordcount: %s: %s\n", m->path, strerror(errno));
    int error = words_send(self, my, baskets);
    for (uint32_t i = 0; i < OWNERS; i++)
        free(baskets[i].text);
    free(baskets);
    free(text.bytes);
    if (error)
        return error;
    if (!my->unacknowledged)
        return soma_reply(self, chunk_done, .failed = !done);
    my->promise = soma_reply_later(self);
    return error_of(my->promise);
}

static int on_counted(soma_agent *self, struct reader *my, const struct counted *m)
{
    (void)m;
    return --my->unacknowledged ? 0 : soma_reply_to(self, my->promise, chunk_done);
}

static const soma_behavior reader = {.name = "reader",
                                     .state_size = sizeof(struct reader),
                                     .init = reader_init,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(chunk, on_chunk), SOMA_ON(counted, on_counted))};

/* ---- the feeder: spawns owners and readers on all nodes, and has all files read ---- */

struct feeder {
    soma_ref owners[OWNERS];
    soma_ref readers[READERS];
    uint32_t owner_count;
    uint32_t reading; /* readers that have a chunk, or do not live yet */
    size_t file;      /* what is to be read next, and from where */
    off_t at;
    size_t done;
};

static int on_failed(soma_agent *self, struct feeder *my, const int *error)
{
    (void)my;
    return soma_fail(self, *error, "a node can't do its part");
}

static int on_chunk_done(soma_agent *self, struct feeder *my, const struct chunk_done *m);

/* The next chunk for a reader that has none. When all have been read, the owners report. */
static int feed(soma_agent *self, struct feeder *my, uint64_t which)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%zu chunks read, file %zu of %zu ", my->done, my->file, job.files.count);
    if (my->file == job.files.count) {
        my->reading--;
        for (uint32_t i = 0; !my->reading && i < OWNERS; i++)
            soma_send(self, my->owners[i], report);
        return 0;
    }
    const struct file *file = &job.files.all[my->file];
    soma_handle asked = soma_request(self, my->readers[which], SOMA_NEVER,
                                     SOMA_THEN(chunk_done, on_chunk_done, on_failed, .tag = which), chunk,
                                     .path = file->path, .start = (uint64_t)my->at);
    my->at += CHUNK;
    if (my->at >= file->size) {
        my->file++;
        my->at = 0;
    }
    return error_of(asked);
}

static int on_chunk_done(soma_agent *self, struct feeder *my, const struct chunk_done *m)
{
    job.failures += m->failed;
    my->done++;
    return feed(self, my, soma_tag(self));
}

static int on_reader(soma_agent *self, struct feeder *my, const struct soma_bridge_spawned *m)
{
    my->readers[soma_tag(self)] = m->agent;
    return feed(self, my, soma_tag(self));
}

/* Once all owners are there the readers, who are told of them. */
static int on_owner(soma_agent *self, struct feeder *my, const struct soma_bridge_spawned *m)
{
    my->owners[soma_tag(self)] = m->agent;
    if (++my->owner_count < OWNERS)
        return 0;
    soma_handle asked = 0;
    for (; my->reading < READERS && asked >= 0; my->reading++)
        asked = soma_request(self, job.nodes[my->reading % job.node_count].readers, SOMA_NEVER,
                             SOMA_THEN(soma_bridge_spawned, on_reader, on_failed, .tag = my->reading), reader_setup,
                             .owners = {my->owners, OWNERS});
    return error_of(asked);
}

static int on_begin(soma_agent *self, struct feeder *my, const struct begin *m)
{
    (void)my, (void)m;
    soma_handle asked = 0;
    for (uint32_t i = 0; i < OWNERS && asked >= 0; i++)
        asked = soma_request(self, job.nodes[i % job.node_count].owners, SOMA_NEVER,
                             SOMA_THEN(soma_bridge_spawned, on_owner, on_failed, .tag = i), owner_setup,
                             .reporter = job.reporter);
    return error_of(asked);
}

static void feeder_stop(soma_agent *self, void *state, int reason)
{
    (void)state;
    if (reason)
        soma_system_stop(soma_agent_system(self));
}

static const soma_behavior feeder = {.name = "feeder",
                                     .state_size = sizeof(struct feeder),
                                     .stop = feeder_stop,
                                     .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin))};

/* ---- the reporter, who also watches over the nodes until all has been reported ---- */

struct reporter {
    struct entry *entries;
    size_t used, size;
    uint64_t total;
    uint32_t owners_done;
};

static int by_count(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->word, y->word);
}

static int on_result(soma_agent *self, struct reporter *my, const struct result *m)
{
    (void)self;
    if (my->used == my->size) {
        my->size = my->size ? 2 * my->size : 1024;
        if (!(my->entries = realloc(my->entries, my->size * sizeof(struct entry))))
            out_of_memory();
    }
    char *word = strdup(m->word);
    if (!word)
        out_of_memory();
    my->entries[my->used++] = (struct entry){word, m->count};
    my->total += m->count;
    return 0;
}

static int on_owner_done(soma_agent *self, struct reporter *my, const struct owner_done *m)
{
    (void)m;
    if (++my->owners_done < OWNERS)
        return 0;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\n");
    if (my->used)
        qsort(my->entries, my->used, sizeof(struct entry), by_count);
    for (size_t i = 0; i < my->used && (!job.top || i < job.top); i++)
        printf("%7" PRIu64 " %s\n", my->entries[i].count, my->entries[i].word);
    fprintf(stderr, "wordcount: %" PRIu64 " words, %zu different, in %zu files\n", my->total, my->used,
            job.files.count);
    job.reported = true;
    soma_agent_exit(self, 0);
    return soma_system_stop(soma_agent_system(self));
}

static int on_node_down(soma_agent *self, struct reporter *my, const struct soma_down *m)
{
    (void)my;
    return soma_fail(self, m->reason, "a node has ended, with what it had counted");
}

static int reporter_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg;
    soma_handle monitor = 0;
    for (uint32_t i = 0; i < job.node_count && monitor >= 0; i++)
        monitor = soma_monitor(self, job.nodes[i].owners); // ends only with its node
    return error_of(monitor);
}

static void reporter_stop(soma_agent *self, void *state, int reason)
{
    struct reporter *my = state;
    if (reason)
        soma_system_stop(soma_agent_system(self));
    for (size_t i = 0; i < my->used; i++)
        free(my->entries[i].word);
    free(my->entries);
}

static const soma_behavior reporter = {.name = "reporter",
                                       .state_size = sizeof(struct reporter),
                                       .init = reporter_init,
                                       .stop = reporter_stop,
                                       .handlers =
                                           SOMA_HANDLERS(SOMA_ON(result, on_result), SOMA_ON(owner_done, on_owner_done),
                                                         SOMA_ON(soma_down, on_node_down))};

/* ---- nodes ---- */

static int node_open(bool listens, soma_system **system, soma_bridge **bridge)
{
    static const char *const bind[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {.name = job.serve ? job.serve : "wordcount", .bind = listens ? bind : NULL};
    int error = soma_system_open(system, &(soma_options){.log_level = SOMA_LOG_WARNING});
    error = error ? error : soma_bridge_open(*system, &options, bridge);
    error = error ? error : soma_bridge_offer(*bridge, "owner", &owner, &owner_setup_type);
    return error ? error : soma_bridge_offer(*bridge, "reader", &reader, &reader_setup_type);
}

/* A process that counts for the first one, until that ends: then the pipe does. */
static int serve(int out, int alive)
{
    soma_system *system;
    soma_bridge *bridge;
    char byte;
    int error = node_open(true, &system, &bridge);
    if (!error)
        dprintf(out, "%s", soma_bridge_address(bridge, 0));
    close(out);
    while (!error && read(alive, &byte, 1) < 0 && errno == EINTR)
        ;
    int closing = soma_system_close(&system);
    if (error || closing)
        fprintf(stderr, "wordcount: a node: %s\n", soma_strerror(error ? error : closing));
    return error || closing;
}

/* Starts another process; where it listens. */
static bool node_start(const int alive[2], char *address, size_t size)
{
    int ends[2];
    if (pipe(ends))
        return false;
    pid_t child = fork(); // before this process has threads
    if (!child) {
        close(ends[0]);
        close(alive[1]);
        exit(serve(ends[1], alive[0]));
    }
    close(ends[1]);
    ssize_t length = child < 0 ? -1 : read(ends[0], address, size - 1);
    close(ends[0]);
    return length > 0;
}

static int nodes_find(soma_system *system, soma_bridge *bridge, char addresses[][64])
{
    int error = soma_whereis(system, "owner", &job.nodes[0].owners);
    error = error ? error : soma_whereis(system, "reader", &job.nodes[0].readers);
    for (uint32_t i = 1; i < job.node_count && !error; i++) {
        error = soma_bridge_find(bridge, addresses[i], "owner", 10 * SOMA_SECOND, &job.nodes[i].owners);
        error = error ? error : soma_bridge_find(bridge, addresses[i], "reader", SOMA_SECOND, &job.nodes[i].readers);
    }
    return error;
}

/* A name of one of a node's offers. */
static const char *offer_name(char *name, size_t size, const char *node, const char *offer)
{
    snprintf(name, size, "%s/%s", node, offer);
    return name;
}

/* Whoever comes first waits for the others, and for the name server. */
static int nodes_find_named(soma_system *system, soma_bridge *bridge)
{
    char name[SOMA_NAME_MOST + 1];
    soma_names *names;
    int error = soma_names_open(system, bridge, NULL, &names);
    job.node_count = 0;
    for (char *rest = job.on, *node; !error && (node = strsep(&rest, ","));) {
        struct node *found = &job.nodes[job.node_count++];
        error = soma_names_wait(names, offer_name(name, sizeof(name), node, "owner"), PATIENCE, &found->owners);
        if (!error)
            error = soma_names_wait(names, offer_name(name, sizeof(name), node, "reader"), PATIENCE, &found->readers);
        if (error)
            fprintf(stderr, "wordcount: no node '%s'\n", node);
    }
    soma_names_close(&names);
    return error;
}

static int count_words(char addresses[][64])
{
    soma_system *system;
    soma_bridge *bridge;
    soma_ref agent;
    int error = node_open(job.node_count > 1 || job.on, &system, &bridge);
    if (!error)
        error = job.on ? nodes_find_named(system, bridge) : nodes_find(system, bridge, addresses);
    error = error ? error : soma_spawn(system, &reporter, NULL, &job.reporter);
    error = error ? error : soma_spawn(system, &feeder, NULL, &agent);
    error = error ? error : soma_send(system, agent, begin);
    error = error ? error : soma_system_run(system);
    int closing = soma_system_close(&system);
    return error ? error : closing;
}

/* Counts on all nodes; the other processes end with this one's. */
static int nodes_run(void)
{
    static char addresses[NODES_MOST][64];
    int alive[2], status, error = 0;
    if (pipe(alive))
        return SOMA_ETHREAD;
    for (uint32_t i = 1; i < job.node_count && !error; i++)
        if (!node_start(alive, addresses[i], sizeof(addresses[i])))
            error = SOMA_ETHREAD;
    if (!error)
        error = count_words(addresses);
    close(alive[1]);
    while (wait(&status) > 0)
        job.failures += status != 0;
    close(alive[0]);
    return error;
}

/* ---- a node that others find by name ---- */

/* Whoever has told them to has shut the node down. */
static int on_offer_down(soma_agent *self, void *my, const struct soma_down *m)
{
    (void)my, (void)m;
    return soma_system_stop(soma_agent_system(self));
}

static int keeper_init(soma_agent *self, void *state, const void *arg)
{
    (void)state;
    return error_of(soma_monitor(self, *(const soma_ref *)arg));
}

static const soma_behavior keeper = {
    .name = "keeper", .init = keeper_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_offer_down))};

static int offers_register(soma_system *system, soma_names *names)
{
    static const char *const offers[] = {"owner", "reader"};
    char name[SOMA_NAME_MOST + 1];
    soma_ref offer;
    int error = 0;
    for (int i = 0; i < 2 && !error; i++) {
        error = soma_whereis(system, offers[i], &offer);
        if (!error)
            error = soma_names_register(names, offer_name(name, sizeof(name), job.serve, offers[i]), offer, PATIENCE);
    }
    return error ? error : soma_spawn(system, &keeper, &offer, NULL);
}

/* Until a signal comes, or its offers are shut down. */
static int serve_named(void)
{
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names = NULL;
    int error = node_open(true, &system, &bridge);
    error = error ? error : soma_system_stop_on_signals(system);
    error = error ? error : soma_names_open(system, bridge, NULL, &names);
    error = error ? error : offers_register(system, names);
    if (!error)
        printf("%s serves at %s\n", job.serve, soma_bridge_address(bridge, 0));
    fflush(stdout);
    error = error ? error : soma_system_run(system);
    soma_names_close(&names);
    int closing = soma_system_close(&system);
    return error ? error : closing;
}

/* ---- the command ---- */

static uint32_t names_in(const char *list)
{
    uint32_t count = 1;
    while ((list = strchr(list, ',')))
        list++, count++;
    return count;
}

/* The options; where paths begin, 0 if they make no sense. */
static int options_read(int count, char **arguments)
{
    int at = 1;
    for (; at + 1 < count && !strncmp(arguments[at], "--", 2); at += 2) {
        unsigned long number = strtoul(arguments[at + 1], NULL, 10);
        if (!strcmp(arguments[at], "--top"))
            job.top = number; // 0: all
        else if (!strcmp(arguments[at], "--nodes") && number >= 1 && number <= NODES_MOST)
            job.node_count = (uint32_t)number;
        else if (!strcmp(arguments[at], "--on") && names_in(arguments[at + 1]) <= NODES_MOST)
            job.on = arguments[at + 1];
        else if (!strcmp(arguments[at], "--serve"))
            job.serve = arguments[at + 1];
        else
            return 0;
    }
    return job.serve || at < count ? at : 0;
}

int main(int argc, char **argv)
{
    int first = options_read(argc, argv);
    if (!first) {
        fprintf(stderr, "usage: wordcount [--top N] [--nodes N | --on NAME,…] PATH…   (--top 0 prints every word)\n"
                        "       wordcount --serve NAME\n");
        return 2;
    }
    if (job.serve) {
        int error = serve_named();
        if (error)
            fprintf(stderr, "wordcount: %s: %s\n", job.serve, soma_strerror(error));
        return error != 0;
    }
    for (int i = first; i < argc; i++)
        files_find(argv[i], &job.files);
    int error = job.on ? count_words(NULL) : nodes_run();
    if (error)
        fprintf(stderr, "wordcount: %s\n", soma_strerror(error));
    files_free(&job.files);
    return error || !job.reported || job.failures || job.files.failures;
}
