/**
 * @file
 * The errors that Soma's functions return: 0 is success, every error is a negative number from the one list below.
 * The list gives the enum, the names and the texts, so that they cannot disagree (the idea is libuv's).
 */
#ifndef SOMA_ERROR_H
#define SOMA_ERROR_H

#include <soma/export.h>

/** X(name, number, text) for every error. */
#define SOMA_ERROR_LIST(X)                                                                                             \
    X(EINVAL, 1, "an argument is not valid")                                                                           \
    X(ENOMEM, 2, "out of memory")                                                                                      \
    X(EGONE, 3, "the agent is gone, or never was")                                                                     \
    X(EFULL, 4, "the system's slots are all taken")                                                                    \
    X(ECLOSED, 5, "the system is closing")                                                                             \
    X(EEXIST, 6, "it is taken already")                                                                                \
    X(ENOENT, 7, "there is no such thing")                                                                             \
    X(ETIMEOUT, 8, "it was not done in time")                                                                          \
    X(EFORMAT, 9, "the bytes are malformed or truncated")                                                              \
    X(ETOOBIG, 10, "a length is over its limit")                                                                       \
    X(ETYPE, 11, "a value or message is of another type than expected")                                                \
    X(ENOROUTE, 12, "no bridge leads to that node")                                                                    \
    X(EUNHANDLED, 13, "the agent has no handler for this message type")                                                \
    X(ESTATE, 14, "the call is not allowed here or now")                                                               \
    X(ETHREAD, 15, "a thread could not be started")                                                                    \
    X(EKILLED, 16, "the agent was killed")                                                                             \
    X(ENOREPLY, 17, "the request was handled without an answer")                                                       \
    X(ESHUTDOWN, 18, "the agent was told to shut down")                                                                \
    X(ERESTARTS, 19, "its children failed too often")                                                                  \
    X(ENODEDOWN, 20, "the node is down")                                                                               \
    X(EAGAIN, 21, "nobody can take it now, try again later")                                                           \
    X(EDEADLOCK, 22, "who was asked waits for an answer from who asked")

/** Every error code, as a negative number. */
enum soma_error {
    SOMA_OK = 0,                                                     /**< success */
#define SOMA_ERROR_ENUM(name, number, text) SOMA_##name = -(number), /**< see the text in SOMA_ERROR_LIST */
    SOMA_ERROR_LIST(SOMA_ERROR_ENUM)
#undef SOMA_ERROR_ENUM
};

/**
 * The text of an error code, in English, for people.
 * @param error a code that a Soma function returned; any other number gives "unknown error"
 * @return a constant string, never NULL. Any thread may call it.
 */
SOMA_API const char *soma_strerror(int error);

#endif
