/*
 * Parts: the frames of a message. Who sends makes them, and ZeroMQ's thread frees them. malloc has those two wait for
 * each other, as each block goes back to where it came from, and asks the kernel for memory and returns it in between.
 * So what is neither small nor very large comes from the pools, which hand such blocks round by the magazine.
 */
#include "channels/porter.h"
#include <string.h>

#define POOLED_FROM 256u /* bytes: malloc is quick with what is smaller */

/* Whoever lets go of it last: a worker, or ZeroMQ's thread. */
static void block_free(void *block, void *hint)
{
    const struct part_source *source = hint;
    struct worker *here = worker_here();
    if (here && here->system == source->system && worker_or_outside(here))
        pool_give(&here->pool, source->class, block);
    else
        outside_give(&source->system->outside_pool, source->class, block);
}

void part_sources_init(struct porter *porter)
{
    for (uint8_t class = 0; class < POOL_CLASSES; class ++)
        porter->sources[class] = (struct part_source){porter->system, class};
}

bool part_room(zmq_msg_t *part, const struct line *line, struct worker *worker, size_t size)
{
    uint8_t class = !worker || !worker_or_outside(worker) || size < POOLED_FROM ? POOL_HEAP : pool_class(size);
    if (class == POOL_HEAP)
        return !zmq_msg_init_size(part, size);
    void *block = pool_take(&worker->pool, class);
    if (block && !zmq_msg_init_data(part, block, size, block_free, &line->porter->sources[class]))
        return true;
    if (block)
        pool_give(&worker->pool, class, block);
    return false;
}

bool part_make(zmq_msg_t *part, const void *data, size_t size)
{
    if (zmq_msg_init_size(part, size)) {
        zmq_msg_init(part); // it leaves what can't be closed
        return false;
    }
    if (size)
        memcpy(zmq_msg_data(part), data, size);
    return true;
}

void parts_move(zmq_msg_t *to, zmq_msg_t *from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        zmq_msg_init(&to[i]);
        zmq_msg_move(&to[i], &from[i]);
    }
}

void parts_close(zmq_msg_t *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        zmq_msg_close(&parts[i]);
}
