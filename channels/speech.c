/* From messages to frames and back, by a channel's serializer; see remote.h. */
#include "channels/remote.h"
#include "runtime/type.h"
#include <soma/error.h>
#include <string.h>

#define SPEECH_KEEP ((size_t)64 << 10) /* bytes of the buffer that are kept for the next message */

int speech_open(struct speech *speech, const soma_channel_options *options)
{
    const soma_serializer *own = options->own_serializer;
    *speech = (struct speech){.framing = options->framing};
    msgpack_sbuffer_init(&speech->out);
    if (own && (!own->pack || !own->unpack || !own->name || options->serializer))
        return SOMA_EINVAL;
    if (own) {
        speech->own = serializer_wrap(own);
        speech->serializer = &speech->own;
    } else {
        speech->serializer = serializer_find(options->serializer);
    }
    return speech->serializer && (unsigned)options->framing <= SOMA_FRAMES_SEPARATED ? 0 : SOMA_EINVAL;
}

void speech_close(struct speech *speech)
{
    msgpack_sbuffer_destroy(&speech->out);
    arena_free(&speech->arena);
}

int speech_write(struct speech *speech, const void *before, size_t size, const soma_type *type, const void *message,
                 zmq_msg_t *part)
{
    const struct serializer *serializer = speech->serializer;
    msgpack_sbuffer *out = &speech->out;
    msgpack_sbuffer_clear(out);
    int error = size && msgpack_sbuffer_write(out, before, size) ? SOMA_ENOMEM : 0;
    if (!error)
        error = serializer->pack(serializer, type, message, out);
    if (!error && !part_make(part, out->data, out->size))
        error = SOMA_ENOMEM;
    if (out->alloc > SPEECH_KEEP) {
        msgpack_sbuffer_destroy(out);
        msgpack_sbuffer_init(out);
    }
    return error;
}

int speech_read(struct speech *speech, const soma_type *type, const void *data, size_t size, struct reading *reading)
{
    const struct serializer *serializer = speech->serializer;
    reading->type = type;
    reading->message = arena_take(&speech->arena, type->size);
    if (!reading->message)
        return SOMA_ENOMEM;
    int error = serializer->view(serializer, type, data, size, &speech->arena, reading->message);
    if (error)
        arena_reset(&speech->arena);
    return error;
}

int speech_read_rows(struct speech *speech, const struct rows *rows, const void *data, size_t size,
                     struct reading *reading)
{
    int error = SOMA_EUNHANDLED;
    for (uint32_t i = 0; rows && i < rows->count && error; i++)
        error = speech_read(speech, rows->rows[i].type, data, size, reading);
    return error;
}

void speech_done(struct speech *speech, struct reading *reading)
{
    if (speech->serializer->owns)
        soma_type_destroy(reading->type, reading->message);
    arena_reset(&speech->arena);
}
