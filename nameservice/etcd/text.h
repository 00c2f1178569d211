/*
 * What is said to etcd and what it answers, as JSON: its version 3 API as the gateway has it, in which keys and values
 * are base64, numbers of 64 bits strings, and what is zero or empty is left out. Answers are not trusted: each function
 * that reads one says SOMA_EFORMAT if it is not what it should be.
 *
 * A name is the key `PREFIX/NAME`; its value is a packed etcd_entry.
 */
#ifndef NAMESERVICE_ETCD_TEXT_H
#define NAMESERVICE_ETCD_TEXT_H

#include <jansson.h>
#include <soma/nameservice.h>

#define ETCD_PAGE 128u /* names in one answer, at most */
#define ETCD_ADDRESSES_MOST 8u
#define ETCD_URL_MOST (SOMA_ADDRESS_MOST + 32)

#define ETCD_RANGE "/v3/kv/range"
#define ETCD_TXN "/v3/kv/txn"
#define ETCD_GRANT "/v3/lease/grant"
#define ETCD_KEEP "/v3/lease/keepalive"
#define ETCD_REVOKE "/v3/lease/revoke"
#define ETCD_WATCH "/v3/watch"

/** @cond internal */
/* `client` has registered it; `addresses` are where its node listens. */
SOMA_MESSAGE(etcd_entry, (message, soma_name, name), (ref, client), (array, string, addresses))
/** @endcond */

/* What an address of the form etcd://HOST:PORT[,HOST:PORT…][/PREFIX] says. */
struct etcd_address {
    char members[SOMA_ADDRESS_MOST + 1]; /* each HOST:PORT ends with a NUL */
    uint32_t member_count;
    char prefix[SOMA_ADDRESS_MOST + 1]; /* of keys, without a slash at its end */
};

/* 0 or SOMA_EINVAL. */
int etcd_address_read(const char *text, struct etcd_address *address);

/* Where a member takes requests of a kind; `url` has ETCD_URL_MOST bytes. */
void etcd_url(const struct etcd_address *address, uint32_t member, const char *path, char *url);

/* A key, and how it is. */
struct etcd_kv {
    char name[SOMA_NAME_MOST + 1]; /* empty: the key is no name */
    bool there;                    /* and has an entry that makes sense */
    int64_t revision;              /* since which it is so */
    int64_t lease;
    struct etcd_entry entry;
};

/* ---- requests: text that the caller frees; NULL when memory is out ---- */

char *text_grant(uint32_t seconds);
char *text_lease(int64_t lease); /* for keeping it and for ending it */
char *text_lookup(const char *prefix, const char *name);

/* At most so many names from a key on, which text_page_next() gave, NULL for all; as they were at a revision, 0 for
 * now. */
char *text_page(const char *prefix, const char *from, int64_t revision, uint32_t most, bool keys_only);

/* All changes from a revision on. */
char *text_watch(const char *prefix, int64_t from);

/* Puts an entry if its key has not changed since a revision, 0: is not there; else tells how it is. */
char *text_put(const char *prefix, const struct etcd_entry *entry, int64_t lease, int64_t revision);

/* Drops a name if its key has not changed since a revision. */
char *text_drop(const char *prefix, const char *name, int64_t revision);

/* ---- answers ---- */

/* A number that may be left out, and is 0 then; not negative. */
int text_number(const json_t *object, const char *key, int64_t *number);

/* The revision of the store when it answered. */
int text_revision(const json_t *answer, int64_t *revision);

int text_flag(const json_t *object, const char *key, bool *flag);

/* The keys of a range's answer, or of the first one within a transaction's; or the events of a watch. Gives an array,
 * which kvs_free() ends. */
int text_kvs(const json_t *answer, const char *prefix, struct etcd_kv **kvs, uint32_t *count);
int text_txn_kvs(const json_t *answer, const char *prefix, struct etcd_kv **kvs, uint32_t *count);
int text_events(const json_t *result, const char *prefix, struct etcd_kv **kvs, uint32_t *count);
void kvs_free(struct etcd_kv *kvs, uint32_t count);

/* Where the page behind this one begins, as text that the caller frees; NULL if it is the last one. */
int text_page_next(const json_t *answer, char **from);

#endif
