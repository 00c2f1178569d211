/* What a body that fails says of it: for tests of the kit's own reports. */
#ifndef SAYS_H
#define SAYS_H

#include "testkit/child.h"
#include <string.h>

static inline void says(soma_test_body *body, const char *text)
{
    const soma_sim sim = {.name = "body", .file = __FILE__, .line = __LINE__, .body = body, .seeds = 1, .steps = 1000};
    const struct job job = {.sim = &sim, .seed = 1, .count = 1};
    struct shared *shared = shared_open();
    struct result result;
    assert_non_null(shared);
    child_run(&job, shared, &result);
    if (result.outcome != FAILED || !strstr(result.output, text))
        fail_msg("it should have said:\n%s\nbut it said:\n%s", text, result.output);
    result_free(&result);
    shared_close(shared);
}

#endif
