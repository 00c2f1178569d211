/* The queue of a line, and its life; see line.h. */
#include "channels/line.h"
#include "channels/clerk.h"
#include "channels/porter.h"
#include "runtime/pressure.h"
#include "runtime/send.h"
#include "runtime/spin.h"
#include <soma/error.h>
#include <stdlib.h>

/* ---- the queue ---- */

/* Room for so many parcels behind what is there; the crates that are added are empty. */
static bool crates_need(struct line *line, uint32_t count)
{
    if (line->last && CRATE_PARCELS - line->last->count >= count)
        return true;
    struct crate *crate = malloc(sizeof(*crate));
    if (!crate)
        return false;
    crate->next = NULL;
    crate->count = 0;
    if (line->last)
        line->last->next = crate;
    else
        line->first = crate;
    line->last = crate;
    return true;
}

_Static_assert(LINE_PARTS + 2 <= CRATE_PARCELS, "a message fits a crate, with who and a mark before it");

static int parcels_add(struct line *line, zmq_msg_t *parts, uint32_t count)
{
    if (line->waiting_bytes > LINE_QUEUE_MOST)
        return SOMA_EAGAIN;
    if (!crates_need(line, count))
        return SOMA_ENOMEM;
    struct crate *crate = line->last;
    for (uint32_t i = 0; i < count; i++) {
        struct parcel *parcel = &crate->parcels[crate->count++];
        zmq_msg_init(&parcel->part);
        zmq_msg_move(&parcel->part, &parts[i]);
        parcel->more = i + 1 < count;
        line->waiting_bytes += zmq_msg_size(&parcel->part);
    }
    line->waiting_bytes += LINE_PART_COST;
    line->waiting++;
    return 0;
}

static uint32_t dam_slot(const struct line *line)
{
    return line->dam_ref.slot;
}

int line_put(struct line *line, struct worker *worker, zmq_msg_t *parts, uint32_t count)
{
    if (line_send_at_once(line, parts, count))
        return 0;
    spin_lock(&line->busy);
    int error = line->closing ? SOMA_EGONE : parcels_add(line, parts, count);
    bool list = !error && !line->listed;
    line->listed |= list;
    if (!error && line->dam && line->connections)
        u32_store(&line->dam->pressure, PRESSURE_OVERLOADED); // release: who is held up by it looks again later
    spin_unlock(&line->busy);
    parts_close(parts, count);
    if (line->dam && worker && worker->index != WORKER_GUEST && u32_load(&line->dam->pressure))
        worker_press(worker, dam_slot(line));
    if (list)
        porter_list(line);
    return error;
}

bool line_take(struct line *line)
{
    struct crate **end = &line->sending;
    while (*end)
        end = &(*end)->next;
    spin_lock(&line->busy);
    *end = line->first;
    line->first = line->last = NULL;
    line->listed = false;
    bool closing = line->closing;
    spin_unlock(&line->busy);
    return closing;
}

void line_relieve(struct line *line, uint32_t messages, uint64_t bytes)
{
    spin_lock(&line->busy);
    line->waiting -= messages;
    line->waiting_bytes -= bytes;
    bool free = line->closing || !line->connections || !line->waiting;
    bool opens = free && line->dam && u32_load(&line->dam->pressure);
    if (opens)
        u32_store(&line->dam->pressure, 0);
    spin_unlock(&line->busy);
    if (opens)
        pressure_release(line->porter->worker, dam_slot(line));
}

void line_linger(struct line *line, uint32_t linger)
{
    u32_store(&line->linger, linger);
}

void line_count(struct line *line, soma_channel_counts *counts)
{
    counts->connected = u64_load(&line->counts.connected);
    counts->malformed = u64_load(&line->counts.malformed);
    counts->missed = u64_load(&line->counts.missed);
    counts->refused = u64_load(&line->counts.refused);
    spin_lock(&line->busy);
    counts->waiting = line->waiting;
    spin_unlock(&line->busy);
}

/* ---- its life ---- */

struct line *line_new(struct porter *porter, soma_pattern pattern, const struct port_place *owner)
{
    struct line *line = calloc(1, sizeof(*line));
    if (!line)
        return NULL;
    line->porter = porter;
    line->number = u32_add(&porter->numbers, 1);
    line->pattern = pattern;
    line->owner = *owner;
    pthread_mutex_init(&line->use, NULL);
    u32_store(&line->references, 1);
    return line;
}

static void crates_free(struct crate *crate, uint32_t from)
{
    while (crate) {
        struct crate *next = crate->next;
        for (; from < crate->count; from++)
            zmq_msg_close(&crate->parcels[from].part);
        from = 0;
        free(crate);
        crate = next;
    }
}

void line_unref(struct line *line)
{
    if (u32_add(&line->references, (uint32_t)-1) != 1) // acquire-release: the last one sees what all have done
        return;
    clerk_free(line->clerk);
    answers_drop(line);
    crates_free(line->sending, line->sent);
    crates_free(line->first, 0);
    pthread_mutex_destroy(&line->use);
    free(line->guests);
    free(line->file);
    free(line->endpoint);
    free(line);
}

/* Lets the porter look at it. */
static void line_list(struct line *line, bool closing)
{
    spin_lock(&line->busy);
    line->closing |= closing;
    bool list = !line->listed;
    line->listed = true;
    spin_unlock(&line->busy);
    if (list)
        porter_list(line);
}

void line_stir(struct line *line)
{
    line_list(line, false);
}

void line_begin(struct line *line)
{
    u32_add(&line->references, 1); // the porter's: the channel may end before the porter has seen it
    line_list(line, false);
}

void line_close(struct line *line)
{
    line_list(line, true);
    line_unref(line);
}

void arrival_take(const struct arrival *arrival)
{
    struct line *line = arrival->line;
    if (!line->conflates)
        return;
    spin_lock(&line->busy);
    if (line->newest == arrival)
        line->newest = NULL;
    spin_unlock(&line->busy);
}

void arrival_end(struct arrival *arrival)
{
    struct line *line = arrival->line;
    parts_close(arrival->parts, arrival->count);
    u64_add(&line->handled, arrival->weight); // a full fence: either we see that the porter has stopped to read, or it
    if (u32_load(&line->stalled) && u32_cas(&line->stalled, 1, 0)) // sees, when it looks again, what was handled
        line_list(line, false);
    line_unref(line);
}
