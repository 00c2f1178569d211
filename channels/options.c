/* Which options are for which pattern, and copies of them; see options.h. */
#include "channels/options.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

/* Has a pattern handlers of its own? */
static const enum {
    HANDLERS_NONE,
    HANDLERS_MAY,
    HANDLERS_MUST
} handlers_of[] = {
    [SOMA_PULL] = HANDLERS_MUST,    [SOMA_SUB] = HANDLERS_MAY,        [SOMA_REP] = HANDLERS_MUST,
    [SOMA_PAIR] = HANDLERS_MAY,     [SOMA_ASYNC_REP] = HANDLERS_MUST, [SOMA_SYNC_PUB] = HANDLERS_MUST,
    [SOMA_SYNC_SUB] = HANDLERS_MAY,
};

/* Is it fine for it to have these, or none? */
static bool pattern_takes(soma_pattern pattern, const void *handlers)
{
    size_t has = (size_t)pattern < sizeof(handlers_of) / sizeof(*handlers_of) ? handlers_of[pattern] : HANDLERS_NONE;
    return handlers ? has != HANDLERS_NONE : has != HANDLERS_MUST;
}

int options_fit(soma_pattern pattern, const soma_channel_options *options)
{
    bool names = pattern == SOMA_REQ || pattern == SOMA_ASYNC_REQ,
         conflates = pattern == SOMA_PULL || pattern == SOMA_SUB;
    size_t length = options->identity ? strnlen(options->identity, SOMA_IDENTITY_MOST + 1) : 1;
    if (!pattern_takes(pattern, options->handlers) || (options->conflate && !conflates))
        return SOMA_EINVAL;
    if (!length || (options->identity && !names))
        return SOMA_EINVAL;
    return length > SOMA_IDENTITY_MOST ? SOMA_ETOOBIG : 0;
}

/* ---- copies ---- */

struct kept {
    soma_channel_options options; /* first: the copy is its options */
    soma_channel_keys keys;
    size_t size; /* of the texts, */
    char texts[];
};

/* The texts that options point to, of which there are so many. */
#define TEXTS 5

static void texts_list(soma_channel_options *options, soma_channel_keys *keys, const char **texts[TEXTS])
{
    texts[0] = &options->serializer;
    texts[1] = &options->identity;
    texts[2] = &keys->secret;
    texts[3] = &keys->server;
    texts[4] = &keys->allowed;
}

int options_copy(const soma_channel_options *options, soma_channel_options **copy)
{
    soma_channel_options from = *options;
    soma_channel_keys keys = options->keys ? *options->keys : (soma_channel_keys){0};
    const char **texts[TEXTS];
    size_t size = 0;
    texts_list(&from, &keys, texts);
    for (int i = 0; i < TEXTS; i++)
        size += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    struct kept *kept = malloc(sizeof(*kept) + size);
    if (!kept)
        return SOMA_ENOMEM;
    *kept = (struct kept){.options = from, .keys = keys, .size = size};
    kept->options.handlers = NULL;
    kept->options.keys = options->keys ? &kept->keys : NULL;
    texts_list(&kept->options, &kept->keys, texts);
    char *at = kept->texts;
    for (int i = 0; i < TEXTS; i++) {
        size_t length = *texts[i] ? strlen(*texts[i]) + 1 : 0;
        if (length)
            *texts[i] = memcpy(at, *texts[i], length);
        at += length;
    }
    *copy = &kept->options;
    return 0;
}

void options_free(soma_channel_options *copy)
{
    struct kept *kept = (struct kept *)copy;
    if (kept)
        explicit_bzero(kept->texts, kept->size); // one of them may be a secret
    free(kept);
}
