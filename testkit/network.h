/*
 * The network between the nodes of a run: frames of bytes, in virtual time. A line leads from each node to each other
 * one. Whatever its delay, its speed and its faults, the frames on a line keep their order, as on one TCP connection.
 *
 * What carries messages for a node (remote.c, as long as there are no bridges) has a port on it: it sends frames, is
 * given those that arrive, and is told of a connection that is lost. In a simulation a frame that is due is one more
 * thing that may come next, chosen like an agent's turn; on real threads it arrives within network_send().
 */
#ifndef TESTKIT_NETWORK_H
#define TESTKIT_NETWORK_H

#include <pthread.h>
#include <soma/test.h>

#define NODES_MAX 64
#define NODE_NAME_MAX 32

/* A node's side of the network, by its number. */
struct port {
    /* A frame has arrived. */
    void (*deliver)(void *context, uint32_t from, const void *bytes, size_t size);
    /* The connection with a node is lost, and with it what was sent either way and has not arrived. */
    void (*broken)(void *context, uint32_t peer, int reason);
    void *context;
};

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
    pthread_mutex_t lock; /* recursive, as what arrives may at once be answered. For real threads: guards all here, and
                             what has ports */
    struct port ports[NODES_MAX];  /* without `deliver`: the node is down */
    struct line *lines[NODES_MAX]; /* by sender: one to each node; NULL before its first */
    struct line *busy;             /* those that have frames */
    uint32_t outages;              /* of the seed's, that are on */
};

void network_open(soma_test *test);

/* Nothing arrives any more, and what is sent is refused: the run ends. What is on its way is lost without a word. */
void network_close(soma_test *test);

/* Once no node is left. */
void network_free(soma_test *test);

/* A node comes up, or goes down: then its connections are lost, for a reason. */
void network_port_open(soma_test *test, uint32_t number, const struct port *port);
void network_port_close(soma_test *test, uint32_t number, int reason);

/*
 * Sends a copy of a frame. 0: it will arrive, or the port be told that the connection is lost. SOMA_ENOROUTE,
 * SOMA_ENODEDOWN or SOMA_ENOMEM: it is not on its way.
 */
int network_send(soma_test *test, uint32_t from, uint32_t to, const void *bytes, size_t size);

/* A step: the first frame of a ready line arrives. */
void network_turn(soma_test *test, struct line *line);

/* When the next frame that nothing holds up arrives, UINT64_MAX if none does. Those due make their lines ready. */
uint64_t network_next(const soma_test *test);
void network_fire(soma_test *test);

/* The line between two nodes. Fails the test when memory is out. */
struct line *network_line(soma_test *test, uint32_t from, uint32_t to);

/* Whether the line is held up, or not, has changed. */
void network_line_changed(soma_test *test, struct line *line);

/* The connection between two nodes is lost, for a reason. */
void network_break(soma_test *test, uint32_t a, uint32_t b, int reason);

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
