/*
 * The checksum at the end of each frame: CRC-32C, which many processors compute in hardware. TCP's own is weak, and
 * what a session promises must not hang on it: a byte that has changed on the way ends the connection, and what it was
 * part of is sent again.
 */
#ifndef BRIDGES_CHECKSUM_H
#define BRIDGES_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#define CHECKSUM_SIZE 4u /* bytes on the wire, the lowest first */

/* Of what `sum` is of, 0 for nothing, and these bytes behind it. */
uint32_t checksum_more(uint32_t sum, const void *bytes, size_t size);

/* The same without the processor's help. */
uint32_t checksum_plain(uint32_t sum, const void *bytes, size_t size);

/* And with that of one of x86 from 2008 on (SSE 4.2); without any elsewhere. */
uint32_t checksum_fast(uint32_t sum, const void *bytes, size_t size);

#endif
