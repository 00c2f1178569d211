/**
 * @file
 * Attributes: what an agent shows of its state by name, to read and to set from outside: by a proxy (soma/proxy.h), by
 * the command `soma get` and `soma set`, or by whoever calls the methods `soma.get` and `soma.set` (soma/method.h).
 * They go through the mailbox as all does, so a handler never sees one change.
 *
 *     struct tank {
 *         double level;
 *         uint32_t pumps;
 *         char place[32];
 *     };
 *     .attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE("pumps", struct tank, pumps, "how many pumps may run"),
 *                                   SOMA_ATTRIBUTE("place", struct tank, place, "where it stands"),
 *                                   SOMA_ATTRIBUTE_READ("level", struct tank, level, "metres of water"))
 *
 * A behavior's own attributes come before its base's.
 */
#ifndef SOMA_ATTRIBUTE_H
#define SOMA_ATTRIBUTE_H

#include <soma/agent.h>
#include <soma/value.h>

/** Adds what the attribute is now to the builder. Returns 0, or a negative error, with which the reading fails. */
typedef int soma_attribute_get_fn(soma_agent *self, void *state, soma_value_builder *result);

/** Takes a new value, which lives during the call. Returns 0, or a negative error, with which the setting fails; why,
 *  soma_fail() tells who asked, who is else told no more than the attribute and the error. */
typedef int soma_attribute_set_fn(soma_agent *self, void *state, soma_value value);

/** One row of a behavior's table of attributes; made by the macros below. */
typedef struct soma_attribute {
    const char *name;           /**< what it is called by */
    const char *about;          /**< what it is, for people; NULL for nothing */
    soma_attribute_get_fn *get; /**< gives it; NULL for a member of the state */
    soma_attribute_set_fn *set; /**< takes it; NULL for a member of the state, and for what is only read */
    bool settable;              /**< it may be set */
    uint8_t kind;               /**< of a member: an enum soma_kind; a string is an array of char */
    uint32_t offset;            /**< of a member: where it is in the state */
    uint32_t size;              /**< of a member: its bytes */
    size_t checked;             /**< not used at run time: its initializer makes the compiler check the signatures */
} soma_attribute;

/**
 * A row for a member of the state: `SOMA_ATTRIBUTE("count", struct counter, count, "how many it has seen")`. Its type
 * is the attribute's: an integer of any width, a float or double, a bool, a soma_ref, or an array of char, which is a
 * string of UTF-8 that always keeps its NUL. A value that does not fit is an error to who sets it, and changes nothing.
 */
#define SOMA_ATTRIBUTE(name_, STATE, member, about_) SOMA_ATTRIBUTE_MEMBER_(name_, STATE, member, about_, true)

/** A row for a member that is only read from outside. */
#define SOMA_ATTRIBUTE_READ(name_, STATE, member, about_) SOMA_ATTRIBUTE_MEMBER_(name_, STATE, member, about_, false)

/** A row for what a function gives: `int get(soma_agent *, STATE *, soma_value_builder *)`; only read. */
#define SOMA_ATTRIBUTE_GET(name_, get_, about_)                                                                        \
    {                                                                                                                  \
        .name = (name_), .about = (about_), .get = (soma_attribute_get_fn *)(void (*)(void))(get_),                    \
        .checked = SOMA_ATTRIBUTE_GETS_(get_)                                                                          \
    }

/** A row for what one function gives and another takes: `int set(soma_agent *, STATE *, soma_value)`. */
#define SOMA_ATTRIBUTE_GET_SET(name_, get_, set_, about_)                                                              \
    {                                                                                                                  \
        .name = (name_), .about = (about_), .get = (soma_attribute_get_fn *)(void (*)(void))(get_),                    \
        .set = (soma_attribute_set_fn *)(void (*)(void))(set_), .settable = true,                                      \
        .checked = SOMA_ATTRIBUTE_GETS_(get_) + _Generic((set_)((soma_agent *)0, (void *)0, SOMA_VALUE_NONE), int : 0) \
    }

/** A table of attributes: `.attributes = SOMA_ATTRIBUTES(SOMA_ATTRIBUTE(…), …)`. */
#define SOMA_ATTRIBUTES(...)                                                                                           \
    (const soma_attribute[])                                                                                           \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            .name = NULL                                                                                               \
        }                                                                                                              \
    }

/** @cond internal */
#define SOMA_ATTRIBUTE_GETS_(get_) _Generic((get_)((soma_agent *)0, (void *)0, (soma_value_builder *)0), int : 0)
#define SOMA_ATTRIBUTE_MEMBER_(name_, STATE, member, about_, settable_)                                                \
    {                                                                                                                  \
        .name = (name_), .about = (about_), .settable = (settable_),                                                   \
        .kind = SOMA_ATTRIBUTE_KIND_(((STATE *)0)->member), .offset = (uint32_t)offsetof(STATE, member),               \
        .size = (uint32_t)sizeof(((STATE *)0)->member)                                                                 \
    }
// By pointer, as an array of char would else be taken for one.
#define SOMA_ATTRIBUTE_KIND_(member)                                                                                   \
    _Generic(&(member), uint8_t *                                                                                      \
             : SOMA_KIND_U8, uint16_t *                                                                                \
             : SOMA_KIND_U16, uint32_t *                                                                               \
             : SOMA_KIND_U32, uint64_t *                                                                               \
             : SOMA_KIND_U64, int8_t *                                                                                 \
             : SOMA_KIND_I8, int16_t *                                                                                 \
             : SOMA_KIND_I16, int32_t *                                                                                \
             : SOMA_KIND_I32, int64_t *                                                                                \
             : SOMA_KIND_I64, float *                                                                                  \
             : SOMA_KIND_F32, double *                                                                                 \
             : SOMA_KIND_F64, bool *                                                                                   \
             : SOMA_KIND_BOOL, soma_ref *                                                                              \
             : SOMA_KIND_REF, char(*)[sizeof(member)]                                                                  \
             : SOMA_KIND_STRING)
/** @endcond */

#endif
