/* Lines and frames; see network.h. */
#include "testkit/network.h"
#include "runtime/thread.h"
#include "testkit/kit.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

struct frame {
    struct frame *next;
    uint64_t due;
    size_t size;
    unsigned char bytes[];
};

/* ---- lines ---- */

struct line *network_line(soma_test *test, uint32_t from, uint32_t to)
{
    struct line **lines = &test->network.lines[from];
    if (!*lines) {
        *lines = calloc(NODES_MAX, sizeof(**lines));
        if (!*lines)
            kit_fail(test, "out of memory");
        for (uint32_t i = 0; i < NODES_MAX; i++)
            (*lines)[i] = (struct line){.from = from, .to = i};
    }
    return &(*lines)[to];
}

/* Frames wait, whatever the time. */
static bool line_held(const soma_test *test, const struct line *line)
{
    return line->held.on || test->nodes[line->to].stopped;
}

void network_ready(soma_test *test, struct ready_agent what, bool asleep)
{
    if (!ready_push(asleep ? &test->asleep : &test->ready, what))
        kit_fail(test, "out of memory");
    pthread_cond_signal(&test->network.changed);
}

void network_line_changed(soma_test *test, struct line *line)
{
    bool ready = line->first && line->first->due <= test->now && !line_held(test, line);
    if (ready && !line->ready)
        network_ready(test, (struct ready_agent){.line = line}, false);
    if (!ready && line->ready)
        ready_drop(&test->ready, line);
    line->ready = ready;
}

/* Puts a frame at a line's end. */
static void line_append(soma_test *test, struct line *line, struct frame *frame)
{
    struct network *network = &test->network;
    if (line->last) {
        line->last->next = frame;
    } else {
        line->first = frame;
        line->busy_before = NULL;
        line->busy_next = network->busy;
        if (line->busy_next)
            line->busy_next->busy_before = line;
        network->busy = line;
    }
    line->last = frame;
    line->count++;
    network_line_changed(test, line);
}

/* Takes the first frame out. */
static struct frame *line_take(soma_test *test, struct line *line)
{
    struct network *network = &test->network;
    struct frame *frame = line->first;
    line->first = frame->next;
    line->count--;
    if (line->first)
        return frame;
    line->last = NULL;
    if (line->busy_before)
        line->busy_before->busy_next = line->busy_next;
    else
        network->busy = line->busy_next;
    if (line->busy_next)
        line->busy_next->busy_before = line->busy_before;
    return frame;
}

/* The frame before a line's last; NULL if that is the only one. */
static struct frame *line_before_last(const struct line *line)
{
    struct frame *before = line->first;
    while (before && before->next != line->last)
        before = before->next;
    return before;
}

static void line_drop_last(soma_test *test, struct line *line)
{
    struct frame *before = line_before_last(line), *last = line->last;
    if (!before) {
        line_take(test, line);
    } else {
        line->last = before;
        before->next = NULL;
        line->count--;
    }
    network_line_changed(test, line);
    free(last);
}

static void line_lose(soma_test *test, struct line *line)
{
    if (line->count)
        trace_note(test, "%s -> %s: %llu frame%s lost", test->nodes[line->from].name, test->nodes[line->to].name,
                   (unsigned long long)line->count, line->count == 1 ? "" : "s");
    while (line->first)
        free(line_take(test, line));
    line->free_at = 0;
    network_line_changed(test, line);
}

/* ---- sending ---- */

#define DELAYS 16u /* so many times, from the least to the most, a frame may take */

/* When a frame that leaves now arrives, unless one before it is later. */
static uint64_t line_due(soma_test *test, struct line *line, size_t size)
{
    uint64_t delay = line->least, range = line->most - line->least;
    if (range)
        delay += range / (DELAYS - 1) * choose(&test->choices, DELAYS, wish_any(&test->choices, DELAYS));
    if (line->free_at < test->now)
        line->free_at = test->now;
    if (line->speed)
        line->free_at += (uint64_t)((double)size * (double)SOMA_SECOND / (double)line->speed);
    return line->free_at + delay;
}

static struct frame *frame_new(soma_test *test, struct line *line, size_t size)
{
    struct frame *frame = malloc(sizeof(*frame) + size);
    if (!frame)
        kit_fail(test, "out of memory");
    frame->next = NULL;
    frame->due = line_due(test, line, size);
    frame->size = size;
    return frame;
}

/* The line's last frame goes before the one that is before it, if they are of one connection. */
static bool frames_swap(struct line *line)
{
    struct frame **link = &line->first, *last = line->last, *before = line_before_last(line);
    if (!before || memcmp(before->bytes, last->bytes, sizeof(uint64_t)) != 0)
        return false;
    while (*link && *link != before)
        link = &(*link)->next;
    *link = last;
    last->next = before;
    before->next = NULL;
    line->last = before;
    return true;
}

/* A frame that has just been sent is lost, comes twice, or overtakes the one before it. */
static void frame_strike(soma_test *test, struct line *line)
{
    static const char *const what[] = {"lost", "doubled", "swapped with the one before"};
    uint32_t kind = choose(&test->choices, 3, wish_any(&test->choices, 3));
    if (kind == 2 && !frames_swap(line))
        kind = 0;
    trace_note(test, "fault: a frame from %s to %s is %s", test->nodes[line->from].name, test->nodes[line->to].name,
               what[kind]);
    if (kind == 1) {
        struct frame *twin = frame_new(test, line, line->last->size);
        memcpy(twin->bytes, line->last->bytes, twin->size);
        line_append(test, line, twin);
    } else if (kind == 0) {
        line_drop_last(test, line);
    }
}

bool network_send(soma_test *test, uint32_t from, uint32_t to, const void *head, size_t head_size, const void *bytes,
                  size_t size)
{
    struct line *line = network_line(test, from, to);
    if (test->network.closed || !test->nodes[to].carrier.bridge || line->refused.on)
        return false;
    struct frame *frame = frame_new(test, line, head_size + size);
    memcpy(frame->bytes, head, head_size);
    if (size)
        memcpy(frame->bytes + head_size, bytes, size);
    line_append(test, line, frame);
    if (fault_strikes(test, &test->faults.frames))
        frame_strike(test, line);
    return true;
}

/* ---- arriving ---- */

void network_turn(soma_test *test, struct line *line)
{
    struct frame *frame = line_take(test, line);
    line->ready = false; // it was taken out of where it was chosen from, and goes to the end if there is more
    network_line_changed(test, line);
    carrier_arrive(&test->nodes[line->to], line->from, frame->bytes, frame->size);
    free(frame);
}

uint64_t network_next(const soma_test *test)
{
    uint64_t next = UINT64_MAX;
    for (const struct line *line = test->network.busy; line; line = line->busy_next)
        if (!line_held(test, line) && line->first->due < next)
            next = line->first->due;
    return next;
}

void network_fire(soma_test *test)
{
    for (struct line *line = test->network.busy; line; line = line->busy_next)
        network_line_changed(test, line);
}

const char *network_why(const soma_test *test, const struct line *line, char *buf, size_t size)
{
    if (test->nodes[line->to].stopped)
        snprintf(buf, size, "it is stopped");
    else if (line->held.on)
        snprintf(buf, size, "a partition");
    else if (line->first->due > test->now)
        snprintf(buf, size, "the next arrives in %.6f s", (double)(line->first->due - test->now) / (double)SOMA_SECOND);
    else
        snprintf(buf, size, "about to arrive");
    return buf;
}

/* ---- connections ---- */

void network_break(soma_test *test, uint32_t a, uint32_t b)
{
    if (test->network.lines[a])
        line_lose(test, network_line(test, a, b));
    if (test->network.lines[b])
        line_lose(test, network_line(test, b, a));
    carrier_break(&test->nodes[a], b);
    carrier_break(&test->nodes[b], a);
}

void network_open(soma_test *test)
{
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&test->network.lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    condition_init(&test->network.changed);
}

void network_close(soma_test *test)
{
    struct network *network = &test->network;
    pthread_mutex_lock(&network->lock);
    network->closed = true;
    pthread_cond_signal(&network->changed);
    while (network->busy)
        free(line_take(test, network->busy));
    pthread_mutex_unlock(&network->lock);
}

void network_free(soma_test *test)
{
    for (uint32_t i = 0; i < NODES_MAX; i++)
        free(test->network.lines[i]);
    pthread_cond_destroy(&test->network.changed);
    pthread_mutex_destroy(&test->network.lock);
}
