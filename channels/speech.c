/* From messages to frames and back, by a channel's serializer; see remote.h. */
#include "channels/hub.h"
#include "channels/remote.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <string.h>

#define SPEECH_KEEP ((size_t)64 << 10) /* bytes of the buffer that are kept for the next message */

void speech_open(struct speech *speech, soma_system *system, const soma_channel_options *options)
{
    *speech = (struct speech){.serializer = hub_serializer(system, options->serializer), .framing = options->framing};
    msgpack_sbuffer_init(&speech->out);
}

void speech_close(struct speech *speech)
{
    msgpack_sbuffer_destroy(&speech->out);
    arena_free(&speech->arena);
}

/* The message's bytes: where they are in it, or as `out`. */
static int bytes_find(struct speech *speech, const soma_type *type, const void *message, const char **data,
                      size_t *size)
{
    const struct serializer *serializer = speech->serializer;
    soma_bytes bytes = {NULL, 0};
    int error = serializer->find ? serializer->find(type, message, &bytes)
                                 : serializer->pack(serializer, type, message, &speech->out);
    *data = serializer->find ? bytes.data : speech->out.data;
    *size = serializer->find ? bytes.size : speech->out.size;
    return error;
}

int speech_write(struct speech *speech, const struct line *line, struct worker *worker, const void *before, size_t size,
                 const soma_type *type, const void *message, zmq_msg_t *part)
{
    msgpack_sbuffer *out = &speech->out;
    const char *data;
    size_t length;
    msgpack_sbuffer_clear(out);
    int error = bytes_find(speech, type, message, &data, &length);
    if (!error && size + length > line->message_most)
        error = SOMA_ETOOBIG;
    if (!error && !part_room(part, line, worker, size + length))
        error = SOMA_ENOMEM;
    if (!error) {
        char *room = zmq_msg_data(part);
        if (size)
            memcpy(room, before, size);
        if (length)
            memcpy(room + size, data, length);
    }
    if (out->alloc > SPEECH_KEEP) {
        msgpack_sbuffer_destroy(out);
        msgpack_sbuffer_init(out);
    }
    return error;
}

int speech_read(struct speech *speech, const soma_type *type, const void *data, size_t size, struct reading *reading)
{
    const struct serializer *serializer = speech->serializer;
    *reading = (struct reading){type, arena_take(&speech->arena, type->size), serializer->owns, {NULL, 0, 0, NULL}};
    if (!reading->message)
        return SOMA_ENOMEM;
    int error = serializer->view(serializer, type, data, size, &speech->arena, reading->message);
    if (error) {
        arena_reset(&speech->arena);
        return error;
    }
    reading->arena = speech->arena; // who closes the speech leaves the message
    speech->arena = (struct arena){NULL, 0, 0, NULL};
    return 0;
}

int speech_read_rows(struct speech *speech, const struct rows *rows, const void *data, size_t size,
                     struct reading *reading)
{
    int error = SOMA_EUNHANDLED;
    for (uint32_t i = 0; rows && i < rows->count && error && error != SOMA_ENOMEM; i++)
        error = speech_read(speech, rows->rows[i].type, data, size, reading);
    return error;
}

void speech_done(struct speech *speech, struct reading *reading)
{
    if (reading->owns)
        soma_type_destroy(reading->type, reading->message);
    arena_reset(&reading->arena);
    if (speech)
        speech->arena = reading->arena;
    else
        arena_free(&reading->arena);
}
