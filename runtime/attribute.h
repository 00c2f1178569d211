/* What the methods of every agent do with its attributes. See soma/attribute.h. */
#ifndef RUNTIME_ATTRIBUTE_H
#define RUNTIME_ATTRIBUTE_H

#include <soma/attribute.h>

/* Adds an array that lists them, those of bases too. */
void attributes_describe(const soma_behavior *behavior, soma_value_builder *result);

/* The methods soma.get and soma.set. */
int attribute_get(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result);
int attribute_set(soma_agent *self, void *state, soma_value arguments, soma_value_builder *result);

#endif
