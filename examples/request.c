/* Request and reply: between agents, from outside, errors, and an answer that comes later. docs/request.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(divide, (i64, a), (i64, b))
SOMA_MESSAGE(quotient, (i64, value))
SOMA_MESSAGE(average, (i64, a), (i64, b))

#define EDIVIDE 1 /* our own error: any number that both sides know */

static int on_divide(soma_agent *self, void *my, const struct divide *m)
{
    (void)my;
    if (m->b == 0)
        return soma_reply_error(self, EDIVIDE);
    return soma_reply(self, quotient, .value = m->a / m->b);
}

static const soma_behavior divider = {.name = "divider", .handlers = SOMA_HANDLERS(SOMA_ON(divide, on_divide))};

/* Averages, but has another agent divide: it answers its own request when that one has answered. */
struct averager {
    soma_ref divider;
};

static int averager_init(soma_agent *self, void *state, const void *arg)
{
    (void)arg;
    return soma_spawn(self, &divider, NULL, &((struct averager *)state)->divider);
}

static int on_quotient(soma_agent *self, struct averager *my, const struct quotient *m)
{
    (void)my;
    return soma_reply_to(self, (soma_handle)soma_tag(self), quotient, .value = m->value);
}

static int on_failed(soma_agent *self, struct averager *my, const int *error)
{
    (void)my;
    return soma_reply_error_to(self, (soma_handle)soma_tag(self), *error);
}

static int on_average(soma_agent *self, struct averager *my, const struct average *m)
{
    soma_handle promise = soma_reply_later(self);
    soma_handle request = soma_request(self, my->divider, SOMA_SECOND,
                                       SOMA_THEN(quotient, on_quotient, on_failed, .tag = (uint64_t)promise), divide,
                                       .a = m->a + m->b, .b = 2);
    return request < 0 ? (int)request : 0;
}

static const soma_behavior averager = {.name = "averager",
                                       .state_size = sizeof(struct averager),
                                       .init = averager_init,
                                       .handlers = SOMA_HANDLERS(SOMA_ON(average, on_average))};

int main(void)
{
    soma_system *system;
    soma_ref div, avg;
    struct quotient q;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &divider, NULL, &div) ||
        soma_spawn(system, &averager, NULL, &avg))
        return 1;
    int error = soma_call(system, avg, SOMA_SECOND, &q, quotient, average, .a = 40, .b = 44);
    printf("the average of 40 and 44 is %lld (%s)\n", (long long)q.value, soma_strerror(error));
    int failed = soma_call(system, div, SOMA_SECOND, &q, quotient, divide, .a = 1, .b = 0);
    printf("1/0: %s\n", failed == EDIVIDE ? "the divider refuses" : soma_strerror(failed));
    int unknown = soma_call(system, div, SOMA_SECOND, &q, quotient, average, .a = 1);
    printf("an average from the divider: %s\n", soma_strerror(unknown));
    return soma_system_close(&system) || error || failed != EDIVIDE || unknown != SOMA_EUNHANDLED;
}
