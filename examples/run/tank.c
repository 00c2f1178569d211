/* A behavior in a shared object, for `soma run libtank.so tank`: no main, and nothing to link with but Soma. */
#include <soma/soma.h>

struct tank {
    int64_t litres;
    int64_t limit;
    char place[32];
};

static int fill(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    int64_t litres;
    if (soma_value_get_i64(arguments, &litres) || litres < 0)
        return soma_fail(self, SOMA_EINVAL, "how many litres?");
    if (litres > my->limit - my->litres)
        return soma_fail(self, SOMA_ETOOBIG, "it holds %lld litres", (long long)my->limit);
    my->litres += litres;
    soma_log_info(self, "%lld litres", (long long)my->litres);
    return soma_value_add_i64(result, my->litres);
}

static int burst(soma_agent *self, struct tank *my, soma_value arguments, soma_value_builder *result)
{
    (void)my, (void)arguments, (void)result;
    soma_agent_exit(self, soma_fail(self, SOMA_ETOOBIG, "it has burst"));
    return 0;
}

static int init(soma_agent *self, void *state, const void *arg)
{
    (void)self, (void)arg;
    ((struct tank *)state)->limit = 100;
    return 0;
}

extern const soma_behavior tank;
const soma_behavior tank = {
    .name = "tank",
    .state_size = sizeof(struct tank),
    .init = init,
    .methods = SOMA_METHODS(SOMA_METHOD("fill", fill, "adds litres, gives how many there are"),
                            SOMA_METHOD("burst", burst, "is its end")),
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE("place", struct tank, place, "where it stands"),
                                  SOMA_ATTRIBUTE("limit", struct tank, limit, "litres, at most"),
                                  SOMA_ATTRIBUTE_READ("litres", struct tank, litres, "how many are in it"))};
