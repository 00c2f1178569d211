/*
 * The last hours of a system. It drains: all mail is handled; then who asked for that (supervisors do) is told to shut
 * down, in the order of asking, and awaited, so that trees end from the top down in the order that they keep. All that
 * within one deadline. Then the threads go, and whoever is left is ended where he stands.
 */
#ifndef RUNTIME_CLOSING_H
#define RUNTIME_CLOSING_H

#include <soma/agent.h>
#include <stdbool.h>

/* Agents to be told that the system closes; under the system's lock. */
struct closing_told {
    soma_ref *refs;
    uint32_t count;
    uint32_t capacity;
};

/* Does nobody run, and has nobody anything to run, at this moment? */
bool closing_rests(const soma_system *system);

/* Drains and shuts down. False if the time was over first. */
bool closing_drain(soma_system *system);

/* Says whose handlers keep a late closing waiting. */
void closing_busy(soma_system *system);

/* Ends all agents, by the closing thread, when there is no other any more. `late`: and says who had not come to an end.
 */
void closing_end(soma_system *system, bool late);

#endif
