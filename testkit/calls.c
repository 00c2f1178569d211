/*
 * Calls that are the kit's to make, and not the test's: it runs and closes the nodes, and in a simulation a system of
 * real threads has no place. The linker puts these functions in their place in each program that links the kit, as it
 * does with malloc (see CMakeLists.txt); the kit itself is compiled to go past them.
 */
#include "runtime/system.h"
#include "testkit/kit.h"
#include "testkit/memory.h"
#include "testkit/probe.h"

int __wrap_soma_system_open(soma_system **system, const soma_options *options);
int __wrap_soma_system_run(soma_system *system);
int __wrap_soma_system_close(soma_system **system);
int __wrap_soma_system_cancel(soma_system **system);

/* Fails the run whose node it is. */
static void node_check(const soma_system *system, const char *function, const char *instead)
{
    if (!system || system->driver.replace != mock_replace)
        return;
    const struct node *node = system->driver.context;
    kit_fail(node->test, "%s: the test kit does that with the node '%s': %s", function, node->name, instead);
}

int __wrap_soma_system_open(soma_system **system, const soma_options *options)
{
    const soma_test *test = memory_watched();
    if (test && test->stage == &stage_simulated)
        kit_fail(test, "soma_system_open: not in a simulated run: soma_test_node_open() opens a node of it");
    return soma_system_open(system, options);
}

int __wrap_soma_system_run(soma_system *system)
{
    node_check(system, "soma_system_run", "soma_test_settle(), soma_test_advance() and soma_test_until() let it run");
    return soma_system_run(system);
}

int __wrap_soma_system_close(soma_system **system)
{
    node_check(system ? *system : NULL, "soma_system_close", "soma_test_node_down() ends one before the run does");
    return soma_system_close(system);
}

int __wrap_soma_system_cancel(soma_system **system)
{
    node_check(system ? *system : NULL, "soma_system_cancel", "soma_test_node_down() ends one before the run does");
    return soma_system_cancel(system);
}
