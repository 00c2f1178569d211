/* The bytes of ZMTP 3; see zmtp.h. */
#include "bridges/zmtp.h"
#include <string.h>
#include <strings.h>

/* ---- greeting ---- */

#define SIGNATURE 10u
#define MECHANISM_AT 12u
#define MECHANISM_SIZE 20u

static const unsigned char mechanism[MECHANISM_SIZE] = "NULL";

/* The signature also makes sense to older versions, as a message of one byte: the number says that there is a newer. */
void zmtp_greet(unsigned char greeting[ZMTP_GREETING])
{
    memset(greeting, 0, ZMTP_GREETING);
    greeting[0] = 0xff;
    greeting[8] = 1;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    memcpy(greeting + MECHANISM_AT, mechanism, MECHANISM_SIZE);
}

enum zmtp_greeted zmtp_greeting_read(const unsigned char *bytes, size_t size)
{
    if ((size > 0 && bytes[0] != 0xff) || (size >= SIGNATURE && bytes[9] != 0x7f) ||
        (size > SIGNATURE && bytes[10] < 3))
        return ZMTP_WRONG;
    if (size < ZMTP_GREETING)
        return size < SIGNATURE ? ZMTP_WAITS : ZMTP_BEGUN;
    return memcmp(bytes + MECHANISM_AT, mechanism, MECHANISM_SIZE) ? ZMTP_OTHER : ZMTP_GREETED;
}

/* ---- frames ---- */

enum { MORE = 1, LONG = 2, COMMAND = 4 };

int zmtp_frame_read(const unsigned char *bytes, size_t size, size_t most, struct zmtp_frame *frame)
{
    *frame = (struct zmtp_frame){.whole = 0};
    if (!size)
        return 0;
    const unsigned flags = bytes[0];
    const size_t head = flags & LONG ? 9 : 2;
    if (flags > (MORE | LONG | COMMAND) || (flags & COMMAND && flags & MORE))
        return -1;
    if (size < head)
        return 0;
    uint64_t length = 0;
    for (size_t i = 1; i < head; i++)
        length = length << 8 | bytes[i];
    frame->command = flags & COMMAND;
    frame->more = flags & MORE;
    if (length > most || (frame->command && length > ZMTP_COMMAND_MOST))
        return -1;
    frame->body = bytes + head;
    frame->size = (size_t)length;
    frame->whole = head + frame->size;
    return size >= frame->whole;
}

static size_t head_write(unsigned char *head, unsigned flags, size_t size)
{
    if (size <= UINT8_MAX) {
        head[0] = (unsigned char)flags;
        head[1] = (unsigned char)size;
        return 2;
    }
    head[0] = (unsigned char)(flags | LONG);
    for (size_t i = 8; i > 0; i--, size >>= 8)
        head[i] = (unsigned char)size;
    return ZMTP_HEAD_MOST;
}

size_t zmtp_head(unsigned char head[ZMTP_HEAD_MOST], size_t size)
{
    return head_write(head, 0, size);
}

/* ---- commands ---- */

static bool is_named(const struct zmtp_frame *command, const char *name)
{
    const size_t length = strlen(name);
    return command->size > length && command->body[0] == length && !memcmp(command->body + 1, name, length);
}

/* How many bytes that is: its NUL is not written. */
static size_t text_write(unsigned char *to, const char *text)
{
    size_t size = 0;
    for (; text[size]; size++)
        to[size] = (unsigned char)text[size];
    return size;
}

/* A name with its length before it. How many bytes that is. */
static size_t name_write(unsigned char *to, const char *name)
{
    to[0] = (unsigned char)text_write(to + 1, name);
    return to[0] + 1u;
}

static size_t property_write(unsigned char *to, const char *name, const char *value)
{
    const size_t size = name_write(to, name);
    memset(to + size, 0, 4);
    to[size + 3] = (unsigned char)text_write(to + size + 4, value);
    return size + 4 + to[size + 3];
}

size_t zmtp_ready(unsigned char command[ZMTP_READY_MOST], bool called)
{
    unsigned char body[ZMTP_READY_MOST];
    size_t size = name_write(body, "READY");
    size += property_write(body + size, "Socket-Type", called ? "ROUTER" : "DEALER");
    size += property_write(body + size, "Identity", "");
    const size_t head = head_write(command, COMMAND, size);
    memcpy(command + head, body, size);
    return head + size;
}

bool zmtp_ready_read(const struct zmtp_frame *command, bool called)
{
    static const char type[] = "Socket-Type";
    const char *const wanted = called ? "DEALER" : "ROUTER"; // whatever else ZeroMQ allows: no node is that
    if (!is_named(command, "READY"))
        return false;
    bool fits = false;
    const unsigned char *at = command->body + 6, *end = command->body + command->size;
    while (at < end) { // properties: a name with its length, a value with its length
        const size_t name = at[0];
        if ((size_t)(end - at) < 1 + name + 4)
            return false;
        const unsigned char *value = at + 1 + name + 4;
        const size_t size = (size_t)value[-4] << 24 | (size_t)value[-3] << 16 | (size_t)value[-2] << 8 | value[-1];
        if (size > (size_t)(end - value))
            return false;
        if (name == sizeof(type) - 1 && !strncasecmp((const char *)at + 1, type, name))
            fits = size == strlen(wanted) && !memcmp(value, wanted, size);
        at = value + size;
    }
    return fits;
}

size_t zmtp_answer(const struct zmtp_frame *command, unsigned char answer[ZMTP_PONG_MOST])
{
    const size_t before = 1 + 4 + 2; // the name, and after how long silence is an end
    if (!is_named(command, "PING") || command->size < before || command->size > before + 16)
        return 0;
    const size_t context = command->size - before;
    const size_t head = head_write(answer, COMMAND, 5 + context);
    name_write(answer + head, "PONG");
    memcpy(answer + head + 5, command->body + before, context);
    return head + 5 + context;
}
