/* What SOMA_SIM does: runs a body over its seeds, and makes of a failure something to work with. */
#include "testkit/child.h"
#include "testkit/kit.h"
#include "testkit/replay.h"
#include "testkit/shrink.h"
#include <errno.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define ATTEMPTS 1200 /* at shrinking */

/* ---- exploring ---- */

static uint64_t seeds_of(const soma_sim *sim)
{
    const char *text = getenv("SOMA_SEEDS");
    char *end = NULL;
    uint64_t seeds = text ? strtoull(text, &end, 10) : 0;
    if (text && (!seeds || *end))
        sim_fail(sim, "SOMA_SEEDS is no number above 0: %s", text);
    if (sim->fails)
        return sim->seeds; // that so many find the bug is what is claimed
    if (sim->schedule == SOMA_SCHEDULE_ROUND_ROBIN && !sim->kills && !sim->pauses && !sim->late && !sim->reorders &&
        !sim->allocations && !sim->cuts && !sim->partitions && !sim->frames && !text)
        return 1; // they would all be the same but for what agents draw
    return seeds ? seeds : sim->seeds;
}

/* For who compares two executions: one line a test. */
static void hash_append(const soma_sim *sim, const struct shared *shared)
{
    const char *path = getenv("SOMA_TRACE_HASHES");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (path && !file)
        sim_fail(sim, "SOMA_TRACE_HASHES: %s: %s", path, strerror(errno));
    if (!file)
        return;
    fprintf(file, "%s %llu %llu %016llx\n", label_of(sim), (unsigned long long)shared->runs,
            (unsigned long long)shared->progress, (unsigned long long)shared->hash);
    fclose(file);
}

/* What the child wrote, without cmocka's own headings. */
static void output_print(const char *output, FILE *to)
{
    static const char *const headings[] = {"[====", "[ RUN", "[  FAILED", "[  PASSED", "[       OK"};
    for (const char *line = output; line && *line;) {
        size_t length = strcspn(line, "\n");
        bool heading = false;
        for (size_t i = 0; i < sizeof(headings) / sizeof(*headings); i++)
            heading |= !strncmp(line, headings[i], strlen(headings[i]));
        if (!heading && length && !memmem(line, length, " FAILED TEST(S)", 15))
            fprintf(to, "    %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static uint32_t lines_count(const char *text)
{
    uint32_t lines = 0;
    for (; text && *text; text++)
        lines += *text == '\n';
    return lines;
}

/* What happened, of a line of the trace: without its step and time. */
static const char *line_event(const char *line)
{
    return line + strspn(line, " 0123456789.");
}

static size_t event_length(const char *line)
{
    return strcspn(line_event(line), "\n");
}

/* The trace as it is read: of what happens over and over, a timer's beat, the first time and the last. */
static void trace_print(const char *trace, FILE *to)
{
    for (const char *line = trace; *line;) {
        const char *event = line_event(line), *last = line, *next = event + event_length(line);
        unsigned long long more = 0;
        for (; *next && event_length(next + 1) == event_length(line) &&
               !strncmp(line_event(next + 1), event, event_length(line));
             more++) {
            last = next + 1;
            next = line_event(last) + event_length(last);
        }
        fprintf(to, "%.*s\n", (int)(event - line + (ptrdiff_t)event_length(line)), line);
        if (more == 1)
            fprintf(to, "%.*s\n", (int)(next - last), last);
        else if (more)
            fprintf(to, "%.*sthe same, after %llu more between\n", (int)(line_event(last) - last), last, more - 1);
        line = *next ? next + 1 : next;
    }
}

static const char *outcome_text(const struct result *result)
{
    static const char *const texts[] = {[PASSED] = "passed",
                                        [FAILED] = "failed",
                                        [HUNG] = "hung: no step for a minute, or SOMA_PATIENCE seconds",
                                        [LEAKED] = "leaked memory",
                                        [LEFT] = "was left: exit() or skip() was called in it"};
    return result->outcome == CRASHED ? (result->signal ? strsignal(result->signal) : "crashed")
                                      : texts[result->outcome];
}

/* A failure, being looked into. */
struct failure_report {
    const soma_sim *sim;
    uint64_t seed;
    uint64_t before; /* runs that had passed */
    uint64_t steps;  /* of the run that failed */
    uint32_t *forced;
    uint32_t forced_count;
    struct result *first;
    struct result shrunk;
};

static void report_print(const struct failure_report *report, const struct shared *shared)
{
    bool again = report->shrunk.outcome != PASSED; // else there is only what it said the first time
    print_message("[   SIM    ] %s: seed %llu %s, after %llu that passed\n", label_of(report->sim),
                  (unsigned long long)report->seed, outcome_text(again ? &report->shrunk : report->first),
                  (unsigned long long)report->before);
    fflush(stdout);
    if (!again) {
        output_print(report->first->output, stderr);
        return;
    }
    fprintf(stderr, "    the trace, of %llu steps; %llu before it was shrunk:\n", (unsigned long long)shared->progress,
            (unsigned long long)report->steps);
    trace_print(report->shrunk.trace ? report->shrunk.trace : "", stderr);
    fputs("    and then:\n", stderr);
    output_print(report->shrunk.output, stderr);
    fputs("    to run it so again:     ", stderr);
    replay_print(report->sim, report->seed, report->forced, report->forced_count, stderr);
    if (report->sim->schedule == SOMA_SCHEDULE_EXHAUSTIVE)
        return; // there the seed alone is another run
    fputs("    before it was shrunk:   ", stderr);
    replay_print(report->sim, report->seed, NULL, 0, stderr);
}

/* A seed must fail in the same place each time, or the test depends on more than its seed. True if it does. */
static bool replay_check(const soma_sim *sim, struct shared *shared, const char *place)
{
    const struct job again = {.sim = sim, .seed = shared->seed, .count = 1};
    struct result result;
    char where[256];
    uint64_t steps = shared->progress - shared->steps;
    uint32_t choices = shared->tape.count;
    if (sim->schedule == SOMA_SCHEDULE_EXHAUSTIVE)
        return true;
    child_run(&again, shared, &result);
    bool same = !strcmp(result_place(&result, where, sizeof(where)), place) && shared->progress == steps &&
                shared->tape.count == choices;
    result_free(&result);
    if (!same)
        print_message("[   SIM    ] %s: seed %llu does not do the same again: the test depends on more than its seed "
                      "(time, addresses, what an earlier run left in static variables)\n",
                      sim->name, (unsigned long long)shared->seed);
    return same;
}

static void failure_report(const soma_sim *sim, struct shared *shared, struct result *first)
{
    struct failure_report report = {.sim = sim, .before = shared->runs, .seed = shared->seed, .first = first};
    char place[256];
    result_place(first, place, sizeof(place));
    hash_append(sim, shared);
    report.steps = shared->progress - shared->steps;
    bool hung = first->outcome == HUNG; // and so would each attempt at it, for a minute
    bool same = hung || replay_check(sim, shared, place);
    report.forced = shrink(sim, report.seed, shared, place, hung ? 0 : ATTEMPTS, &report.forced_count);
    const struct job job = {.sim = sim,
                            .seed = report.seed,
                            .count = 1,
                            .forced = report.forced,
                            .forced_count = report.forced_count,
                            .traced = true};
    child_run(&job, shared, &report.shrunk);
    report_print(&report, shared);
    uint32_t lines = lines_count(report.shrunk.trace);
    bool found = same && report.shrunk.outcome != PASSED; // what can't be replayed is not found
    result_free(&report.shrunk);
    result_free(first);
    free(report.forced);
    shared_close(shared);
    if (!sim->fails || !found)
        sim_fail(sim, "%s failed in a simulated run", sim->name);
    if (sim->lines && lines >= sim->lines)
        sim_fail(sim, "the trace has %u lines, which is not under %u", lines, sim->lines);
}

static void explore(const soma_sim *sim)
{
    struct shared *shared = shared_open();
    if (!shared)
        sim_fail(sim, "out of memory");
    const struct job job = {.sim = sim, .seed = 1, .count = seeds_of(sim)};
    struct result result;
    child_run(&job, shared, &result);
    if (result.outcome == LEAKED) {
        output_print(result.output, stderr);
        sim_fail(sim, "memory leaked in one of the runs");
    }
    if (result.outcome != PASSED) {
        failure_report(sim, shared, &result);
        return;
    }
    print_message("[   SIM    ] %s: %llu %s, %llu steps, trace %016llx\n", label_of(sim),
                  (unsigned long long)shared->runs,
                  sim->schedule != SOMA_SCHEDULE_EXHAUSTIVE ? shared->runs == 1 ? "seed" : "seeds"
                  : shared->complete                        ? "schedules, which are all"
                                                            : "schedules of more",
                  (unsigned long long)shared->progress, (unsigned long long)shared->hash);
    hash_append(sim, shared);
    result_free(&result);
    shared_close(shared);
    if (sim->fails)
        sim_fail(sim, "%s has a bug, and no run has found it", sim->name);
}

void soma_sim_run(void **state)
{
    const soma_sim *sim = *state;
    if (!sim->body || !sim->seeds || (uint32_t)sim->schedule > SOMA_SCHEDULE_EXHAUSTIVE)
        sim_fail(sim, "%s: a SOMA_SIM wants a body, one seed at least, and a schedule that there is", sim->name);
    if (!replay(sim))
        explore(sim);
}
