/* The room of a writer; see writer.h. */
#include "runtime/writer.h"
#include <stdlib.h>

char *writer_grow(struct writer *writer, size_t size)
{
    msgpack_sbuffer *buffer = writer->buffer;
    size_t room = buffer->alloc ? buffer->alloc : MSGPACK_SBUFFER_INIT_SIZE;
    while (room - buffer->size < size) {
        if (room > SIZE_MAX / 2)
            room = buffer->size + size;
        else
            room *= 2;
    }
    char *data = realloc(buffer->data, room);
    if (!data) {
        writer->failed = true;
        return NULL;
    }
    buffer->data = data;
    buffer->alloc = room;
    return data + buffer->size;
}
