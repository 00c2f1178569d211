/*
 * Channels that keep only the newest of what waits for them: option `conflate`. Over ipc and tcp the porter does it
 * (arrive.c), so that nothing piles up. Within a system all that comes is kept here, each in the place of the one
 * before, until a callback has its turn, which stands behind all that was in the mailbox by then.
 */
#include "channels/channel.h"
#include "runtime/send.h"
#include <soma/error.h>

static int newest_run(soma_agent *self, void *state, void *arg)
{
    struct channel *channel = (struct channel *)port_find(self, (soma_handle)(uintptr_t)arg);
    return channel && channel->newest ? port_hand(self, state, &channel->port, channel->newest) : 0;
}

static void newest_free(const soma_agent *self, struct message *message)
{
    message_dispose(worker_or_outside(self->worker), message);
}

void newest_end(const soma_agent *self, struct channel *channel)
{
    struct worker *worker = worker_or_outside(self->worker);
    if (channel->newest)
        message_dead(soma_agent_system(self), worker, soma_self(self), channel->newest, SOMA_EGONE);
    channel->newest = NULL;
}

bool newest_keep(soma_agent *self, struct channel *channel, struct message *message, bool wanted)
{
    struct message *kept, *before = channel->newest;
    if (before == message) { // its turn has come
        channel->newest = NULL;
        return false;
    }
    if (!wanted)
        return false;
    if (before) {
        newest_free(self, before);
        channel->newest = NULL;
        channel->passed++;
    }
    if (port_copy(self, &channel->port, label_text(message), message->type, message_body(message), &kept))
        return false; // without memory it is handled at once
    kept->sender = message->sender;
    if (!before && soma_post(soma_agent_system(self), soma_self(self), newest_run,
                             (void *)(uintptr_t)channel->port.handle, NULL)) {
        newest_free(self, kept);
        return false;
    }
    channel->newest = kept;
    return true;
}
