/* PUSH and PULL: one deals jobs out, three share them, in whatever order they started. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(job, (u32, number))

#define WORKERS 3u
#define JOBS 6u

/* ---- a worker: connects, and handles what comes through its channel ---- */

static int on_job(soma_agent *self, void *my, const struct job *m)
{
    (void)my;
    printf("worker %u does job %u\n", soma_self(self).slot, m->number);
    return 0;
}

static int worker_ready(soma_agent *self, void *my)
{
    soma_address jobs;
    (void)my;
    int error = soma_address_parse("inproc://jobs push", &jobs);
    return error ? error : soma_connect(self, &jobs, "work", SOMA_HANDLERS(SOMA_ON(job, on_job)));
}

static const soma_behavior worker = {.name = "worker", .ready = worker_ready};

/* ---- the dealer: binds, and begins when all are there ---- */

static int dealer_ready(soma_agent *self, void *my)
{
    (void)my;
    return soma_bind(self, SOMA_PUSH, "deal", &(soma_channel_options){.place = "inproc://jobs"}, NULL);
}

static int on_changed(soma_agent *self, void *my, const struct soma_channel_changed *m)
{
    int error = 0;
    (void)my;
    for (uint32_t i = 1; m->peers == WORKERS && i <= JOBS && !error; i++)
        error = soma_send_to(self, "deal", job, .number = i);
    return error;
}

static const soma_behavior dealer = {
    .name = "dealer", .ready = dealer_ready, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    for (uint32_t i = 0; i < WORKERS && !error; i++)
        error = soma_spawn(system, &worker, NULL, NULL);
    if (!error)
        error = soma_spawn(system, &dealer, NULL, NULL);
    return soma_system_close(&system) || error; /* when all is done */
}
