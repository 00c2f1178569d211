/**
 * @file
 * SOMA_API marks the functions that the shared library exports; all else is hidden.
 */
#ifndef SOMA_EXPORT_H
#define SOMA_EXPORT_H

/** Puts a function into the shared library's symbol table. */
#define SOMA_API __attribute__((visibility("default")))

#endif
