/* Where an option's value comes from: the code, else the environment, else the default. */
#include "runtime/options.h"
#include "runtime/text.h"
#include <errno.h>
#include <soma/error.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct option {
    uint32_t *value; /* what the code gave; 0 for nothing */
    const char *variable;
    uint32_t fallback;
    uint32_t limit;
};

static int environment_read(const char *variable, uint32_t *value)
{
    const char *text = getenv(variable);
    if (!text || !*text)
        return 0;
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (*end || text[0] == '-')
        return SOMA_EINVAL;
    if (errno || number > UINT32_MAX)
        return SOMA_ETOOBIG;
    *value = (uint32_t)number;
    return 0;
}

static int option_resolve(const struct option *option, bool *environment)
{
    *environment = !*option->value;
    int error = *option->value ? 0 : environment_read(option->variable, option->value);
    if (!error && !*option->value)
        *option->value = option->fallback;
    return !error && *option->value > option->limit ? SOMA_ETOOBIG : error;
}

/* Who set a variable and who calls are seldom the same, so the error alone would not be found. */
static void environment_blame(const soma_options *options, const struct driver *driver, const char *variable, int error)
{
    char text[SOMA_LOG_TEXT_MAX];
    snprintf(text, sizeof(text), "environment: %s=%.100s: %s", variable, getenv(variable), soma_strerror(error));
    text_clean(text);
    const soma_log_record record = {
        .time = driver->date(driver->context), .level = SOMA_LOG_ERROR, .origin = "system", .text = text};
    options->log_sink(options->log_context, &record);
}

static uint32_t cores(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (online < 1)
        return 1;
    return online > SOMA_WORKERS_MAX ? SOMA_WORKERS_MAX : (uint32_t)online;
}

static int log_level_resolve(soma_log_level *level)
{
    const char *text = getenv("SOMA_LOG_LEVEL");
    if (*level > SOMA_LOG_DEBUG)
        return SOMA_EINVAL;
    if (*level != SOMA_LOG_DEFAULT)
        return 0;
    *level = SOMA_LOG_INFO;
    return text && *text ? soma_log_level_parse(text, level) : 0;
}

int options_resolve(const soma_options *given, const struct driver *driver, soma_options *result)
{
    *result = given ? *given : (soma_options){0};
    const struct option options[] = {
        {&result->workers, "SOMA_WORKERS", result->workers ? 0 : cores(), SOMA_WORKERS_MAX}, // it is slow to ask
        {&result->batch, "SOMA_BATCH", 100, 1000000},
        {&result->slots, "SOMA_SLOTS", 1u << 24, 1u << 28},
        {&result->pin, "SOMA_PIN", 0, 1},
        {&result->handler_limit_ms, "SOMA_HANDLER_LIMIT_MS", 0, 86400000},
        {&result->guard, "SOMA_GUARD", 0, 1},
        {&result->drain_ms, "SOMA_DRAIN_MS", 30000, UINT32_MAX},
    };
    if (!result->log_sink)
        result->log_sink = soma_log_stderr;
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        bool environment;
        int error = option_resolve(&options[i], &environment);
        if (error && environment)
            environment_blame(result, driver, options[i].variable, error);
        if (error)
            return error;
    }
    bool environment = result->log_level == SOMA_LOG_DEFAULT;
    int error = log_level_resolve(&result->log_level);
    if (error && environment)
        environment_blame(result, driver, "SOMA_LOG_LEVEL", error);
    return error;
}
