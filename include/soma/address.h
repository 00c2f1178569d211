/**
 * @file
 * Addresses of channels: where one is bound, and by which pattern it speaks. A value, copied and compared freely. Its
 * text form is what ZeroMQ writes, and the pattern behind a space: `tcp://10.0.0.2:7000 push`, `ipc:///run/jobs pull`,
 * `inproc://jobs`. So it travels in messages, files and command lines as a string.
 */
#ifndef SOMA_ADDRESS_H
#define SOMA_ADDRESS_H

#include <soma/export.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How a channel's messages travel. */
typedef enum soma_transport {
    SOMA_INPROC, /**< within one system: from mailbox to mailbox */
    SOMA_IPC,    /**< between processes of one machine, by a path */
    SOMA_TCP     /**< between machines, by IP and port */
} soma_transport;

/** What a channel does with messages: docs/channels.md has the promises of each. Whoever connects to a channel is of
 *  the pattern that is its twin. */
typedef enum soma_pattern {
    SOMA_ANY_PATTERN, /**< an address that doesn't say; not a channel's */
    SOMA_PUSH,        /**< gives each message to one of its PULLs */
    SOMA_PULL,        /**< takes from all its PUSHes */
    SOMA_PUB,         /**< gives each message to all SUBs that want its topic */
    SOMA_SUB,         /**< takes from its PUB what it has subscribed to */
    SOMA_REQ,         /**< asks, one question at a time */
    SOMA_REP,         /**< answers */
    SOMA_PAIR,        /**< two channels, both ways; its own twin */
    SOMA_ASYNC_REQ,   /**< asks, any number of questions at a time */
    SOMA_ASYNC_REP,   /**< answers those */
    SOMA_SYNC_PUB,    /**< a PUB whose subscribers may ask it */
    SOMA_SYNC_SUB     /**< a SUB that may ask its PUB */
} soma_pattern;

#define SOMA_HOST_SIZE 108         /**< room for a host, path or name: 107 bytes and a NUL */
#define SOMA_ADDRESS_TEXT_SIZE 128 /**< room for any address as text, with its NUL */

/** Where a channel is bound. Zeroed memory is no address. Compare by soma_address_equal(). */
typedef struct soma_address {
    soma_transport transport;  /**< how to get there */
    soma_pattern pattern;      /**< of the channel that is bound there */
    uint16_t port;             /**< for tcp; 0: any free one, for binding only */
    char host[SOMA_HOST_SIZE]; /**< for tcp an IP, IPv6 without its brackets; for ipc a path; for inproc a name */
} soma_address;

/**
 * Reads an address: `tcp://IP:PORT`, `tcp://IP` and `tcp://IP:*` (any free port), `tcp://[IPv6]:PORT`, `ipc://PATH`,
 * `inproc://NAME`; then perhaps a space and a pattern, as soma_pattern_find() knows it. Paths and names are 1 to 107
 * printable ASCII characters without the space. Host names are not resolved.
 * @param text the text
 * @param address gets it; zeroed on error
 * @return 0, SOMA_EINVAL (NULL), SOMA_EFORMAT (it is none), SOMA_ETOOBIG (a path or name that is too long). Any thread.
 */
SOMA_API int soma_address_parse(const char *text, soma_address *address);

/**
 * Writes an address as soma_address_parse() reads it.
 * @param address the address
 * @param buf gets the text, cut to fit and always ended with a NUL if size is not 0
 * @param size bytes of buf; #SOMA_ADDRESS_TEXT_SIZE is always enough; if 0, buf may be NULL
 * @return the length of the whole text, as snprintf gives it; SOMA_EINVAL (NULL, or it is no valid address). Any
 *         thread.
 */
SOMA_API int soma_address_print(const soma_address *address, char *buf, size_t size);

/** Would soma_address_parse() have made it? False for NULL. Any thread. */
SOMA_API bool soma_address_valid(const soma_address *address);

/** Do two addresses say the same place and pattern? Two that are no valid addresses don't, nor does NULL. Any thread.
 */
SOMA_API bool soma_address_equal(const soma_address *a, const soma_address *b);

/**
 * The address as the other side would have it: the same place, and the pattern that talks with this one's.
 * @param address the address
 * @param twin gets it; may be `address`
 * @return 0, SOMA_EINVAL (NULL, or it is no valid address, or has no pattern). Any thread.
 */
SOMA_API int soma_address_twin(const soma_address *address, soma_address *twin);

/** The pattern that talks with another: PUSH with PULL, and so on; #SOMA_ANY_PATTERN for what is none. Any thread. */
SOMA_API soma_pattern soma_pattern_twin(soma_pattern pattern);

/** A pattern's name in addresses: "push", "pull", "pub", "sub", "req", "rep", "pair", "async-req", "async-rep",
 *  "sync-pub", "sync-sub"; NULL for what is none. Any thread. */
SOMA_API const char *soma_pattern_name(soma_pattern pattern);

/** The pattern of a name, in small letters or capitals; #SOMA_ANY_PATTERN if there is none. NULL is fine. Any thread.
 */
SOMA_API soma_pattern soma_pattern_find(const char *name);

#endif
