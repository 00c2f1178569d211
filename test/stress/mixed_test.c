/*
 * Everything at once, by chance: agents of all kinds and threads outside spawn, kill, send, ask, post, name and set
 * timers while the system is closed or cancelled. Whatever happens, each init has its stop and each posted function
 * runs or is dropped; the sanitizer builds see to the memory and to races.
 */
#include "test_support.h"
#include <pthread.h>
#include <sched.h>
#include <soma/soma.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

SOMA_MESSAGE(act, (u32, more))
SOMA_MESSAGE(ask, (u64, n), (string, text))
SOMA_MESSAGE(bulk, (bytes, data))
SOMA_MESSAGE(answer, (u64, n))

#define REFS 128u
#define KINDS 5u
#define OUTSIDE 2u
#define SENDS 1000u /* what each thread outside does in a round */

static soma_behavior kinds[KINDS];
static soma_system *live;
static atomic_ulong inits, stops, posts, drops, wrong;

/* Agents that were alive once: whoever wants one takes any. */
static pthread_mutex_t refs_lock = PTHREAD_MUTEX_INITIALIZER;
static soma_ref refs[REFS];

static soma_ref ref_any(uint64_t chance)
{
    pthread_mutex_lock(&refs_lock);
    soma_ref ref = refs[chance % REFS];
    pthread_mutex_unlock(&refs_lock);
    ref.generation += chance >> 60 ? 0 : 2; // a few are forged
    return ref;
}

static void ref_keep(uint64_t chance, soma_ref ref)
{
    pthread_mutex_lock(&refs_lock);
    refs[chance % REFS] = ref;
    pthread_mutex_unlock(&refs_lock);
}

struct mixed {
    char *memory; /* only its stop frees it */
    soma_body *kept;
    soma_handle promise;
};

static int run_posted(soma_agent *self, void *state, void *arg)
{
    (void)state;
    free(arg);
    atomic_fetch_add(&drops, 1);
    return soma_random(self) % 50 ? 0 : SOMA_ESTATE;
}

static void drop_posted(void *arg)
{
    free(arg);
    atomic_fetch_add(&drops, 1);
}

static void post_any(soma_system *system, soma_ref to)
{
    atomic_fetch_add(&posts, 1);
    soma_post(system, to, run_posted, malloc(8), drop_posted);
}

static void bulk_send(soma_agent *self, uint64_t chance)
{
    static const char data[8000] = {1};
    soma_body *body;
    if (soma_body_new(&body, bulk, .data = {data, (uint32_t)(chance % sizeof(data))}))
        return;
    for (uint64_t i = 0; i < 3; i++)
        soma_send_body(self, ref_any(chance + i), body);
    soma_send(self, ref_any(chance), bulk, .data = {data, (uint32_t)(chance % 3000)});
    soma_body_close(&body);
}

static int on_answer(soma_agent *self, void *state, const struct answer *m)
{
    (void)self, (void)state;
    atomic_fetch_add(&wrong, m->n != 1 && m->n != 2);
    return 0;
}

static int on_error(soma_agent *self, void *state, const int *error)
{
    (void)self, (void)state;
    atomic_fetch_add(&wrong, *error >= 0);
    return 0;
}

static void names_use(soma_agent *self, uint64_t chance)
{
    soma_system *system = soma_agent_system(self);
    soma_ref ref;
    char name[16];
    snprintf(name, sizeof(name), "name %u", (unsigned)(chance % 20));
    if (chance & 1u << 10)
        soma_name_set(system, soma_self(self), name);
    else if (!soma_whereis(system, name, &ref))
        soma_send(self, ref, act);
}

static void promises_use(soma_agent *self, struct mixed *my, uint64_t chance)
{
    if (my->promise > 0 && chance & 1)
        soma_reply_to(self, my->promise, answer, .n = 2);
    else if (my->promise > 0)
        soma_reply_error_to(self, my->promise, SOMA_EFORMAT);
    my->promise = soma_reply_later(self);
}

static void spawn_any(soma_agent *self, uint64_t chance)
{
    soma_ref ref;
    const soma_behavior *behavior = &kinds[chance % KINDS];
    if (!(chance & 1u << 20 ? soma_spawn(self, behavior, NULL, &ref)
                            : soma_spawn(soma_agent_system(self), behavior, NULL, &ref)))
        ref_keep(chance, ref);
}

/* One thing of all that an agent may do. */
static void do_any(soma_agent *self, struct mixed *my)
{
    const uint64_t chance = soma_random(self);
    soma_ref to = ref_any(chance);
    switch (soma_random(self) % 16) {
    case 0:
        spawn_any(self, chance);
        break;
    case 1:
        if (chance % 16 == 0)
            soma_kill(soma_agent_system(self), to);
        break;
    case 2:
        for (uint32_t i = 0; i < 10; i++)
            soma_send(self, to, act, .more = 1);
        break;
    case 3:
        soma_request(self, to, chance & 8 ? SOMA_NEVER : SOMA_MS, SOMA_THEN(answer, on_answer, on_error), ask, 1, "x");
        break;
    case 4:
        soma_after(self, chance % (2 * SOMA_MS), act);
        break;
    case 5:
        soma_timer_name(self, soma_each(self, SOMA_MS, act), "beat");
        break;
    case 6:
        soma_timer_cancel(self, soma_timer_find(self, "beat"));
        break;
    case 7:
        soma_become(self, &kinds[chance % KINDS]);
        break;
    case 8:
        if (chance % 32 == 0)
            soma_agent_exit(self, SOMA_ETYPE);
        break;
    case 9:
        names_use(self, chance);
        break;
    case 10:
        bulk_send(self, chance);
        break;
    case 11:
        soma_forward(self, to);
        break;
    case 12:
        promises_use(self, my, chance);
        break;
    case 13:
        post_any(soma_agent_system(self), to);
        break;
    case 14:
        soma_send(soma_agent_system(self), to, act);
        break;
    default:
        soma_dead_letters_watch(soma_agent_system(self), chance & 1 ? to : SOMA_REF_NULL);
    }
}

static int on_act(soma_agent *self, struct mixed *my, const struct act *m)
{
    do_any(self, my);
    if (m->more)
        soma_send(self, soma_self(self), act, .more = m->more - 1);
    return 0;
}

static int on_ask(soma_agent *self, struct mixed *my, const struct ask *m)
{
    atomic_fetch_add(&wrong, strcmp(m->text, "x") != 0);
    do_any(self, my);
    int error = soma_reply(self, answer, .n = 1);
    return error == SOMA_ESTATE ? 0 : error; // it may have been forwarded, or be a promise
}

static int on_bulk(soma_agent *self, struct mixed *my, const struct bulk *m)
{
    atomic_fetch_add(&wrong, m->data.size && *(const char *)m->data.data != 1);
    soma_body_close(&my->kept);
    my->kept = soma_current_body(self);
    return 0;
}

static int mixed_init(soma_agent *self, void *state, const void *arg)
{
    (void)arg;
    struct mixed *my = state;
    atomic_fetch_add(&inits, 1);
    my->memory = malloc(8);
    if (soma_random(self) % 20 == 0)
        return SOMA_EFORMAT;
    if (soma_random(self) % 30 == 0)
        soma_agent_exit(self, 0);
    do_any(self, my);
    return soma_send(self, soma_self(self), act, .more = 5);
}

static void mixed_stop(soma_agent *self, void *state, int reason)
{
    (void)reason;
    struct mixed *my = state;
    atomic_fetch_add(&stops, 1);
    free(my->memory);
    soma_body_close(&my->kept);
    my->promise = 0;
    do_any(self, my);
    soma_body_close(&my->kept);
}

static int mixed_hook(soma_agent *self, void *state)
{
    if (soma_random(self) % 3 == 0)
        do_any(self, state);
    return 0;
}

static int mixed_fallback(soma_agent *self, void *state, const soma_type *type, const void *message)
{
    (void)type, (void)message;
    return mixed_hook(self, state);
}

static const soma_handler all[] = {
    SOMA_ON(act, on_act), SOMA_ON(ask, on_ask), SOMA_ON(bulk, on_bulk), {NULL, NULL, 0, NULL}};
static const soma_handler few[] = {SOMA_ON(act, on_act), {NULL, NULL, 0, NULL}};

static void kinds_make(void)
{
    for (uint32_t i = 0; i < KINDS; i++)
        kinds[i] = (soma_behavior){.name = "mixed",
                                   .state_size = sizeof(struct mixed),
                                   .handlers = i == 3 ? few : all,
                                   .init = mixed_init,
                                   .stop = mixed_stop};
    kinds[1].ready = kinds[1].idle = mixed_hook;
    kinds[2].blocking = true;
    kinds[3].fallback = mixed_fallback;
    kinds[4].limit = (soma_limit){.messages = 20, .policy = SOMA_DROP_OLDEST};
}

static void *outside_main(void *argument)
{
    uint64_t chance = (uintptr_t)argument;
    for (uint32_t i = 0; i < test_load(SENDS); i++) {
        chance = chance * UINT64_C(6364136223846793005) + 1442695040888963407; // Knuth's
        const uint64_t at = chance >> 33;
        soma_ref to = ref_any(at), ref;
        struct answer result;
        if (at % 64 == 0)
            soma_kill(live, to);
        else if (at % 8 == 1 && !soma_spawn(live, &kinds[(at >> 3) % KINDS], NULL, &ref))
            ref_keep(at >> 8, ref);
        else if (at % 16 == 2)
            soma_call(live, to, SOMA_MS, &result, answer, ask, 1, "x");
        else if (at % 16 == 3)
            post_any(live, to);
        else if (at % 8 == 4)
            soma_try_send(live, to, act, .more = 2);
        else
            soma_send(live, to, act, .more = 2);
    }
    return NULL;
}

static void test_all_at_once(void **state)
{
    (void)state;
    kinds_make();
    for (uint32_t round = 0; round < test_load(16); round++) {
        pthread_t threads[OUTSIDE];
        const soma_options options = {.workers = 1 + round % 4,
                                      .batch = round % 3 ? 100 : 3,
                                      .slots = round % 2 ? 50 : 200,
                                      .drain_ms = 50,
                                      .log_level = SOMA_LOG_OFF};
        assert_int_equal(soma_system_open(&live, &options), 0);
        memset(refs, 0, sizeof(refs));
        for (uintptr_t i = 0; i < OUTSIDE; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, outside_main, (void *)(round * OUTSIDE + i + 1)), 0);
        for (uint32_t i = 0; i < OUTSIDE; i++)
            pthread_join(threads[i], NULL);
        int result = round % 3 ? soma_system_close(&live) : soma_system_cancel(&live);
        assert_true(result == 0 || result == SOMA_ETIMEOUT);
        assert_int_equal(atomic_load(&inits), atomic_load(&stops));
        assert_int_equal(atomic_load(&posts), atomic_load(&drops));
        assert_int_equal(atomic_load(&wrong), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_at_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
