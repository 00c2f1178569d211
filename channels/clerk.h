/*
 * Clerks: who asks a channel in the name of those beyond its line. A question that comes over ipc or tcp must have an
 * agent that asked it, to whom the answer goes, whoever gives it and whenever. So each line that questions come through
 * has such an agent. It takes few turns (see stand_in_begin()): what the answer begins with is noted when the question
 * is read from the socket, the channel's agent makes a request of the rest, and who answers that writes the frames.
 * It ends with the channel, or before, if somebody wants it: then what it has asked fails, and so does all that it
 * would have asked.
 */
#ifndef CHANNELS_CLERK_H
#define CHANNELS_CLERK_H

#include "channels/porter.h"
#include "channels/remote.h"

/* A clerk for a line, which then has it, whatever this returns. 0, SOMA_ENOMEM, SOMA_EFULL, SOMA_EINVAL. */
int clerk_open(soma_system *system, struct line *line, const soma_channel_options *options);

/* The channel has ended: what nobody has answered fails, nothing more is asked, and the line closes behind what
 * somebody answers at the moment. Takes the channel's reference. */
void clerk_close(soma_agent *self, struct line *line);
void clerk_free(struct clerk *clerk);

/*
 * Notes a question that has come, and weighs on its line until it is answered: of its parts are left, at the front,
 * those with the message. 0; 1 if the clerk has ended, and the question has failed; SOMA_EFORMAT (nobody could be
 * answered), SOMA_ENOMEM, SOMA_EGONE (the channel has ended). */
int question_open(struct line *line, zmq_msg_t *parts, uint32_t *count, uint64_t weight, soma_handle *question);

/* It can't be asked, and has no answer. */
void question_drop(const struct line *line, soma_handle question);

/* A question has come: a callback of the channel's agent. */
int question_run(soma_agent *self, void *state, void *arg);

/* Somebody has answered a clerk: see struct tenant. What can't be answered is counted as missed. */
int question_answer(struct porter *porter, struct worker *worker, soma_ref clerk, soma_handle question,
                    const soma_type *type, const void *message);

#endif
