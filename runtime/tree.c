/* Printing a tree of supervisors, from outside: one call to each. See include/soma/supervisor.h. */
#include <soma/error.h>
#include <soma/request.h>
#include <soma/supervisor.h>
#include <soma/system.h>
#include <string.h>

#define DEPTH_MAX 32
#define PATIENCE (5 * SOMA_SECOND)

struct tree {
    soma_system *system;
    FILE *stream;
    char indent[DEPTH_MAX * 8]; /* the lines that lead to supervisors further up; each level has at most 6 bytes */
};

static void subtree_print(struct tree *tree, const struct soma_children *children, int depth);

static void child_print(struct tree *tree, const struct soma_child_info *child, bool last, int depth)
{
    struct soma_children below;
    fprintf(tree->stream, "%s%s %s  %s %u.%u, %s", tree->indent, last ? "└─" : "├─", child->name ? child->name : "-",
            child->behavior, child->agent.slot, child->agent.generation, child->state);
    if (child->restarts)
        fprintf(tree->stream, ", %u restart%s", child->restarts, child->restarts > 1 ? "s" : "");
    if (!child->supervisor || strcmp(child->state, "running") != 0) {
        fputc('\n', tree->stream);
        return;
    }
    int error = depth >= DEPTH_MAX
                    ? SOMA_ETOOBIG
                    : soma_call(tree->system, child->agent, PATIENCE, &below, soma_children, soma_list_children);
    if (error) {
        fprintf(tree->stream, " (%s)\n", soma_strerror(error));
        return;
    }
    size_t length = strlen(tree->indent);
    snprintf(tree->indent + length, sizeof(tree->indent) - length, "%s", last ? "   " : "│  ");
    subtree_print(tree, &below, depth + 1);
    tree->indent[length] = 0;
    soma_children_destroy(&below);
}

/* Ends the line that its supervisor stands on, and prints its children below. */
static void subtree_print(struct tree *tree, const struct soma_children *children, int depth)
{
    fprintf(tree->stream, " (%s, %u child%s", children->strategy, children->list.count,
            children->list.count == 1 ? "" : "ren");
    if (children->restarts)
        fprintf(tree->stream, ", %llu restarts of them", (unsigned long long)children->restarts);
    fputs(")\n", tree->stream);
    for (uint32_t i = 0; i < children->list.count; i++)
        child_print(tree, &children->list.items[i], i + 1 == children->list.count, depth);
}

int soma_tree_print(soma_system *system, soma_ref supervisor, FILE *stream)
{
    struct tree tree = {.system = system, .stream = stream};
    struct soma_children children;
    if (!system || !stream)
        return SOMA_EINVAL;
    int error = soma_call(system, supervisor, PATIENCE, &children, soma_children, soma_list_children);
    if (error)
        return error;
    fprintf(stream, "supervisor %u.%u", supervisor.slot, supervisor.generation);
    subtree_print(&tree, &children, 0);
    soma_children_destroy(&children);
    return 0;
}
