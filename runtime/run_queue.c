/* The inbox of runnable agents from outside, and the chunks that overflow; see run_queue.h. */
#include "runtime/run_queue.h"
#include "runtime/slot.h"
#include "runtime/spin.h"

void run_inbox_push(struct run_inbox *inbox, soma_agent *agent)
{
    void *top;
    do { // only whole-list takes on the other side, so no ABA; release publishes run_next
        top = ptr_load(&inbox->pushed);
        agent->run_next = top;
    } while (!ptr_cas(&inbox->pushed, top, agent));
}

static soma_agent *list_reverse(soma_agent *list)
{
    soma_agent *reversed = NULL;
    while (list) {
        soma_agent *next = list->run_next;
        list->run_next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

soma_agent *run_inbox_take(struct run_inbox *inbox, uint32_t limit)
{
    if (run_inbox_empty(inbox) || !u32_cas(&inbox->busy, 0, 1))
        return NULL;
    soma_agent *first = ptr_load(&inbox->ordered);
    if (!first)
        first = list_reverse(ptr_exchange(&inbox->pushed, NULL));
    soma_agent *last = first;
    for (uint32_t taken = 1; last && last->run_next && taken < limit; taken++)
        last = last->run_next;
    ptr_store(&inbox->ordered, last ? last->run_next : NULL);
    if (last)
        last->run_next = NULL;
    u32_store(&inbox->busy, 0); // release: the next taker sees the list as we left it
    return first;
}

void run_overflow_push(struct run_overflow *overflow, struct run_chunk *chunk)
{
    chunk->next = NULL;
    spin_lock(&overflow->busy);
    if (overflow->last)
        overflow->last->next = chunk;
    else
        overflow->first = chunk;
    overflow->last = chunk;
    u32_add(&overflow->count, 1);
    spin_unlock(&overflow->busy);
}

struct run_chunk *run_overflow_pop(struct run_overflow *overflow)
{
    if (run_overflow_empty(overflow))
        return NULL;
    spin_lock(&overflow->busy);
    struct run_chunk *chunk = overflow->first;
    if (chunk) {
        overflow->first = chunk->next;
        if (!chunk->next)
            overflow->last = NULL;
        u32_add(&overflow->count, (uint32_t)-1);
    }
    spin_unlock(&overflow->busy);
    return chunk;
}
