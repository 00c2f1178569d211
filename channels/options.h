/*
 * Options of channels: which are for which pattern, and copies for a channel that is connected later, when what it
 * looks for has been found, and each time that it moves.
 */
#ifndef CHANNELS_OPTIONS_H
#define CHANNELS_OPTIONS_H

#include <soma/channel.h>

/* May a channel of the pattern have them? 0, SOMA_EINVAL, SOMA_ETOOBIG. */
int options_fit(soma_pattern pattern, const soma_channel_options *options);

/* A copy with all that they point to but the handlers. 0 or SOMA_ENOMEM. */
int options_copy(const soma_channel_options *options, soma_channel_options **copy);
void options_free(soma_channel_options *copy);

#endif
