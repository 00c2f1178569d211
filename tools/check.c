/* What names and addresses must be like, so that a wrong one is said before anybody is looked for. See soma.h. */
#include "soma.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static bool is_printable(const char *text, char least, char without)
{
    for (; *text; text++)
        if (*text < least || *text > '~' || *text == without)
            return false;
    return true;
}

/* A name at the name service; local ones may have any bytes. */
static int name_check(const struct tool *tool, const char *what, const char *name, bool local)
{
    if (!*name)
        return tool_misused(tool, "%s is empty", what);
    if (strlen(name) > SOMA_NAME_MOST)
        return tool_misused(tool, "%s has %zu bytes; at most %u are allowed", what, strlen(name), SOMA_NAME_MOST);
    if (!local && !is_printable(name, '!', 0))
        return tool_misused(tool, "%s '%s' has other characters than printable ASCII without the space", what, name);
    return STATUS_FINE;
}

static int alias_check(const struct tool *tool, const char *alias)
{
    if (!*alias || strlen(alias) > SOMA_ALIAS_MOST || !is_printable(alias, '!', '/'))
        return tool_misused(tool, "'%s' is no alias: 1 to %u printable ASCII characters without the space and '/'",
                            alias, SOMA_ALIAS_MOST);
    return STATUS_FINE;
}

/* Where one listens, the port may be missing. */
static bool is_node(const char *address, bool listens)
{
    if (!strncmp(address, "tcp://", 6))
        return (listens || strchr(address + 6, ':')) && address[6] && strlen(address) <= SOMA_ADDRESS_MOST;
    return !strncmp(address, "ipc://", 6) && address[6] && strlen(address) <= SOMA_ADDRESS_MOST;
}

/* On this machine alone: the host must be a number, or `localhost`. */
static bool is_here(const char *address)
{
    char host[sizeof("255.255.255.255")] = "";
    struct in_addr ip;
    if (strncmp(address, "tcp://", 6) != 0)
        return true;
    address += 6;
    if (!strncmp(address, "[::1]", 5))
        return true;
    size_t size = strcspn(address, ": ");
    if (size < sizeof(host))
        memcpy(host, address, size);
    return !strcmp(host, "localhost") || (inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127);
}

/* What a bridge would refuse, docs/bridge_security.md, in words of this command's options. */
static int trust_check(const struct tool *tool, const char *what, const char *address, bool listens)
{
    bool keyed = strchr(address, ' ');
    if (tool->secret_file && !keyed && !listens)
        return tool_misused(tool,
                            "%s '%s' lacks the node's public key, behind a space: with a secret key there are no"
                            " links without",
                            what, address);
    if (!tool->secret_file && keyed)
        return tool_misused(tool, "%s '%s' is of a node with keys: --secret-file says what this one's is", what,
                            address);
    if (tool->secret_file || tool->insecure || is_here(address))
        return STATUS_FINE;
    return tool_misused(tool,
                        "%s '%s' is beyond this machine: that wants keys (--secret-file), or --insecure on a"
                        " network that you trust",
                        what, address);
}

static int address_check(const struct tool *tool, const char *what, const char *address, bool listens)
{
    if (!address)
        return STATUS_FINE;
    if (!is_node(address, listens))
        return tool_misused(tool, "%s '%s' is no address: tcp://IP:PORT or ipc://PATH", what, address);
    return trust_check(tool, what, address, listens);
}

/* Those of etcd have commas in them; soma_names_open() looks at them closer. */
static int nameservice_check(const struct tool *tool, const char *list)
{
    const char *at = list;
    while (at && *at && strncmp(at, "etcd", 4) != 0) {
        char address[SOMA_ADDRESS_MOST + 2];
        size_t size = strcspn(at, ",");
        snprintf(address, sizeof(address), "%.*s", (int)size, at);
        if (!is_node(address, false) && strcmp(address, "local") != 0)
            return tool_misused(tool,
                                "--nameserver (SOMA_NAMESERVICE) '%s' is no list of addresses with commas between:"
                                " tcp://IP:PORT, ipc://PATH or etcd://...",
                                list);
        int status = strcmp(address, "local") ? trust_check(tool, "--nameserver (SOMA_NAMESERVICE)", address, false)
                                              : STATUS_FINE;
        if (status)
            return status;
        at += size + (at[size] == ',');
        at += strspn(at, " ");
    }
    return STATUS_FINE;
}

int tool_check(const struct tool *tool)
{
    const char *takes = tool->command->arguments, *first = tool->arguments[0];
    int status = address_check(tool, "--at (SOMA_AT)", tool->at, false);
    if (!status)
        status = address_check(tool, "--bind", tool->bind, true);
    if (!status)
        status = address_check(tool, "--follow", tool->follow, false);
    if (!status && !tool->at)
        status = nameservice_check(tool, getenv("SOMA_NAMESERVICE"));
    if (!status && tool->name)
        status = name_check(tool, "--name", tool->name, !getenv("SOMA_NAMESERVICE"));
    if (!status && first && (!strncmp(takes, "AGENT", 5) || !strncmp(takes, "[AGENT", 6)))
        status = name_check(tool, "the name of the agent", first, tool->at);
    if (!status && first && *first && !strcmp(takes, "[PREFIX]"))
        status = name_check(tool, "the prefix", first, false);
    if (!status && tool->count > 1 && strstr(takes, "ALIAS"))
        status = alias_check(tool, tool->arguments[1]);
    return status;
}
