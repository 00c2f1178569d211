/* Notes of handlers, the thread that looks at them, snapshots; see lookout.h. */
#include "runtime/lookout.h"
#include "runtime/agent.h"
#include "runtime/spin.h"
#include "runtime/tally.h"
#include "runtime/thread.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t limit_of(const soma_system *system)
{
    return system->options.handler_limit_ms * UINT64_C(1000000);
}

static uint64_t now_of(const soma_system *system)
{
    return system->driver.now(system->driver.context);
}

static soma_ref ref_of(const soma_system *system, uint64_t agent)
{
    return (soma_ref){system->node, (uint32_t)agent, (uint32_t)(agent >> 32)};
}

int lookout_open(struct worker *worker)
{
    const soma_options *options = &worker->system->options;
    if (!options->handler_limit_ms && !options->guard)
        return 0;
    worker->lookout = calloc(1, sizeof(*worker->lookout));
    return worker->lookout ? 0 : SOMA_ENOMEM;
}

/* ---- what the worker notes ---- */

void lookout_begin(struct worker *worker, const soma_agent *agent, const char *message)
{
    struct lookout *lookout = worker->lookout;
    soma_ref ref = agent_ref(agent);
    uint32_t run = u32_load(&lookout->recent_next);
    struct lookout_note *note = &lookout->recent[run % LOOKOUT_RECENT];
    ptr_store(&note->behavior, (void *)(uintptr_t)agent->dispatch->behavior->name);
    ptr_store(&note->message, (void *)(uintptr_t)message);
    u64_store(&note->agent, (uint64_t)ref.generation << 32 | ref.slot);
    u32_store(&lookout->recent_next, run + 1);
    u64_store(&lookout->since, now_of(worker->system)); // release: who reads it sees the note
}

/* Among the slowest, one entry for each behavior and message. */
static void slowest_add(struct lookout *lookout, const soma_watch_handler *run)
{
    uint32_t place = 0;
    while (place < lookout->slowest_count && (strcmp(lookout->slowest[place].message, run->message) != 0 ||
                                              strcmp(lookout->slowest[place].behavior, run->behavior) != 0))
        place++;
    if (place < lookout->slowest_count && lookout->slowest[place].longest >= run->longest)
        return;
    if (place == SOMA_WATCH_MOST && lookout->slowest[--place].longest >= run->longest)
        return;
    if (place == lookout->slowest_count)
        lookout->slowest_count++;
    for (; place && lookout->slowest[place - 1].longest < run->longest; place--)
        lookout->slowest[place] = lookout->slowest[place - 1];
    lookout->slowest[place] = *run;
}

static const struct lookout_note *note_last(const struct lookout *lookout)
{
    return &lookout->recent[(u32_load(&lookout->recent_next) - 1) % LOOKOUT_RECENT];
}

static soma_watch_handler note_read(const soma_system *system, const struct lookout_note *note, uint64_t longest)
{
    return (soma_watch_handler){.behavior = ptr_load(&note->behavior),
                                .message = ptr_load(&note->message),
                                .agent = ref_of(system, u64_load(&note->agent)),
                                .longest = longest};
}

void lookout_end(struct worker *worker, soma_agent *agent)
{
    struct lookout *lookout = worker->lookout;
    uint64_t took = now_of(worker->system) - u64_load(&lookout->since), limit = limit_of(worker->system);
    u64_store(&lookout->since, 0);
    bool full = lookout->slowest_count == SOMA_WATCH_MOST; // only this thread writes it
    if (!full || took > lookout->slowest[SOMA_WATCH_MOST - 1].longest) {
        soma_watch_handler run = note_read(worker->system, note_last(lookout), took);
        spin_lock(&lookout->busy);
        slowest_add(lookout, &run);
        spin_unlock(&lookout->busy);
    }
    if (limit && took > limit && worker->index < worker->system->options.workers)
        soma_log_warning(agent, "took %.3g s to handle %s", (double)took / 1e9,
                         (const char *)ptr_load(&note_last(lookout)->message));
}

/* ---- the thread that looks ---- */

/* False if the run ended while we looked. */
static bool run_read(const soma_system *system, const struct lookout *lookout, uint64_t *since, soma_watch_handler *run)
{
    *since = u64_load(&lookout->since);
    if (!*since)
        return false;
    *run = note_read(system, note_last(lookout), now_of(system) - *since);
    run->running = true;
    fence_full(); // what we read of the note comes before this
    return u64_load(&lookout->since) == *since && (int64_t)run->longest >= 0;
}

static void lookout_see(soma_system *system, struct lookout *lookout)
{
    soma_watch_handler run;
    uint64_t since;
    if (!run_read(system, lookout, &since, &run))
        return;
    if (lookout->told_of != since)
        lookout->told = 0;
    lookout->told_of = since;
    if (lookout->told >= 32 || run.longest < limit_of(system) << lookout->told)
        return;
    while (lookout->told < 32 && run.longest >= limit_of(system) << lookout->told)
        lookout->told++;
    soma_log_warning(system, "'%s' %u.%u has been handling %s for %.3g s", run.behavior, run.agent.slot,
                     run.agent.generation, run.message, (double)run.longest / 1e9);
}

static void *watcher_main(void *argument)
{
    soma_system *system = argument;
    struct watcher *watcher = &system->watcher;
    while (!u32_load(&watcher->stopping)) {
        futex_wait(&watcher->stopping, 0, limit_of(system) / 2);
        for (uint32_t i = 0; i < system->options.workers; i++)
            lookout_see(system, system->workers[i].lookout);
    }
    return NULL;
}

int watcher_start(soma_system *system)
{
    if (!system->options.handler_limit_ms || system->driver.runnable)
        return 0;
    int error = thread_start(&system->watcher.thread, watcher_main, system);
    system->watcher.started = !error;
    return error;
}

void watcher_stop(soma_system *system)
{
    if (!system->watcher.started)
        return;
    u32_store(&system->watcher.stopping, 1);
    futex_wake(&system->watcher.stopping);
    pthread_join(system->watcher.thread, NULL);
    system->watcher.started = false;
}

/* ---- snapshots ---- */

static void mailbox_add(soma_watch *watch, const soma_watch_mailbox *mailbox)
{
    uint32_t place = watch->mailbox_count;
    if (place == SOMA_WATCH_MOST && watch->mailboxes[--place].messages >= mailbox->messages)
        return;
    if (place == watch->mailbox_count)
        watch->mailbox_count++;
    for (; place && watch->mailboxes[place - 1].messages < mailbox->messages; place--)
        watch->mailboxes[place] = watch->mailboxes[place - 1];
    watch->mailboxes[place] = *mailbox;
}

static void mailboxes_read(const soma_system *system, soma_watch *watch)
{
    uint32_t used = u32_load(&system->slots.used);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t life = u64_load(&system->slots.base[i].life);
        if (!life_alive(life) || !(life & LIFE_COUNTED))
            continue;
        const struct tally *tally = tally_of(&system->slots, i);
        const char *behavior = ptr_load(&tally->behavior);
        const soma_watch_mailbox mailbox = {.agent = ref_of(system, (uint64_t)life_generation(life) << 32 | i),
                                            .behavior = behavior ? behavior : "?",
                                            .messages = u32_load(&tally->mail)};
        if (mailbox.messages)
            mailbox_add(watch, &mailbox);
    }
}

int soma_system_watch(soma_system *system, soma_watch *watch)
{
    if (!system || !watch)
        return SOMA_EINVAL;
    *watch = (soma_watch){.mailbox_count = 0};
    mailboxes_read(system, watch);
    struct lookout all = {.slowest_count = 0};
    for (uint32_t i = 0; i < system->options.workers; i++) {
        struct lookout *here = system->workers[i].lookout;
        if (!here)
            continue;
        soma_watch_handler run;
        uint64_t since;
        if (run_read(system, here, &since, &run))
            slowest_add(&all, &run);
        spin_lock(&here->busy);
        for (uint32_t n = 0; n < here->slowest_count; n++)
            slowest_add(&all, &here->slowest[n]);
        spin_unlock(&here->busy);
    }
    memcpy(watch->handlers, all.slowest, sizeof(watch->handlers));
    watch->handler_count = all.slowest_count;
    return 0;
}

/* ---- in a signal handler ---- */

static void say(const char *text)
{
    size_t length = strlen(text);
    while (length) {
        ssize_t written = write(STDERR_FILENO, text, length);
        if (written <= 0)
            return;
        text += written;
        length -= (size_t)written;
    }
}

static void say_number(uint32_t number)
{
    char digits[11], *at = digits + sizeof(digits) - 1;
    *at = 0;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    say(at);
}

static void say_note(const struct lookout_note *note)
{
    uint64_t agent = u64_load(&note->agent);
    say("'");
    say(ptr_load(&note->behavior));
    say("' ");
    say_number((uint32_t)agent);
    say(".");
    say_number((uint32_t)(agent >> 32));
    say(", handling ");
    say(ptr_load(&note->message));
    say("\n");
}

void lookout_report(const struct lookout *lookout)
{
    uint32_t runs = u32_load(&lookout->recent_next);
    say(u64_load(&lookout->since) ? "soma: it was in " : "soma: between two handlers; the last was ");
    if (!runs)
        say("none\n");
    for (uint32_t i = 1; i <= runs && i <= LOOKOUT_RECENT; i++) {
        if (i == 2)
            say("soma: before that its worker ran, the latest first:\n");
        if (i > 1)
            say("soma:   ");
        say_note(&lookout->recent[(runs - i) % LOOKOUT_RECENT]);
    }
}
