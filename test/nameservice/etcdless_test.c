/* A library without etcd, which this program has, says so when it is asked for names there. */
#include "bridges/nodes.h"
#include <soma/nameservice.h>

#ifdef SOMA_ETCD
#error "this is compiled without"
#endif

static char said[256]; /* last */

static void hear(void *context, const soma_log_record *record)
{
    (void)context;
    snprintf(said, sizeof(said), "%s", record->text);
}

static void test_built_without(void **state)
{
    static const char *const addresses[] = {"etcd://127.0.0.1:2379", NULL}, *const none[] = {NULL};
    const soma_options options = {.log_sink = hear};
    soma_system *system;
    soma_names *names;
    (void)state;
    assert_int_equal(soma_system_open(&system, &options), 0);
    assert_int_equal(soma_names_open(system, NULL, &(soma_names_options){.addresses = addresses}, &names), SOMA_ESTATE);
    assert_null(names);
    setenv("SOMA_NAMESERVICE", "etcd://127.0.0.1:2379", 1);
    assert_int_equal(soma_names_open(system, NULL, &(soma_names_options){.addresses = none}, &names), SOMA_ESTATE);
    unsetenv("SOMA_NAMESERVICE");
    assert_int_equal(soma_system_close(&system), 0);
    assert_string_equal(said, "etcd://127.0.0.1:2379: this Soma was built without etcd (SOMA_ETCD)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_built_without)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
