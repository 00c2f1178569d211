/*
 * Arguments of the methods that channels are wired with from outside (methods.c): maps, whose entries become what the
 * functions of soma/channel.h take. What is wrong with them the caller gets in words; each function returns 0 or that.
 */
#ifndef CHANNELS_ARGUMENTS_H
#define CHANNELS_ARGUMENTS_H

#include <soma/channel.h>
#include <soma/value.h>

#define METHOD_MOST 255u
#define KEY_MOST 40u
#define ALLOWED_MOST 8191u /* bytes of the keys that are allowed */

/* Is each entry of a map one of these, or, if those may be there, an option? Else it would be ignored without a word.
 */
#define ENTRIES(...) ((const char *const[]){__VA_ARGS__, NULL})
int entries_check(soma_agent *self, soma_value map, const char *const *names, bool options);

/* The text of an entry; "" if it may be missing, and is. */
int text_get(soma_agent *self, soma_value map, const char *key, bool must, char *text, size_t size);

int alias_get(soma_agent *self, soma_value map, char alias[SOMA_CHANNEL_ALIAS_MOST + 1]);

/* Of 32 bits; 0 if it is missing. */
int number_get(soma_agent *self, soma_value map, const char *key, uint32_t *number);

/* Nanoseconds. */
int timeout_get(soma_agent *self, soma_value map, uint64_t *timeout);

/* A table of handlers by method, as the entry `handler` has it: a name, or a list of names. */
#define METHODS_MOST 16u
struct by_method {
    char names[METHODS_MOST][METHOD_MOST + 1];
    soma_handler rows[METHODS_MOST + 1];
};

/* `rows` is NULL if it may be missing, and is. */
int handler_get(soma_agent *self, soma_value map, bool must, struct by_method *by, const soma_handler **rows);

/* If the entry is a map: subscribes a channel to its topics, each with its handler. */
int topics_subscribe(soma_agent *self, soma_value map, const char *alias);

/* Options, and all that they point to. */
struct given_options {
    soma_channel_options options;
    soma_channel_keys keys;
    struct by_method by;
    char place[SOMA_ADDRESS_TEXT_SIZE];
    char serializer[SOMA_SERIALIZER_NAME_MOST + 1];
    char identity[SOMA_IDENTITY_MOST + 1];
    char secret[KEY_MOST + 1];
    char server[KEY_MOST + 1];
    char allowed[ALLOWED_MOST + 1];
};

/* All entries that are options, and the handler, unless that is a map; for binding the place, too. */
int options_get(soma_agent *self, soma_value map, bool binds, struct given_options *given);

/* No secret stays behind. */
void options_forget(struct given_options *given);

#endif
