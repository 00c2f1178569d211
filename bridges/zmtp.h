/*
 * ZMTP 3, what ZeroMQ speaks, as far as a bridge without keys needs it: the greeting, the NULL mechanism, frames, and
 * the commands behind them. Bytes alone, no sockets. All that is read here comes from strangers.
 *
 * After https://rfc.zeromq.org/spec/37 (ZMTP 3.1). libzmq is the other side as well as this one is.
 */
#ifndef BRIDGES_ZMTP_H
#define BRIDGES_ZMTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZMTP_GREETING 64u
#define ZMTP_GREETING_FIRST 11u     /* of these, up to the version: the rest follows once the other side has begun */
#define ZMTP_READY_MOST 64u         /* bytes of the longest READY that is said here */
#define ZMTP_HEAD_MOST 9u           /* bytes before a frame's own */
#define ZMTP_COMMAND_MOST 8192u     /* bytes of a command that is read */
#define ZMTP_PONG_MOST (2 + 5 + 16) /* bytes of the longest answer to a ping */

/*
 * What this side begins with, whoever called. In two parts: libzmq ends the connection as soon as it has seen another
 * mechanism, and would by then not have said its own.
 */
void zmtp_greet(unsigned char greeting[ZMTP_GREETING]);

enum zmtp_greeted {
    ZMTP_WAITS, /* it makes sense so far, */
    ZMTP_BEGUN, /* and its signature is whole */
    ZMTP_GREETED,
    ZMTP_OTHER, /* it has another mechanism, as nodes with keys have */
    ZMTP_WRONG  /* it is no greeting of ZMTP 3 */
};

/* The other side's, of which so many bytes have come. */
enum zmtp_greeted zmtp_greeting_read(const unsigned char *bytes, size_t size);

/* One of a stream's frames, as it lies in the bytes that have come. */
struct zmtp_frame {
    const unsigned char *body;
    size_t size;
    size_t whole; /* with what is before the body; 0: that is not known yet */
    bool more;    /* another part of its message follows */
    bool command;
};

/* The first of the bytes that have come. 1; 0: it is not whole; -1: it is none, or has more than `most` bytes. */
int zmtp_frame_read(const unsigned char *bytes, size_t size, size_t most, struct zmtp_frame *frame);

/* What comes before a message of so many bytes. How much that is. */
size_t zmtp_head(unsigned char head[ZMTP_HEAD_MOST], size_t size);

/* Says what this side is: who has called a DEALER, who was called a ROUTER. How many bytes that is. */
size_t zmtp_ready(unsigned char command[ZMTP_READY_MOST], bool called);

/* Is that the other side's, and is it what a node is there? */
bool zmtp_ready_read(const struct zmtp_frame *command, bool called);

/* The answer to a command, if it wants one: how many bytes that is, or 0. */
size_t zmtp_answer(const struct zmtp_frame *command, unsigned char answer[ZMTP_PONG_MOST]);

#endif
