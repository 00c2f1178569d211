/* PUSH and PULL: one deals jobs out, and three share them, each in turn. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(job, (u32, number))

#define WORKERS 3u
#define JOBS 6u

/* ---- a worker: connects, and handles what comes through its channel, in two steps; its state is its name ---- */

static int on_job(soma_agent *self, const char **my, const struct job *m)
{
    (void)self;
    printf("%s does job %u\n", *my, m->number);
    return 0;
}

static int on_job_too(soma_agent *self, const char **my, const struct job *m)
{
    (void)self;
    printf("%s writes down job %u\n", *my, m->number);
    return 0;
}

static int worker_init(soma_agent *self, void *my, const void *name)
{
    soma_address jobs;
    *(const char **)my = name;
    int error = soma_address_parse("inproc://jobs push", &jobs);
    return error ? error
                 : soma_connect(self, &jobs, "work", SOMA_HANDLERS(SOMA_ON(job, on_job), SOMA_ON(job, on_job_too)));
}

static const soma_behavior worker = {.name = "worker", .state_size = sizeof(char *), .init = worker_init};

/* ---- the dealer: binds, and begins when all are there ---- */

static int dealer_init(soma_agent *self, void *my, const void *arg)
{
    (void)my, (void)arg;
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
    .name = "dealer", .init = dealer_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    static const char *const names[WORKERS] = {"Ann", "Bob", "Cleo"};
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &dealer, NULL, NULL);
    for (uint32_t i = 0; i < WORKERS && !error; i++)
        error = soma_spawn(system, &worker, names[i], NULL);
    return soma_system_close(&system) || error; /* when all is done */
}
