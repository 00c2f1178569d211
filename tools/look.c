/* Asking nodes, again and again, without waiting for those that are silent. See nodes.h. */
#include "nodes.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define AGAIN (20 * SOMA_MS)    /* between two looks at what this node knows */
#define SEARCH_MOST SOMA_SECOND /* for the first node, when it was lost */

struct node {
    struct node *next;
    struct nodes *nodes;
    char id[17];
    json_t *known;     /* what another node says of it; NULL: nothing */
    json_t *shown;     /* its last answer; NULL: none yet */
    uint64_t when;     /* that came */
    double rate;       /* messages a second, since the one before */
    soma_proxy *proxy; /* NULL: it can't be asked yet */
    uint64_t asked;    /* in which look */
    bool waits;        /* for an answer */
    bool failed;       /* there was an error in its place */
    bool silent;       /* it has not answered while a look lasted */
    bool told;         /* the first one knows it */
    uint64_t named;    /* in which list of names it was last */
    /* ---- under the lock ---- */
    bool ended;
    json_t *answer;
    uint64_t came;
};

struct nodes {
    struct tool *tool;
    bool (*stop)(void);
    int key;
    int event;
    soma_proxy *at; /* for the node of the options; NULL: it is the name server's */
    struct node *first;
    bool own; /* which is this one */
    uint64_t look;
    uint64_t lists; /* of names that were read whole */
    uint64_t heard; /* when another than the first was */
    uint64_t told;  /* when the first was last asked */
    pthread_mutex_t lock;
};

/* ---- waiting ---- */

void nodes_wake(const struct nodes *nodes)
{
    const uint64_t one = 1;
    if (write(nodes->event, &one, sizeof(one)) < 0)
        return; // it is awake
}

/* Until something has happened, or a time. */
static void nodes_poll(const struct nodes *nodes, uint64_t until)
{
    struct pollfd files[] = {{.fd = nodes->event, .events = POLLIN}, {.fd = nodes->key, .events = POLLIN}};
    uint64_t now = soma_now(nodes->tool->system), events;
    uint64_t left = until > now ? (until - now) / SOMA_MS + 1 : 0;
    if (poll(files, 2, left < INT32_MAX ? (int)left : INT32_MAX) > 0 && files[0].revents)
        while (read(nodes->event, &events, sizeof(events)) > 0)
            ;
}

static bool is_stopped(const struct nodes *nodes)
{
    return nodes->stop && nodes->stop();
}

/* ---- one node ---- */

/* From a thread of the system's. */
static void on_answer(void *context, int error, soma_value value, const char *text)
{
    struct node *node = context;
    struct nodes *nodes = node->nodes;
    json_t *answer = error ? NULL : value_json(value);
    (void)text;
    pthread_mutex_lock(&nodes->lock);
    node->answer = answer;
    node->came = soma_now(nodes->tool->system);
    node->ended = true;
    pthread_mutex_unlock(&nodes->lock);
    nodes_wake(nodes);
}

static void node_ask(struct node *node)
{
    if (node->waits || !node->proxy)
        return;
    node->waits = true;
    node->asked = node->nodes->look;
    if (node == node->nodes->first)
        node->nodes->told = soma_now(node->nodes->tool->system);
    if (soma_proxy_call_then(node->proxy, SOMA_NEVER, "soma.get", SOMA_VALUE_NONE, on_answer, node)) {
        node->waits = false;
        node->failed = true;
    }
}

static struct node *node_add(struct nodes *nodes, const char *id)
{
    struct node **link = &nodes->first, *node = calloc(1, sizeof(*node));
    if (!node)
        return NULL;
    node->nodes = nodes;
    snprintf(node->id, sizeof(node->id), "%s", id);
    while (*link)
        link = &(*link)->next;
    *link = node;
    return node;
}

static struct node *node_get(struct nodes *nodes, const char *id)
{
    struct node *node = nodes->first;
    while (node && strcmp(node->id, id) != 0)
        node = node->next;
    return node ? node : node_add(nodes, id);
}

/* Also if an answer is on its way: then nobody is told. */
static void node_free(struct node *node)
{
    soma_proxy_close(&node->proxy);
    json_decref(node->known);
    json_decref(node->shown);
    json_decref(node->answer);
    free(node);
}

static bool is_set(const struct node *node, const char *key)
{
    return json_is_true(json_object_get(node->known, key));
}

/* Messages a second since the answer before; with the first one, since the node's start. */
static double rate_of(const struct node *node, json_t *answer, uint64_t came)
{
    double seconds = node->shown ? (double)(came - node->when) / (double)SOMA_SECOND
                                 : json_number_value(json_object_get(answer, "uptime"));
    json_int_t processed = node_number(answer, "processed") - (node->shown ? node_number(node->shown, "processed") : 0);
    return seconds > 0 && processed > 0 ? (double)processed / seconds : 0;
}

/* True if it has just answered. */
static bool node_take(struct node *node)
{
    struct nodes *nodes = node->nodes;
    pthread_mutex_lock(&nodes->lock);
    bool ended = node->ended;
    json_t *answer = node->answer;
    uint64_t came = node->came;
    node->ended = false;
    node->answer = NULL;
    pthread_mutex_unlock(&nodes->lock);
    if (!ended)
        return false;
    node->waits = false;
    node->failed = !answer;
    if (!answer)
        return false;
    node->rate = rate_of(node, answer, came);
    json_decref(node->shown);
    node->shown = answer;
    node->when = came;
    node->silent = false;
    if (node != nodes->first)
        nodes->heard = came;
    return true;
}

/* ---- who there is ---- */

/* Another node says where it is asked. If that one alone can reach it, it would never answer. */
static void node_reach(struct node *node)
{
    soma_ref ref;
    unsigned long long number;
    const char *text = json_string_value(json_object_get(json_object_get(node->known, "agent"), "$ref"));
    bool reachable = node->nodes->own || !node_is_hidden(node->known);
    if (!node->proxy && reachable && is_set(node, "connected") && text &&
        sscanf(text, "%llx/%u/%u", &number, &ref.slot, &ref.generation) == 3) {
        ref.node = number;
        soma_proxy_open_ref(node->nodes->tool->system, ref, &node->proxy);
    }
}

/* The command is a node, too, and of no interest. */
static bool is_this(const struct tool *tool, const char *id)
{
    char text[17];
    soma_ref ref;
    if (soma_whereis(tool->system, SOMA_NODE, &ref))
        return false;
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)ref.node);
    return !strcmp(text, id);
}

static void peers_take(struct nodes *nodes)
{
    size_t i;
    json_t *row;
    struct node *first = nodes->first;
    for (struct node *node = first->next; node; node = node->next)
        node->told = false;
    json_array_foreach(json_object_get(first->shown, "peers"), i, row)
    {
        const char *id = node_text(row, "node");
        bool wanted = nodes->tool->all || !json_is_true(json_object_get(row, "down"));
        struct node *node = wanted && !is_this(nodes->tool, id) ? node_get(nodes, id) : NULL;
        if (!node || node == first)
            continue;
        node->told = true;
        json_decref(node->known);
        node->known = json_incref(row);
        node_reach(node);
    }
    for (struct node **link = &first->next; *link;) {
        struct node *node = *link;
        if (node->told || (node->named && node->named >= nodes->lists)) {
            link = &node->next;
            continue;
        }
        *link = node->next;
        node_free(node);
    }
}

/* Those of the agents that have names: an etcd cluster knows no others. */
static int names_take(struct nodes *nodes, uint64_t limit)
{
    char after[SOMA_NAME_MOST + 1] = "", id[17];
    bool more = true;
    int error = 0;
    while (more && !error) {
        struct soma_name_page page;
        error = soma_names_list(nodes->tool->names, NULL, *after ? after : NULL, 0, limit, &page);
        for (uint32_t i = 0; i < page.names.count; i++) {
            snprintf(id, sizeof(id), "%016llx", (unsigned long long)page.names.items[i].agent.node);
            struct node *node = node_get(nodes, id);
            if (node)
                node->named = nodes->lists + 1;
        }
        more = page.more && page.names.count;
        if (more)
            snprintf(after, sizeof(after), "%s", page.names.items[page.names.count - 1].name);
        soma_name_page_destroy(&page);
    }
    nodes->lists += !error;
    return error;
}

/* ---- the first one ---- */

/* The agent soma.node of the node that a name server lives on. */
static int node_agent(const struct tool *tool, uint64_t node, soma_ref *agent)
{
    int count = soma_bridge_peers(tool->bridge, NULL, 0);
    soma_bridge_peer *peers = count > 0 ? calloc((size_t)count, sizeof(*peers)) : NULL;
    int now = peers ? soma_bridge_peers(tool->bridge, peers, (uint32_t)count) : 0;
    *agent = SOMA_REF_NULL;
    for (int i = 0; i < now && i < count; i++)
        if (peers[i].node == node)
            *agent = peers[i].agent;
    free(peers);
    return soma_ref_is_null(*agent) ? SOMA_ETIMEOUT : 0;
}

static int server_find(struct nodes *nodes, uint64_t limit, soma_ref *agent)
{
    soma_ref server, own;
    int error = soma_names_server(nodes->tool->names, limit, &server);
    if (error)
        return error;
    error = soma_whereis(nodes->tool->system, SOMA_NODE, &own);
    nodes->own = !error && own.node == server.node;
    *agent = own;
    return nodes->own ? names_take(nodes, limit) : node_agent(nodes->tool, server.node, agent);
}

static int first_find(struct nodes *nodes, uint64_t limit)
{
    soma_ref agent;
    char id[17];
    int error = nodes->at ? soma_proxy_ref(nodes->at, limit, &agent) : server_find(nodes, limit, &agent);
    if (error)
        return error;
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)agent.node);
    struct node *node = node_get(nodes, id), **link = &nodes->first;
    if (!node)
        return SOMA_ENOMEM;
    while (*link != node)
        link = &(*link)->next;
    *link = node->next; // it becomes the first of all
    node->next = nodes->first;
    nodes->first = node;
    soma_proxy_close(&node->proxy);
    node->failed = false;
    return soma_proxy_open_ref(nodes->tool->system, agent, &node->proxy);
}

static struct nodes *nodes_new(struct tool *tool)
{
    struct nodes *nodes = calloc(1, sizeof(*nodes));
    if (!nodes || pthread_mutex_init(&nodes->lock, NULL)) {
        free(nodes);
        return NULL;
    }
    nodes->tool = tool;
    nodes->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return nodes;
}

int nodes_open(struct tool *tool, bool (*stop)(void), int key, struct nodes **result)
{
    const char *service = tool->at ? NULL : getenv("SOMA_NAMESERVICE");
    struct nodes *nodes = *result = nodes_new(tool);
    if (!nodes)
        return tool_fail(tool, SOMA_ENOMEM, "%s", soma_strerror(SOMA_ENOMEM));
    tool->only_looks = true;
    tool->meets_all = service && strstr(service, "etcd://");
    nodes->stop = stop;
    nodes->key = key;
    int status = tool->at ? tool_proxy(tool, SOMA_NODE, &nodes->at) : tool_names(tool);
    int error = status ? 0 : first_find(nodes, tool->timeout);
    if (error && tool->at)
        status = tool_fail(tool, error, "%s", soma_proxy_error(nodes->at));
    else if (error)
        status = names_fail(tool, error);
    return status;
}

/* ---- a look ---- */

/* Takes what has come, and asks whom this look has not asked yet. */
static void answers_take(struct nodes *nodes)
{
    bool told = false;
    for (struct node *node = nodes->first; node; node = node->next)
        told |= node_take(node) && node == nodes->first;
    if (told)
        peers_take(nodes);
    for (struct node *node = nodes->first; node; node = node->next)
        if (node->asked != nodes->look)
            node_ask(node);
}

/* Is it worth waiting for? */
static bool node_is_awaited(const struct node *node)
{
    const struct nodes *nodes = node->nodes;
    if (node->silent)
        return false;
    if (node->waits)
        return node->asked == nodes->look;
    return nodes->own && !node->proxy && !is_set(node, "down"); // it is being called
}

/* This node hears of others from those that it meets. */
static bool look_is_over(const struct nodes *nodes)
{
    const struct node *node = nodes->first;
    while (node && !node_is_awaited(node))
        node = node->next;
    return !node && (!nodes->own || nodes->told > nodes->heard);
}

bool nodes_look(struct nodes *nodes, uint64_t limit)
{
    uint64_t now = soma_now(nodes->tool->system), until = now + limit,
             search = limit < SEARCH_MOST ? limit : SEARCH_MOST;
    nodes->look++;
    if (nodes->first->failed)
        first_find(nodes, search);
    else if (nodes->own && nodes->look > 1)
        names_take(nodes, search);
    for (answers_take(nodes); now < until && !is_stopped(nodes) && !look_is_over(nodes); answers_take(nodes)) {
        if (nodes->own && !nodes->first->waits)
            node_ask(nodes->first);
        nodes_poll(nodes, nodes->own && now + AGAIN < until ? now + AGAIN : until);
        now = soma_now(nodes->tool->system);
    }
    for (struct node *node = nodes->first; node; node = node->next)
        node->silent |= node_is_awaited(node);
    return !is_stopped(nodes);
}

bool nodes_rest(struct nodes *nodes, uint64_t until)
{
    while (!is_stopped(nodes) && soma_now(nodes->tool->system) < until)
        nodes_poll(nodes, until);
    return !is_stopped(nodes);
}

bool nodes_heard(const struct nodes *nodes)
{
    return nodes->first->shown;
}

static json_t *row_of(const struct node *node)
{
    bool up = node->shown && !node->waits && !node->failed;
    json_t *row = up            ? json_copy(node->shown)
                  : node->known ? json_copy(node->known)
                                : json_pack("{ssss}", "node", node->id, "name", node_text(node->shown, "name"));
    uint64_t silent = soma_now(node->nodes->tool->system) - node->when;
    json_object_set_new(row, "state", json_string(up ? "up" : is_set(node, "down") ? "down" : "silent"));
    json_object_set_new(row, "age", node->shown ? json_real((double)silent / (double)SOMA_SECOND) : json_null());
    if (up)
        json_object_set_new(row, "messages_per_second", json_real(node->rate));
    return row;
}

json_t *nodes_rows(struct nodes *nodes)
{
    json_t *rows = json_array();
    for (struct node *node = nodes->first; node; node = node->next)
        if (!nodes->own || node != nodes->first)
            json_array_append_new(rows, row_of(node));
    return rows;
}

void nodes_close(struct nodes *nodes)
{
    if (!nodes)
        return;
    soma_proxy_close(&nodes->at);
    for (struct node *node = nodes->first, *next; node; node = next) {
        next = node->next;
        node_free(node);
    }
    close(nodes->event);
    pthread_mutex_destroy(&nodes->lock);
    free(nodes);
}
