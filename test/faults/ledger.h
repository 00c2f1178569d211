/*
 * What a node of the fault tests writes down of each stream: a file that is mapped into memory, so that it outlives a
 * node that is killed. test/faults/faults.py reads it: keep its layout alike there.
 */
#ifndef TEST_FAULTS_LEDGER_H
#define TEST_FAULTS_LEDGER_H

#include <stdint.h>

#define LEDGER_RECORDS 8192u /* a power of two */

enum record_side { RECORD_FREE, RECORD_SENT, RECORD_GOT };

/* One side of a stream: numbered messages, from 1, of one agent to one of another node. */
struct record {
    uint64_t side;
    uint64_t key;   /* the same on both sides */
    uint64_t node;  /* the other side's */
    uint64_t last;  /* sent: the last number, written ahead of the send. Got: the highest */
    uint64_t count; /* got: how many */
    uint64_t wrong; /* got: doubled or out of order. Sent: dead letters for another reason than SOMA_ENODEDOWN */
    uint64_t altered;
    uint64_t reported; /* sent: dead letters, SOMA_ENODEDOWN */
    uint64_t over;     /* sent: the monitor has told of the other side's end */
};

struct ledger {
    uint64_t node; /* written last when the node has started */
    uint64_t used; /* records */
    uint64_t sent; /* of all streams */
    uint64_t got;
    uint64_t got_at; /* when something last came, nanoseconds of the monotonic clock */
    uint64_t pause;  /* the longest time without anything, nanoseconds; whoever reads it may set it to 0 */
    struct record records[LEDGER_RECORDS];
};

#endif
