/*
 * Runs of a body in a child process, so that one that crashes, hangs or fails by cmocka's jump is the child's end and
 * not the test program's, and every attempt begins from the same memory.
 */
#ifndef TESTKIT_CHILD_H
#define TESTKIT_CHILD_H

#include "testkit/choice.h"
#include <soma/test.h>

/* What the child shares with its parent. */
struct shared {
    volatile uint64_t progress; /* steps taken, of all runs */
    uint64_t seed;              /* of the run that is on, or was last */
    uint64_t runs;              /* that have passed */
    uint64_t steps;             /* before the run that is on */
    uint64_t hash;              /* of all that passed, together */
    bool complete;              /* all schedules there are have been run */
    const char *said;           /* by soma_test_fail(), when it was over: its format, which both processes have */
    struct tape tape;           /* of the run that is on */
};

/* What a child is to do: runs of some seeds; or one, that follows a tape. */
struct job {
    const soma_sim *sim;
    uint64_t seed; /* the first */
    uint64_t count;
    const uint32_t *forced;
    uint32_t forced_count;
    bool traced; /* its text is wanted */
};

enum outcome { PASSED, FAILED, CRASHED, HUNG, LEAKED, LEFT /* before all runs were over, and without a word */ };

/* What came of it. The texts are the caller's to free; NULL when memory is out. */
struct result {
    enum outcome outcome;
    int signal;   /* that it crashed by */
    char *output; /* what it wrote, cmocka's word of what failed above all */
    char *trace;
    const char *said; /* see struct shared */
};

struct shared *shared_open(void);
void shared_close(struct shared *shared);

void child_run(const struct job *job, struct shared *shared, struct result *result);
void result_free(struct result *result);

/* A line that tells one failure from another: where it was, and of those that soma_test_fail() told which. Returns buf.
 */
const char *result_place(const struct result *result, char *buf, size_t size);

#endif
