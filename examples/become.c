/* Become: an agent that changes its handlers, here a door that is either open or locked. docs/become.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(knock, (string, who))
SOMA_MESSAGE(turn_key)

struct door { /* both behaviors work on this state: it stays as it is */
    uint32_t entered;
    uint32_t refused;
};

static const soma_behavior locked, opened;

static int on_knock_open(soma_agent *self, struct door *my, const struct knock *m)
{
    (void)self;
    printf("%s comes in as number %u\n", m->who, ++my->entered);
    return 0;
}

static int on_knock_locked(soma_agent *self, struct door *my, const struct knock *m)
{
    (void)self;
    printf("%s knocks in vain (%u so far)\n", m->who, ++my->refused);
    return 0;
}

static int on_unlock(soma_agent *self, struct door *my, const struct turn_key *m)
{
    (void)my, (void)m;
    return soma_become(self, &opened); /* from the next message on */
}

static int on_lock(soma_agent *self, struct door *my, const struct turn_key *m)
{
    (void)my, (void)m;
    return soma_become(self, &locked);
}

static const soma_behavior locked = {.name = "locked door",
                                     .state_size = sizeof(struct door),
                                     .handlers =
                                         SOMA_HANDLERS(SOMA_ON(knock, on_knock_locked), SOMA_ON(turn_key, on_unlock))};

static const soma_behavior opened = {.name = "open door",
                                     .state_size = sizeof(struct door),
                                     .handlers =
                                         SOMA_HANDLERS(SOMA_ON(knock, on_knock_open), SOMA_ON(turn_key, on_lock))};

int main(void)
{
    soma_system *system;
    soma_ref door;
    int error = soma_system_open(&system, NULL);
    if (!error)
        error = soma_spawn(system, &locked, NULL, &door);
    const char *guests[] = {"Ann", "Bob", "Cleo", "Dan"};
    for (uint32_t i = 0; !error && i < 4; i++) {
        error = soma_send(system, door, knock, .who = guests[i]);
        if (!error && i % 2 == 0)
            error = soma_send(system, door, turn_key);
    }
    if (error)
        fprintf(stderr, "become: %s\n", soma_strerror(error));
    int closing = soma_system_close(&system);
    return error || closing;
}
