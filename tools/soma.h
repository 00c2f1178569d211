/*
 * The command `soma`: one table of commands (soma.c), each a function here. They are programs like any user's: what
 * they know of a node they ask by proxies, through a bridge of their own.
 */
#ifndef TOOLS_SOMA_H
#define TOOLS_SOMA_H

#include <jansson.h>
#include <soma/soma.h>

/* What the command ends with. */
enum status {
    STATUS_FINE = 0,
    STATUS_FAILED = 1,   /* the agent has failed it, or something else went wrong */
    STATUS_USAGE = 2,    /* the arguments make no sense */
    STATUS_MISSING = 3,  /* there is no such agent, method, attribute, behavior or file */
    STATUS_UNREACHED = 4 /* no answer in time, or the node is down */
};

struct tool;

struct command {
    const char *name;
    const char *arguments; /* for people */
    const char *about;
    int least, most; /* arguments */
    int plain;       /* after so many of them what begins with "-" is none of our options, but JSON */
    int takes[5];    /* the keys of its options, beyond those that all have */
    int (*run)(struct tool *tool);
};

struct tool {
    const struct command *command;
    const char *arguments[64];
    int count;
    /* options */
    const char *at; /* a node's address; NULL: that of the name server that soma_names_open() finds */
    const char *name;
    const char *bind;
    const char *follow;
    const char *secret_file;
    const char *allowed_file;
    uint64_t timeout;
    uint64_t every;
    uint32_t times;
    bool insecure;
    bool json;
    bool all;
    bool server;
    bool verbose;
    bool only_looks;     /* nothing that it says need arrive */
    bool meets_all;      /* calls all nodes that it hears of, not only those that it asks */
    void (*leave)(void); /* gives the terminal back, before something is said; NULL: it was not taken */
    /* once a command has opened them */
    soma_system *system;
    soma_bridge *bridge;
    soma_names *names;
};

/* ---- session.c ---- */

/* A system with a bridge, which listens at `bind`, or nowhere for NULL. STATUS_FINE, or what the command ends with. */
int tool_open(struct tool *tool, const char *bind);
void tool_close(struct tool *tool);

/* A client of the name service as the options say, in tool->names: of the name server at the node that is meant. */
int tool_names(struct tool *tool);

/* A proxy for the agent of a name: a local one at the address of the options, else one of the name service. NULL: for
 * the name server. STATUS_FINE, or what the command ends with. */
int tool_proxy(struct tool *tool, const char *name, soma_proxy **proxy);

/* Says what the name service failed with, and where it was looked for. What the command ends with. */
int names_fail(const struct tool *tool, int error);

/* Ends a proxy, and says what it failed with. What the command ends with. */
int proxy_done(const struct tool *tool, soma_proxy **proxy, int error);

/* How people call it. */
const char *agent_text(const char *name);

#define REF_TEXT_SIZE 64

/* A ref as the command shows it. */
const char *ref_text(soma_ref ref, char text[REF_TEXT_SIZE]);

/* Says what went wrong. What the command ends with. */
int tool_fail(const struct tool *tool, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, in the line of an argument or an option that makes no sense. */
int tool_misused(const struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Are names and addresses among the arguments and options of the kind that they should be? */
int tool_check(const struct tool *tool);

/* The arguments from one on as a value: none is nil, several are an array. The caller destroys it. */
int tool_json(const struct tool *tool, int from, soma_value *value);

/* A value as jansson has it; NULL if JSON has no form for it. */
json_t *value_json(soma_value value);

/* Prints it, for people or in one line, and ends it. */
int tool_print(const struct tool *tool, json_t *json);

/* ---- the commands ---- */

int command_ping(struct tool *tool);
int command_wait(struct tool *tool);
int command_call(struct tool *tool);
int command_send(struct tool *tool);
int command_get(struct tool *tool);
int command_set(struct tool *tool);
int command_info(struct tool *tool);
int command_kill(struct tool *tool);
int command_shutdown(struct tool *tool);
int command_keygen(struct tool *tool);
int command_nodes(struct tool *tool);
int command_run(struct tool *tool);
int command_top(struct tool *tool);
int command_nameserver(struct tool *tool);
int command_ls(struct tool *tool);
int command_addr(struct tool *tool);
int command_watch(struct tool *tool);

#endif
