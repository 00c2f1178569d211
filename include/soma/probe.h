/**
 * @file
 * Probes and mocks: agents that a test drives. A probe records what it gets; the test expects it, message by message,
 * and answers. A mock is a probe in the place of all agents of a behavior. Part of the test kit; see soma/test.h.
 *
 *     soma_probe *store = soma_probe_open(test, soma_test_system(test), "store");
 *     assert_int_equal(soma_spawn(soma_test_system(test), &clerk, NULL, &ref), 0);
 *     const struct get *ask = soma_expect(store, get, SOMA_SECOND); // the clerk has asked the store
 *     assert_int_equal(ask->key, 7);
 *     soma_probe_reply(store, value, .of = 70);
 *     soma_expect_none(store, SOMA_SECOND);
 *
 * An expectation that fails ends the run, at its line in the test, and lists all that the probe has got. Time is the
 * run's: virtual in a simulation, where waiting costs nothing; real on real threads, and there an expectation does not
 * fail before all is at rest, too.
 *
 * What a probe is told to do (reply, send, request, …) its agent does in its next turn, behind what waits in its
 * mailbox, in the order of the calls. So it is done when the test next waits, and if the agent is gone by then it is
 * not done. Messages are copied when they are passed. All of it ends with the test.
 */
#ifndef SOMA_PROBE_H
#define SOMA_PROBE_H

#include <soma/monitor.h>
#include <soma/request.h>
#include <soma/test.h>

/** What a test expects messages of, and lets act. */
typedef struct soma_probe soma_probe;

/** @cond internal: Doxygen can't see into the macro */
/* How a request of a probe's own has failed. */
SOMA_MESSAGE(soma_probe_error, (i32, error))
/** @endcond */

/**
 * A probe with an agent of its own. It takes any message, traps exits (they come as soma_exited), and is spared from
 * the seed's faults.
 * @param test the run
 * @param system the node it lives on
 * @param name a local name that it has from now on, whoever had it before: so it stands in for a named agent, which
 *        lives on without; also what reports call it. NULL for none
 * @return the probe; the test kit frees it
 */
SOMA_API soma_probe *soma_probe_open(soma_test *test, soma_system *system, const char *name);

/**
 * A mock: from now on whoever spawns `behavior`, on any node of the run, also a supervisor, gets an agent that does
 * nothing but record in this probe, in place of that behavior's init and handlers. Of two mocks of a behavior the later
 * counts. Agents that live already, that become `behavior`, or whose behavior extends it, are not touched.
 * @param test the run
 * @param behavior what is replaced
 * @return the probe; the test kit frees it
 */
SOMA_API soma_probe *soma_mock_open(soma_test *test, const soma_behavior *behavior);

/**
 * The agent that a probe acts as: its own. That of a mock is the one that got the last expected message; before any,
 * the one spawned last, or the null ref.
 */
SOMA_API soma_ref soma_probe_ref(const soma_probe *probe);

/** @name Expecting
 * What is expected is a `const struct T *`, valid until the test ends. Each message is expected once.
 * @{ */

/** The next message must come within some time and be of type T: `const struct get *m = soma_expect(probe, get,
 *  SOMA_SECOND)`. A time of 0 is for what is under way. */
#define soma_expect(probe, T, within)                                                                                  \
    ((const struct T *)soma_probe_expect((probe), SOMA_EXPECTATION_(T, (within), .is_next = true)))

/** The first message of type T, wherever it stands: those before it stay to be expected. For messages that may come in
 *  any order. */
#define soma_expect_among(probe, T, within)                                                                            \
    ((const struct T *)soma_probe_expect((probe), SOMA_EXPECTATION_(T, (within), .is_next = false)))

/** The first message of type T for which `bool where(const struct T *m, const void *arg)` is true, wherever it
 *  stands. */
#define soma_expect_where(probe, T, within, where_, arg_)                                                              \
    ((const struct T *)soma_probe_expect(                                                                              \
        (probe), SOMA_EXPECTATION_(T, (within), .arg = (arg_),                                                         \
                                   .where = _Generic((where_)((const struct T *)0, (const void *)0), bool              \
                                                     : (soma_probe_where *)(void (*)(void))(where_)))))

/** No message may be left, or come within some time. */
#define soma_expect_none(probe, within)                                                                                \
    soma_probe_expect_none((probe), &(const soma_expectation){NULL, (within), true, NULL, NULL, __FILE__, __LINE__})

/** Messages of type T are passed over by all that is expected from now on, also those that came before.
 *  Requests among them get no answer. */
#define soma_probe_ignore(probe, T) soma_probe_ignore_type((probe), &T##_type)

/** Who sent the last expected message: the null ref for one from outside. */
SOMA_API soma_ref soma_probe_sender(const soma_probe *probe);

/** @} */

/** @name Acting
 * @{ */

/** Answers the last expected message: `soma_probe_reply(probe, value, .of = 70)` is the reply if it was a request,
 *  which waits for it until then, else a message to its sender. A request is answered once. */
#define soma_probe_reply(probe, ...) soma_probe_reply_message((probe), SOMA_BODY_(__VA_ARGS__))

/** Fails the request that was expected last; its requester gets `error`, a number but 0. */
SOMA_API void soma_probe_reply_error(soma_probe *probe, int error);

/** Passes the last expected message on, with its sender unchanged; who gets a request answers in the probe's place. */
SOMA_API void soma_probe_forward(soma_probe *probe, soma_ref to);

/** Sends a message: `soma_probe_send(probe, to, put, .key = 7)`. */
#define soma_probe_send(probe, to, ...) soma_probe_send_message((probe), (to), SOMA_BODY_(__VA_ARGS__))

/** Asks: `soma_probe_request(probe, to, SOMA_SECOND, value, get, .key = 7)`. Then expect the reply (`value`), or
 *  soma_probe_error, whose `error` is what #SOMA_THEN's error handler gets, from whom was asked. */
#define soma_probe_request(probe, to, timeout, R, ...)                                                                 \
    soma_probe_request_message((probe), (to), (timeout), &R##_type, SOMA_BODY_(__VA_ARGS__))

/** Watches an agent, see soma_monitor(); then expect soma_down. */
SOMA_API void soma_probe_monitor(soma_probe *probe, soma_ref agent);

/** Links with an agent, see soma_link(); then expect soma_exited. */
SOMA_API void soma_probe_link(soma_probe *probe, soma_ref agent);

/** From now on each message of type T is answered at once, as by soma_probe_reply(): `soma_probe_answer(probe, get,
 *  value, .of = 70)`. It is recorded, too. A later answer for the type takes the place of an earlier one. */
#define soma_probe_answer(probe, T, ...) soma_probe_answer_message((probe), &T##_type, SOMA_BODY_(__VA_ARGS__))

/** From now on each request of type T fails at once, with `error`. Else as soma_probe_answer(). */
#define soma_probe_answer_error(probe, T, error) soma_probe_answer_failure((probe), &T##_type, (error))

/** @} */

/** @cond internal */
typedef bool soma_probe_where(const void *message, const void *arg);

typedef struct soma_expectation {
    const soma_type *type;
    uint64_t within;
    bool is_next; /* else the first that fits */
    soma_probe_where *where;
    const void *arg;
    const char *file;
    int line;
} soma_expectation;

#define SOMA_EXPECTATION_(T, within_, ...)                                                                             \
    (&(const soma_expectation){.type = &T##_type, .within = (within_), .file = __FILE__, .line = __LINE__, __VA_ARGS__})

SOMA_API const void *soma_probe_expect(soma_probe *probe, const soma_expectation *expectation);
SOMA_API void soma_probe_expect_none(soma_probe *probe, const soma_expectation *expectation);
SOMA_API void soma_probe_ignore_type(soma_probe *probe, const soma_type *type);
SOMA_API void soma_probe_reply_message(soma_probe *probe, const soma_type *type, const void *body);
SOMA_API void soma_probe_send_message(soma_probe *probe, soma_ref to, const soma_type *type, const void *body);
SOMA_API void soma_probe_request_message(soma_probe *probe, soma_ref to, uint64_t timeout, const soma_type *reply,
                                         const soma_type *type, const void *body);
SOMA_API void soma_probe_answer_message(soma_probe *probe, const soma_type *asked, const soma_type *type,
                                        const void *body);
SOMA_API void soma_probe_answer_failure(soma_probe *probe, const soma_type *asked, int error);
/** @endcond */

#endif
