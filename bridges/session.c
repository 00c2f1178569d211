/* The numbers and the ring of kept frames; see session.h. */
#include "bridges/session.h"
#include <stdlib.h>

static struct kept_frame *place(const struct session *session, uint64_t number)
{
    return &session->kept[number & (session->capacity - 1)];
}

static bool ring_grow(struct session *session)
{
    uint32_t capacity = session->capacity ? session->capacity * 2 : 16;
    struct kept_frame *grown = malloc(capacity * sizeof(*grown));
    if (!grown)
        return false;
    for (uint64_t number = session->acked + 1; number <= session->sent; number++)
        grown[number & (capacity - 1)] = *place(session, number);
    free(session->kept);
    session->kept = grown;
    session->capacity = capacity;
    return true;
}

bool session_has_room(struct session *session)
{
    return session->sent - session->acked < session->capacity || ring_grow(session);
}

void session_keep(struct session *session, const struct kept_frame *frame)
{
    *place(session, ++session->sent) = *frame;
    session->bytes += frame->plain;
    session->before += frame->plain;
    session->after += frame->size;
}

const struct kept_frame *session_kept(const struct session *session, uint64_t number)
{
    return place(session, number);
}

bool session_acknowledge(struct session *session, uint64_t number)
{
    if (number > session->sent || number < session->acked)
        return false;
    while (session->acked < number) {
        struct kept_frame *frame = place(session, ++session->acked);
        session->bytes -= frame->plain;
        if (!block_let_go(frame->block))
            continue;
        if (frame->room == BLOCK_ROOM && session->spent_count < SPENT_MOST)
            session->spent[session->spent_count++] = frame->block;
        else
            free(frame->block);
    }
    return true;
}

void session_tidy(struct session *session)
{
    while (session->spent_count)
        free(session->spent[--session->spent_count]);
}

enum arrival session_look(const struct session *session, uint64_t number)
{
    if (number <= session->received)
        return ARRIVAL_REPEATED;
    return number == session->received + 1 ? ARRIVAL_NEXT : ARRIVAL_MISSING;
}

void session_reset(struct session *session)
{
    session_acknowledge(session, session->sent);
    session_tidy(session);
    free(session->kept);
    *session = (struct session){0};
}
