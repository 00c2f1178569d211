/* Which IP of this machine others are told, in a network of the test's own, where it knows all interfaces. */
#include "runtime/interface.h"
#include "test_support.h"
#include <arpa/inet.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_NETWORK 77 /* it can't be made: that takes root, or its rights */

static void found_is(const char *name, int family, const char *expected)
{
    char host[INET6_ADDRSTRLEN] = "none";
    assert_int_equal(interface_find(name, family, host, sizeof(host)), strcmp(expected, "none") != 0);
    assert_string_equal(host, expected);
}

/* One more interface at a time, that must be asked for what the one before lacks. */
static void interfaces_check(void)
{
    found_is(NULL, AF_INET, "none"); // loopback is nothing to others
    found_is(NULL, AF_INET6, "none");
    assert_int_equal(system("ip link add a0 type veth peer name b0 && ip link set a0 up && ip link set b0 up &&"
                            " ip addr add fe80::7/64 dev a0 nodad"),
                     0);
    found_is(NULL, AF_INET6, "none"); // one without its interface is none
    found_is(NULL, AF_INET, "none");
    found_is("a0", AF_INET, "none");
    assert_int_equal(system("ip addr add 10.9.0.1/24 dev b0 && ip addr add fd00::9/64 dev b0 nodad"), 0);
    found_is(NULL, AF_INET, "10.9.0.1");
    found_is(NULL, AF_INET6, "fd00::9");
    found_is("b0", AF_INET, "10.9.0.1");
    found_is("a0", AF_INET, "none");
    found_is("c0", AF_INET, "none");
    assert_int_equal(system("ip link set b0 down"), 0);
    found_is(NULL, AF_INET, "none");
}

/* In a process of its own, whose network this is. */
static void test_find(void **state)
{
    int status = 0;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (unshare(CLONE_NEWNET) || system("ip link set lo up"))
            _exit(NO_NETWORK);
        interfaces_check();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_NETWORK) {
        print_message("skipped: a network of one's own takes root and iproute2\n");
        skip();
    }
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
