/* What stands open between two nodes may be much, and much of it alike: it is found all the same, and taken out. */
#include "bridges/debt.h"
#include "test_support.h"
#include <soma/error.h>
#include <string.h>

#define MANY 50000u
#define CHAIN_MOST 32u /* of that many, by chance, if a hash is any good */

static soma_ref here(uint32_t slot)
{
    return (soma_ref){1, slot, 1};
}

static soma_ref there(uint32_t slot)
{
    return (soma_ref){2, slot, 1};
}

static struct debt debt_of(enum debt_kind kind, uint32_t at)
{
    bool hub = kind == DEBT_LINK || kind == DEBT_WATCHED; // one agent here, and many there
    struct debt debt = {.kind = kind, .here = here(hub ? 7 : at), .there = there(hub ? at : 7), .handle = 1};
    if (kind == DEBT_MOVED)
        debt.by = debt.there.node;
    return debt;
}

static uint32_t longest_chain(const struct debts *debts)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < debts->bucket_count; i++) {
        uint32_t length = 0;
        for (const struct debt *debt = debts->buckets[i]; debt; debt = debt->next)
            length++;
        most = most > length ? most : length;
    }
    return most;
}

/* Many agents here deal with one there, or many there with one here: none has to be looked for among all others. */
static void test_found(void **state)
{
    (void)state;
    for (enum debt_kind kind = DEBT_REQUEST; kind <= DEBT_LINK; kind++) {
        struct debts debts = {0};
        struct debt found;
        for (uint32_t i = 0; i < MANY; i++) {
            const struct debt debt = debt_of(kind, i);
            assert_int_equal(debts_add(&debts, &debt), 0);
        }
        assert_int_equal(debts.count, MANY);
        assert_in_range(longest_chain(&debts), 1, CHAIN_MOST);
        for (uint32_t i = 0; i < MANY; i += 2) {
            const struct debt debt = debt_of(kind, i);
            assert_true(debts_have(&debts, kind, debt.here, debt.there, debt.handle));
            assert_true(debts_take(&debts, kind, debt.here, debt.there, debt.handle, &found));
            assert_true(soma_ref_equal(found.here, debt.here) && soma_ref_equal(found.there, debt.there));
            assert_false(debts_take(&debts, kind, debt.here, debt.there, debt.handle, &found));
        }
        assert_int_equal(debts.count, MANY / 2);
        debts_free(&debts);
    }
}

/* Each comes out once, in time that grows with their number: a node that goes down must not hold up all others. */
static void test_popped(void **state)
{
    (void)state;
    const uint32_t many = test_load(1000) * 1000 / 2;
    struct debts debts = {0};
    struct debt found;
    unsigned char *seen = calloc(many, 1);
    assert_non_null(seen);
    for (uint32_t i = 0; i < many; i++) {
        const struct debt debt = debt_of(DEBT_REQUEST, i);
        assert_int_equal(debts_add(&debts, &debt), 0);
    }
    for (uint32_t i = 0; i < many; i++) {
        assert_true(debts_pop(&debts, &found));
        assert_int_equal(seen[found.here.slot]++, 0);
    }
    assert_false(debts_pop(&debts, &found));
    debts_free(&debts);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_found), cmocka_unit_test(test_popped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
