/* Where an option's value comes from: the code, else the environment, else the default. */
#include "runtime/options.h"
#include <errno.h>
#include <soma/error.h>
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

static int option_resolve(const struct option *option)
{
    if (!*option->value) {
        int error = environment_read(option->variable, option->value);
        if (error)
            return error;
    }
    if (!*option->value)
        *option->value = option->fallback;
    return *option->value > option->limit ? SOMA_ETOOBIG : 0;
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

int options_resolve(const soma_options *given, soma_options *result)
{
    *result = given ? *given : (soma_options){0};
    const struct option options[] = {
        {&result->workers, "SOMA_WORKERS", cores(), SOMA_WORKERS_MAX},
        {&result->batch, "SOMA_BATCH", 100, 1000000},
        {&result->slots, "SOMA_SLOTS", 1u << 24, 1u << 28},
        {&result->pin, "SOMA_PIN", 0, 1},
        {&result->drain_ms, "SOMA_DRAIN_MS", 30000, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        int error = option_resolve(&options[i]);
        if (error)
            return error;
    }
    if (!result->log_sink)
        result->log_sink = soma_log_stderr;
    return log_level_resolve(&result->log_level);
}
