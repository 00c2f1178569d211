/* Channels that are wired from outside, by proxies: in one system, simulated and real. */
#include "wiring.h"

static void test_push_pull(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *alice = part_open(system, "alice"), *bob = part_open(system, "bob");
    char address[SOMA_ADDRESS_MOST + 1], again[SOMA_ADDRESS_MOST + 1];
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PUSH, "main", NULL, NULL, address), 0);
    assert_int_equal(soma_proxy_address(alice, LONG, "main", again), 0);
    assert_string_equal(address, again);
    assert_int_equal(soma_proxy_connect(bob, LONG, address, "in", "take"), 0);
    assert_int_equal(soma_proxy_address(bob, LONG, "in", again), 0);
    assert_string_equal(address, again);
    assert_int_equal(soma_proxy_wait_peers(alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(alice, "main", NULL, "\"hello\""), 0);
    assert_int_equal(send_json(alice, "main", NULL, "{\"n\":1}"), 0);
    assert_int_equal(soma_proxy_send_to(alice, LONG, "main", SOMA_VALUE_NONE), 0);
    check_log(test, bob, "\"hello\" {\"n\":1} null ");
    assert_int_equal(soma_proxy_close_channel(bob, LONG, "in"), 0);
    while (!send_json(alice, "main", NULL, "2")) // until it has heard of that
        ;
    assert_string_equal(soma_proxy_error(alice),
                        "channel 'main': nobody is there who takes it; wait until it has peers");
    soma_proxy_close(&alice);
    soma_proxy_close(&bob);
}

static void test_pub_sub(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *press = part_open(system, "press"), *reader = part_open(system, "reader");
    assert_int_equal(soma_proxy_bind(press, LONG, SOMA_PUB, "feed", "inproc://news", NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect(reader, LONG, "inproc://news pub", "paper", NULL), 0);
    assert_int_equal(soma_proxy_subscribe(reader, LONG, "paper", "sport/", "cheer"), 0);
    assert_int_equal(soma_proxy_subscribe(reader, LONG, "paper", "weather", "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(press, LONG, "feed", 1), 0);
    assert_int_equal(send_json(press, "feed", "weather", "\"sunny\""), 0);
    assert_int_equal(send_json(press, "feed", "sport/chess", "1"), 0);
    assert_int_equal(send_json(press, "feed", "letters", "2"), 0);
    check_log(test, reader, "\"sunny\" sport/chess ");
    assert_int_equal(soma_proxy_unsubscribe(reader, LONG, "paper", "weather"), 0);
    assert_int_equal(soma_proxy_unsubscribe(reader, LONG, "paper", "weather"), SOMA_ENOENT);
    assert_int_equal(send_json(press, "feed", "weather", "\"rain\""), 0);
    assert_int_equal(send_json(press, "feed", "sport/golf", "3"), 0);
    check_log(test, reader, "\"sunny\" sport/chess sport/golf ");
    soma_proxy_close(&press);
    soma_proxy_close(&reader);
}

static void test_req_rep(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *asker = part_open(system, "asker"), *replier = part_open(system, "replier");
    char address[SOMA_ADDRESS_MOST + 1];
    soma_value question = json("7"), nonsense = json("[]"), reply;
    int64_t number;
    assert_int_equal(soma_proxy_bind(replier, LONG, SOMA_REP, "main", NULL, "answer", address), 0);
    assert_int_equal(soma_proxy_connect(asker, LONG, address, "out", NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(soma_proxy_request_to(asker, LONG, "out", question, &reply), 0);
        assert_int_equal(soma_value_get_i64(reply, &number), 0);
        assert_int_equal(number, 49);
        soma_value_destroy(&reply);
    }
    assert_int_equal(soma_proxy_request_to(asker, LONG, "out", nonsense, &reply), SOMA_EINVAL);
    assert_string_equal(soma_proxy_error(asker), "what number?");
    assert_int_equal(soma_proxy_close_channel(replier, LONG, NULL), 0);
    assert_int_not_equal(soma_proxy_request_to(asker, LONG, "out", question, NULL), 0);
    soma_value_destroy(&question);
    soma_value_destroy(&nonsense);
    soma_proxy_close(&asker);
    soma_proxy_close(&replier);
}

/* ---- what has a type comes to a method as the map of its fields ---- */

static int send_job(soma_agent *self, void *state, void *arg)
{
    (void)state, (void)arg;
    return soma_send_to(self, "main", job, .number = 7, .what = "dig");
}

static int on_job(soma_agent *self, struct part *my, const struct job *m)
{
    (void)self;
    part_log(my, m->what);
    return 0;
}

/* A row of its own, and all else by method. */
static int pull_both(soma_agent *self, void *state, void *arg)
{
    soma_address address;
    (void)state, (void)arg;
    assert_int_equal(soma_address_parse("inproc://jobs push", &address), 0);
    char method[] = "take"; // is copied
    assert_int_equal(soma_connect(self, &address, "in", SOMA_HANDLERS(SOMA_ON(job, on_job), SOMA_BY_METHOD(method))),
                     0);
    method[0] = 'f';
    return 0;
}

static int run(soma_test *test, const char *name, int (*fn)(soma_agent *self, void *state, void *arg))
{
    soma_ref ref;
    assert_int_equal(soma_whereis(soma_test_system(test), name, &ref), 0);
    return soma_post(soma_test_system(test), ref, fn, NULL, NULL);
}

static void test_types(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *alice = part_open(system, "alice"), *bob = part_open(system, "bob");
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PUSH, "main", "inproc://jobs", NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect(bob, LONG, "inproc://jobs push", "in", "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(alice, LONG, "main", 1), 0);
    assert_int_equal(run(test, "alice", send_job), 0);
    check_log(test, bob, "{\"number\":7,\"what\":\"dig\"} ");
    assert_int_equal(soma_proxy_close_channel(bob, LONG, "in"), 0);
    assert_int_equal(run(test, "bob", pull_both), 0);
    do // it may yet be connected to what was closed
        assert_int_equal(soma_proxy_wait_peers(alice, LONG, "main", 1), 0);
    while (send_json(alice, "main", NULL, "1"));
    check_log(test, bob, "{\"number\":7,\"what\":\"dig\"} 1 ");
    assert_int_equal(run(test, "alice", send_job), 0);
    check_log(test, bob, "{\"number\":7,\"what\":\"dig\"} 1 dig ");
    soma_proxy_close(&alice);
    soma_proxy_close(&bob);
}

/* ---- several handlers ---- */

static void call(soma_proxy *proxy, const char *method, const char *arguments, int expected)
{
    soma_value value = json(arguments);
    assert_int_equal(soma_proxy_call(proxy, LONG, method, value, NULL), expected);
    soma_value_destroy(&value);
}

static void connect_by(soma_proxy *proxy, const char *arguments, int expected)
{
    call(proxy, "soma.connect", arguments, expected);
}

/* A list of methods, which run in its order, by name and by rows; of a SUB also a map of them by topics. */
static void test_several_handlers(soma_test *test)
{
    const soma_channel_options both = {.handlers = SOMA_HANDLERS(SOMA_BY_METHOD("take"), SOMA_BY_METHOD("cheer"))};
    soma_system *system = soma_test_system(test);
    soma_proxy *press = part_open(system, "press"), *bob = part_open(system, "bob"), *eve = part_open(system, "eve"),
               *sue = part_open(system, "sue");
    char address[SOMA_ADDRESS_MOST + 1];
    assert_int_equal(soma_proxy_bind(press, LONG, SOMA_PUB, "feed", "inproc://news", NULL, address), 0);
    connect_by(bob, "{\"to\":\"inproc://news pub\",\"alias\":\"in\",\"handler\":[\"cheer\",\"take\"]}", 0);
    assert_int_equal(soma_proxy_connect_with(eve, LONG, address, "in", &both, NULL), 0);
    connect_by(sue,
               "{\"to\":\"inproc://news pub\",\"alias\":\"in\",\"handler\":{\"sport/\":\"cheer\","
               "\"weather\":[\"take\",\"take\"]}}",
               0);
    assert_int_equal(soma_proxy_wait_peers(press, LONG, "feed", 3), 0);
    assert_int_equal(send_json(press, "feed", "sport/chess", "1"), 0);
    assert_int_equal(send_json(press, "feed", "weather", "2"), 0);
    check_log(test, bob, "sport/chess 1 weather 2 ");
    check_log(test, eve, "1 sport/chess 2 weather ");
    check_log(test, sue, "sport/chess 2 2 ");
    assert_int_equal(soma_proxy_connect_with(eve, LONG, address, "x", &both, "take"), SOMA_EINVAL); // which?
    connect_by(eve, "{\"to\":\"inproc://news pub\",\"alias\":\"x\",\"handler\":[]}", SOMA_EINVAL);
    connect_by(eve, "{\"to\":\"inproc://news pub\",\"alias\":\"x\",\"handler\":[\"take\",7]}", SOMA_ETYPE);
    connect_by(eve, "{\"to\":\"inproc://news pub\",\"alias\":\"x\",\"handler\":{\"a\":\"burn\"}}", SOMA_ENOENT);
    connect_by(eve, "{\"to\":\"inproc://x pair\",\"alias\":\"x\",\"handler\":{\"a\":\"take\"}}", SOMA_ESTATE);
    assert_int_equal(soma_proxy_address(eve, LONG, "x", address), SOMA_ENOENT); // none of these has left anything
    soma_proxy_close(&press);
    soma_proxy_close(&bob);
    soma_proxy_close(&eve);
    soma_proxy_close(&sue);
}

/* ---- errors, in words ---- */

static void expect_error(soma_proxy *proxy, int error, int expected, const char *text)
{
    assert_int_equal(error, expected);
    assert_string_equal(soma_proxy_error(proxy), text);
}

static void test_errors(soma_test *test)
{
    static const soma_behavior plain = {.name = "plain"};
    soma_system *system = soma_test_system(test);
    soma_proxy *alice = part_open(system, "alice"), *other;
    char address[SOMA_ADDRESS_MOST + 1];
    soma_ref ref;
    expect_error(alice, soma_proxy_bind(alice, LONG, SOMA_PULL, "in", NULL, "burn", NULL), SOMA_ENOENT,
                 "there is no method 'burn' to be the handler");
    expect_error(alice, soma_proxy_bind(alice, LONG, SOMA_PULL, "in", NULL, NULL, address), SOMA_EINVAL,
                 "channel 'in': a pull has no handlers, and wants some");
    assert_string_equal(address, "");
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PULL, "in", NULL, "take", NULL), 0);
    expect_error(alice, soma_proxy_bind(alice, LONG, SOMA_PUSH, "in", NULL, NULL, NULL), SOMA_EEXIST,
                 "channel 'in': the agent has a channel of that alias");
    expect_error(alice, send_json(alice, "in", NULL, "1"), SOMA_ESTATE, "channel 'in': a pull can't send");
    expect_error(alice, soma_proxy_subscribe(alice, LONG, "in", "t", "take"), SOMA_ESTATE,
                 "channel 'in': a pull can't subscribe");
    expect_error(alice, soma_proxy_connect(alice, LONG, "nowhere", "out", NULL), SOMA_EINVAL,
                 "channel 'out': 'nowhere' is neither an address nor a name/alias");
    expect_error(alice, soma_proxy_connect(alice, LONG, "bob/main", "out", NULL), SOMA_ESTATE,
                 "channel 'out': there is no client of a name service here to find 'bob/main'"); // no name service
    expect_error(alice, soma_proxy_address(alice, LONG, "out", address), SOMA_ENOENT, "the agent has no channel 'out'");
    expect_error(alice, soma_proxy_wait_peers(alice, 30 * SOMA_MS, "in", 2), SOMA_ETIMEOUT,
                 "channel 'in' has 0 of 2 peers");
    assert_int_equal(soma_proxy_close_channel(alice, LONG, "out"), SOMA_ENOENT);
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_ANY_PATTERN, "x", NULL, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_proxy_bind(NULL, LONG, SOMA_PUSH, "x", NULL, NULL, NULL), SOMA_EINVAL);
    assert_int_equal(soma_proxy_connect(alice, 0, "inproc://x push", "x", "take"), SOMA_EINVAL);
    assert_int_equal(soma_spawn(system, &plain, NULL, &ref), 0);
    assert_int_equal(soma_proxy_open_ref(system, ref, &other), 0);
    expect_error(other, soma_proxy_bind(other, LONG, SOMA_PUSH, "x", NULL, NULL, NULL), SOMA_ENOENT,
                 "'plain' has no method 'soma.bind'");
    soma_proxy_close(&other);
    soma_proxy_close(&alice);
}

/* ---- options ---- */

/* Writes down what it is to bind and connect. */
static const soma_behavior clerk = {
    .name = "clerk",
    .state_size = sizeof(struct part),
    .methods = SOMA_METHODS(SOMA_METHOD("soma.bind", take), SOMA_METHOD("soma.connect", take)),
    .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE_READ("log", struct part, log, "what came")),
};

static void expect_misuse(soma_proxy *proxy, int error, const char *why)
{
    char text[200];
    snprintf(text, sizeof(text), "an argument is not valid: %s", why);
    expect_error(proxy, error, SOMA_EINVAL, text);
}

/* All that can be said of a channel is said from outside, too. */
static void test_options_travel(soma_test *test)
{
    const soma_channel_keys keys = {.secret = "s", .server = "p", .allowed = "a"};
    const soma_channel_options bound = {.place = "tcp", .serializer = "json", .high_water = 1, .insecure = true};
    const soma_channel_options all = {.serializer = "raw",
                                      .framing = SOMA_FRAMES_SEPARATED,
                                      .identity = "me",
                                      .linger_ms = 2,
                                      .message_most = 3,
                                      .heartbeat_ms = 4,
                                      .conflate = true,
                                      .keys = &keys};
    const soma_channel_options useless[] = {{.handlers = SOMA_HANDLERS(SOMA_ON(job, on_job))},
                                            {.framing = (soma_framing)9}};
    static const char *const why[] = {"a handler that is a function doesn't travel: say a method",
                                      "there is no such framing"};
    soma_system *system = soma_test_system(test);
    soma_proxy *proxy;
    soma_ref ref;
    assert_int_equal(soma_spawn(system, &clerk, NULL, &ref), 0);
    assert_int_equal(soma_proxy_open_ref(system, ref, &proxy), 0);
    assert_int_equal(soma_proxy_bind_with(proxy, LONG, SOMA_PUSH, "a", &bound, NULL, NULL), 0);
    assert_int_equal(soma_proxy_connect_with(proxy, 8, "x", "b", &all, "take"), 0);
    check_log(test, proxy,
              "{\"alias\":\"a\",\"pattern\":\"push\",\"place\":\"tcp\",\"serializer\":\"json\",\"high_water\":1,"
              "\"insecure\":true,\"timeout\":52500000000} "
              "{\"alias\":\"b\",\"to\":\"x\",\"handler\":\"take\",\"serializer\":\"raw\",\"framing\":\"separated\","
              "\"identity\":\"me\",\"linger_ms\":2,\"message_most\":3,\"heartbeat_ms\":4,\"conflate\":true,"
              "\"keys\":{\"secret\":\"s\",\"server\":\"p\",\"allowed\":\"a\"},\"timeout\":7} ");
    for (int i = 0; i < 2; i++) {
        expect_misuse(proxy, soma_proxy_bind_with(proxy, LONG, SOMA_PULL, "c", &useless[i], NULL, NULL), why[i]);
        expect_misuse(proxy, soma_proxy_connect_with(proxy, LONG, "x", "c", &useless[i], NULL), why[i]);
    }
    expect_misuse(proxy, soma_proxy_connect_with(proxy, LONG, "x", "c", &bound, NULL),
                  "who connects has no place of its own");
    soma_proxy_close(&proxy);
}

/* One side is wired from outside, the other has the same from inside: else they would not understand each other. */
static int join_inside(soma_agent *self, void *state, void *arg)
{
    const soma_channel_options options = {
        .handlers = SOMA_HANDLERS(SOMA_BY_METHOD("take")), .serializer = "json", .framing = SOMA_FRAMES_SEPARATED};
    (void)state;
    return soma_connect_to(self, arg, "in", &options, LONG);
}

static void test_options_hold(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *press = part_open(system, "press"), *outer = part_open(system, "outer"),
               *inner = part_open(system, "inner");
    char address[SOMA_ADDRESS_MOST + 1];
    soma_ref ref;
    soma_channel_options options = {.place = "tcp", .serializer = "json", .framing = SOMA_FRAMES_SEPARATED};
    assert_int_equal(soma_proxy_bind_with(press, LONG, SOMA_PUB, "feed", &options, NULL, address), 0);
    options.place = NULL;
    assert_int_equal(soma_proxy_connect_with(outer, LONG, address, "in", &options, "take"), 0);
    assert_int_equal(soma_whereis(system, "inner", &ref), 0);
    assert_int_equal(soma_post(system, ref, join_inside, address, NULL), 0);
    assert_int_equal(soma_proxy_wait_peers(press, LONG, "feed", 2), 0);
    assert_int_equal(send_json(press, "feed", "sport", "{\"n\":1}"), 0);
    check_log(test, outer, "{\"n\":1} ");
    check_log(test, inner, "{\"n\":1} ");
    soma_proxy_close(&press);
    soma_proxy_close(&outer);
    soma_proxy_close(&inner);
}

/* The agent's defaults, from outside, and again what they were. */
static void test_defaults(soma_test *test)
{
    soma_proxy *alice = part_open(soma_test_system(test), "alice");
    char address[SOMA_ADDRESS_MOST + 1];
    call(alice, "soma.defaults", "{\"place\":\"tcp\",\"serializer\":\"json\"}", 0);
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PUSH, "a", NULL, NULL, address), 0);
    assert_memory_equal(address, "tcp://127.0.0.1:", 16);
    call(alice, "soma.defaults", "{\"place\":\"ipc:///tmp/one\"}", SOMA_EINVAL);
    call(alice, "soma.defaults", "{\"serializer\":\"smoke\"}", SOMA_EINVAL);
    call(alice, "soma.defaults", "{\"handler\":\"take\"}", SOMA_EINVAL);
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PUSH, "b", NULL, NULL, address), 0);
    assert_memory_equal(address, "tcp://127.0.0.1:", 16);
    call(alice, "soma.defaults", "null", 0);
    assert_int_equal(soma_proxy_bind(alice, LONG, SOMA_PUSH, "c", NULL, NULL, address), 0);
    assert_memory_equal(address, "inproc://", 9);
    soma_proxy_close(&alice);
}

/* A count of a channel of alice's. */
static int64_t counted(soma_proxy *alice, const char *alias, const char *count)
{
    soma_value channels, channel, item;
    int64_t number;
    assert_int_equal(soma_proxy_call(alice, LONG, "soma.channels", SOMA_VALUE_NONE, &channels), 0);
    assert_int_equal(soma_value_get_entry(channels, alias, &channel), 0);
    assert_int_equal(soma_value_get_entry(channel, count, &item), 0);
    assert_int_equal(soma_value_get_i64(item, &number), 0);
    soma_value_destroy(&channels);
    return number;
}

/* What a channel can't make sense of is seen from outside. */
static void test_counts(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *alice = part_open(system, "alice"), *bob = part_open(system, "bob");
    char address[SOMA_ADDRESS_MOST + 1];
    const soma_channel_options bound = {.place = "tcp", .serializer = "json"}, other = {.serializer = "msgpack"};
    assert_int_equal(soma_proxy_bind_with(alice, LONG, SOMA_PULL, "in", &bound, "take", address), 0);
    assert_int_equal(soma_proxy_connect_with(bob, LONG, address, "main", &other, NULL), 0);
    assert_int_equal(soma_proxy_wait_peers(bob, LONG, "main", 1), 0);
    assert_int_equal(send_json(bob, "main", NULL, "[1]"), 0);
    while (!counted(alice, "in", "malformed"))
        ;
    assert_int_equal(counted(alice, "in", "malformed"), 1);
    assert_int_equal(counted(alice, "in", "connected"), 1);
    assert_int_equal(counted(alice, "in", "missed"), 0);
    soma_proxy_close(&alice);
    soma_proxy_close(&bob);
}

/* Keys from outside: who has the right one comes in. */
static void test_keys(soma_test *test)
{
    soma_system *system = soma_test_system(test);
    soma_proxy *alice = part_open(system, "alice"), *bob = part_open(system, "bob");
    char address[SOMA_ADDRESS_MOST + 1], public_key[SOMA_BRIDGE_KEY_SIZE], secret[SOMA_BRIDGE_KEY_SIZE];
    assert_int_equal(soma_bridge_keygen(public_key, secret), 0);
    soma_channel_keys keys = {.secret = secret, .server = public_key, .allowed = public_key};
    soma_channel_options options = {.place = "tcp://127.0.0.1", .keys = &keys};
    assert_int_equal(soma_proxy_bind_with(alice, LONG, SOMA_PUSH, "main", &options, NULL, address), 0);
    options.place = "tcp://*";
    assert_int_equal(soma_proxy_bind_with(alice, LONG, SOMA_PUSH, "all", &options, NULL, NULL), 0);
    expect_error(alice, soma_proxy_bind(alice, LONG, SOMA_PUSH, "open", options.place, NULL, NULL), SOMA_EINVAL,
                 "channel 'open': '0.0.0.0' is for other machines, too: that wants keys, or the option `insecure`");
    options.place = NULL;
    assert_int_equal(soma_proxy_connect_with(bob, LONG, address, "in", &options, "take"), 0);
    assert_int_equal(soma_proxy_wait_peers(alice, LONG, "main", 1), 0);
    assert_int_equal(send_json(alice, "main", NULL, "1"), 0);
    check_log(test, bob, "1 ");
    options.place = "tcp";
    keys.allowed = "none";
    assert_int_equal(soma_proxy_bind_with(alice, LONG, SOMA_PUSH, "x", &options, NULL, NULL), SOMA_EFORMAT);
    soma_proxy_close(&alice);
    soma_proxy_close(&bob);
}

/* The arguments of the methods, as a command line may give them. */
static void test_arguments(soma_test *test)
{
    static const struct {
        const char *method, *arguments, *text;
        int error;
    } cases[] = {
        {"soma.bind", "1", "the argument must be a map", SOMA_ETYPE},
        {"soma.bind", "{\"alias\":\"a\"}", "'pattern' is missing", SOMA_EINVAL},
        {"soma.bind", "{\"pattern\":\"shout\"}", "there is no pattern 'shout'", SOMA_EINVAL},
        {"soma.bind", "{\"pattern\":\"a-very-long-pattern\"}", "'pattern' is too long", SOMA_ETOOBIG},
        {"soma.bind", "{\"pattern\":\"push\",\"alias\":7}", "'alias' must be a text", SOMA_ETYPE},
        {"soma.bind", "{\"pattern\":\"push\",\"alias\":\"a\",\"high_water\":\"ten\"}",
         "'high_water' must be a number of 32 bits", SOMA_ETYPE},
        {"soma.bind", "{\"pattern\":\"push\",\"alias\":\"a\",\"linger_ms\":4294967296}",
         "'linger_ms' must be a number of 32 bits", SOMA_ETYPE},
        {"soma.bind", "{\"pattern\":\"pull\",\"alias\":\"a\",\"conflate\":1}", "'conflate' must be true or false",
         SOMA_ETYPE},
        {"soma.bind", "{\"pattern\":\"pub\",\"alias\":\"a\",\"framing\":\"none\"}", "there is no framing 'none'",
         SOMA_EINVAL},
        {"soma.bind", "{\"pattern\":\"push\",\"alias\":\"a\",\"linger\":10}", "there is no option 'linger'",
         SOMA_EINVAL},
        {"soma.bind", "{\"pattern\":\"push\",\"alias\":\"a\",\"keys\":{\"public\":\"\"}}",
         "there is no option 'public'", SOMA_EINVAL},
        {"soma.bind", "{\"pattern\":\"pub\",\"alias\":\"a\",\"keys\":7}", "'keys' must be a map", SOMA_ETYPE},
        {"soma.connect",
         "{\"to\":\"inproc://x rep\",\"alias\":\"a\",\"serializer\":\"a-serializer-of-a-very-long-name-indeed\"}",
         "'serializer' is too long", SOMA_ETOOBIG},
        {"soma.connect", "{\"alias\":\"a\"}", "'to' is missing", SOMA_EINVAL},
        {"soma.connect", "{\"to\":\"inproc://x push\",\"alias\":\"a\",\"handler\":\"take\",\"timeout\":0}",
         "'timeout' must be nanoseconds, above 0", SOMA_EINVAL},
        {"soma.connect", "{\"to\":\"inproc://x push\",\"alias\":\"a\",\"handler\":\"take\",\"place\":\"tcp\"}",
         "there is no option 'place'", SOMA_EINVAL},
        {"soma.subscribe", "{\"alias\":\"a\",\"topic\":\"\"}", "'handler' is missing", SOMA_EINVAL},
        {"soma.subscribe", "{\"alias\":\"a\",\"topic\":\"\",\"handler\":\"take\",\"topics\":[]}",
         "there is no option 'topics'", SOMA_EINVAL},
        {"soma.unsubscribe", "{\"alias\":\"a\",\"topic\":\"\",\"handler\":\"take\"}", "there is no option 'handler'",
         SOMA_EINVAL},
        {"soma.send", "{\"alias\":\"a\",\"message\":1}", "there is no option 'message'", SOMA_EINVAL},
        {"soma.request", "{\"alias\":\"a\",\"wait\":1}", "there is no option 'wait'", SOMA_EINVAL},
        {"soma.send", "{\"alias\":\"a\"}", "the agent has no channel 'a'", SOMA_ENOENT},
        {"soma.request", "{\"alias\":\"a\"}", "the agent has no channel 'a'", SOMA_ENOENT},
        {"soma.close", "7", "soma.close wants an alias", SOMA_EINVAL},
        {"soma.close", "{\"linger\":0}", "there is no option 'linger'", SOMA_EINVAL},
        {"soma.close", "{\"linger_ms\":-1}", "'linger_ms' must be a number of 32 bits", SOMA_ETYPE},
        {"soma.close", "{\"alias\":\"a\",\"linger_ms\":0}", "the agent has no channel 'a'", SOMA_ENOENT},
    };
    soma_proxy *alice = part_open(soma_test_system(test), "alice");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        soma_value arguments = json(cases[i].arguments);
        expect_error(alice, soma_proxy_call(alice, LONG, cases[i].method, arguments, NULL), cases[i].error,
                     cases[i].text);
        soma_value_destroy(&arguments);
    }
    soma_proxy_close(&alice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SOMA_SIM(test_push_pull, test_load(200), 100000),
        SOMA_REAL(test_push_pull),
        SOMA_SIM(test_pub_sub, test_load(200), 100000),
        SOMA_REAL(test_pub_sub),
        SOMA_SIM(test_req_rep, test_load(200), 100000),
        SOMA_SIM(test_types, test_load(200), 100000),
        SOMA_REAL(test_types),
        SOMA_SIM(test_several_handlers, test_load(50), 100000),
        SOMA_REAL(test_several_handlers),
        SOMA_SIM(test_options_travel, 1, 100000),
        SOMA_REAL(test_options_hold),
        SOMA_REAL(test_defaults),
        SOMA_REAL(test_counts),
        SOMA_REAL(test_keys),
        SOMA_SIM(test_errors, test_load(50), 100000),
        SOMA_SIM(test_arguments, test_load(50), 100000),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
