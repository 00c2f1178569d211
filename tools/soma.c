/* The command `soma`: its arguments, read by argp, and the table of its commands. See soma.h and soma.1. */
#include "soma.h"
#include <argp.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
    {"ping", "[AGENT]", "ask an agent, or the name server, whether it is there", 0, 1, 64, command_ping},
    {"wait", "AGENT", "wait until an agent is there, and runs", 1, 1, 64, command_wait},
    {"info", "[AGENT]", "show what an agent, or the name server, has and is", 0, 1, 64, command_info},
    {"call", "AGENT METHOD [JSON...]", "call a method, print what it gives", 2, 64, 2, command_call},
    {"send", "AGENT METHOD [JSON...]", "call a method, don't wait for its end", 2, 64, 2, command_send},
    {"get", "AGENT [ATTRIBUTE]", "print an attribute, or all", 1, 2, 64, command_get},
    {"set", "AGENT ATTRIBUTE JSON", "set an attribute", 3, 3, 2, command_set},
    {"kill", "AGENT", "end an agent at once", 1, 1, 64, command_kill},
    {"shutdown", "[AGENT]", "tell an agent, all, or the name server to end", 0, 1, 64, command_shutdown},
    {"nameserver", "", "run a name server", 0, 0, 64, command_nameserver},
    {"ls", "[PREFIX]", "list the names of the name service", 0, 1, 64, command_ls},
    {"addr", "AGENT ALIAS", "print the address of an agent's alias", 2, 2, 64, command_addr},
    {"watch", "[PREFIX]", "print changes of names, until Ctrl-C", 0, 1, 64, command_watch},
    {"nodes", "", "list the nodes that a node knows", 0, 0, 64, command_nodes},
    {"top", "", "watch nodes and their agents", 0, 0, 64, command_top},
    {"run", "LIBRARY BEHAVIOR [JSON]", "host an agent from a shared object", 2, 3, 64, command_run},
    {"keygen", "[FILE]", "make a pair of keys", 0, 1, 64, command_keygen},
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

enum { KEY_SECRET = 256, KEY_ALLOWED, KEY_INSECURE, KEY_SERVER, KEY_ALL, KEY_FOLLOW };

static const struct argp_option options[] = {
    {"at", 'a', "ADDRESS", 0, "the node on which AGENT is a local name (SOMA_AT)", 1},
    {"nameserver", 's', "ADDRESS", 0, "else the name server that knows AGENT (SOMA_NAMESERVICE)", 1},
    {"timeout", 't', "SECONDS", 0, "how long to wait for it (5)", 1},
    {"json", 'j', NULL, 0, "print JSON, one line", 1},
    {"secret-file", KEY_SECRET, "FILE", 0, "the secret key to go by (SOMA_SECRET_FILE)", 2},
    {"allowed-file", KEY_ALLOWED, "FILE", 0, "the public keys to trust (SOMA_ALLOWED_FILE); else that in ADDRESS", 2},
    {"insecure", KEY_INSECURE, NULL, 0, "do without keys also beyond this machine", 2},
    {"name", 'n', "NAME", 0, "run: what the agent is called (BEHAVIOR)", 3},
    {"bind", 'b', "ADDRESS", 0, "run, nameserver: where to listen (tcp://127.0.0.1)", 3},
    {"follow", KEY_FOLLOW, "ADDRESS", 0, "nameserver: of the one that this one follows", 3},
    {"all", KEY_ALL, NULL, 0, "shutdown: all that have names; nodes, top: also nodes that are down", 3},
    {"server", KEY_SERVER, NULL, 0, "shutdown: the name server, after all else", 3},
    {"every", 'e', "SECONDS", 0, "top: the time between two looks (1)", 3},
    {"count", 'c', "N", 0, "top: end after N looks", 3},
    {0}};

static uint64_t seconds_of(struct argp_state *state, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (!*text || *end || !(seconds > 0) || seconds > 1e9)
        argp_error(state, "'%s' is no time in seconds", text);
    return (uint64_t)ceil(seconds * (double)SOMA_SECOND);
}

static void command_find(struct argp_state *state, struct tool *tool, const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            tool->command = &commands[i];
    if (!tool->command)
        argp_error(state, "there is no command '%s'", name);
}

static void argument_add(struct argp_state *state, struct tool *tool, const char *argument)
{
    if (!tool->command) {
        command_find(state, tool, argument);
        return;
    }
    if (tool->count >= tool->command->most)
        argp_error(state, "'%s' takes: %s", tool->command->name, tool->command->arguments);
    tool->arguments[tool->count++] = argument;
    while (tool->count >= tool->command->plain && state->next < state->argc && tool->count < tool->command->most)
        tool->arguments[tool->count++] = state->argv[state->next++];
}

static error_t option_read(int key, char *argument, struct argp_state *state)
{
    struct tool *tool = state->input;
    switch (key) {
    case 'a':
        tool->at = argument;
        break;
    case 's':
        setenv("SOMA_NAMESERVICE", argument, 1); // where soma_names_open() looks
        tool->at = NULL;
        break;
    case 't':
        tool->timeout = seconds_of(state, argument);
        break;
    case 'j':
        tool->json = true;
        break;
    case KEY_SECRET:
        tool->secret_file = argument;
        break;
    case KEY_ALLOWED:
        tool->allowed_file = argument;
        break;
    case KEY_INSECURE:
        tool->insecure = true;
        break;
    case 'n':
        tool->name = argument;
        break;
    case 'b':
        tool->bind = argument;
        break;
    case KEY_FOLLOW:
        tool->follow = argument;
        break;
    case KEY_SERVER:
        tool->server = true;
        break;
    case KEY_ALL:
        tool->all = true;
        break;
    case 'e':
        tool->every = seconds_of(state, argument);
        break;
    case 'c':
        tool->times = (uint32_t)strtoul(argument, NULL, 10);
        if (!tool->times)
            argp_error(state, "'%s' is no number of looks", argument);
        break;
    case ARGP_KEY_ARG:
        argument_add(state, tool, argument);
        break;
    case ARGP_KEY_END:
        if (!tool->command)
            argp_usage(state);
        else if (tool->count < tool->command->least)
            argp_error(state, "'%s' takes: %s", tool->command->name, tool->command->arguments);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* The commands, in front of the options. argp frees what is not `text`. */
static char *help_filter(int key, const char *text, void *input)
{
    char *help;
    size_t size;
    (void)input;
    if (key != ARGP_KEY_HELP_PRE_DOC)
        return (char *)(uintptr_t)text;
    FILE *stream = open_memstream(&help, &size);
    if (!stream)
        return NULL;
    fprintf(stream, "Looks at agents and speaks to them, wherever they are.\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        char usage[64];
        snprintf(usage, sizeof(usage), "%s %s", commands[i].name, commands[i].arguments);
        fprintf(stream, "  %-30s %s\n", usage, commands[i].about);
    }
    return fclose(stream) ? NULL : help;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options,
                                     .parser = option_read,
                                     .args_doc = "COMMAND [ARGUMENT...]",
                                     .doc = "\vEnds with 0; 1 if the agent fails it; 2 for a wrong usage; 3 if "
                                            "something is not there; 4 if it was not reached in time.",
                                     .help_filter = help_filter};
    struct tool tool = {.at = getenv("SOMA_AT"),
                        .secret_file = getenv("SOMA_SECRET_FILE"),
                        .allowed_file = getenv("SOMA_ALLOWED_FILE"),
                        .timeout = 5 * SOMA_SECOND,
                        .every = SOMA_SECOND};
    char version[64];
    snprintf(version, sizeof(version), "soma %s", soma_version());
    argp_program_version = version;
    argp_err_exit_status = STATUS_USAGE;
    argp_parse(&argp, argc, argv, ARGP_IN_ORDER, NULL, &tool);
    int status = tool.command->run(&tool);
    tool_close(&tool);
    return fflush(stdout) ? STATUS_FAILED : status;
}
