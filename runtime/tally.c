/* Counting mail; see tally.h. */
#include "runtime/tally.h"
#include "runtime/send.h"
#include <soma/error.h>

bool tally_begin(struct tally *tally, const soma_behavior *behavior, bool watched)
{
    const soma_limit *limit = &behavior->limit;
    if (!limit->messages && !limit->bytes && !watched)
        return false; // and the page stays untouched
    ptr_store(&tally->behavior, (void *)(uintptr_t)behavior->name);
    u32_store(&tally->mail_most, limit->messages);
    u64_store(&tally->bytes_most, limit->bytes);
    u32_store(&tally->policy, limit->policy);
    return true;
}

void tally_end(struct tally *tally)
{
    u32_store(&tally->mail_most, 0);
    u64_store(&tally->bytes_most, 0);
    ptr_store(&tally->behavior, NULL);
}

static bool is_over(const struct tally *tally, uint64_t mail, uint64_t bytes, uint64_t times)
{
    uint64_t mail_most = u32_load(&tally->mail_most), bytes_most = u64_load(&tally->bytes_most);
    return (mail_most && mail > mail_most * times) || (bytes_most && mail > 1 && bytes / times > bytes_most);
}

int tally_enter(struct tally *tally, struct message *message, bool *drops)
{
    uint64_t size = message_bytes(message);
    uint64_t mail = (uint64_t)u32_add(&tally->mail, 1) + 1, bytes = u64_add(&tally->bytes, size) + size;
    uint32_t policy = u32_load(&tally->policy);
    // Who is to lose the oldest can only do so when the agent runs; so that mail is bounded until then, too, twice the
    // limit is the end.
    if (is_over(tally, mail, bytes, policy == SOMA_DROP_OLDEST ? 2 : 1)) {
        u32_add(&tally->mail, (uint32_t)-1);
        u64_add(&tally->bytes, -size);
        *drops = policy != SOMA_REJECT;
        return SOMA_EAGAIN;
    }
    message->marks |= MARK_COUNTED;
    return 0;
}

bool tally_leave(struct tally *tally, struct message *message)
{
    uint64_t size = message_bytes(message);
    uint64_t mail = u32_add(&tally->mail, (uint32_t)-1), bytes = u64_add(&tally->bytes, -size);
    message->marks &= (uint8_t)~MARK_COUNTED;
    return u32_load(&tally->policy) == SOMA_DROP_OLDEST && is_over(tally, mail, bytes, 1);
}

int soma_backlog(soma_system *system, soma_ref agent, uint32_t *messages)
{
    if (messages)
        *messages = 0;
    if (!system || !messages)
        return SOMA_EINVAL;
    if (agent.node && agent.node != system->node)
        return SOMA_ENOROUTE;
    soma_agent *target = agent.node ? target_find(system, agent) : NULL;
    if (!target)
        return SOMA_EGONE;
    for (uint64_t life; !((life = u64_load(&target->life)) & LIFE_COUNTED);) {
        if (life_generation(life) != agent.generation)
            return SOMA_EGONE;
        u64_cas(&target->life, life, life | LIFE_COUNTED);
    }
    *messages = u32_load(&tally_of(&system->slots, agent.slot)->mail);
    return 0;
}
