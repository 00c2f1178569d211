/*
 * Keys: two nodes that encrypt all they say to each other and let nobody else in; then one is not wanted any more.
 * docs/bridge_security.md
 */
#include <soma/bridge.h>
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(ask, (string, name))
SOMA_MESSAGE(told, (string, secret))

static int on_ask(soma_agent *self, void *state, const struct ask *m)
{
    (void)state, (void)m;
    return soma_reply(self, told, .secret = "the cake is in the cellar");
}

static const soma_behavior keeper = {.name = "keeper", .handlers = SOMA_HANDLERS(SOMA_ON(ask, on_ask))};

struct keys {
    char public_key[SOMA_BRIDGE_KEY_SIZE], secret_key[SOMA_BRIDGE_KEY_SIZE];
};

/* A node with these keys, that talks to the node with that public key. */
static int node_open(const struct keys *keys, const char *other, soma_system **system, soma_bridge **bridge)
{
    static const char *const here[] = {"tcp://127.0.0.1", NULL};
    const soma_bridge_options options = {
        .bind = here, .secret_key = keys->secret_key, .allowed = other, .down_ms = 1000};
    int error = soma_system_open(system, NULL);
    return error ? error : soma_bridge_open(*system, &options, bridge);
}

/* What the keeper at the cellar's address says to the guest. */
static int visit(soma_system *guest, soma_bridge *bridge, const char *address)
{
    struct told answer;
    soma_ref ref;
    int error = soma_bridge_find(bridge, address, "keeper", 5 * SOMA_SECOND, &ref);
    if (!error)
        error = soma_call(guest, ref, 5 * SOMA_SECOND, &answer, told, ask, .name = "guest");
    if (error)
        return error;
    printf("the guest was told that %s\n", answer.secret);
    told_destroy(&answer);
    return 0;
}

int main(void)
{
    struct keys cellar, guest; // as a rule each node makes its own, and tells others the public one
    soma_system *cellar_system, *guest_system = NULL;
    soma_bridge *cellar_bridge, *guest_bridge;
    soma_ref ref;
    if (soma_bridge_keygen(cellar.public_key, cellar.secret_key) ||
        soma_bridge_keygen(guest.public_key, guest.secret_key))
        return 1;
    int error = node_open(&cellar, guest.public_key, &cellar_system, &cellar_bridge);
    if (!error)
        error = node_open(&guest, cellar.public_key, &guest_system, &guest_bridge);
    if (!error)
        error = soma_spawn(cellar_system, &keeper, NULL, &ref);
    if (!error)
        error = soma_name_set(cellar_system, ref, "keeper");
    const char *address = error ? NULL : soma_bridge_address(cellar_bridge, 0); // with the key
    if (!error)
        error = visit(guest_system, guest_bridge, address);
    if (!error)
        error = soma_bridge_keys_reload(cellar_bridge, ""); // nobody is welcome any more
    if (!error)
        printf("later it was told: %s\n", soma_strerror(visit(guest_system, guest_bridge, address)));
    soma_system_close(&guest_system);
    soma_system_close(&cellar_system);
    return error != 0;
}
