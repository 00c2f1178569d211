/*
 * Supervisors, on the public interface alone. See include/soma/supervisor.h.
 *
 * A supervisor is in one of three phases. It *watches*: ends come and are answered. It *clears*: children from the last
 * one down to `first` are stopped, one at a time, to be started again in their order. It *ends*: the same for all, and
 * then itself.
 */
#include <soma/error.h>
#include <soma/keep.h>
#include <soma/log.h>
#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/supervisor.h>
#include <soma/timer.h>
#include <stdlib.h>
#include <string.h>

SOMA_MESSAGE(soma_supervisor_retry, (u32, index), (i64, kept))
SOMA_MESSAGE(soma_supervisor_late, (u32, index), (i64, kept), (u32, restarts))

#define INTENSITY 3u
#define INTENSITY_MOST 1000000u
#define PERIOD (5 * SOMA_SECOND)
#define BACKOFF_MAX (30 * SOMA_SECOND)
#define SHUTDOWN (5 * SOMA_SECOND)

enum state { EMPTY, LIVES, STOPPING, DOWN };
enum phase { WATCHES, CLEARS, ENDS };

struct child {
    const soma_child *spec;
    void *arg; /* a copy, of a pool's child that was given one */
    soma_ref ref;
    soma_handle kept;
    soma_handle late;    /* the timer that has it killed */
    soma_handle promise; /* for who asked to have it stopped */
    uint64_t started;
    uint32_t restarts;
    uint32_t failures; /* in a row, each within a period of its start */
    enum state state;
};

struct supervisor {
    const soma_supervision *spec;
    struct child *children;
    uint32_t count; /* places in use, empty ones among them */
    uint32_t capacity;
    uint32_t empty; /* how many a pool has */
    enum phase phase;
    uint32_t first;      /* how far down a clearing goes */
    uint32_t last;       /* how far down it has come: nobody lives from here on */
    uint32_t stopping;   /* how many were told to stop, and still live */
    uint64_t restarts;   /* in all */
    uint64_t *restarted; /* when, the last `intensity` of them */
    int reason;
};

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value ? value : fallback;
}

static uint32_t intensity_of(const struct supervisor *my)
{
    return (uint32_t)or_default(my->spec->intensity, INTENSITY);
}

static bool is_pool(const struct supervisor *my)
{
    return my->spec->strategy == SOMA_POOL;
}

/* Does nobody else care when a child ends? */
static bool one_alone(const struct supervisor *my)
{
    return is_pool(my) || my->spec->strategy == SOMA_ONE_FOR_ONE;
}

static const char *name_of(const struct child *child)
{
    return child->spec->name ? child->spec->name : child->spec->behavior->name;
}

/* ---- starting ---- */

static struct child *place_new(struct supervisor *my)
{
    for (uint32_t i = 0; my->empty && i < my->count; i++)
        if (my->children[i].state == EMPTY) {
            my->empty--;
            return &my->children[i];
        }
    if (my->count == my->capacity) {
        uint32_t capacity = my->capacity ? my->capacity * 2 : 8;
        struct child *grown = realloc(my->children, capacity * sizeof(*grown));
        if (!grown)
            return NULL;
        my->children = grown;
        my->capacity = capacity;
    }
    return &my->children[my->count++];
}

/* The place is empty from now on; in a pool for another. */
static void place_clear(struct supervisor *my, struct child *child)
{
    free(child->arg);
    child->arg = NULL;
    child->state = EMPTY;
    my->empty += is_pool(my);
}

/* One that should not have been started. */
static void child_undo(soma_agent *self, struct supervisor *my, struct child *child)
{
    soma_release(self, child->kept);
    soma_kill(soma_agent_system(self), child->ref);
    place_clear(my, child);
}

static int child_start(soma_agent *self, struct supervisor *my, const soma_child *spec, void *arg,
                       struct child **started)
{
    struct child *child = place_new(my);
    if (!child) {
        free(arg);
        return SOMA_ENOMEM;
    }
    *started = child;
    *child = (struct child){.spec = spec, .arg = arg, .started = soma_now(self)};
    uint32_t index = (uint32_t)(child - my->children);
    child->kept = soma_spawn_kept(self, spec->behavior, arg ? arg : spec->arg, spec->mail, index, &child->ref);
    if (child->kept < 0) {
        place_clear(my, child);
        return (int)child->kept;
    }
    child->state = LIVES;
    int error = spec->name ? soma_name_set(soma_agent_system(self), child->ref, spec->name) : 0;
    if (error)
        child_undo(self, my, child);
    return error;
}

static int spec_check(const soma_supervision *spec)
{
    if (spec && spec->intensity > INTENSITY_MOST)
        return SOMA_ETOOBIG;
    if (!spec || spec->strategy < SOMA_ONE_FOR_ONE || spec->strategy > SOMA_POOL || (spec->count && !spec->children))
        return SOMA_EINVAL;
    uint32_t kinds = spec->strategy == SOMA_POOL ? 1 : spec->count;
    if (kinds && !spec->children)
        return SOMA_EINVAL;
    for (uint32_t i = 0; i < kinds; i++)
        if (!spec->children[i].behavior || spec->children[i].restart > SOMA_TEMPORARY ||
            (spec->strategy == SOMA_POOL && spec->children[i].name))
            return SOMA_EINVAL;
    return 0;
}

static int supervisor_init(soma_agent *self, void *state, const void *arg)
{
    struct supervisor *my = state;
    int error = spec_check(arg);
    if (error)
        return error;
    my->spec = arg;
    my->restarted = calloc(intensity_of(my), sizeof(*my->restarted));
    error = my->restarted ? soma_trap_exits(self, true) : SOMA_ENOMEM;
    if (!error)
        error = soma_shutdown_on_close(self); // before its children, so that the tree is told from the top
    for (uint32_t i = 0; i < my->spec->count && !error; i++) {
        const soma_child *child = &my->spec->children[is_pool(my) ? 0 : i];
        struct child *started;
        error = child_start(self, my, child, NULL, &started);
        if (error)
            return soma_fail(self, error, "'%s' can't be started: %s",
                             child->name ? child->name : child->behavior->name, soma_strerror(error));
    }
    return error;
}

/* Also when init failed, or of a kill: who is left goes the same way. */
static void supervisor_stop(soma_agent *self, void *state, int reason)
{
    struct supervisor *my = state;
    (void)reason;
    for (uint32_t i = my->count; i-- > 0;) {
        struct child *child = &my->children[i];
        if (child->state == EMPTY)
            continue;
        bool lives = child->state != DOWN;
        soma_release(self, child->kept);
        if (lives)
            soma_kill(soma_agent_system(self), child->ref);
        free(child->arg);
    }
    free(my->children);
    free(my->restarted);
}

/* ---- stopping, in order ---- */

static int start_again(soma_agent *self, struct supervisor *my);

static uint64_t shutdown_of(const soma_child *spec)
{
    return or_default(spec->shutdown, spec->behavior == &soma_supervisor ? SOMA_NEVER : SHUTDOWN);
}

static void child_stop(soma_agent *self, struct supervisor *my, struct child *child)
{
    const struct soma_supervisor_late late = {(uint32_t)(child - my->children), child->kept, child->restarts};
    child->state = STOPPING;
    my->stopping++;
    if (soma_shutdown(self, child->ref)) // no memory even for that
        soma_kill(soma_agent_system(self), child->ref);
    uint64_t time = shutdown_of(child->spec);
    if (time == SOMA_NEVER)
        return;
    child->late = soma_timer_after(self, time, &soma_supervisor_late_type, &late);
    if (child->late < 0)
        soma_kill(soma_agent_system(self), child->ref);
}

static int on_late(soma_agent *self, struct supervisor *my, const struct soma_supervisor_late *m)
{
    struct child *child = &my->children[m->index];
    if (m->index >= my->count || child->kept != m->kept || child->restarts != m->restarts || child->state != STOPPING)
        return 0;
    soma_log_warning(self, "'%s' did not stop in time and is killed", name_of(child));
    soma_kill(soma_agent_system(self), child->ref);
    return 0;
}

/* Goes on with a clearing or the end: stops the last child that still lives, and waits for its end; a pool's at once.
 */
static int stop_next(soma_agent *self, struct supervisor *my)
{
    while (my->last > my->first && (is_pool(my) || !my->stopping)) {
        struct child *child = &my->children[--my->last];
        if (child->state == LIVES)
            child_stop(self, my, child);
    }
    if (my->stopping)
        return 0;
    if (my->phase == CLEARS)
        return start_again(self, my);
    soma_agent_exit(self, my->reason);
    return 0;
}

static int supervisor_end(soma_agent *self, struct supervisor *my, int reason)
{
    my->phase = ENDS;
    my->reason = reason;
    my->first = 0;
    my->last = my->count;
    return stop_next(self, my);
}

/* ---- restarting ---- */

static bool restarts_too_often(soma_agent *self, struct supervisor *my)
{
    uint32_t intensity = intensity_of(my);
    uint64_t now = soma_now(self), *oldest = &my->restarted[my->restarts % intensity];
    bool often = my->restarts >= intensity && now - *oldest < or_default(my->spec->period, PERIOD);
    *oldest = now;
    my->restarts++;
    return often;
}

static uint64_t backoff_of(const struct supervisor *my, const struct child *child)
{
    uint64_t delay = my->spec->backoff, most = or_default(my->spec->backoff_max, BACKOFF_MAX);
    for (uint32_t i = 1; i < child->failures && delay < most; i++)
        delay *= 2;
    return delay < most ? delay : most;
}

/* Counts a failure that is to be answered by a restart, and has it come in due time. */
static int restart_later(soma_agent *self, struct supervisor *my, struct child *child)
{
    if (restarts_too_often(self, my)) {
        soma_log_error(self, "'%s' and its like failed more than %u times in %.3g s", name_of(child), intensity_of(my),
                       (double)or_default(my->spec->period, PERIOD) / 1e9);
        return supervisor_end(self, my, SOMA_ERESTARTS);
    }
    bool settled = soma_now(self) - child->started > or_default(my->spec->period, PERIOD);
    child->failures = settled ? 1 : child->failures + 1;
    const struct soma_supervisor_retry retry = {(uint32_t)(child - my->children), child->kept};
    uint64_t delay = my->spec->backoff ? backoff_of(my, child) : 0;
    if (delay)
        return soma_timer_after(self, delay, &soma_supervisor_retry_type, &retry) < 0 ? SOMA_ENOMEM : 0;
    return soma_agent_send(self, soma_self(self), &soma_supervisor_retry_type, &retry);
}

static int child_revive(soma_agent *self, struct supervisor *my, struct child *child)
{
    child->restarts++;
    child->started = soma_now(self);
    int error = soma_revive(self, child->kept, child->spec->behavior, child->arg ? child->arg : child->spec->arg);
    if (error == SOMA_ECLOSED)
        return 0;
    if (error) {
        soma_log_warning(self, "'%s' can't be restarted: %s (%d)", name_of(child), soma_strerror(error), error);
        return restart_later(self, my, child);
    }
    child->state = LIVES;
    // One that is killed has no name until it is down, so others may have taken it.
    const char *name = child->spec->name;
    error = name ? soma_name_set(soma_agent_system(self), child->ref, name) : 0;
    if (error)
        soma_log_warning(self, "'%s' has lost its name: %s (%d)", name, soma_strerror(error), error);
    soma_log_info(self, "'%s' is restarted", name_of(child));
    return 0;
}

static bool is_wanted(const soma_child *spec, int reason)
{
    bool failed = reason && reason != SOMA_ESHUTDOWN;
    return spec->restart == SOMA_PERMANENT || (spec->restart == SOMA_TRANSIENT && failed);
}

static void child_forget(soma_agent *self, struct supervisor *my, struct child *child)
{
    soma_release(self, child->kept);
    place_clear(my, child);
}

/* After a clearing: in their order, all that are to be there. If one can't be, those behind wait for its next try. */
static int start_again(soma_agent *self, struct supervisor *my)
{
    my->phase = WATCHES;
    for (uint32_t i = my->first; i < my->count; i++) {
        struct child *child = &my->children[i];
        if (child->state != DOWN)
            continue;
        if (child->spec->restart == SOMA_TEMPORARY) {
            child_forget(self, my, child);
            continue;
        }
        int error = child_revive(self, my, child);
        if (error < 0 || child->state == DOWN)
            return error;
    }
    return 0;
}

static int on_retry(soma_agent *self, struct supervisor *my, const struct soma_supervisor_retry *m)
{
    struct child *child = &my->children[m->index];
    if (my->phase == ENDS || m->index >= my->count || child->kept != m->kept || child->state != DOWN)
        return 0;
    if (my->phase == CLEARS) { // it is cleared, too, or nobody would start it again
        my->first = m->index < my->first ? m->index : my->first;
        return 0;
    }
    if (one_alone(my))
        return child_revive(self, my, child);
    my->phase = CLEARS;
    my->last = my->count;
    my->first = my->spec->strategy == SOMA_ONE_FOR_ALL ? 0 : m->index;
    return stop_next(self, my);
}

/* ---- ends ---- */

/* One that was told to stop, by a clearing, at the end, or because somebody asked. */
static int child_stopped(soma_agent *self, struct supervisor *my, struct child *child)
{
    if (child->late > 0)
        soma_timer_cancel(self, child->late);
    child->late = 0;
    if (child->promise || my->phase == ENDS) {
        if (child->promise && soma_reply_to(self, child->promise, soma_stopped) == SOMA_ENOMEM)
            soma_reply_error_to(self, child->promise, SOMA_ENOMEM);
        child->promise = 0;
        child_forget(self, my, child);
    }
    return my->phase == WATCHES ? 0 : stop_next(self, my);
}

static int on_down(soma_agent *self, struct supervisor *my, const struct soma_down *m)
{
    uint64_t index = soma_tag(self);
    struct child *child = index < my->count ? &my->children[index] : NULL;
    if (!child || child->state == EMPTY || child->kept != m->monitor)
        return 0;
    bool stopping = child->state == STOPPING;
    child->state = DOWN;
    my->stopping -= stopping;
    if (stopping)
        return child_stopped(self, my, child);
    if (my->phase == ENDS)
        return stop_next(self, my);
    if (!is_wanted(child->spec, m->reason)) {
        child_forget(self, my, child);
        return 0;
    }
    if (my->phase == WATCHES)
        return restart_later(self, my, child);
    if (index < my->first) // it failed while others are cleared: they wait for it, too
        my->first = my->spec->strategy == SOMA_REST_FOR_ONE ? (uint32_t)index : my->first;
    return stop_next(self, my);
}

static int on_exited(soma_agent *self, struct supervisor *my, const struct soma_exited *m)
{
    return m->reason == SOMA_ESHUTDOWN && my->phase != ENDS ? supervisor_end(self, my, SOMA_ESHUTDOWN) : 0;
}

/* ---- what is asked of it ---- */

/* Who only sent it, and did not ask, hears nothing, and does no harm. */
static int refuse(soma_agent *self, int error)
{
    soma_reply_error(self, error);
    return 0;
}

static int on_start_child(soma_agent *self, struct supervisor *my, const struct soma_start_child *m)
{
    void *arg = NULL;
    struct child *child;
    if (!is_pool(my) || my->phase != WATCHES)
        return refuse(self, SOMA_ESTATE);
    if (m->arg.size && !(arg = malloc(m->arg.size)))
        return refuse(self, SOMA_ENOMEM);
    if (arg)
        memcpy(arg, m->arg.data, m->arg.size);
    int error = child_start(self, my, my->spec->children, arg, &child);
    if (error)
        return refuse(self, error);
    if (soma_reply(self, soma_started, .child = child->ref) != SOMA_ENOMEM)
        return 0;
    child_undo(self, my, child); // nobody would know of it
    return refuse(self, SOMA_ENOMEM);
}

static int on_stop_child(soma_agent *self, struct supervisor *my, const struct soma_stop_child *m)
{
    uint32_t i = 0;
    while (i < my->count && (my->children[i].state == EMPTY || !soma_ref_equal(my->children[i].ref, m->child)))
        i++;
    struct child *child = &my->children[i];
    if (i == my->count)
        return refuse(self, SOMA_ENOENT);
    if (child->promise)
        return refuse(self, SOMA_ESTATE);
    if (child->state == DOWN) {
        child_forget(self, my, child);
        soma_reply(self, soma_stopped);
        if (my->phase != WATCHES || one_alone(my))
            return 0;
        my->first = i; // who waits for it does so no longer
        return start_again(self, my);
    }
    soma_handle promise = soma_reply_later(self);
    if (promise < 0)
        return refuse(self, (int)promise);
    child->promise = promise;
    if (child->state == LIVES)
        child_stop(self, my, child);
    return 0;
}

static int on_list_children(soma_agent *self, struct supervisor *my, const struct soma_list_children *m)
{
    static const char *const states[] = {"ended", "running", "stopping", "restarting"};
    static const char *const strategies[] = {"one for one", "one for all", "rest for one", "pool"};
    (void)m;
    struct soma_child_info *list = my->count ? calloc(my->count, sizeof(*list)) : NULL;
    if (my->count && !list)
        return refuse(self, SOMA_ENOMEM);
    uint32_t count = 0;
    for (uint32_t i = 0; i < my->count; i++) {
        const struct child *child = &my->children[i];
        if (child->state == EMPTY && is_pool(my))
            continue;
        list[count++] = (struct soma_child_info){.name = child->spec->name,
                                                 .behavior = child->spec->behavior->name,
                                                 .state = states[child->state],
                                                 .agent = child->ref,
                                                 .restarts = child->restarts,
                                                 .supervisor = child->spec->behavior == &soma_supervisor};
    }
    int error = soma_reply(self, soma_children, .list = {list, count}, .restarts = my->restarts,
                           .strategy = strategies[my->spec->strategy]);
    free(list);
    return error ? refuse(self, error) : 0;
}

const soma_behavior soma_supervisor = {
    .name = "supervisor",
    .state_size = sizeof(struct supervisor),
    .init = supervisor_init,
    .stop = supervisor_stop,
    .handlers = SOMA_HANDLERS(SOMA_ON(soma_down, on_down), SOMA_ON(soma_exited, on_exited),
                              SOMA_ON(soma_supervisor_retry, on_retry), SOMA_ON(soma_supervisor_late, on_late),
                              SOMA_ON(soma_start_child, on_start_child), SOMA_ON(soma_stop_child, on_stop_child),
                              SOMA_ON(soma_list_children, on_list_children)),
};
