/* Timers as an agent's pending things: made, started and ended by the agent. What fires them is the clock. */
#ifndef RUNTIME_TIMER_H
#define RUNTIME_TIMER_H

#include "runtime/clock.h"
#include "runtime/message.h"
#include "runtime/type.h"
#include <soma/timer.h>

/* The driver's clock. */
uint64_t system_now(const soma_system *system);

/* A timer's block with room for `size` bytes of body; NULL when memory is out. */
struct timer *timer_new(soma_agent *self, enum message_kind kind, size_t size);

void timer_free(soma_agent *self, struct timer *timer);

/* Enters it among the pending and sets it (SOMA_NEVER: doesn't). The handle; or an error, and the block is freed. */
soma_handle timer_start(soma_agent *self, struct timer *timer, uint64_t delay);

/* Ends a timer that is not pending any more: frees it, or marks it to be freed by whoever has it. */
void timer_end(soma_agent *self, struct timer *timer);

#endif
