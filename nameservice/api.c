/* The functions for threads outside; see include/soma/nameservice.h. */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include "nameservice/etcd.h"
#include <ctype.h>
#include <soma/channel.h>
#include <soma/error.h>
#include <soma/log.h>
#include <soma/method.h>
#include <soma/system.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- addresses ---- */

struct text {
    char *data;
    size_t size;
};

/* Adds an address with its NUL; an empty one ends the list. */
static int text_add(struct text *text, const char *address, size_t size)
{
    char *grown = realloc(text->data, text->size + size + 1);
    if (!grown)
        return SOMA_ENOMEM;
    text->data = grown;
    memcpy(grown + text->size, address, size);
    grown[text->size + size] = 0;
    text->size += size + 1;
    return 0;
}

/* Can there be anybody? A key may be behind a blank. */
static bool address_makes_sense(const char *address)
{
    size_t size = strcspn(address, " ,"), colon = size;
    char *end;
    if (etcd_is_address(address) || !strcmp(address, "local"))
        return true;
    if (address[size] == ',')
        return false;
    if (!strncmp(address, "ipc://", 6))
        return size > 6;
    if (strncmp(address, "tcp://", 6) != 0)
        return strstr(address, "://"); // of a simulation
    while (address[colon - 1] != ':')
        colon--;
    unsigned long port = strtoul(address + colon, &end, 10);
    return colon > 7 && isdigit((unsigned char)address[colon]) && end == address + size && port && port <= UINT16_MAX;
}

static int address_add(soma_system *system, struct text *text, const char *address, size_t size)
{
    char copy[SOMA_ADDRESS_MOST + 1];
    if (size > SOMA_ADDRESS_MOST)
        return SOMA_ETOOBIG;
    memcpy(copy, address, size);
    copy[size] = 0;
    int error = check_address(copy);
    if (!error && !address_makes_sense(copy))
        error = SOMA_EINVAL;
    if (!error && etcd_is_address(copy) && (error = etcd_check(copy)) == SOMA_ESTATE)
        soma_log_error(system, "%s: this Soma was built without etcd (SOMA_ETCD)", copy);
    return error ? error : text_add(text, copy, size);
}

/* Up to the next comma; but an address of etcd has commas between its members. */
static size_t address_size(const char *list)
{
    size_t size = strcspn(list, ",");
    while (etcd_is_address(list) && list[size]) {
        const char *next = list + size + 1, *scheme = strstr(next, "://"), *comma = next + strcspn(next, ",");
        if ((scheme && scheme < comma) || !strncmp(next, "local", (size_t)(comma - next)))
            break;
        size = (size_t)(comma - list);
    }
    return size;
}

/* As in SOMA_NAMESERVICE: with commas between, and blanks behind them. */
static int addresses_split(soma_system *system, struct text *text, const char *list)
{
    int error = 0;
    while (!error && *list) {
        list += strspn(list, " ");
        size_t size = address_size(list);
        error = address_add(system, text, list, size);
        list += size + (list[size] == ',');
    }
    return error;
}

static int addresses_take(soma_system *system, const soma_bridge *bridge, const char *const *addresses,
                          struct text *text)
{
    const char *list = getenv("SOMA_NAMESERVICE");
    soma_ref server;
    int error = 0;
    for (; addresses && *addresses && !error; addresses++)
        error = address_add(system, text, *addresses, strlen(*addresses));
    if (!text->size && !error && list && *list) {
        error = addresses_split(system, text, list);
        if (error && error != SOMA_ESTATE) // that was said; and a program may have set it from an option
            soma_log_error(system, "no list of addresses as SOMA_NAMESERVICE has them: '%s'", list);
    }
    if (!text->size && !error) {
        bool here = !bridge || !soma_whereis(system, SOMA_NAMESERVER, &server);
        error = addresses_split(system, text, here ? "local" : SOMA_NAMESERVICE_DEFAULT);
    }
    return error ? error : text_add(text, "", 0);
}

int client_start_fill(soma_system *system, soma_bridge *bridge, const char *const *addresses,
                      struct client_start *start)
{
    struct text text = {NULL, 0};
    int error = addresses_take(system, bridge, addresses, &text);
    *start = (struct client_start){.bridge = bridge, .addresses = text.data, .size = text.size};
    return error;
}

void client_start_free(struct client_start *start)
{
    free(start->addresses);
    start->addresses = NULL;
}

/* ---- opening and closing ---- */

/* With what it tries, for people: as in SOMA_NAMESERVICE. */
static soma_names *names_new(soma_system *system, const struct client_start *start)
{
    soma_names *names = calloc(1, sizeof(*names) + start->size);
    if (!names)
        return NULL;
    names->system = system;
    memcpy(names->addresses, start->addresses, start->size);
    for (size_t i = 0; i + 2 < start->size; i++)
        if (!names->addresses[i])
            names->addresses[i] = ',';
    return names;
}

int soma_names_open(soma_system *system, soma_bridge *bridge, const soma_names_options *options, soma_names **result)
{
    struct client_start start = {0};
    soma_names *names = NULL;
    if (result)
        *result = NULL;
    if (!system || !result)
        return SOMA_EINVAL;
    int error = client_start_fill(system, bridge, options ? options->addresses : NULL, &start);
    if (!error && !(names = names_new(system, &start)))
        error = SOMA_ENOMEM;
    if (!error) {
        start.options = options;
        start.opened = true;
        error = soma_spawn(system, &names_behavior, &start, &names->agent);
    }
    client_start_free(&start);
    if (error)
        free(names);
    else
        *result = names;
    return error;
}

int soma_names_close(soma_names **pointer)
{
    struct soma_name_done done;
    if (!pointer || !*pointer)
        return 0;
    soma_names *names = *pointer;
    int error = soma_call(names->system, names->agent, SOMA_NEVER, &done, soma_name_done, names_close);
    if (error == SOMA_ESTATE)
        return error;
    *pointer = NULL;
    free(names);
    return 0; // an agent that was gone has nothing registered any more
}

soma_ref soma_names_agent(const soma_names *names)
{
    return names ? names->agent : SOMA_REF_NULL;
}

static int server_find(soma_names *names, uint64_t timeout, struct names_found_server *found)
{
    *found = (struct names_found_server){.server = SOMA_REF_NULL};
    return names ? soma_call(names->system, names->agent, SOMA_NEVER, found, names_found_server, names_find_server,
                             .timeout = timeout)
                 : SOMA_EINVAL;
}

int soma_names_server(soma_names *names, uint64_t timeout, soma_ref *server)
{
    struct names_found_server found;
    int error = server_find(names, timeout, &found);
    if (server)
        *server = found.server;
    names_found_server_destroy(&found);
    return error;
}

int soma_names_server_address(soma_names *names, uint64_t timeout, char address[SOMA_ADDRESS_MOST + 1])
{
    struct names_found_server found;
    if (!address)
        return SOMA_EINVAL;
    int error = server_find(names, timeout, &found);
    snprintf(address, SOMA_ADDRESS_MOST + 1, "%s", found.address ? found.address : "");
    names_found_server_destroy(&found);
    return error;
}

/* ---- registering ---- */

int soma_names_register_as(soma_names *names, const char *name, soma_ref agent, soma_value attributes, bool takeover,
                           uint64_t timeout, soma_ref *holder)
{
    struct soma_name_registered registered = {.error = SOMA_EINVAL};
    int error = names && !soma_ref_is_null(agent)
                    ? soma_call(names->system, names->agent, SOMA_NEVER, &registered, soma_name_registered,
                                soma_name_register, .name = name, .agent = agent, .attributes = attributes,
                                .takeover = takeover, .timeout = timeout)
                    : SOMA_EINVAL;
    if (holder)
        *holder = registered.holder;
    return error ? error : registered.error;
}

int soma_names_register(soma_names *names, const char *name, soma_ref agent, uint64_t timeout)
{
    return soma_names_register_as(names, name, agent, SOMA_VALUE_NONE, false, timeout, NULL);
}

int soma_names_unregister(soma_names *names, const char *name, uint64_t timeout)
{
    struct soma_name_done done;
    if (!names)
        return SOMA_EINVAL;
    return soma_call(names->system, names->agent, SOMA_NEVER, &done, soma_name_done, soma_name_unregister, .name = name,
                     .timeout = timeout);
}

int soma_names_alias(soma_names *names, const char *name, const char *alias, const char *address, uint64_t timeout)
{
    struct soma_name_done done;
    if (!names)
        return SOMA_EINVAL;
    return soma_call(names->system, names->agent, SOMA_NEVER, &done, soma_name_done, soma_name_alias, .name = name,
                     .alias = alias, .address = address, .timeout = timeout);
}

/* ---- finding ---- */

static int entry_find(soma_names *names, const struct soma_name_lookup *lookup, struct soma_name *entry)
{
    if (!names)
        return SOMA_EINVAL;
    return soma_call_send(names->system, names->agent, SOMA_NEVER, &soma_name_type, entry, &soma_name_lookup_type,
                          lookup);
}

static int agent_find(soma_names *names, const struct soma_name_lookup *lookup, soma_ref *agent)
{
    struct soma_name entry = {.agent = SOMA_REF_NULL};
    int error = agent ? entry_find(names, lookup, &entry) : SOMA_EINVAL;
    if (agent)
        *agent = entry.agent;
    soma_name_destroy(&entry);
    return error;
}

int soma_names_lookup(soma_names *names, const char *name, uint64_t timeout, soma_ref *agent)
{
    return agent_find(names, &(struct soma_name_lookup){.name = name, .timeout = timeout}, agent);
}

int soma_names_wait(soma_names *names, const char *name, uint64_t timeout, soma_ref *agent)
{
    return agent_find(names, &(struct soma_name_lookup){.name = name, .waits = true, .timeout = timeout}, agent);
}

int soma_names_wait_running(soma_names *names, const char *name, uint64_t timeout, soma_ref *agent)
{
    const struct soma_name_lookup lookup = {.name = name, .waits = true, .runs = true, .timeout = timeout};
    return agent_find(names, &lookup, agent);
}

int soma_names_info(soma_names *names, const char *name, uint64_t timeout, struct soma_name *entry)
{
    if (!entry)
        return SOMA_EINVAL;
    *entry = (struct soma_name){0};
    return entry_find(names, &(struct soma_name_lookup){.name = name, .fresh = true, .timeout = timeout}, entry);
}

int names_address(soma_names *names, const char *name, const char *alias, bool fresh, uint64_t timeout,
                  char address[SOMA_ADDRESS_MOST + 1])
{
    struct soma_channel_found found = {0};
    if (!address)
        return SOMA_EINVAL;
    int error = names ? soma_call(names->system, names->agent, SOMA_NEVER, &found, soma_channel_found, names_alias_find,
                                  .name = name, .alias = alias, .fresh = fresh, .timeout = timeout)
                      : SOMA_EINVAL;
    snprintf(address, SOMA_ADDRESS_MOST + 1, "%s", !error && found.address ? found.address : "");
    soma_channel_found_destroy(&found);
    return error;
}

int soma_names_address(soma_names *names, const char *name, const char *alias, uint64_t timeout,
                       char address[SOMA_ADDRESS_MOST + 1])
{
    return names_address(names, name, alias, false, timeout, address);
}

int soma_names_list(soma_names *names, const char *prefix, const char *after, uint32_t most, uint64_t timeout,
                    struct soma_name_page *page)
{
    if (!names || !page)
        return SOMA_EINVAL;
    return soma_call(names->system, names->agent, SOMA_NEVER, page, soma_name_page, soma_name_list, .prefix = prefix,
                     .after = after, .most = most, .timeout = timeout);
}

/* ---- watching: an agent that calls a function ---- */

struct watcher {
    soma_ref names;
    soma_ref teller; /* from whom events come */
    const char *prefix;
    void (*event)(void *context, const struct soma_name_event *event);
    void *context;
};

static int on_event(soma_agent *self, struct watcher *my, const struct soma_name_event *m)
{
    if (soma_ref_equal(soma_sender(self), my->teller))
        my->event(my->context, m);
    return 0;
}

static int on_watching(soma_agent *self, struct watcher *my, const struct soma_name_watching *m)
{
    (void)m;
    my->teller = soma_sender(self);
    return 0;
}

static int on_not_watching(soma_agent *self, struct watcher *my, const int *error)
{
    (void)self, (void)my;
    return *error;
}

static int watcher_init(soma_agent *self, void *state, const void *arg)
{
    struct watcher *my = state;
    *my = *(const struct watcher *)arg;
    soma_handle request =
        soma_request(self, my->names, SOMA_NEVER, SOMA_THEN(soma_name_watching, on_watching, on_not_watching),
                     names_watch_call, .prefix = my->prefix);
    my->prefix = NULL; // the caller's
    return request < 0 ? (int)request : 0;
}

static const soma_behavior watcher_behavior = {.name = "names watcher",
                                               .state_size = sizeof(struct watcher),
                                               .init = watcher_init,
                                               .handlers = SOMA_HANDLERS(SOMA_ON(soma_name_event, on_event))};

int soma_names_watch(soma_names *names, const char *prefix,
                     void (*event)(void *context, const struct soma_name_event *event), void *context,
                     soma_ref *watcher)
{
    if (watcher)
        *watcher = SOMA_REF_NULL;
    if (!names || !event || !watcher)
        return SOMA_EINVAL;
    int error = check_prefix(prefix);
    const struct watcher start = {.names = names->agent, .prefix = prefix, .event = event, .context = context};
    return error ? error : soma_spawn(names->system, &watcher_behavior, &start, watcher);
}
