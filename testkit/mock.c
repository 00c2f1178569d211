/* Mocks: a probe whose behavior nodes spawn in place of another one; and answers that need no body to wait for. */
#include "runtime/type.h"
#include "testkit/probe.h"
#include <stdlib.h>

static int mock_init(soma_agent *self, void *state, const void *arg)
{
    (void)state, (void)arg; // what the other would have been told
    probe_begin(self);
    return 0;
}

soma_probe *soma_mock_open(soma_test *test, const soma_behavior *behavior)
{
    from_body(test, __func__);
    if (!behavior || !behavior->name)
        kit_fail(test, "soma_mock_open: the behavior is NULL, or has no name");
    soma_probe *mock = probe_new(test, behavior->name, mock_init);
    mock->replaced = behavior;
    ptr_store(&test->probes, mock); // release: who spawns sees the mock whole
    return mock;
}

const soma_behavior *mock_replace(void *context, soma_system *system, const soma_behavior *behavior)
{
    const soma_test *test = ((const struct node *)context)->test;
    (void)system;
    for (const soma_probe *probe = ptr_load(&test->probes); probe; probe = probe->next)
        if (probe->replaced == behavior)
            return &probe->behavior;
    return behavior;
}

/* ---- answers ---- */

const struct rule *rule_find(const struct rule *rules, const soma_type *type)
{
    while (rules && !type_same(rules->type, type))
        rules = rules->next;
    return rules;
}

struct rule *rule_new(const soma_probe *probe, struct rule *next, const soma_type *type, soma_body *reply, int error)
{
    struct rule *rule = malloc(sizeof(*rule));
    if (!rule)
        kit_fail(probe->test, "out of memory");
    *rule = (struct rule){next, type, reply, error};
    return rule;
}

static void answer_add(soma_probe *probe, const soma_type *asked, soma_body *reply, int error)
{
    // release: who finds it sees it whole
    ptr_store(&probe->answers, rule_new(probe, ptr_load(&probe->answers), asked, reply, error));
}

void soma_probe_answer_message(soma_probe *probe, const soma_type *asked, const soma_type *type, const void *body)
{
    probe_check(probe, "soma_probe_answer");
    answer_add(probe, asked, probe_body(probe, "soma_probe_answer", type, body), 0);
}

void soma_probe_answer_failure(soma_probe *probe, const soma_type *asked, int error)
{
    probe_check(probe, "soma_probe_answer_error");
    if (!error)
        kit_fail(probe->test, "soma_probe_answer_error: 0 is no error");
    answer_add(probe, asked, NULL, error);
}
