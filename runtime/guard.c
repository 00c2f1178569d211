/* The signal handler of guarded systems; see guard.h. After its report it lets the signal have the effect that it had.
 */
#include "runtime/guard.h"
#include "runtime/lookout.h"
#include "runtime/worker.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)64 * 1024)

static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
static const char *const names[] = {"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT"};
#define SIGNALS (sizeof(numbers) / sizeof(numbers[0]))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards what follows, but for the handler's reading */
static uint32_t guarded;
static struct sigaction before[SIGNALS];

static void write_text(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; // nobody left to tell
}

static void guard_handle(int number, siginfo_t *info, void *context)
{
    (void)context;
    const struct worker *worker = worker_here();
    size_t i = 0;
    while (i < SIGNALS - 1 && numbers[i] != number)
        i++;
    if (worker && worker->lookout) {
        write_text("soma: ");
        write_text(names[i]);
        write_text(" in a worker's thread\n");
        lookout_report(worker->lookout);
    }
    sigaction(number, &before[i], NULL); // and again: a fault by itself, as the same instruction follows
    if (info->si_code <= 0)              // sent, as by raise() or abort()
        raise(number);
}

void guard_open(void)
{
    struct sigaction action = {.sa_sigaction = guard_handle, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < SIGNALS && !guarded; i++)
        sigaction(numbers[i], &action, &before[i]);
    guarded++;
    pthread_mutex_unlock(&lock);
}

void guard_close(void)
{
    pthread_mutex_lock(&lock);
    guarded--;
    for (size_t i = 0; i < SIGNALS && !guarded; i++)
        sigaction(numbers[i], &before[i], NULL);
    pthread_mutex_unlock(&lock);
}

void *guard_thread_begin(void)
{
    void *memory = malloc(STACK_BYTES);
    const stack_t stack = {.ss_sp = memory, .ss_size = STACK_BYTES};
    if (memory)
        sigaltstack(&stack, NULL);
    return memory;
}

void guard_thread_end(void *stack)
{
    const stack_t none = {.ss_flags = SS_DISABLE};
    if (stack)
        sigaltstack(&none, NULL);
    free(stack);
}
