/* SIGINT and SIGTERM as a request to stop: a thread waits for them, so no handler runs in signal context. */
#include "runtime/system.h"
#include "runtime/thread.h"
#include <signal.h>
#include <soma/error.h>
#include <time.h>

static void signals_fill(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
}

/* What signals a process and its group, as `timeout` does, signals it twice: another one within this time is the same.
 */
static const struct timespec same_wish = {.tv_nsec = 250000000};

static void *signals_main(void *argument)
{
    soma_system *system = argument;
    sigset_t set;
    signals_fill(&set);
    for (bool first = true;; first = false) {
        int number = 0;
        if (sigwait(&set, &number) || u32_load(&system->signals_done))
            return NULL;
        if (!first) { // the user means it
            signal(number, SIG_DFL);
            pthread_sigmask(SIG_UNBLOCK, &set, NULL);
            raise(number);
        }
        soma_log_info(system, "stopping on signal %d", number);
        soma_system_stop(system);
        sigtimedwait(&set, NULL, &same_wish);
        if (u32_load(&system->signals_done))
            return NULL;
    }
}

int soma_system_stop_on_signals(soma_system *system)
{
    if (!system)
        return SOMA_EINVAL;
    sigset_t set;
    signals_fill(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_mutex_lock(&system->lock);
    int error = system->signals ? SOMA_ESTATE : thread_start(&system->signal_thread, signals_main, system);
    if (!error)
        system->signals = true;
    pthread_mutex_unlock(&system->lock);
    return error;
}

void signals_close(soma_system *system)
{
    if (!system->signals)
        return;
    u32_store(&system->signals_done, 1);
    pthread_kill(system->signal_thread, SIGINT); // for that thread alone: sigwait takes it
    pthread_join(system->signal_thread, NULL);
}
