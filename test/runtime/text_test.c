/* Texts for people: cut between characters, one line, nothing that a terminal obeys, always UTF-8. */
#include "runtime/text.h"
#include "runtime/type.h"
#include "test_support.h"
#include <string.h>

__attribute__((format(printf, 3, 4))) static void format(char *text, size_t size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text_format(text, size, format, arguments);
    va_end(arguments);
}

static void test_cut(void **state)
{
    (void)state;
    char text[16];
    format(text, sizeof(text), "%s", "exactly fifteen");
    assert_string_equal(text, "exactly fifteen");
    format(text, sizeof(text), "%s", "exactly sixteen.");
    assert_string_equal(text, "exactly sixt...");
    for (size_t before = 0; before < 16; before++) { // wherever a character of three bytes comes to lie
        format(text, sizeof(text), "%.*s%s", (int)before, "0123456789abcdef", "\u20ac\u20ac\u20ac\u20ac\u20ac\u20ac");
        assert_true(strlen(text) < sizeof(text));
        assert_true(type_utf8_valid(text, strlen(text)));
        assert_string_equal(text + strlen(text) - 3, "...");
    }
    format(text, 4, "long");
    assert_string_equal(text, "...");
}

static void test_clean(void **state)
{
    (void)state;
    char text[] = "a\nb\033[1m\xff\xc3\xa9 \xe2\x80\xa8\xc2\x9b.";
    text_clean(text);
    assert_string_equal(text, "a b [1m?\xc3\xa9      .");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut), cmocka_unit_test(test_clean)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
