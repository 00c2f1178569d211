/* The texts of the error codes, from the one list in soma/error.h. */
#include <soma/error.h>

const char *soma_strerror(int error)
{
    switch (error) {
    case SOMA_OK:
        return "success";
#define ERROR_CASE(name, number, text)                                                                                 \
    case -(number):                                                                                                    \
        return text;
        SOMA_ERROR_LIST(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "unknown error";
    }
}
