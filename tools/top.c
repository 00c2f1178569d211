/* `soma top`: what nodes do, again and again: a table in a terminal, else lines. See soma.h. */
#include "nodes.h"
#include <curses.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static const struct nodes *volatile looked_at; /* by the only one that there is */
static volatile sig_atomic_t ended;            /* by a signal, or a key */

/* ---- lines ---- */

/* A line of a table: to the terminal's window, or to standard output. */
static void line(bool window, bool bold, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (!window) {
        puts(text);
        return;
    }
    attrset(bold ? A_BOLD : A_NORMAL);
    addnstr(text, COLS);
    addch('\n');
}

/* What stands there of one that does not answer. */
static void silent_show(json_t *node, bool window)
{
    json_t *age = json_object_get(node, "age");
    char since[32] = "no answer yet";
    if (node_is_hidden(node))
        snprintf(since, sizeof(since), "it listens nowhere");
    else if (json_is_number(age))
        snprintf(since, sizeof(since), "no answer for %.0f s", json_number_value(age));
    line(window, false, "%-20.20s %9s  %s", node_text(node, "name"), node_text(node, "state"), since);
}

static void nodes_show(json_t *nodes, bool window)
{
    size_t i;
    json_t *node;
    line(window, true, "%-20s %9s %12s %8s %8s %10s %9s", "NODE", "AGENTS", "MESSAGES/S", "QUEUED", "MUTED", "DEAD",
         "MEMORY");
    json_array_foreach(nodes, i, node)
    {
        if (!node_answers(node)) {
            silent_show(node, window);
            continue;
        }
        line(window, false, "%-20.20s %9lld %12.1f %8lld %8lld %10lld %8.1fM", node_text(node, "name"),
             (long long)node_number(node, "agents"), json_number_value(json_object_get(node, "messages_per_second")),
             (long long)node_number(node, "queued"), (long long)node_number(node, "muted"),
             (long long)node_number(node, "dead_letters"), (double)node_number(node, "memory") / (1 << 20));
    }
}

static void agents_show(json_t *nodes, bool window)
{
    size_t i, j;
    json_t *node, *row;
    line(window, false, "%s", "");
    line(window, true, "%-20s %-24s %-32s %10s", "NODE", "BEHAVIOR", "AGENT", "MAILBOX");
    json_array_foreach(nodes, i, node)
        json_array_foreach(json_object_get(json_object_get(node, "watch"), "mailboxes"), j, row)
            line(window, false, "%-20.20s %-24.24s %-32s %10lld", node_text(node, "name"), node_text(row, "behavior"),
                 node_text(json_object_get(row, "agent"), "$ref"),
                 (long long)json_integer_value(json_object_get(row, "messages")));
    line(window, false, "%s", "");
    line(window, true, "%-20s %-24s %-32s %10s", "NODE", "BEHAVIOR", "SLOWEST HANDLER", "SECONDS");
    json_array_foreach(nodes, i, node) json_array_foreach(json_object_get(json_object_get(node, "watch"), "handlers"),
                                                          j, row)
        line(window, false, "%-20.20s %-24.24s %-32.32s %10.6f", node_text(node, "name"), node_text(row, "behavior"),
             node_text(row, "message"), json_number_value(json_object_get(row, "longest")));
}

/* ---- again and again ---- */

static bool is_ended(void)
{
    if (stdscr) {
        int key = getch();
        ended |= key == 'q' || key == 'Q';
    }
    return ended;
}

static void on_signal(int number)
{
    (void)number;
    ended = true;
    if (looked_at)
        nodes_wake(looked_at);
}

static int look_show(const struct tool *tool, struct nodes *nodes, bool window)
{
    json_t *rows = nodes_rows(nodes);
    if (tool->json)
        return tool_print(tool, rows) || fflush(stdout) ? STATUS_FAILED : STATUS_FINE;
    if (window)
        erase();
    nodes_show(rows, window);
    agents_show(rows, window);
    json_decref(rows);
    if (window)
        refresh();
    return window || !fflush(stdout) ? STATUS_FINE : STATUS_FAILED;
}

#define FIRST_LOOK SOMA_SECOND /* at least, as links are to be made */

/* Nobody is waited for longer than until the next look is due. */
static int looks(struct tool *tool, struct nodes *nodes, bool window)
{
    int status = STATUS_FINE;
    bool goes_on = true;
    for (uint32_t i = 0; !status && goes_on && (!tool->times || i < tool->times); i++) {
        uint64_t due = soma_now(tool->system) + tool->every;
        uint64_t limit = i || tool->every > FIRST_LOOK ? tool->every : FIRST_LOOK;
        goes_on = nodes_look(nodes, limit < tool->timeout ? limit : tool->timeout);
        if (!i)
            status = goes_on ? nodes_check(tool, nodes) : STATUS_FINE;
        if (!status && goes_on)
            status = look_show(tool, nodes, window);
        if (!status && goes_on && i + 1 != tool->times)
            goes_on = nodes_rest(nodes, due);
    }
    return status;
}

/* Once: what is said then must stay. */
static void terminal_leave(void)
{
    if (!isendwin())
        endwin();
}

static int terminal_enter(struct tool *tool)
{
    if (!initscr())
        return tool_fail(tool, SOMA_EINVAL, "no terminal");
    tool->leave = terminal_leave;
    cbreak();
    noecho();
    curs_set(0);
    timeout(0);
    return STATUS_FINE;
}

int command_top(struct tool *tool)
{
    struct nodes *nodes;
    const struct sigaction action = {.sa_handler = on_signal};
    bool window = !tool->json && isatty(STDOUT_FILENO);
    int status = nodes_open(tool, is_ended, window && isatty(STDIN_FILENO) ? STDIN_FILENO : -1, &nodes);
    if (!status) {
        looked_at = nodes;
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        status = window ? terminal_enter(tool) : STATUS_FINE;
    }
    if (!status)
        status = looks(tool, nodes, window);
    if (tool->leave)
        tool->leave();
    looked_at = NULL;
    nodes_close(nodes);
    return status;
}
