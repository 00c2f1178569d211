/* How a client finds a name server, and holds a session with it; see client.h. */
#include "nameservice/client.h"
#include "nameservice/etcd.h"
#include <soma/error.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <string.h>

#define FIND_TIME (2 * SOMA_SECOND)  /* for a server to be found at an address */
#define REST_MOST (3 * SOMA_SECOND)  /* between rounds, where what is asked costs something */
#define HEAD_START (200 * SOMA_MS)   /* of an address before the one behind it */
#define HELLO_TIME (2 * SOMA_SECOND) /* and to answer */
#define BACK_TIME SOMA_SECOND        /* between looks whether the first server is back */

static void address_try(soma_agent *self, struct client *my);
static void link_seek(soma_agent *self, struct client *my);
static void first_seek(soma_agent *self, struct client *my);
static void first_later(soma_agent *self, struct client *my);

static void probe_end(soma_agent *self, struct client *my)
{
    if (my->probe.node)
        soma_kill(soma_agent_system(self), my->probe);
    my->probe = SOMA_REF_NULL;
}

static void link_drop(soma_agent *self, struct client *my)
{
    probe_end(self, my);
    if (my->monitor)
        soma_demonitor(self, my->monitor);
    if (my->own)
        soma_kill(soma_agent_system(self), my->server);
    my->own = false;
    my->monitor = 0;
    my->server = SOMA_REF_NULL;
    my->session++;
}

/* From the first address again, in a while. */
static void link_rest(soma_agent *self, struct client *my)
{
    uint64_t rest = my->options.retry_ms * SOMA_MS;
    for (uint32_t i = 1; i < my->vain && rest < REST_MOST; i++)
        rest *= 2;
    if (my->vain) // at most so long, and not all at once
        rest = (rest < REST_MOST ? rest : REST_MOST) - soma_random(self) % (rest / 4 + 1);
    my->address = my->addresses;
    my->round++;
    if (soma_after(self, rest, names_retry, .session = my->session) < 0)
        soma_send(self, soma_self(self), names_retry, .session = my->session);
}

/* A cluster without a majority has not answered, or an address that this node's bridge does not take was tried: that is
 * done ever less often, and said once. */
static void link_vain(soma_agent *self, struct client *my, const char *address, const char *why)
{
    if (!my->vain++)
        soma_log_warning(self, "%s %s; it is tried again and again", address, why);
}

/* It is not to be had at an address: the next one, if no other has answered. */
static void link_next(soma_agent *self, struct client *my)
{
    if (my->server.node)
        return;
    if (*my->behind) {
        address_try(self, my);
    } else if (!my->looks) {
        my->patient = false;
        link_rest(self, my);
    }
}

int on_names_retry(soma_agent *self, struct client *my, const struct names_retry *m)
{
    if (m->session != my->session || is_stranger(self))
        return 0;
    if (!my->server.node)
        link_seek(self, my);
    else if (my->up)
        first_seek(self, my);
    return 0;
}

/* ---- greeting ---- */

/* The server that it has, for who wants to know; where others find it, if they can. */
static struct names_found_server server_found(const struct client *my)
{
    const char *own = strcmp(my->address, "local") != 0 ? NULL : soma_bridge_address(my->bridge, 0);
    return (struct names_found_server){.server = my->server, .address = own ? own : my->address};
}

static int on_welcome(soma_agent *self, struct client *my, const struct ns_welcome *m)
{
    if (soma_tag(self) != my->session)
        return 0;
    const struct names_found_server found = server_found(my);
    soma_log_info(self, "a name server is at %s%s", my->address, m->follows ? ", and follows another" : "");
    my->up = true;
    my->patient = false;
    my->vain = 0;
    my->settled = m->settled;
    my->follows = m->follows;
    my->fresh_until = 0;
    if (my->follows)
        first_later(self, my);
    while (my->server_ops)
        op_answer(self, my, my->server_ops, &names_found_server_type, &found);
    if (!my->follows)
        holdings_up(self, my);
    else if (link_refuses(my))
        holdings_refused(self, my);
    knowns_up(my);
    listings_up(my);
    watchings_up(self, my);
    tasks_pump(self, my);
    return 0;
}

static int on_no_welcome(soma_agent *self, struct client *my, const int *error)
{
    (void)error;
    if (soma_tag(self) == my->session)
        link_lost(self, my);
    return 0;
}

static void link_greet(soma_agent *self, struct client *my, const char *address, soma_ref server)
{
    my->address = address;
    my->server = server;
    my->monitor = soma_monitor(self, server);
    if (my->monitor < 0 || // its own one takes the time that it needs, or ends
        soma_request(self, server, my->own ? SOMA_NEVER : HELLO_TIME,
                     SOMA_THEN(ns_welcome, on_welcome, on_no_welcome, .tag = my->session), ns_hello,
                     .restores = my->holdings.count > 0) < 0) {
        link_lost(self, my);
    }
}

/* ---- finding ---- */

/*
 * In a round each address has a head start before the one behind it, and the first that answers counts. So one that is
 * dead costs no more than that. A look is told by its round and where its address stands.
 */
static uint64_t look_tag(const struct client *my, const char *address)
{
    return my->round << 32 | (uint64_t)(address - my->addresses);
}

/* The address of a look that has ended; NULL: nobody wants to know any more. */
static const char *look_end(struct client *my, uint64_t tag)
{
    if (tag >> 32 != (my->round & UINT32_MAX))
        return NULL;
    my->looks--;
    return my->server.node ? NULL : my->addresses + (tag & UINT32_MAX);
}

static int on_located(soma_agent *self, struct client *my, const struct soma_bridge_located *m)
{
    const char *address = look_end(my, soma_tag(self));
    if (address)
        link_greet(self, my, address, m->agent);
    return 0;
}

static int on_not_located(soma_agent *self, struct client *my, const int *error)
{
    const char *address = look_end(my, soma_tag(self));
    if (address && *error == SOMA_EINVAL)
        link_vain(self, my, address, "is no address that the bridge takes");
    if (address)
        link_next(self, my);
    return 0;
}

/* Is it the address of this very node? */
static bool is_here(const struct client *my, const char *address)
{
    const char *own;
    for (uint32_t i = 0; (own = soma_bridge_address(my->bridge, i)); i++)
        if (!strcmp(own, address))
            return true;
    return !strcmp(address, "local");
}

/* What is lost may be back soon, and all should find it, not one it and another what stands behind it. */
static uint64_t head_start(const struct client *my)
{
    return my->patient ? FIND_TIME : HEAD_START;
}

/* A look lasts until those behind it have had their time, too. */
static uint64_t look_time(const struct client *my)
{
    uint64_t time = FIND_TIME;
    for (const char *behind = my->behind; *behind; behind += strlen(behind) + 1)
        time += head_start(my);
    return time;
}

static void look_begin(soma_agent *self, struct client *my, const char *address)
{
    uint64_t tag = look_tag(my, address);
    if (soma_request(self, soma_bridge_agent(my->bridge), SOMA_NEVER,
                     SOMA_THEN(soma_bridge_located, on_located, on_not_located, .tag = tag), soma_bridge_locate,
                     .address = address, .name = SOMA_NAMESERVER, .timeout = look_time(my)) < 0) {
        link_next(self, my);
        return;
    }
    my->looks++;
    if (*my->behind && soma_after(self, head_start(my), names_behind, .look = look_tag(my, my->behind)) < 0)
        address_try(self, my);
}

/* That of an etcd cluster takes the time that it needs, and those behind it come when it has failed. */
static void address_try(soma_agent *self, struct client *my)
{
    const char *address = my->behind;
    soma_ref server;
    my->behind += strlen(address) + 1;
    if (etcd_is_address(address)) {
        my->own = !etcd_spawn(self, my->bridge, address, my->options.lease_s, &server);
        if (my->own)
            link_greet(self, my, address, server);
        else
            link_next(self, my);
    } else if (!is_here(my, address)) {
        look_begin(self, my, address);
    } else if (!soma_whereis(soma_agent_system(self), SOMA_NAMESERVER, &server)) {
        link_greet(self, my, address, server);
    } else {
        link_next(self, my);
    }
}

int on_names_behind(soma_agent *self, struct client *my, const struct names_behind *m)
{
    if (!is_stranger(self) && m->look == look_tag(my, my->behind) && !my->server.node)
        address_try(self, my);
    return 0;
}

static void link_seek(soma_agent *self, struct client *my)
{
    my->round++;
    my->looks = 0;
    my->behind = my->addresses;
    address_try(self, my);
}

void link_open(soma_agent *self, struct client *my)
{
    my->address = my->behind = my->addresses;
    my->session++;
    if (soma_send(self, soma_self(self), names_retry, .session = my->session)) // not within init
        link_rest(self, my);
}

/* ---- losing ---- */

static bool is_gone(int error)
{
    return error == SOMA_ENODEDOWN || error == SOMA_EGONE || error == SOMA_ENOROUTE;
}

static void link_leave(soma_agent *self, struct client *my)
{
    my->up = my->settled = my->follows = false;
    tasks_drop(my);
    link_drop(self, my);
    holdings_lost(self, my);
    knowns_forgotten(self, my);
    watchings_lost(self, my);
}

void link_lost(soma_agent *self, struct client *my)
{
    if (!my->up) {
        if (my->own)
            link_vain(self, my, my->address, "does not answer, or has no majority");
        link_drop(self, my);
        link_next(self, my);
        return;
    }
    soma_log_warning(self, "the name server at %s is lost", my->address);
    link_leave(self, my);
    my->patient = true;
    link_rest(self, my);
}

bool link_refuses(const struct client *my)
{
    return my->up && my->follows && my->address == my->addresses;
}

bool task_failed(soma_agent *self, struct client *my, struct task *task, int error)
{
    bool counts = task->session == my->session, lost = is_gone(error);
    if (counts && lost)
        link_lost(self, my); // before its end, so that what it is of stays
    task_ended(my, task);
    return counts && !lost;
}

/* ---- from a follower back to the first ---- */

static void first_later(soma_agent *self, struct client *my)
{
    if (my->address != my->addresses && soma_after(self, BACK_TIME, names_retry, .session = my->session) < 0)
        link_lost(self, my); // memory is out, and nobody would look
}

static void first_found(soma_agent *self, struct client *my)
{
    soma_log_info(self, "a name server is at %s again", my->addresses);
    soma_send(self, my->server, ns_bye);
    link_leave(self, my);
    my->patient = true;
    link_seek(self, my);
}

static int on_first_located(soma_agent *self, struct client *my, const struct soma_bridge_located *m)
{
    (void)m;
    if (soma_tag(self) == my->session)
        first_found(self, my);
    return 0;
}

static int on_first_not_located(soma_agent *self, struct client *my, const int *error)
{
    if (soma_tag(self) != my->session)
        return 0;
    if (*error == SOMA_ETIMEOUT) // it has waited long enough: who comes must hear of all before it has settled
        first_seek(self, my);
    else
        first_later(self, my);
    return 0;
}

/* Etcd has answered; the next agent for it starts from the first member again. */
static int on_first_welcome(soma_agent *self, struct client *my, const struct ns_welcome *m)
{
    (void)m;
    if (soma_tag(self) == my->session)
        first_found(self, my);
    return 0;
}

static int on_first_no_welcome(soma_agent *self, struct client *my, const int *error)
{
    if (soma_tag(self) == my->session)
        probe_end(self, my);
    return on_first_not_located(self, my, error);
}

/* An agent for it that is given a lease has found it. */
static void first_probe(soma_agent *self, struct client *my)
{
    int error = etcd_spawn(self, my->bridge, my->addresses, my->options.lease_s, &my->probe);
    if (error)
        my->probe = SOMA_REF_NULL;
    if (error ||
        soma_request(self, my->probe, SOMA_NEVER,
                     SOMA_THEN(ns_welcome, on_first_welcome, on_first_no_welcome, .tag = my->session), ns_hello) < 0) {
        probe_end(self, my);
        first_later(self, my);
    }
}

static void first_seek(soma_agent *self, struct client *my)
{
    soma_ref server;
    if (etcd_is_address(my->addresses))
        first_probe(self, my);
    else if (is_here(my, my->addresses) && !soma_whereis(soma_agent_system(self), SOMA_NAMESERVER, &server))
        link_lost(self, my);
    else if (soma_request(self, soma_bridge_agent(my->bridge), SOMA_NEVER,
                          SOMA_THEN(soma_bridge_located, on_first_located, on_first_not_located, .tag = my->session),
                          soma_bridge_locate, .address = my->addresses, .name = SOMA_NAMESERVER,
                          .timeout = FIND_TIME) < 0)
        first_later(self, my);
}

/* ---- who waits for it ---- */

static void server_late(soma_agent *self, struct client *my, struct op *op)
{
    op_fail(self, my, op, SOMA_ETIMEOUT);
}

int on_find_server(soma_agent *self, struct client *my, const struct names_find_server *m)
{
    if (is_stranger(self))
        return 0;
    const struct names_found_server found = server_found(my); // up or not, it has looked at some address
    if (my->up)
        soma_reply_send(self, 0, &names_found_server_type, &found);
    else
        op_new(self, my, &my->server_ops, NULL, m->timeout, server_late);
    return 0;
}
