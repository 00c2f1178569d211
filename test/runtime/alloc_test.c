/*
 * Memory running out at every point: the n-th allocation fails, for each n, while a system is opened, used and closed.
 * Every call returns an error or works; nothing crashes, hangs or leaks (the sanitizers look), and the next try works.
 * malloc and its kin are wrapped by the linker, see test/CMakeLists.txt.
 */
#include "test_support.h"
#include <soma/soma.h>
#include <stdatomic.h>
#include <string.h>

static atomic_long countdown; /* allocations until one fails; below 0: none will */
static atomic_bool failed;
static atomic_bool out; /* all fail */

static bool fails(void)
{
    if (atomic_load(&out))
        return true;
    if (atomic_load(&countdown) < 0 || atomic_fetch_sub(&countdown, 1) != 0)
        return false;
    atomic_store(&failed, true);
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return fails() ? NULL : __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

/* ---- a scenario that touches what allocates ---- */

SOMA_MESSAGE(work, (u32, n), (string, text))
SOMA_MESSAGE(ask, (u32, n))
SOMA_MESSAGE(told, (u32, n), (string, text))
SOMA_MESSAGE(tick)
SOMA_MESSAGE(watch, (ref, agent))
SOMA_MESSAGE(fail)

struct user {
    uint32_t ticks;
    soma_ref other;
};

/* Exactly one answer to each request, whatever fails, though none has a timeout. */
static atomic_int asked, answered;

static int on_told(soma_agent *self, struct user *my, const struct told *m)
{
    (void)self, (void)my, (void)m;
    atomic_fetch_add(&answered, 1);
    return 0;
}

static int on_error(soma_agent *self, struct user *my, const int *error)
{
    (void)self, (void)my, (void)error;
    atomic_fetch_add(&answered, 1);
    return 0;
}

static void request(soma_agent *self, soma_ref to)
{
    soma_handle handle = soma_request(self, to, SOMA_NEVER, SOMA_THEN(told, on_told, on_error), ask, .n = 1);
    atomic_fetch_add(&asked, handle > 0);
}

static const soma_behavior deaf = {.name = "deaf", .blocking = true}; // its thread allocates only to answer

static int on_work(soma_agent *self, struct user *my, const struct work *m)
{
    soma_handle timer = soma_after(self, SOMA_US, tick);
    soma_timer_name(self, timer, "tick");
    soma_ref child;
    request(self, my->other);
    if (m->n == 1 && !soma_spawn(self, &deaf, NULL, &child))
        request(self, child);
    soma_agent_data_set(self, my);
    soma_log_level_set(self, SOMA_LOG_OFF);
    return 0;
}

static int on_ask(soma_agent *self, struct user *my, const struct ask *m)
{
    (void)my;
    soma_handle promise = m->n % 2 ? soma_reply_later(self) : 0;
    return promise < 0 ? soma_reply_error(self, SOMA_ENOMEM)
                       : soma_reply_to(self, promise, told, .n = m->n, .text = "a text that is copied");
}

static int on_tick(soma_agent *self, struct user *my, const struct tick *m)
{
    (void)self, (void)m;
    my->ticks++;
    return 0;
}

static int on_fail(soma_agent *self, void *my, const struct fail *m)
{
    (void)my, (void)m;
    return soma_fail(self, SOMA_EINVAL, "it was told to");
}

static const soma_behavior mortal = {.name = "mortal", .handlers = SOMA_HANDLERS(SOMA_ON(fail, on_fail))};

/* Exactly one down message for each monitor that could be set, whatever fails. */
static atomic_int monitors, downs;

static int on_watch(soma_agent *self, struct user *my, const struct watch *m)
{
    (void)my;
    soma_ref child;
    soma_trap_exits(self, true);
    atomic_fetch_add(&monitors, soma_monitor(self, m->agent) > 0);
    soma_link(self, m->agent);
    soma_demonitor(self, soma_monitor(self, m->agent));
    if (!soma_spawn_link(self, &mortal, NULL, &child))
        soma_send(self, child, fail);
    atomic_fetch_add(&monitors, soma_spawn_monitor(self, &mortal, NULL, &child) > 0);
    if (soma_send(self, child, fail)) // only one allocation fails, so the kill has memory
        soma_kill(soma_agent_system(self), child);
    return 0;
}

static int on_down(soma_agent *self, struct user *my, const struct soma_down *m)
{
    (void)self, (void)my, (void)m;
    atomic_fetch_add(&downs, 1);
    return 0;
}

static const soma_behavior user = {
    .name = "user",
    .state_size = sizeof(struct user),
    .handlers = SOMA_HANDLERS(SOMA_ON(work, on_work), SOMA_ON(ask, on_ask), SOMA_ON(tick, on_tick),
                              SOMA_ON(watch, on_watch), SOMA_ON(soma_down, on_down)),
};

static const soma_behavior blocker = {.name = "blocker", .state_size = 5000, .base = &user, .blocking = true};

static void use(soma_system *system)
{
    soma_ref ref = SOMA_REF_NULL, other = SOMA_REF_NULL;
    soma_body *body = NULL;
    struct told reply;
    soma_spawn(system, &user, NULL, &ref);
    soma_spawn(system, &blocker, NULL, &other);
    soma_name_set(system, ref, "user");
    soma_log_warning(system, "a line");
    soma_body_new(&body, work, .n = 1, .text = "shared");
    soma_send_body(system, ref, body);
    soma_body_close(&body);
    for (uint32_t n = 0; n < 4; n++) {
        soma_send(system, ref, work, .n = n, .text = "a text");
        if (!soma_call(system, n < 2 ? ref : other, 50 * SOMA_MS, &reply, told, ask, .n = n)) {
            assert_string_equal(reply.text, "a text that is copied");
            told_destroy(&reply);
        }
    }
    soma_send(system, ref, watch, .agent = other);
    if (soma_kill(system, other))
        soma_kill(system, other);
}

static void ignore(void *context, const soma_log_record *record)
{
    (void)context, (void)record;
}

/* True if something failed. */
static bool run_with(long n)
{
    soma_system *system = NULL;
    atomic_store(&failed, false);
    atomic_store(&monitors, 0);
    atomic_store(&downs, 0);
    atomic_store(&asked, 0);
    atomic_store(&answered, 0);
    atomic_store(&countdown, n);
    int error = soma_system_open(&system, &(soma_options){.workers = 2, .log_sink = ignore});
    if (error)
        assert_true((error == SOMA_ENOMEM || error == SOMA_ETHREAD) && !system);
    else
        use(system);
    atomic_store(&countdown, -1);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&downs), atomic_load(&monitors));
    assert_int_equal(atomic_load(&answered), atomic_load(&asked));
    return atomic_load(&failed);
}

static void test_each_allocation_fails_once(void **state)
{
    (void)state;
    long n = 0;
    while (run_with(n))
        n++;
    assert_true(n > 20); // the scenario does allocate
    assert_false(run_with(-1));
}

/* ---- requests that fail when nothing is left to tell it with ---- */

SOMA_MESSAGE(begin, (array, ref, others))

static atomic_int told_of[32]; /* how often each error came */

static int on_failed(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    atomic_fetch_add(&told_of[-*error], 1);
    return 0;
}

static int on_told_never(soma_agent *self, void *state, const struct told *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static int on_ask_ignored(soma_agent *self, void *state, const struct ask *m)
{
    (void)self, (void)state, (void)m;
    return 0;
}

static int on_ask_dies(soma_agent *self, void *state, const struct ask *m)
{
    (void)state, (void)m;
    soma_agent_exit(self, 0);
    return 0;
}

static const soma_behavior mute = {.name = "mute"};
static const soma_behavior silent = {.name = "silent", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask_ignored))};
static const soma_behavior dying = {.name = "dying", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask_dies))};

/* Asks, and then takes all memory there is before anybody can answer: there is but one worker. */
static int on_begin(soma_agent *self, void *state, const struct begin *m)
{
    (void)state;
    for (uint32_t i = 0; i < m->others.count; i++)
        soma_request(self, m->others.items[i], SOMA_NEVER, SOMA_THEN(told, on_told_never, on_failed), ask, .n = i);
    atomic_store(&out, true);
    while (!soma_send(self, soma_self(self), tick))
        ;
    return 0;
}

static int on_tick_enough(soma_agent *self, void *state, const struct tick *m)
{
    (void)self, (void)state, (void)m;
    atomic_store(&out, false);
    return 0;
}

static const soma_behavior taker = {.name = "taker",
                                    .handlers = SOMA_HANDLERS(SOMA_ON(begin, on_begin), SOMA_ON(tick, on_tick_enough))};

static void test_requests_fail_without_memory(void **state)
{
    (void)state;
    soma_system *system;
    soma_ref ref, others[3];
    assert_int_equal(soma_system_open(&system, &(soma_options){.workers = 1, .log_sink = ignore}), 0);
    assert_int_equal(soma_spawn(system, &taker, NULL, &ref), 0);
    assert_int_equal(soma_spawn(system, &mute, NULL, &others[0]), 0);
    assert_int_equal(soma_spawn(system, &silent, NULL, &others[1]), 0);
    assert_int_equal(soma_spawn(system, &dying, NULL, &others[2]), 0);
    assert_int_equal(soma_send(system, ref, begin, .others = {others, 3}), 0);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(told_of[-SOMA_EUNHANDLED], 1);
    assert_int_equal(told_of[-SOMA_ENOREPLY], 1);
    assert_int_equal(told_of[-SOMA_EGONE], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_allocation_fails_once),
        cmocka_unit_test(test_requests_fail_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
