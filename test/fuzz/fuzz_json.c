// Any text, taken for JSON: what is accepted must be a value that passes the check and comes back from its own JSON.
// And any bytes that are a value must, without a NaN or an infinity in them, come back from JSON too.
#include <soma/soma.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            abort();                                                                                                   \
    } while (0)

static void check_comes_back(soma_value value, bool finite)
{
    soma_value back;
    char *text;
    int error = soma_value_to_json(value, &text);
    if (error == SOMA_ETYPE && !finite)
        return;
    REQUIRE(!error);
    REQUIRE(!soma_value_from_json(text, strlen(text), &back));
    REQUIRE(soma_value_equal(value, back));
    soma_value_destroy(&back);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    soma_value value, checked;
    if (!soma_value_from_json((const char *)data, size, &value)) {
        REQUIRE(!soma_value_check(value.data, value.size, &checked));
        check_comes_back(value, true);
        soma_value_destroy(&value);
    }
    if (!soma_value_check(data, size, &value))
        check_comes_back(value, false);
    return 0;
}
