/* Keys of a channel: who is bound says whose may come in, who connects whom he expects there. A stranger is turned
 * away, and both sides hear why. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(letter, (string, text))

struct keys {
    char public_key[SOMA_BRIDGE_KEY_SIZE], secret_key[SOMA_BRIDGE_KEY_SIZE];
};

enum { VAULT, FRIEND, STRANGER, ALL };

static struct keys keys[ALL]; /* as a rule each makes its own, and tells others the public one */
static soma_address vault_at;

/* ---- the vault: its state is how many it has dealt with ---- */

static int on_letter(soma_agent *self, uint32_t *count, const struct letter *m)
{
    printf("the vault takes: %s\n", m->text);
    return ++*count == 2 ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int on_refused(soma_agent *self, uint32_t *count, const struct soma_channel_refused *m)
{
    printf("the vault has let nobody in: %s\n", m->why);
    return ++*count == 2 ? soma_system_stop(soma_agent_system(self)) : 0;
}

static int vault_init(soma_agent *self, void *state, const void *arg)
{
    const soma_channel_keys own = {.secret = keys[VAULT].secret_key, .allowed = keys[FRIEND].public_key};
    const soma_channel_options options = {
        .place = "tcp://127.0.0.1", .keys = &own, .handlers = SOMA_HANDLERS(SOMA_ON(letter, on_letter))};
    (void)state, (void)arg;
    return soma_bind(self, SOMA_PULL, "in", &options, &vault_at);
}

static const soma_behavior vault = {.name = "vault",
                                    .state_size = sizeof(uint32_t),
                                    .init = vault_init,
                                    .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_refused, on_refused))};

/* ---- who sends something there as soon as he is connected ---- */

static int sender_init(soma_agent *self, void *state, const void *arg)
{
    const struct keys *mine = arg;
    const soma_channel_keys own = {.secret = mine->secret_key, .server = keys[VAULT].public_key};
    (void)state;
    return soma_connect_with(self, &vault_at, "out", &(soma_channel_options){.keys = &own});
}

static int on_changed(soma_agent *self, void *state, const struct soma_channel_changed *m)
{
    (void)state;
    return m->peers ? soma_send_to(self, "out", letter, .text = "a diamond") : 0;
}

static const soma_behavior sender = {
    .name = "sender", .init = sender_init, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    soma_system *system;
    int error = soma_system_open(&system, &(soma_options){.log_level = SOMA_LOG_OFF}); /* it would say so, too */
    for (int i = 0; i < ALL && !error; i++)
        error = soma_bridge_keygen(keys[i].public_key, keys[i].secret_key);
    if (!error)
        error = soma_spawn(system, &vault, NULL, NULL);
    for (int i = FRIEND; i < ALL && !error; i++)
        error = soma_spawn(system, &sender, &keys[i], NULL);
    if (!error)
        error = soma_system_run(system);
    return soma_system_close(&system) || error;
}
