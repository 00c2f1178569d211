/*
 * The porter: who sees to all ZeroMQ sockets of a system's channels. That is a thread of its own, or a worker that has
 * nothing else to do and waits in its place: whoever has the turn of the post (bridges/post.h). It is there from
 * the first channel over ipc or tcp on, and works without a bridge; docs/architecture.md says why it is not the
 * bridge's. It sends what waits in the lines, and puts what comes, as it came, into the mailboxes of its readers, who
 * make messages of it: so it only moves frames.
 */
#ifndef CHANNELS_PORTER_H
#define CHANNELS_PORTER_H

#include "bridges/post.h"
#include "channels/line.h"
#include "channels/questions.h"
#include "runtime/system.h"

/* Where the memory of a part goes back to. */
struct part_source {
    soma_system *system;
    uint8_t class; /* of the pools' */
};

struct porter {
    soma_system *system;
    struct part_source sources[POOL_CLASSES];
    struct worker *worker; /* a pool and counters, no queue: of who has the turn */
    void *context;
    struct post post; /* where it is waited for something to do */
    struct rest rest; /* by a worker, too */
    struct questions questions;
    shared_ptr listed; /* lines that have something new, by listed_next */
    shared_u32 asleep; /* ring, to be heard */
    shared_u32 stopping;
    shared_u32 numbers;   /* of lines so far */
    shared_u64 vacated;   /* when a bound channel ended last: it may still have its place for a while */
    void *zap;            /* answers whose keys may enter */
    pthread_mutex_t lock; /* guards what follows */
    struct line *served;  /* bound with keys, by next_served */
    pthread_t thread;
    /* A line whose socket must be looked at before anybody waits, see line_defers(); or NULL. It is set under the turn
     * and the line's `use`; who takes it out has one of these, so the line is there, and needs no more order. */
    shared_ptr owing;
    uint32_t refused; /* keys; under the post's turn, as what follows */
    bool looks;       /* there is something to look at */
    bool asks;        /* somebody asks to come in */
    bool dozes;       /* the thread comes by itself, and need not be told that there is more */
    bool lends;       /* a worker has the turn, and the thread will come by itself: a look may be owed */
    uint32_t idle;    /* so many moments it has dozed, and nothing has happened */
    uint32_t doze;    /* moments that it dozes for next */
    bool over;        /* the thread has ended */
    bool drained;
    bool left;        /* since it was stopped a line has ended that had something to send */
    uint64_t waited;  /* from when it was stopped: so much less is left of the time to linger */
    uint64_t lingers; /* until when ZeroMQ may keep what sockets have left to it */
    struct line *lines;
};

/* 0, SOMA_ENOMEM, SOMA_ETHREAD. */
int porter_open(soma_system *system, struct porter **porter);

/* What waits in the lines leaves, for as long as they linger, and the thread ends. False if something was left. */
bool porter_stop(struct porter *porter);

/* Closes what is left. */
void porter_free(struct porter *porter);

/* A line that was marked as listed, under its busy: the thread is to look at it. */
void porter_list(struct line *line);

/*
 * Whoever has the turn sees to all lines; or, if not to `all`, to no more once one has brought something for agents.
 * Ends those that have nothing more to send. *waits: some has. When the next round is due at the latest.
 */
uint64_t porter_round(struct porter *porter, bool all, bool *waits);

/* The system's porter, started if there is none. Any thread. 0, SOMA_ENOMEM, SOMA_ETHREAD. */
int porter_of(soma_system *system, struct porter **porter);

/* Answers one who asks to come in. True if there may be more. */
bool zap_answer(struct porter *porter);

/* ---- part.c ---- */

void part_sources_init(struct porter *porter);

/* ---- hold.c: answers, to who may read them slowly ---- */

/* Sends one. Takes the parcels: false if it is kept for now, and the line is relieved of its weight later. */
bool answer_send(struct line *line, struct parcel *parcels, uint32_t count, uint64_t weight);

/* Tries to send what was kept, if it is time for that; `until` becomes the time of the next try, if that is earlier. */
void answers_retry(struct line *line, uint64_t now, uint64_t *until);

/* It is too late for what was kept. */
void answers_drop(struct line *line);

/* ---- depart.c ---- */

/* What could be done with the socket, under `use`. Takes its mail, and with that what would be told of it. */
int line_events(const struct line *line);

/* Sends a message from where it is made, and takes its parts. False if it must wait behind others, or for room, or for
 * who uses the socket. */
bool line_send_at_once(struct line *line, zmq_msg_t *parts, uint32_t count);

/* Is much sent by it, while things come, too? A look at ZeroMQ's mail for each message would cost more than to be told
 * twice of what comes. */
static inline bool line_streams(const struct line *line)
{
    return pattern_publishes(line->pattern) || line->pattern == SOMA_PAIR;
}

/* Sends what waits, up to a number of messages, whoever has the turn; `until` becomes the time of the next try, if that
 * is earlier. */
void line_send(struct line *line, uint64_t *until);

/* ---- arrive.c: what the sockets have ---- */

/* Reads a line's socket for a while. True if there may be more at once; what there is no room for is not. */
bool line_receive(struct line *line);

/* The line ends: what its socket still has becomes dead letters, as what waits for its reader does. No more than may
 * have come already, as each that is taken lets the other side send one that would have stayed there. */
void line_bury(struct line *line);

/* May more be put into its reader's mailbox? If not, it is marked as stalled. */
bool line_has_room(struct line *line);

/* ---- watch.c: who is there ---- */

/* What a line's monitor tells. */
void line_watch(struct line *line);

/* What a subscriber wants: a 1 and a topic, or, not any more, a 0 and that. */
void topic_arrive(struct line *line, zmq_msg_t *part);

/* A question has come, whose first frame says who asks. */
void asker_arrive(struct line *line, zmq_msg_t *who);

/* The socket has been read to its end. */
void line_emptied(struct line *line);

/* Tells the channel of its number of peers, if that has changed. */
void line_tell(struct line *line);

#endif
