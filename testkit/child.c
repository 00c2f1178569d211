/* The child process and what watches over it; see child.h. */
#include "testkit/child.h"
#include "testkit/kit.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CODE_FAILED 1
#define CODE_LEAKED 2

struct shared *shared_open(void)
{
    void *memory = mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void shared_close(struct shared *shared)
{
    munmap(shared, sizeof(struct shared));
}

/* ---- in the child ---- */

/* What cmocka runs there; a failure jumps out of it. */
struct task {
    const struct job *job;
    struct shared *shared;
    FILE *trace;
};

static void task_run_one(const struct task *task, uint64_t seed, const uint32_t *forced, uint32_t forced_count)
{
    struct shared *shared = task->shared;
    struct run run = {.sim = task->job->sim,
                      .stage = &stage_simulated,
                      .seed = seed,
                      .forced = forced,
                      .forced_count = forced_count,
                      .tape = &shared->tape,
                      .trace = task->trace,
                      .progress = &shared->progress};
    shared->seed = seed;
    shared->steps = shared->progress;
    run_body(&run);
    shared->hash = (shared->hash ^ run.hash) * UINT64_C(0x100000001b3);
    shared->runs++;
}

/* All schedules, depth first: each is the one before with its last choice that can be changed, changed. */
static void task_run_all(const struct task *task)
{
    struct shared *shared = task->shared;
    shared->tape.count = 0;
    for (uint64_t i = 0; i < task->job->count && !shared->complete; i++) {
        task_run_one(task, task->job->seed, shared->tape.taken, shared->tape.count); // it writes what it reads
        shared->complete = !tape_next(&shared->tape);
    }
}

static void task_run(void **state)
{
    const struct task *task = *state;
    const struct job *job = task->job;
    if (job->forced)
        task_run_one(task, job->seed, job->forced, job->forced_count);
    else if (job->sim->schedule == SOMA_SCHEDULE_EXHAUSTIVE)
        task_run_all(task);
    else
        for (uint64_t i = 0; i < job->count; i++)
            task_run_one(task, job->seed + i, NULL, 0);
}

extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static void child_main(const struct job *job, struct shared *shared, int output, int trace)
{
    struct task task = {job, shared, trace < 0 ? NULL : fdopen(trace, "w")};
    const struct CMUnitTest tests[] = {{.name = job->sim->name, .test_func = task_run, .initial_state = &task}};
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    unsetenv("CMOCKA_MESSAGE_OUTPUT");
    if (task.trace)
        setvbuf(task.trace, NULL, _IOLBF, 0); // a crash must not take the last lines with it
    int failed = _cmocka_run_group_tests(job->sim->name, tests, 1, NULL, NULL);
    shared->said = kit_said;
    fflush(NULL);
    if (!failed && __lsan_do_recoverable_leak_check && __lsan_do_recoverable_leak_check())
        _exit(CODE_LEAKED);
    _exit(failed ? CODE_FAILED : 0);
}

/* ---- in the parent ---- */

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void progress_show(const struct job *job, const struct shared *shared)
{
    if (job->count > 1 && isatty(STDERR_FILENO))
        fprintf(stderr, "\r[   SIM    ] %s: %llu of %llu\r", job->sim->name, (unsigned long long)shared->runs,
                (unsigned long long)job->count);
}

/* How many seconds may pass without a step, before a child is taken to hang. */
static double patience(void)
{
    const char *text = getenv("SOMA_PATIENCE");
    double seconds = text ? strtod(text, NULL) : 0;
    return seconds > 0 ? seconds : 60;
}

/* Waits for the child, which must make progress. True if it hung, and was killed. */
static bool child_await(pid_t child, const struct job *job, const struct shared *shared, int *status)
{
    struct timespec nap = {0, 100000};
    uint64_t seen = 0;
    double since = seconds_now(), shown = since;
    while (waitpid(child, status, WNOHANG) == 0) {
        nanosleep(&nap, NULL);
        nap.tv_nsec = nap.tv_nsec < 10000000 ? nap.tv_nsec * 5 / 4 : nap.tv_nsec;
        double now = seconds_now();
        if (shared->progress + shared->runs != seen) {
            seen = shared->progress + shared->runs;
            since = now;
        }
        if (now - shown > 0.2) {
            progress_show(job, shared);
            shown = now;
        }
        if (now - since > patience()) {
            kill(child, SIGKILL);
            waitpid(child, status, 0);
            return true;
        }
    }
    return false;
}

/* All of a file, as text; NULL when memory is out. Closes it. */
static char *file_take(int file)
{
    off_t size = lseek(file, 0, SEEK_END);
    char *text = size < 0 ? NULL : malloc((size_t)size + 1);
    ssize_t got = text ? pread(file, text, (size_t)size, 0) : 0;
    if (text)
        text[got < 0 ? 0 : got] = '\0';
    close(file);
    return text;
}

void child_run(const struct job *job, struct shared *shared, struct result *result)
{
    *result = (struct result){.outcome = CRASHED};
    int output = memfd_create("output", MFD_CLOEXEC), trace = job->traced ? memfd_create("trace", MFD_CLOEXEC) : -1;
    fflush(NULL); // else the child has it, too
    shared->progress = shared->runs = shared->steps = 0;
    shared->hash = UINT64_C(0xcbf29ce484222325);
    shared->complete = false;
    shared->said = NULL;
    pid_t child = output < 0 ? -1 : fork();
    if (child < 0)
        sim_fail(job->sim, "no child process: %s", strerror(errno));
    if (!child)
        child_main(job, shared, output, trace);
    int status = 0;
    bool hung = child_await(child, job, shared, &status);
    if (WIFEXITED(status) && WEXITSTATUS(status) <= CODE_LEAKED)
        result->outcome = WEXITSTATUS(status) == 0 ? PASSED : WEXITSTATUS(status) == CODE_LEAKED ? LEAKED : FAILED;
    if (result->outcome == PASSED && shared->runs < (job->forced ? 1 : job->count) && !shared->complete)
        result->outcome = LEFT;
    if (hung)
        result->outcome = HUNG;
    result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    result->output = file_take(output);
    result->trace = trace < 0 ? NULL : file_take(trace);
    result->said = shared->said;
}

void result_free(struct result *result)
{
    free(result->output);
    free(result->trace);
}

const char *result_place(const struct result *result, char *buf, size_t size)
{
    const char *line = result->output ? strstr(result->output, "[   LINE   ] --- ") : NULL;
    snprintf(buf, size, "%d", (int)result->outcome);
    if (line) {
        line += strlen("[   LINE   ] --- ");
        snprintf(buf, size, "%.*s %s", (int)strcspn(line, "\n"), line, result->said ? result->said : "");
    }
    return buf;
}
