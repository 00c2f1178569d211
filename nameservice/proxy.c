/* Proxies as a thread outside sees them: finding the agent, asking by way of the proxy's own, trying again. See
 * soma/proxy.h. */
#include "nameservice/proxy.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <soma/method.h>
#include <soma/request.h>
#include <soma/timer.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors and time ---- */

int proxy_fail(soma_proxy *proxy, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(proxy->error, sizeof(proxy->error), format, arguments);
    va_end(arguments);
    return error;
}

int proxy_fail_by(soma_proxy *proxy, int error, const char *text)
{
    return error ? proxy_fail(proxy, error, "%s", text ? text : soma_strerror(error)) : 0;
}

int proxy_misused(soma_proxy *proxy, const char *why)
{
    return proxy ? proxy_fail(proxy, SOMA_EINVAL, "an argument is not valid: %s", why) : SOMA_EINVAL;
}

/* What a function that ends well has tried in vain leaves no word: the last one's that failed stand there. */
struct words {
    char text[sizeof(((soma_proxy *)NULL)->error)];
};

static struct words words_now(const soma_proxy *proxy)
{
    struct words words;
    memcpy(words.text, proxy->error, sizeof(words.text));
    return words;
}

static int words_after(soma_proxy *proxy, int error, const struct words *before)
{
    if (!error)
        memcpy(proxy->error, before->text, sizeof(proxy->error));
    return error;
}

const char *soma_proxy_error(const soma_proxy *proxy)
{
    return proxy ? proxy->error : "";
}

uint64_t deadline_of(const soma_proxy *proxy, uint64_t timeout)
{
    uint64_t now = soma_now(proxy->system);
    return timeout < SOMA_NEVER - now ? now + timeout : SOMA_NEVER;
}

uint64_t time_left(const soma_proxy *proxy, uint64_t until)
{
    uint64_t now = soma_now(proxy->system);
    return until == SOMA_NEVER ? SOMA_NEVER : now < until ? until - now : 1;
}

int proxy_nap(soma_proxy *proxy, uint64_t until)
{
    struct soma_proxy_answer answer;
    uint64_t left = time_left(proxy, until);
    int error = soma_call(proxy->system, proxy->agent, SOMA_NEVER, &answer, soma_proxy_answer, soma_proxy_nap,
                          .time = left < PROXY_NAP ? left : PROXY_NAP);
    return proxy_fail_by(proxy, error, NULL);
}

/* ---- opening and closing ---- */

static void proxy_free(soma_proxy *proxy)
{
    pthread_mutex_destroy(&proxy->lock);
    free(proxy->address);
    free(proxy->name);
    free(proxy);
}

void proxy_leave(soma_proxy *proxy, bool *side)
{
    pthread_mutex_lock(&proxy->lock);
    *side = true;
    bool last = proxy->agent_ended && proxy->closed;
    pthread_mutex_unlock(&proxy->lock);
    if (last)
        proxy_free(proxy);
}

/* A proxy with the fields of `like`, whose strings it copies. */
static int proxy_new(const soma_proxy *like, soma_proxy **result)
{
    soma_proxy *proxy = malloc(sizeof(*proxy));
    if (!proxy)
        return SOMA_ENOMEM;
    *proxy = *like;
    pthread_mutex_init(&proxy->lock, NULL);
    proxy->name = like->name ? strdup(like->name) : NULL;
    proxy->address = like->address ? strdup(like->address) : NULL;
    bool whole = (proxy->name || !like->name) && (proxy->address || !like->address);
    int error = whole ? soma_spawn(proxy->system, &proxy_agent, proxy, &proxy->agent) : SOMA_ENOMEM;
    if (error)
        proxy_free(proxy);
    else
        *result = proxy;
    return error;
}

int soma_proxy_close(soma_proxy **pointer)
{
    soma_proxy *proxy = pointer ? *pointer : NULL;
    if (!proxy)
        return 0;
    *pointer = NULL;
    struct soma_proxy_answer answer;
    soma_system *system = proxy->system;
    soma_ref agent = proxy->agent;
    pthread_mutex_lock(&proxy->lock);
    bool alone = proxy->agent_ended; // then the system may be gone, too
    pthread_mutex_unlock(&proxy->lock);
    int error = alone ? 0 : soma_call(system, agent, SOMA_NEVER, &answer, soma_proxy_answer, soma_proxy_leave);
    proxy_leave(proxy, &proxy->closed);
    if (error) // one of the system's own threads can't wait
        soma_kill(system, agent);
    return 0;
}

/* ---- finding ---- */

static int find_here(soma_proxy *proxy, uint64_t left, bool waits, soma_ref *found)
{
    (void)left, (void)waits;
    int error = soma_whereis(proxy->system, proxy->name, found);
    return error ? proxy_fail(proxy, error, "no agent is called '%s' here", proxy->name) : 0;
}

static int find_at(soma_proxy *proxy, uint64_t left, bool waits, soma_ref *found)
{
    (void)waits;
    int error = soma_bridge_find(proxy->bridge, proxy->address, proxy->name, left, found);
    if (error == SOMA_ENOENT)
        return proxy_fail(proxy, error, "no agent is called '%s' at %s", proxy->name, proxy->address);
    if (error == SOMA_ETIMEOUT)
        return proxy_fail(proxy, error, "%s was not reached in time", proxy->address);
    if (error == SOMA_EINVAL)
        return proxy_fail(proxy, error, "%s may not be called by this node: the log says why", proxy->address);
    return error ? proxy_fail(proxy, error, "%s: %s", proxy->address, soma_strerror(error)) : 0;
}

static int fail_unreached(soma_proxy *proxy)
{
    return proxy_fail(proxy, SOMA_ETIMEOUT, "no name server was reached in time at %s", proxy->names->addresses);
}

/* The server is asked: what is cached is older than what made the proxy look. */
static int find_named(soma_proxy *proxy, uint64_t left, bool waits, soma_ref *found)
{
    struct soma_name entry;
    int error = soma_call(proxy->system, soma_names_agent(proxy->names), SOMA_NEVER, &entry, soma_name,
                          soma_name_lookup, .name = proxy->name, .waits = waits, .fresh = true, .timeout = left);
    *found = entry.agent;
    soma_name_destroy(&entry);
    if (error == SOMA_ENOENT)
        return proxy_fail(proxy, error, "no agent is registered as '%s'", proxy->name);
    if (error == SOMA_ETIMEOUT && !soma_names_server(proxy->names, SOMA_MS, NULL))
        return proxy_fail(proxy, error, "the name server can't say yet who '%s' is", proxy->name);
    return error == SOMA_ETIMEOUT ? fail_unreached(proxy) : proxy_fail_by(proxy, error, NULL);
}

/* Waiting for the client's next server is all the same as waiting for an answer. */
static int find_server(soma_proxy *proxy, uint64_t left, bool waits, soma_ref *found)
{
    (void)waits;
    int error = soma_names_server(proxy->names, left, found);
    return error == SOMA_ETIMEOUT ? fail_unreached(proxy) : proxy_fail_by(proxy, error, NULL);
}

int soma_proxy_open(soma_system *system, const char *name, soma_proxy **proxy)
{
    if (proxy)
        *proxy = NULL;
    if (!system || !name || !*name || !proxy)
        return SOMA_EINVAL;
    return proxy_new(&(soma_proxy){.system = system, .find = find_here, .name = (char *)(uintptr_t)name}, proxy);
}

int soma_proxy_open_at(soma_system *system, soma_bridge *bridge, const char *address, const char *name,
                       soma_proxy **proxy)
{
    if (proxy)
        *proxy = NULL;
    if (!system || !bridge || !address || !name || !*name || !proxy)
        return SOMA_EINVAL;
    return proxy_new(&(soma_proxy){.system = system,
                                   .find = find_at,
                                   .bridge = bridge,
                                   .address = (char *)(uintptr_t)address,
                                   .name = (char *)(uintptr_t)name},
                     proxy);
}

int soma_proxy_open_named(soma_system *system, soma_names *names, const char *name, soma_proxy **proxy)
{
    if (proxy)
        *proxy = NULL;
    if (!system || !names || !name || !*name || !proxy)
        return SOMA_EINVAL;
    return proxy_new(
        &(soma_proxy){.system = system, .find = find_named, .names = names, .name = (char *)(uintptr_t)name}, proxy);
}

int soma_proxy_open_server(soma_system *system, soma_names *names, soma_proxy **proxy)
{
    if (proxy)
        *proxy = NULL;
    if (!system || !names || !proxy)
        return SOMA_EINVAL;
    return proxy_new(&(soma_proxy){.system = system, .find = find_server, .names = names}, proxy);
}

int soma_proxy_open_ref(soma_system *system, soma_ref agent, soma_proxy **proxy)
{
    if (proxy)
        *proxy = NULL;
    if (!system || soma_ref_is_null(agent) || !proxy)
        return SOMA_EINVAL;
    return proxy_new(&(soma_proxy){.system = system, .found = agent}, proxy);
}

void proxy_forget(soma_proxy *proxy, soma_ref gone)
{
    if (!proxy->find)
        return;
    pthread_mutex_lock(&proxy->lock);
    if (soma_ref_equal(proxy->found, gone))
        proxy->found = SOMA_REF_NULL;
    pthread_mutex_unlock(&proxy->lock);
}

static int proxy_look(soma_proxy *proxy, uint64_t until, bool waits, soma_ref *found)
{
    int error = proxy->find(proxy, time_left(proxy, until), waits, found);
    if (error)
        return error;
    proxy->met = true;
    pthread_mutex_lock(&proxy->lock);
    proxy->found = *found;
    pthread_mutex_unlock(&proxy->lock);
    return 0;
}

static int proxy_find(soma_proxy *proxy, uint64_t until, bool waits, soma_ref *found)
{
    pthread_mutex_lock(&proxy->lock);
    *found = proxy->found;
    pthread_mutex_unlock(&proxy->lock);
    return soma_ref_is_null(*found) ? proxy_look(proxy, until, waits, found) : 0;
}

int soma_proxy_ref(soma_proxy *proxy, uint64_t timeout, soma_ref *agent)
{
    if (agent)
        *agent = SOMA_REF_NULL;
    if (!proxy || !timeout || !agent)
        return proxy_misused(proxy, "no timeout, or nowhere for the agent");
    // What was found before may have ended unnoticed: only whom a call has gone to is watched.
    uint64_t until = deadline_of(proxy, timeout);
    int error = proxy->find ? proxy_look(proxy, until, false, agent) : proxy_find(proxy, until, false, agent);
    if (error)
        *agent = SOMA_REF_NULL;
    return error;
}

/* ---- asking ---- */

/* It has ended, or its node is not to be had. */
static bool is_away(int error)
{
    return error == SOMA_EGONE || error == SOMA_ENODEDOWN || error == SOMA_ENOROUTE;
}

/* Why it has not answered: in its own words if there are any. */
static void fail_asked(soma_proxy *proxy, const struct asking *asking, int error, const char *text)
{
    const char *name = proxy->name ? proxy->name : "the agent";
    if (error == SOMA_ETIMEOUT && !text)
        proxy_fail(proxy, error,
                   proxy->name ? "'%s' has not answered '%s' in time" : "%s has not answered '%s' in time", name,
                   asking->method);
    else if (is_away(error) && !text && proxy->names && proxy->name)
        proxy_fail(proxy, error, "'%s' is registered, but can't be reached: %s", name, soma_strerror(error));
    else
        proxy_fail_by(proxy, error, text);
}

static int ask_once(soma_proxy *proxy, struct asking *asking, soma_value *result)
{
    struct soma_proxy_answer answer = {0};
    int error = proxy_find(proxy, asking->until, asking->waits, &asking->to);
    if (error)
        return error;
    error =
        soma_call(proxy->system, proxy->agent, SOMA_NEVER, &answer, soma_proxy_answer, soma_proxy_ask, .to = asking->to,
                  .method = asking->method, .arguments = asking->arguments, .timeout = time_left(proxy, asking->until));
    if (!error)
        error = answer.error;
    fail_asked(proxy, asking, error, answer.text);
    if (!error && result) {
        *result = answer.value;
        answer.value = SOMA_VALUE_NONE;
    }
    soma_proxy_answer_destroy(&answer);
    return error;
}

/* Has it ended in a way after which another try may do better? */
static bool ask_again(soma_proxy *proxy, const struct asking *asking, int error)
{
    if (soma_ref_is_null(asking->to) || !proxy->find || !is_away(error))
        return false;
    proxy_forget(proxy, asking->to);
    return (error == SOMA_EGONE || (error == SOMA_ENODEDOWN && asking->harmless)) &&
           soma_now(proxy->system) < asking->until;
}

int proxy_ask(soma_proxy *proxy, uint64_t timeout, struct asking *asking, soma_value *result)
{
    if (result)
        *result = SOMA_VALUE_NONE;
    if (!proxy || !timeout)
        return proxy_misused(proxy, "no timeout");
    asking->until = deadline_of(proxy, timeout);
    const struct words words = words_now(proxy);
    int error = ask_once(proxy, asking, result);
    while (error && ask_again(proxy, asking, error)) {
        soma_ref before = asking->to;
        if (proxy_find(proxy, asking->until, asking->waits, &asking->to) == SOMA_ENOENT)
            return proxy_fail_by(proxy, error, NULL); // what has ended is not back
        if (soma_ref_equal(asking->to, before)) {     // a supervisor's child, on its way back
            int napped = proxy_nap(proxy, asking->until);
            if (napped)
                return napped;
        }
        error = ask_once(proxy, asking, result);
    }
    return words_after(proxy, error, &words);
}

int soma_proxy_call(soma_proxy *proxy, uint64_t timeout, const char *method, soma_value arguments, soma_value *result)
{
    if (result)
        *result = SOMA_VALUE_NONE;
    if (!method)
        return proxy_misused(proxy, "no method");
    return proxy_ask(proxy, timeout, &(struct asking){.method = method, .arguments = arguments}, result);
}

int soma_proxy_call_then(soma_proxy *proxy, uint64_t timeout, const char *method, soma_value arguments,
                         soma_proxy_done *done, void *context)
{
    if (!proxy || !timeout || !method || !done)
        return proxy_misused(proxy, "no timeout, method or function");
    uint64_t until = deadline_of(proxy, timeout);
    soma_ref to;
    int error = proxy_find(proxy, until, false, &to);
    if (error)
        return error;
    struct later *later = malloc(sizeof(*later));
    if (!later)
        return proxy_fail_by(proxy, SOMA_ENOMEM, NULL);
    *later = (struct later){.to = to, .until = until, .done = done, .context = context};
    later->method = strdup(method);
    error = later->method ? soma_value_copy(&later->arguments, arguments) : SOMA_ENOMEM;
    if (error) {
        free(later->method);
        free(later);
        return proxy_fail_by(proxy, error, NULL);
    }
    soma_post(proxy->system, proxy->agent, later_run, later, later_drop); // if it fails `done` was told so
    return 0;
}

/* ---- what every agent answers ---- */

/* Adds one entry, or what it is without a name; `builder` keeps it. */
static int entry_build(soma_value_builder *builder, const char *name, soma_value value, soma_value *map)
{
    if (!name) {
        *map = value;
        return 0;
    }
    SOMA_VALUE_MAP(builder, (value, name, value));
    return soma_value_builder_finish(builder, map);
}

int soma_proxy_set(soma_proxy *proxy, uint64_t timeout, const char *name, soma_value value)
{
    soma_value_builder *builder;
    struct asking asking = {.method = "soma.set", .harmless = true};
    if (!proxy)
        return SOMA_EINVAL;
    int error = soma_value_builder_open(&builder);
    if (!error)
        error = entry_build(builder, name, value, &asking.arguments);
    error = error ? proxy_fail_by(proxy, error, NULL) : proxy_ask(proxy, timeout, &asking, NULL);
    soma_value_builder_close(&builder);
    return error;
}

int soma_proxy_get(soma_proxy *proxy, uint64_t timeout, const char *name, soma_value *value)
{
    soma_value_builder *builder;
    struct asking asking = {.method = "soma.get", .harmless = true};
    if (value)
        *value = SOMA_VALUE_NONE;
    if (!proxy || !value)
        return proxy_misused(proxy, "nowhere for the value");
    int error = soma_value_builder_open(&builder);
    if (!error && name && !(error = soma_value_add_string(builder, name)))
        error = soma_value_builder_finish(builder, &asking.arguments);
    error = error ? proxy_fail_by(proxy, error, NULL) : proxy_ask(proxy, timeout, &asking, value);
    soma_value_builder_close(&builder);
    return error;
}

int soma_proxy_describe(soma_proxy *proxy, uint64_t timeout, soma_value *description)
{
    if (!description)
        return proxy_misused(proxy, "nowhere for the description");
    return proxy_ask(proxy, timeout, &(struct asking){.method = "soma.describe", .harmless = true}, description);
}

static int ping(soma_proxy *proxy, uint64_t timeout, bool waits)
{
    struct asking asking = {.method = "soma.ping", .harmless = true, .waits = waits};
    if (!proxy)
        return SOMA_EINVAL;
    const struct words before = words_now(proxy);
    int error = proxy_ask(proxy, timeout, &asking, NULL);
    bool there = error == SOMA_EUNHANDLED || error == SOMA_ENOREPLY || error == SOMA_ETYPE; // to say so
    return words_after(proxy, there ? 0 : error, &before);
}

int soma_proxy_ping(soma_proxy *proxy, uint64_t timeout)
{
    return ping(proxy, timeout, false);
}

/* ---- life ---- */

/* May it come yet? Another agent of the name may; and a node that is down, or unknown, may be heard of. */
static bool wait_helps(const soma_proxy *proxy, int error)
{
    if (error == SOMA_ENODEDOWN)
        return true;
    return proxy->find && (error == SOMA_ENOENT || error == SOMA_EGONE || error == SOMA_ENOROUTE);
}

int soma_proxy_wait(soma_proxy *proxy, uint64_t timeout)
{
    if (!proxy)
        return SOMA_EINVAL;
    bool once = !timeout; // then it has time to answer, but nothing is waited for that is not there
    uint64_t until = deadline_of(proxy, once ? SOMA_NAMES_TIMEOUT : timeout);
    const struct words before = words_now(proxy);
    struct words reason = {""}; // of the try before: the last has too little time to find out
    for (;;) {
        int error = ping(proxy, time_left(proxy, until), !once);
        if (error == SOMA_ETIMEOUT && *reason.text)
            proxy_fail(proxy, error, "%s", reason.text);
        if (!wait_helps(proxy, error))
            return words_after(proxy, error, &before);
        if (once || soma_now(proxy->system) >= until)
            return SOMA_ETIMEOUT; // for the reason that stands there
        reason = words_now(proxy);
        if ((error = proxy_nap(proxy, until)))
            return error;
    }
}

static int fail_end(soma_proxy *proxy, int error)
{
    if (error != SOMA_ETIMEOUT)
        return proxy_fail_by(proxy, error, NULL);
    return proxy->name ? proxy_fail(proxy, error, "'%s' has not ended in time", proxy->name)
                       : proxy_fail(proxy, error, "the agent has not ended in time");
}

static int proxy_end(soma_proxy *proxy, uint64_t timeout, bool kill)
{
    struct soma_proxy_answer answer = {0};
    soma_ref to = SOMA_REF_NULL, before = SOMA_REF_NULL;
    if (!proxy || !timeout)
        return proxy_misused(proxy, "no timeout");
    uint64_t until = deadline_of(proxy, timeout);
    const struct words words = words_now(proxy);
    int error = proxy_find(proxy, until, false, &to);
    while (!error && !soma_ref_equal(to, before)) {
        error = soma_call(proxy->system, proxy->agent, time_left(proxy, until), &answer, soma_proxy_answer,
                          soma_proxy_end, .to = to, .kill = kill);
        if (error || answer.error != SOMA_EGONE)
            return fail_end(proxy, error ? error : answer.error);
        before = to; // it had ended, unnoticed; another one may have its name
        error = proxy_find(proxy, until, false, &to);
    }
    return words_after(proxy, error == SOMA_ENOENT && proxy->met ? 0 : error, &words);
}

int soma_proxy_kill(soma_proxy *proxy, uint64_t timeout)
{
    return proxy_end(proxy, timeout, true);
}

int soma_proxy_shutdown(soma_proxy *proxy, uint64_t timeout)
{
    return proxy_end(proxy, timeout, false);
}
