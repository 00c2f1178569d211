/* Fast senders and a slow receiver: how many messages wait, with muting and without. docs/overload.md */
#include <soma/soma.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SENDERS = 10, SHARE = 2000, BURST = 20, ROWS = 60 };
SOMA_MESSAGE(job)
SOMA_MESSAGE(more, (ref, to), (u32, left), (bool, mutes))

static void work(soma_agent *self, uint64_t time)
{
    for (uint64_t start = soma_now(self); soma_now(self) - start < time;)
        ;
}

static int on_job(soma_agent *self, uint32_t *handled, const struct job *m)
{
    (void)m;
    work(self, 20 * SOMA_US);
    if (++*handled == SENDERS * SHARE)
        soma_agent_exit(self, 0); /* main sees it: soma_backlog gives SOMA_EGONE */
    return 0;
}

static const soma_behavior receiver = {
    .name = "receiver", .state_size = sizeof(uint32_t), .handlers = SOMA_HANDLERS(SOMA_ON(job, on_job))};

/* A burst, then a message to itself for the next one; so others get their turn, and it can be muted between. */
static int on_more(soma_agent *self, void *my, const struct more *m)
{
    (void)my;
    for (int i = 0; i < BURST; i++) {
        work(self, 2 * SOMA_US);
        if (m->mutes)
            soma_send(self, m->to, job);
        else /* as from outside, in nobody's name: so nobody is muted, and as this is a worker, nobody waits */
            soma_send(soma_agent_system(self), m->to, job);
    }
    return m->left <= BURST
               ? 0
               : soma_send(self, soma_self(self), more, .to = m->to, .left = m->left - BURST, .mutes = m->mutes);
}

static const soma_behavior sender = {.name = "sender", .handlers = SOMA_HANDLERS(SOMA_ON(more, on_more))};

/* Looks each 20 ms until all is handled. Counting begins with the first look, so the senders start after it. */
static int run(bool mutes, uint32_t waiting[ROWS], uint32_t muted[ROWS])
{
    soma_system *system;
    soma_ref to, from;
    soma_stats stats;
    if (soma_system_open(&system, NULL) || soma_spawn(system, &receiver, NULL, &to))
        return 1;
    for (int row = 0; row < ROWS && !soma_backlog(system, to, &waiting[row]); row++) {
        for (int i = 0; row == 0 && i < SENDERS; i++)
            if (!soma_spawn(system, &sender, NULL, &from))
                soma_send(system, from, more, .to = to, .left = SHARE, .mutes = mutes);
        muted[row] = soma_system_stats(system, &stats) ? 0 : (uint32_t)stats.muted;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    return soma_system_cancel(&system); /* nothing is left but on a very busy machine */
}

int main(int argc, char **argv)
{
    static uint32_t waiting[2][ROWS], muted[2][ROWS];
    bool csv = argc > 1 && !strcmp(argv[1], "csv");
    if (run(true, waiting[0], muted[0]) || run(false, waiting[1], muted[1]))
        return 1;
    puts(csv ? "ms,waiting,muted,waiting_without" : "  ms   waiting   senders muted   waiting without muting");
    for (int i = 0; i < ROWS && (i == 0 || waiting[0][i] || waiting[1][i]); i++)
        printf(csv ? "%d,%u,%u,%u\n" : "%4d %9u %15u %24u\n", i * 20, waiting[0][i], muted[0][i], waiting[1][i]);
    return 0;
}
