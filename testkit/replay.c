/*
 * A run once more: what each test is called, the command that replays one of its runs, and that command carried out.
 * SOMA_REPLAY=label:seed, or label:seed:place=choice,place=choice for a shrunk run.
 */
#include "testkit/replay.h"
#include "testkit/kit.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LABEL_MAX 256

extern char *program_invocation_name;

/* ---- labels ---- */

/* A test of this program that has begun. */
struct label {
    struct label *next;
    const soma_sim *sim;
    uint32_t number; /* among those that are called the same */
    char name[LABEL_MAX];
    char text[LABEL_MAX + 12];
};

static struct label *labels; /* they last as long as the program */

/* What decides a test's runs; what is usual goes without saying. */
static void name_print(const soma_sim *sim, char *buf, size_t size)
{
    static const char *const schedules[] = {[SOMA_SCHEDULE_RANDOM] = "",
                                            [SOMA_SCHEDULE_PCT] = "/pct",
                                            [SOMA_SCHEDULE_ROUND_ROBIN] = "/round-robin",
                                            [SOMA_SCHEDULE_EXHAUSTIVE] = "/exhaustive"};
    const struct {
        const char *name;
        uint32_t number;
    } numbers[] = {{"depth", sim->depth}, {"kills", sim->kills},           {"pauses", sim->pauses},
                   {"late", sim->late},   {"reorders", sim->reorders},     {"allocations", sim->allocations},
                   {"cuts", sim->cuts},   {"partitions", sim->partitions}, {"frames", sim->frames}};
    int length = snprintf(buf, size, "%s%s", sim->name, schedules[sim->schedule]);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers) && (size_t)length < size; i++)
        if (numbers[i].number)
            length += snprintf(buf + length, size - (size_t)length, "/%s=%u", numbers[i].name, numbers[i].number);
}

const char *label_of(const soma_sim *sim)
{
    struct label label = {.next = labels, .sim = sim, .number = 1};
    name_print(sim, label.name, sizeof(label.name));
    for (const struct label *other = labels; other; other = other->next) {
        if (strcmp(other->name, label.name) != 0)
            continue;
        if (other->sim == sim)
            return other->text;
        label.number++;
    }
    struct label *kept = malloc(sizeof(*kept));
    if (!kept)
        sim_fail(sim, "out of memory");
    *kept = label;
    snprintf(kept->text, sizeof(kept->text), label.number > 1 ? "%s#%u" : "%s", label.name, label.number);
    labels = kept;
    return kept->text;
}

/* ---- the command ---- */

void replay_print(const soma_sim *sim, uint64_t seed, const uint32_t *forced, uint32_t count, FILE *to)
{
    fprintf(to, "SOMA_REPLAY='%s:%llu", label_of(sim), (unsigned long long)seed);
    const char *separator = ":";
    for (uint32_t i = 0; forced && i < count; i++) {
        if (!forced[i])
            continue;
        fprintf(to, "%s%u=%u", separator, i, forced[i]);
        separator = ",";
    }
    fprintf(to, "%s' %s\n", forced && *separator == ':' ? ":" : "", program_invocation_name);
}

struct command {
    uint64_t seed;
    uint32_t *forced; /* NULL: none */
    uint32_t forced_count;
};

/* The choices behind the seed; false if they are malformed. */
static bool forced_parse(const char *text, struct command *command)
{
    command->forced = calloc(TAPE_MAX, sizeof(uint32_t)); // mostly never touched
    if (!command->forced)
        return false;
    while (*text) {
        char *end;
        unsigned long at = strtoul(text, &end, 10);
        if (end == text || *end != '=' || at >= TAPE_MAX)
            return false;
        text = end + 1;
        command->forced[at] = (uint32_t)strtoul(text, &end, 10);
        if (end == text || (*end && *end != ','))
            return false;
        command->forced_count = at + 1 > command->forced_count ? (uint32_t)at + 1 : command->forced_count;
        text = *end ? end + 1 : end;
    }
    return true;
}

/* Is it for this test? Fails the test if it is, and can't be read. */
static bool command_parse(const soma_sim *sim, const char *text, struct command *command)
{
    const char *label = label_of(sim);
    char *end;
    size_t length = strlen(label);
    if (strncmp(text, label, length) != 0 || text[length] != ':')
        return false;
    errno = 0;
    command->seed = strtoull(text + length + 1, &end, 10);
    if (errno || end == text + length + 1 || (*end && (*end != ':' || !forced_parse(end + 1, command))))
        sim_fail(sim, "SOMA_REPLAY is not TEST:SEED or TEST:SEED:PLACE=CHOICE,…: %s", text);
    return true;
}

/* ---- carried out ---- */

static void command_run(const soma_sim *sim, struct command *command)
{
    struct tape *tape = calloc(1, sizeof(*tape));
    if (!tape)
        sim_fail(sim, "out of memory");
    setvbuf(stderr, NULL, _IOLBF, 0);
    struct run run = {.sim = sim,
                      .stage = &stage_simulated,
                      .seed = command->seed,
                      .forced = command->forced,
                      .forced_count = command->forced_count,
                      .tape = tape,
                      .trace = stderr};
    run_body(&run);
    print_message("[   SIM    ] %s: this run passes, after %llu steps\n", label_of(sim), (unsigned long long)run.steps);
    free(tape);
    free(command->forced);
}

static bool found;

/* At the end of the program: a test that was not found has not passed. */
static void found_check(void)
{
    if (found)
        return;
    fprintf(stderr, "SOMA_REPLAY=%s: there is no such test in %s\n", getenv("SOMA_REPLAY"), program_invocation_name);
    fflush(NULL);
    _exit(1);
}

bool replay(const soma_sim *sim)
{
    static bool checked;
    const char *text = getenv("SOMA_REPLAY");
    struct command command = {0};
    if (!text)
        return false;
    if (!checked)
        checked = !atexit(found_check);
    if (!sim->seeds || !command_parse(sim, text, &command))
        skip();
    found = true;
    command_run(sim, &command);
    return true;
}
