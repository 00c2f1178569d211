/* Who logs: agents and systems put their name and level before the log itself. */
#include "runtime/extension.h"
#include "runtime/system.h"
#include <soma/error.h>
#include <stdio.h>

void soma_agent_log(const soma_agent *self, soma_log_level level, const char *format, ...)
{
    if (!self || !format || level < SOMA_LOG_ERROR || level > SOMA_LOG_DEBUG)
        return;
    soma_system *system = self->worker->system;
    uint32_t own = self->extension ? self->extension->log_level : SOMA_LOG_DEFAULT;
    if (own ? level > own : !log_wanted(&system->log, level))
        return;
    char origin[LOG_ORIGIN_MAX];
    soma_ref ref = soma_self(self);
    snprintf(origin, sizeof(origin), "%.40s %u.%u", self->dispatch->behavior->name, ref.slot, ref.generation);
    va_list arguments;
    va_start(arguments, format);
    log_write(&system->log, system->driver.date(system->driver.context), level, origin, format, arguments);
    va_end(arguments);
}

void soma_system_log(soma_system *system, soma_log_level level, const char *format, ...)
{
    if (!system || !format || level < SOMA_LOG_ERROR || level > SOMA_LOG_DEBUG || !log_wanted(&system->log, level))
        return;
    va_list arguments;
    va_start(arguments, format);
    log_write(&system->log, system->driver.date(system->driver.context), level, "system", format, arguments);
    va_end(arguments);
}

int soma_agent_log_level_set(soma_agent *self, soma_log_level level)
{
    if (!self || level > SOMA_LOG_DEBUG)
        return SOMA_EINVAL;
    if (!extension_need(self))
        return SOMA_ENOMEM;
    self->extension->log_level = level;
    return 0;
}

int soma_system_log_level_set(soma_system *system, soma_log_level level)
{
    if (!system || level == SOMA_LOG_DEFAULT || level > SOMA_LOG_DEBUG)
        return SOMA_EINVAL;
    u32_store(&system->log.level, level);
    return 0;
}
