/* The command `soma`: its arguments, read by argp, and the table of its commands. See soma.h and soma.1. */
#include "soma.h"
#include <argp.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_SECRET = 256, KEY_ALLOWED, KEY_INSECURE, KEY_SERVER, KEY_ALL, KEY_FOLLOW, KEY_END };

static const struct command commands[] = {
    {"ping", "[AGENT]", "ask if an agent, or the name server, is there", 0, 1, 64, {'a', 's'}, command_ping},
    {"wait", "AGENT", "wait until an agent is there, and runs", 1, 1, 64, {'a', 's'}, command_wait},
    {"info", "[AGENT]", "show what an agent, or the name server, has", 0, 1, 64, {'a', 's'}, command_info},
    {"call", "AGENT METHOD [JSON...]", "call a method, print what it gives", 2, 64, 2, {'a', 's'}, command_call},
    {"send", "AGENT METHOD [JSON...]", "call a method, don't wait for its end", 2, 64, 2, {'a', 's'}, command_send},
    {"get", "AGENT [ATTRIBUTE]", "print an attribute, or all", 1, 2, 64, {'a', 's'}, command_get},
    {"set", "AGENT ATTRIBUTE JSON", "set an attribute", 3, 3, 2, {'a', 's'}, command_set},
    {"kill", "AGENT", "end an agent at once", 1, 1, 64, {'a', 's'}, command_kill},
    {"shutdown",
     "[AGENT]",
     "tell an agent, all, or the name server to end",
     0,
     1,
     64,
     {'a', 's', KEY_ALL, KEY_SERVER},
     command_shutdown},
    {"nameserver", "", "run a name server", 0, 0, 64, {'b', KEY_FOLLOW}, command_nameserver},
    {"ls", "[PREFIX]", "list the names of the name service", 0, 1, 64, {'a', 's'}, command_ls},
    {"addr", "AGENT ALIAS", "print the address of an agent's alias", 2, 2, 64, {'a', 's'}, command_addr},
    {"watch", "[PREFIX]", "print changes of names, until Ctrl-C", 0, 1, 64, {'a', 's'}, command_watch},
    {"nodes", "", "list the nodes that a node knows", 0, 0, 64, {'a', 's', KEY_ALL}, command_nodes},
    {"top", "", "watch nodes and their agents", 0, 0, 64, {'a', 's', KEY_ALL, 'e', 'c'}, command_top},
    {"run", "LIBRARY BEHAVIOR [JSON]", "host an agent from a shared object", 2, 3, 64, {'s', 'n', 'b'}, command_run},
    {"keygen", "[FILE]", "make a pair of keys", 0, 1, 64, {0}, command_keygen},
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

static const struct argp_option options[] = {
    {"at", 'a', "ADDRESS", 0, "the node that is meant; AGENT is a local name there (SOMA_AT)", 1},
    {"nameserver", 's', "ADDRESS", 0, "else the name server that knows AGENT (SOMA_NAMESERVICE)", 1},
    {"timeout", 't', "SECONDS", 0, "how long to wait for it (5)", 1},
    {"verbose", 'v', NULL, 0, "log what goes on, too", 1},
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

/* What argp reads into: the tool, and which options there were. */
struct reading {
    struct tool tool;
    bool given[KEY_END];
};

/* Says what is wrong with the arguments, in JSON if that is wanted, and ends. */
static _Noreturn void usage_fail(struct argp_state *state, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void usage_fail(struct argp_state *state, const char *format, ...)
{
    const struct reading *reading = state->input;
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (!reading->tool.json)
        argp_error(state, "%s", text);
    exit(tool_misused(&reading->tool, "%s", text));
}

static uint64_t seconds_of(struct argp_state *state, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (!*text || *end || !(seconds > 0) || seconds > 1e9)
        usage_fail(state, "'%s' is no time in seconds, above 0", text);
    return (uint64_t)ceil(seconds * (double)SOMA_SECOND);
}

static uint32_t times_of(struct argp_state *state, const char *text)
{
    unsigned long times = strspn(text, "0123456789") == strlen(text) ? strtoul(text, NULL, 10) : 0;
    if (!times || times > UINT32_MAX)
        usage_fail(state, "'%s' is no number of looks, above 0", text);
    return (uint32_t)times;
}

static void command_find(struct argp_state *state, struct tool *tool, const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            tool->command = &commands[i];
    if (!tool->command)
        usage_fail(state, "there is no command '%s'", name);
}

static void takes_fail(struct argp_state *state, const struct command *command)
{
    usage_fail(state, "'%s' takes: %s", command->name, *command->arguments ? command->arguments : "no arguments");
}

static void argument_add(struct argp_state *state, struct tool *tool, const char *argument)
{
    if (!tool->command) {
        command_find(state, tool, argument);
        return;
    }
    if (tool->count >= tool->command->most)
        takes_fail(state, tool->command);
    tool->arguments[tool->count++] = argument;
    while (tool->count >= tool->command->plain && state->next < state->argc && tool->count < tool->command->most)
        tool->arguments[tool->count++] = state->argv[state->next++];
}

static bool takes(const struct command *command, int key)
{
    for (size_t i = 0; i < sizeof(command->takes) / sizeof(*command->takes); i++)
        if (command->takes[i] == key)
            return true;
    return false;
}

/* The options that not all commands have: those of the third group, and what says where the agent is. */
static bool is_special(const struct argp_option *option)
{
    return option->group == 3 || option->key == 'a' || option->key == 's';
}

static void reading_check(struct argp_state *state, struct reading *reading)
{
    struct tool *tool = &reading->tool;
    if (!tool->command && tool->json)
        usage_fail(state, "a command is missing");
    if (!tool->command) {
        argp_usage(state);
        return;
    }
    if (tool->count < tool->command->least)
        takes_fail(state, tool->command);
    for (const struct argp_option *option = options; option->name; option++)
        if (reading->given[option->key] && is_special(option) && !takes(tool->command, option->key))
            usage_fail(state, "'%s' takes no --%s", tool->command->name, option->name);
    if (reading->given['a'] && reading->given['s'])
        usage_fail(state, "either --at or --nameserver says where it is");
    if (reading->given['s'] || !takes(tool->command, 'a')) // not what the environment says
        tool->at = NULL;
}

static error_t option_read(int key, char *argument, struct argp_state *state)
{
    struct reading *reading = state->input;
    struct tool *tool = &reading->tool;
    if (key >= 0 && key < KEY_END)
        reading->given[key] = true;
    switch (key) {
    case 'a':
        tool->at = argument;
        break;
    case 's':
        setenv("SOMA_NAMESERVICE", argument, 1); // where soma_names_open() looks
        break;
    case 't':
        tool->timeout = seconds_of(state, argument);
        break;
    case 'j':
        tool->json = true;
        break;
    case 'v':
        tool->verbose = true;
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
        tool->times = times_of(state, argument);
        break;
    case ARGP_KEY_ARG:
        argument_add(state, tool, argument);
        break;
    case ARGP_KEY_END:
        reading_check(state, reading);
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

static bool is_among(int argc, char **argv, const char *option, const char *other)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], option) || !strcmp(argv[i], other))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options,
                                     .parser = option_read,
                                     .args_doc = "COMMAND [ARGUMENT...]",
                                     .doc = "\vEnds with 0; 1 if the agent fails it; 2 for a wrong usage; 3 if "
                                            "something is not there; 4 if it was not reached in time.",
                                     .help_filter = help_filter};
    struct reading reading = {.tool = {.at = getenv("SOMA_AT"),
                                       .secret_file = getenv("SOMA_SECRET_FILE"),
                                       .allowed_file = getenv("SOMA_ALLOWED_FILE"),
                                       .timeout = 5 * SOMA_SECOND,
                                       .every = SOMA_SECOND,
                                       .json = is_among(argc, argv, "-j", "--json")}};
    struct tool *tool = &reading.tool;
    bool help = is_among(argc, argv, "-?", "--help") || is_among(argc, argv, "--usage", "--version");
    bool quiet = tool->json && !help; // what is wrong, also before that option, is said in JSON, by us
    char version[64];
    snprintf(version, sizeof(version), "soma %s", soma_version());
    argp_program_version = version;
    argp_err_exit_status = STATUS_USAGE;
    if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER | (quiet ? ARGP_NO_ERRS : 0), NULL, &reading))
        return tool_misused(tool, "an option is unknown, or lacks what it takes");
    int status = tool_check(tool);
    if (!status)
        status = tool->command->run(tool);
    tool_close(tool);
    return fflush(stdout) ? STATUS_FAILED : status;
}
