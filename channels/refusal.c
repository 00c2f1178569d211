/* Connections that came to nothing: who tries in vain, or is tried in vain, hears why. See line.h. */
#include "channels/porter.h"
#include "channels/remote.h"
#include "runtime/dispatch.h"
#include "runtime/send.h"
#include <soma/error.h>
#include <soma/log.h>
#include <stdio.h>

static const struct {
    int error;
    const char *connected; /* why, as who connects has it, */
    const char *bound;     /* and who is bound */
} refusals[] = {
    [REFUSED_PATTERN] = {SOMA_ETYPE, "what is bound there is of another pattern", "who has come is of another pattern"},
    [REFUSED_SECURITY] = {SOMA_EINVAL, "one side has keys, and the other has none",
                          "one side has keys, and the other has none"},
    [REFUSED_SERVER] = {SOMA_EINVAL, "what is bound there has another key than `server` says",
                        "who has come takes us for one with another key (its `server`)"},
    [REFUSED_ALLOWED] = {SOMA_EINVAL, "our key is not `allowed` there", "the key of who has come is not `allowed`"},
    [REFUSED_PROTOCOL] = {SOMA_EFORMAT, "what is there does not speak ZeroMQ", "who has come does not speak ZeroMQ"},
    [REFUSED_IDENTITY] = {SOMA_EEXIST, "", // only who is bound sees it
                          "one who is connected is heard no more, as another has come under his identity"},
    [REFUSED_CLOSED] = {SOMA_EGONE, "it was closed there: another pattern, other keys or none, no ZeroMQ, or its end",
                        "who has come has closed it: another pattern, other keys or none, or its end"},
};

#define REFUSAL_SIZE 400

static void refusal_print(const struct line *line, enum refusal why, char text[REFUSAL_SIZE])
{
    const char *reason = line->bound ? refusals[why].bound : refusals[why].connected;
    int length = snprintf(text, REFUSAL_SIZE, "no connection%s%s: %s", line->bound ? "" : " to ",
                          line->bound ? "" : line->endpoint, reason);
    soma_pattern twin = soma_pattern_twin(line->pattern);
    if (why == REFUSED_PATTERN && length < REFUSAL_SIZE)
        snprintf(text + length, REFUSAL_SIZE - (size_t)length, ", or breaks ZeroMQ's rules; %s %s goes with %s %s",
                 pattern_article(line->pattern), soma_pattern_name(line->pattern), pattern_article(twin),
                 soma_pattern_name(twin));
}

static int refused_run(soma_agent *self, void *state, void *arg)
{
    struct arrival *arrival = arg;
    const struct channel *channel = owner_find(self, arrival);
    soma_handler_fn *fn = channel ? dispatch_find(self->dispatch, &soma_channel_refused_type) : NULL;
    char why[REFUSAL_SIZE], alias[SOMA_CHANNEL_ALIAS_MOST + 1];
    enum refusal refusal = (enum refusal)arrival->peers;
    refusal_print(arrival->line, refusal, why);
    snprintf(alias, sizeof(alias), "%s", arrival->line->alias);
    arrival_end(arrival);
    arrival_names(self, &soma_channel_refused_type);
    return fn ? fn(self, state,
                   &(const struct soma_channel_refused){.alias = alias, .error = refusals[refusal].error, .why = why})
              : 0;
}

void line_refuse(struct line *line, enum refusal why)
{
    struct porter *porter = line->porter;
    uint64_t before = u64_add(&line->counts.refused, 1);
    char text[REFUSAL_SIZE];
    if (before & (before + 1) || line->deadline) // the 1st, 2nd, 4th, 8th … is told
        return;
    refusal_print(line, why, text);
    // Who comes and goes at once is no reason to warn.
    soma_system_log(porter->system, why == REFUSED_CLOSED && line->bound ? SOMA_LOG_INFO : SOMA_LOG_WARNING,
                    "channel '%s' of agent %u.%u: %s (%llu so far)", line->alias, line->owner.agent.slot,
                    line->owner.agent.generation, text, (unsigned long long)before + 1);
    struct message *message = arrival_new(porter->worker, line, refused_run, 0);
    if (!message)
        return; // it is in the log
    arrival_of(message)->weight = 0;
    arrival_of(message)->peers = why;
    message_push_along(porter->system, porter->worker, line->owner.agent, message);
}
