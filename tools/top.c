/* `soma top`: what nodes do, again and again: a table in a terminal, else lines. See soma.h. */
#include "nodes.h"
#include <curses.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What a look has seen, for the next one's rates. */
struct seen {
    json_t *nodes;
    uint64_t when;
};

static json_t *node_before(const struct seen *before, json_t *node)
{
    size_t i;
    json_t *other;
    json_array_foreach(before->nodes, i,
                       other) if (!strcmp(node_text(other, "node"), node_text(node, "node"))) return node_answers(other)
        ? other
        : NULL;
    return NULL;
}

/* Messages a second since the look before; from the first one on, since the node's start. */
static double node_rate(const struct seen *before, const struct seen *now, json_t *node)
{
    json_t *then = node_before(before, node);
    double seconds = then ? (double)(now->when - before->when) / (double)SOMA_SECOND
                          : json_number_value(json_object_get(node, "uptime"));
    json_int_t processed = node_number(node, "processed") - (then ? node_number(then, "processed") : 0);
    return seconds > 0 && processed > 0 ? (double)processed / seconds : 0;
}

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

static void nodes_show(const struct seen *before, const struct seen *now, bool window)
{
    size_t i;
    json_t *node;
    line(window, true, "%-20s %9s %12s %8s %8s %10s %9s", "NODE", "AGENTS", "MESSAGES/S", "QUEUED", "MUTED", "DEAD",
         "MEMORY");
    json_array_foreach(now->nodes, i, node)
    {
        if (!node_answers(node)) {
            line(window, false, "%-20.20s %9s", node_text(node, "name"), "silent");
            continue;
        }
        line(window, false, "%-20.20s %9lld %12.1f %8lld %8lld %10lld %8.1fM", node_text(node, "name"),
             (long long)node_number(node, "agents"), node_rate(before, now, node),
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

/* One look as JSON: the nodes, each with its rate. */
static int json_show(const struct tool *tool, const struct seen *before, const struct seen *now)
{
    size_t i;
    json_t *node, *nodes = json_deep_copy(now->nodes);
    json_array_foreach(nodes, i, node) if (node_answers(node))
        json_object_set_new(node, "messages_per_second", json_real(node_rate(before, now, node)));
    return tool_print(tool, nodes);
}

/* ---- again and again ---- */

/* Waits for the next look; false if that is not wanted. */
static bool pause_for(const struct tool *tool, bool window)
{
    if (!window) {
        const struct timespec pause = {(time_t)(tool->every / SOMA_SECOND), (long)(tool->every % SOMA_SECOND)};
        return !nanosleep(&pause, NULL);
    }
    timeout((int)(tool->every / SOMA_MS < INT32_MAX ? tool->every / SOMA_MS : INT32_MAX));
    int key = getch();
    return key != 'q' && key != 'Q';
}

static int looks(struct tool *tool, bool window)
{
    struct seen before = {0}, now;
    int status = STATUS_FINE;
    for (uint32_t i = 0; !status; i++) {
        status = nodes_look(tool, &now.nodes);
        if (status)
            break;
        now.when = soma_now(tool->system);
        if (window)
            erase();
        if (tool->json) {
            status = json_show(tool, &before, &now);
        } else {
            nodes_show(&before, &now, window);
            agents_show(now.nodes, window);
        }
        if (window)
            refresh();
        else
            fflush(stdout);
        json_decref(before.nodes);
        before = now;
        if ((tool->times && i + 1 == tool->times) || !pause_for(tool, window))
            break;
    }
    json_decref(before.nodes);
    return status;
}

static void terminal_leave(void)
{
    endwin();
}

int command_top(struct tool *tool)
{
    if (tool->json || !isatty(STDOUT_FILENO))
        return looks(tool, false);
    if (!initscr())
        return tool_fail(tool, SOMA_EINVAL, "no terminal");
    tool->leave = terminal_leave; // what goes wrong is said when the screen is back
    cbreak();
    noecho();
    curs_set(0);
    int status = looks(tool, true);
    endwin();
    return status;
}
