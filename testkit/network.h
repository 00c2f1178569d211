/*
 * The network between the nodes of a run: frames of bytes, in virtual time. A line leads from each node to each other
 * one. Whatever its delay, its speed and its outages, the frames on a line keep their order, as on one TCP connection.
 *
 * The nodes' carriers (carrier.c) send frames, are given those that arrive, and are told of connections that are lost.
 * A frame that is due is one more thing that may come next, chosen like an agent's turn; on real threads there are no
 * faults, and all is due at once.
 */
#ifndef TESTKIT_NETWORK_H
#define TESTKIT_NETWORK_H

#include "testkit/ready.h"
#include <pthread.h>
#include <soma/test.h>

#define NODES_MAX 64
#define NODE_NAME_SIZE 32

struct frame;

/* A fault of a line. The seed's ends by itself, when so many steps have been taken and it is so late. */
struct outage {
    bool on;
    bool heals;
    uint64_t step, time;
};

/* From one node to another. */
struct line {
    uint32_t from, to;
    struct frame *first, *last;
    uint64_t count;         /* of frames on the way */
    uint64_t least, most;   /* what a frame takes, in nanoseconds */
    uint64_t speed;         /* bytes a second; 0: no limit */
    uint64_t free_at;       /* when the bytes of all frames so far have left */
    struct outage held;     /* a partition: frames wait */
    struct outage refused;  /* a cut: nothing is taken */
    uint64_t priority;      /* for SOMA_SCHEDULE_PCT; 0: none yet */
    struct line *busy_next; /* while it has frames */
    struct line *busy_before;
    bool ready; /* it is where the next step is chosen from */
};

struct network {
    pthread_mutex_t lock;   /* recursive. For real threads: guards all here, what is ready, and what the bridges' thread
                               has while it runs */
    pthread_cond_t changed; /* there is something to be done for that thread */
    struct line *lines[NODES_MAX]; /* by sender: one to each node; NULL before its first */
    struct line *busy;             /* those that have frames */
    uint32_t outages;              /* of the seed's, that are on */
    bool closed;
};

void network_open(soma_test *test);

/* Nothing arrives any more, and what is sent is refused: the run ends. What is on its way is lost without a word. */
void network_close(soma_test *test);

/* Once no node is left. */
void network_free(soma_test *test);

/*
 * Sends a copy of a frame, with what leads it. True: it will arrive, or both nodes be told that their connections are
 * lost. False: it can't leave.
 */
bool network_send(soma_test *test, uint32_t from, uint32_t to, const void *head, size_t head_size, const void *bytes,
                  size_t size);

/* Something can be chosen for the next step; unless its node is stopped, and it sleeps. */
void network_ready(soma_test *test, struct ready_agent what, bool asleep);

/* A step: the first frame of a ready line arrives. */
void network_turn(soma_test *test, struct line *line);

/* When the next frame that nothing holds up arrives, UINT64_MAX if none does. Those due make their lines ready. */
uint64_t network_next(const soma_test *test);
void network_fire(soma_test *test);

/* The line between two nodes. Fails the test when memory is out. */
struct line *network_line(soma_test *test, uint32_t from, uint32_t to);

/* Whether the line is held up, or not, has changed. */
void network_line_changed(soma_test *test, struct line *line);

/* Two nodes lose their connections, and what is on its way between them. */
void network_break(soma_test *test, uint32_t a, uint32_t b);

/* What a busy line's frames wait for, as text. Returns buf. */
const char *network_why(const soma_test *test, const struct line *line, char *buf, size_t size);

/* ---- faults, outage.c ---- */

/* Before a step: what the seed has done to lines ends when it is time; `all` of it, or nothing would go on. True if
 * some has. */
bool outages_end(soma_test *test, bool all);

/* When the next of them may, UINT64_MAX if there is none. */
uint64_t outages_next(const soma_test *test);

/* Before a step: what the seed wants to go wrong. */
void outages_strike(soma_test *test);

#endif
