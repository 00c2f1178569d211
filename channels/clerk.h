/*
 * Clerks: who asks a channel in the name of those beyond its line. A question that comes over ipc or tcp must have an
 * agent that asked it, to whom the answer goes, whoever gives it and whenever. So each line that questions come through
 * has such an agent: it makes requests of what comes, and frames of the answers.
 */
#ifndef CHANNELS_CLERK_H
#define CHANNELS_CLERK_H

#include "channels/remote.h"

/* A clerk for a line, with the channel's handlers: of them it knows what may be asked. 0, SOMA_ENOMEM, SOMA_EFULL,
 * SOMA_EINVAL. */
int clerk_open(soma_system *system, struct line *line, const struct rows *rows, const soma_channel_options *options);

/* A question has come: a callback of the clerk's. */
int question_run(soma_agent *self, void *state, void *arg);

/* A publication of a SYNC_PUB is on its way: the same. So it keeps its place among the answers. */
int publication_run(soma_agent *self, void *state, void *arg);

/* The channel has ended: the line closes behind all that was answered and published before, and what is not answered by
 * then fails. Takes the channel's reference. */
void clerk_close(soma_agent *self, struct line *line);

#endif
