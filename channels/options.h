/*
 * Options of channels: which are for which pattern, and copies for a channel that is connected later, when what it
 * looks for has been found, and each time that it moves.
 */
#ifndef CHANNELS_OPTIONS_H
#define CHANNELS_OPTIONS_H

#include <soma/channel.h>

/* A channel may not be: the log says why, and so does the error, if it is what the agent fails by. The error. */
int channel_refuse(soma_agent *self, const char *alias, int error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* What it said of an error, in the message that is being handled; NULL if nothing. */
const char *channel_refused(const soma_agent *self, int error);

/* That without the channel's alias, which stands before it. */
const char *refusal_reason(const char *text, const char *alias);

/* May a channel of the pattern have them? 0, SOMA_EINVAL, SOMA_ETOOBIG; if not, it is said why. */
int options_fit(soma_agent *self, const char *alias, soma_pattern pattern, const soma_channel_options *options);

/* A copy with all that they point to but the handlers. 0 or SOMA_ENOMEM. */
int options_copy(const soma_channel_options *options, soma_channel_options **copy);
void options_free(soma_channel_options *copy);

#endif
