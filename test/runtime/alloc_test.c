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

static bool fails(void)
{
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

static int on_told(soma_agent *self, struct user *my, const struct told *m)
{
    (void)self, (void)my, (void)m;
    return 0;
}

static int on_error(soma_agent *self, struct user *my, const int *error)
{
    (void)self, (void)my, (void)error;
    return 0;
}

static int on_work(soma_agent *self, struct user *my, const struct work *m)
{
    soma_handle timer = soma_after(self, SOMA_US, tick);
    soma_timer_name(self, timer, "tick");
    soma_request(self, my->other, SOMA_SECOND, SOMA_THEN(told, on_told, on_error), ask, .n = m->n);
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
    atomic_store(&countdown, n);
    int error = soma_system_open(&system, &(soma_options){.workers = 2, .log_sink = ignore});
    if (error)
        assert_true((error == SOMA_ENOMEM || error == SOMA_ETHREAD) && !system);
    else
        use(system);
    atomic_store(&countdown, -1);
    assert_int_equal(soma_system_close(&system), 0);
    assert_int_equal(atomic_load(&downs), atomic_load(&monitors));
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_each_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
