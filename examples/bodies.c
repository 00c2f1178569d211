/* One large message to many agents without a copy, and one moved on by whom it was sent to. docs/bodies.md */
#include <soma/soma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

SOMA_MESSAGE(page, (u32, number), (bytes, text))
SOMA_MESSAGE(counted, (u32, letter), (u64, times))

#define LETTERS 26
#define PAGE (1u << 20)

struct counter {
    uint32_t letter;
    soma_ref printer;
};

static int counter_start(soma_agent *self, void *state, const void *arg)
{
    (void)self;
    memcpy(state, arg, sizeof(struct counter));
    return 0;
}

static int on_page(soma_agent *self, struct counter *my, const struct page *m)
{
    uint64_t times = 0;
    const char *text = m->text.data;
    for (uint32_t i = 0; i < m->text.size; i++)
        times += (uint32_t)(text[i] - 'a') == my->letter;
    return soma_send(self, my->printer, counted, .letter = my->letter, .times = times);
}

static const soma_behavior counter = {.name = "counter",
                                      .state_size = sizeof(struct counter),
                                      .init = counter_start,
                                      .handlers = SOMA_HANDLERS(SOMA_ON(page, on_page))};

struct printer {
    uint32_t answers;
    uint64_t sum;
};

static int on_counted(soma_agent *self, struct printer *my, const struct counted *m)
{
    my->sum += m->times;
    if (++my->answers < LETTERS)
        return 0;
    printf("%llu letters in one page of %u bytes, read by %u agents\n", (unsigned long long)my->sum, PAGE, LETTERS);
    return soma_system_stop(soma_agent_system(self));
}

static const soma_behavior printer = {
    .name = "printer", .state_size = sizeof(struct printer), .handlers = SOMA_HANDLERS(SOMA_ON(counted, on_counted))};

int main(void)
{
    soma_system *system;
    soma_ref out, to;
    soma_body *body;
    char *text = malloc(PAGE);
    if (!text || soma_system_open(&system, NULL) || soma_spawn(system, &printer, NULL, &out))
        return 1;
    for (uint32_t i = 0; i < PAGE; i++)
        text[i] = (char)('a' + i % LETTERS);
    struct page filled = {.number = 1, .text = {text, PAGE}};
    if (soma_body_move(&body, &page_type, &filled)) /* the text is the body's now, as it is */
        return 1;
    for (uint32_t letter = 0; letter < LETTERS; letter++)
        if (soma_spawn(system, &counter, &((struct counter){letter, out}), &to) || soma_send_body(system, to, body))
            return 1;
    soma_body_close(&body); /* the last of them to read it frees it */
    soma_system_run(system);
    return soma_system_close(&system);
}
