/*
 * What clients and name servers say to each other. All of it is between two agents, the client and the server, so it
 * arrives in order, and ends with a soma_down for either when the link is over. A program in any language that sends
 * these messages is a client.
 *
 * A client says hello, and has a *session* from then on; with it ends all that it has put. It puts names, drops them,
 * and looks them up; a lookup with `keep` also asks for news of the name, there or not, until the client forgets it. A
 * watch asks for news of all names with a prefix.
 *
 * News comes one message at a time: the next when the client has said that it has heard the one before. So a slow
 * client costs the server nothing but a list of what is new to it, in which a name stands once; if that grows too long,
 * the server forgets what the client keeps (`reset`), and tells its watches all again.
 */
#ifndef NAMESERVICE_PROTOCOL_H
#define NAMESERVICE_PROTOCOL_H

#include <soma/nameservice.h>

#define NEWS_ITEMS_MOST 256u   /* names in one news */
#define NEWS_BYTES_MOST 65536u /* of them, about; one is always told */
#define KEEPS_MOST 200000u     /* names that the clients of a node may keep */
#define WATCHES_MOST 1024u     /* watches that a client may have */

/** @cond internal */
/* -> ns_welcome. What the client had before is over. `restores`: it puts names that it had, and says when it has. */
SOMA_MESSAGE(ns_hello, (bool, restores))
SOMA_MESSAGE(ns_restored)
/* Not settled: a name that is not there may yet come back. `follows`: nothing can be put here, see follow.c. */
SOMA_MESSAGE(ns_welcome, (bool, settled), (bool, follows))
SOMA_MESSAGE(ns_bye)

/* -> soma_name_registered. Whoever holds the name already puts another entry in place of his own. */
SOMA_MESSAGE(ns_put, (message, soma_name, name), (bool, takeover))
/* -> soma_name_done, also if it is another client's by now. */
SOMA_MESSAGE(ns_drop, (string, name))
/* To the client: somebody has taken a name over. */
SOMA_MESSAGE(ns_lost, (string, name), (ref, agent), (ref, holder))

/* -> ns_found. `behind`: there is older news that was not told yet; `kept`: there will be news of it. */
SOMA_MESSAGE(ns_lookup, (string, name), (bool, keep))
SOMA_MESSAGE(ns_found, (bool, there), (bool, kept), (bool, behind), (message, soma_name, name))
SOMA_MESSAGE(ns_forget, (string, name))

/* -> soma_result, when whoever has put the name has put all that it knew of it. Asked of the server, which asks that
 * client; an error says no more. */
SOMA_MESSAGE(ns_sync, (string, name), (u64, timeout))

/* soma_name_list -> soma_name_page, as for the client. */

SOMA_MESSAGE(ns_watch, (u64, watch), (string, prefix))
SOMA_MESSAGE(ns_unwatch, (u64, watch))

/* To the client: how names are now. If `watch` is not 0, they are the next of those that it asks for: `begins` with the
 * first, `ends` with the last. */
SOMA_MESSAGE(ns_item, (bool, there), (message, soma_name, name))
SOMA_MESSAGE(ns_news, (bool, reset), (bool, settled), (u64, watch), (bool, begins), (bool, ends),
             (messages, ns_item, items))
SOMA_MESSAGE(ns_heard)
/** @endcond */

#endif
