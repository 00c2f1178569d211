/* A circuit breaker: a service that fails is left alone for a while, and who asks hears so at once. docs/breaker.md */
#include <soma/soma.h>
#include <stdio.h>
#include <time.h>

enum { EBROKEN = 1, EOPEN }; /* our own errors: any numbers that both sides know */
enum { CLOSED, OPEN, HALF_OPEN };
SOMA_MESSAGE(fetch, (u32, n))
SOMA_MESSAGE(page, (u32, n))
SOMA_MESSAGE(change, (u32, state))

/* Down while it is asked for the pages 11 to 28: it fails the odd ones at once and never answers the even ones. */
static int on_fetch(soma_agent *self, void *my, const struct fetch *m)
{
    (void)my;
    if (m->n < 11 || m->n > 28)
        return soma_reply(self, page, .n = m->n);
    return m->n % 2 ? soma_reply_error(self, EBROKEN) : soma_reply_later(self) < 0 ? SOMA_ENOMEM : 0;
}

static const soma_behavior service = {.name = "service", .handlers = SOMA_HANDLERS(SOMA_ON(fetch, on_fetch))};

struct breaker {
    uint32_t state, failures; /* in a row while it is closed; half open: 1 once a request is on its way to try it */
};

static int on_change(soma_agent *self, struct breaker *my, const struct change *m)
{
    static const char *const names[] = {"closed", "open", "half open"};
    printf("%s -> %s\n", names[my->state], names[m->state]);
    *my = (struct breaker){.state = m->state};
    return m->state == OPEN && soma_after(self, 100 * SOMA_MS, change, .state = HALF_OPEN) < 0 ? SOMA_ENOMEM : 0;
}

/* A pause is longer than a request may take, so whatever ends while it is half open is the one that tries it. */
static int on_page(soma_agent *self, struct breaker *my, const struct page *m)
{
    my->failures = 0;
    soma_reply_to(self, (soma_handle)soma_tag(self), page, .n = m->n);
    return my->state == HALF_OPEN ? on_change(self, my, &(struct change){CLOSED}) : 0;
}

static int on_failed(soma_agent *self, struct breaker *my, const int *error)
{
    soma_reply_error_to(self, (soma_handle)soma_tag(self), *error);
    bool stays = my->state == OPEN || (my->state == CLOSED && ++my->failures < 3);
    return stays ? 0 : on_change(self, my, &(struct change){OPEN});
}

static int on_ask(soma_agent *self, struct breaker *my, const struct fetch *m)
{
    if (my->state == OPEN || (my->state == HALF_OPEN && my->failures++))
        return soma_reply_error(self, EOPEN);
    const soma_ref *to = soma_system_data(soma_agent_system(self));
    const soma_then *then = SOMA_THEN(page, on_page, on_failed, .tag = (uint64_t)soma_reply_later(self));
    return (int)soma_request(self, *to, 20 * SOMA_MS, then, fetch, .n = m->n);
}

static const soma_behavior breaker = {.name = "breaker",
                                      .state_size = sizeof(struct breaker),
                                      .handlers = SOMA_HANDLERS(SOMA_ON(fetch, on_ask), SOMA_ON(change, on_change))};

int main(void)
{
    soma_system *system;
    soma_ref served, ref;
    struct page answer;
    uint32_t outcomes[3] = {0};
    if (soma_system_open(&system, &(soma_options){.data = &served}) || soma_spawn(system, &service, NULL, &served) ||
        soma_spawn(system, &breaker, NULL, &ref))
        return 1;
    for (uint32_t n = 1; n <= 60; n++) {
        int error = soma_call(system, ref, SOMA_SECOND, &answer, page, fetch, .n = n);
        outcomes[error == EOPEN ? 2 : error != 0]++;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    printf("%u answered, %u failed, %u refused at once\n", outcomes[0], outcomes[1], outcomes[2]);
    return soma_system_close(&system) || !outcomes[0] || !outcomes[2];
}
