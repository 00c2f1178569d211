/*
 * The places of one system: what is bound where, and who wants to be connected there; and what all its channels may
 * say: defaults, and serializers by their names. The only thing that channels of different agents share, used when they
 * bind, connect and end, never when they send.
 */
#ifndef CHANNELS_HUB_H
#define CHANNELS_HUB_H

#include "channels/channel.h"
#include "channels/serializer.h"

/* Binds a channel at its address's name. 0, SOMA_EEXIST, SOMA_ENOMEM. */
int hub_bind(soma_system *system, const struct channel *channel, const struct port_place *here);

/* Who wants to be connected there tries. */
void hub_announce(soma_system *system, const char *name);

void hub_unbind(soma_system *system, const struct channel *channel, const struct port_place *here);

/* The channel wants to be connected at its address, for as long as it lives. 0, SOMA_ENOMEM. */
int hub_want(soma_system *system, const struct channel *channel, const struct port_place *here);
void hub_unwant(soma_system *system, const struct channel *channel, const struct port_place *here);

/* What is bound at a channel's address; a PAIR is for one alone, until hub_leave(). 0, SOMA_ENOENT (nothing, or nothing
 * any more), SOMA_ETYPE (something of another pattern). */
int hub_enter(soma_system *system, const struct channel *channel, struct port_place *there);

/* The peer of a bound PAIR has left. */
void hub_leave(soma_system *system, const struct channel *channel);

/* The serializer of a name that is built in, or that the system knows; NULL stands for the default. NULL if there is
 * none. It lives as long as the system. */
const struct serializer *hub_serializer(soma_system *system, const char *name);

/* What channels of the system take if it is left out. 0 or SOMA_ENOMEM. */
int hub_set_defaults(soma_system *system, const struct defaults *defaults);
int hub_get_defaults(soma_system *system, struct defaults *defaults);

#endif
