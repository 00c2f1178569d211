/* A behavior in a shared object, for `soma run libperson.so person`, whose agents are wired from a terminal: it knows
 * no channel, nor who else there is. docs/command.md */
#include <soma/soma.h>
#include <stdio.h>

struct person {
    uint32_t heard;
    char last[64];
};

/* What comes by a channel with this handler: any text. */
static int hear(soma_agent *self, struct person *my, soma_value message, soma_value_builder *result)
{
    const char *text;
    uint32_t size;
    (void)result;
    if (soma_value_get_string(message, &text, &size))
        return soma_fail(self, SOMA_ETYPE, "that is no text");
    my->heard++;
    snprintf(my->last, sizeof(my->last), "%.*s", (int)size, text);
    printf("heard: %.*s\n", (int)size, text);
    return fflush(stdout);
}

/* For questions: what it gives is the answer. */
static int answer(soma_agent *self, struct person *my, soma_value question, soma_value_builder *result)
{
    char text[96];
    int error = hear(self, my, question, result);
    snprintf(text, sizeof(text), "%s? Let me think.", my->last);
    return error ? error : soma_value_add_string(result, text);
}

extern const soma_behavior person;
const soma_behavior person = {
    .name = "person",
    .state_size = sizeof(struct person),
    .base = &soma_channel_agent, /* so it has soma.bind, soma.connect, soma.send, … */
    .methods = SOMA_METHODS(SOMA_METHOD("hear", hear, "prints a text"),
                            SOMA_METHOD("answer", answer, "prints a text, and says something to it")),
    .attributes =
        SOMA_ATTRIBUTES(SOMA_ATTRIBUTE_READ("heard", struct person, heard, "how many texts"),
                        SOMA_ATTRIBUTE_READ("last", struct person, last, "the last of them, up to 63 bytes"))};
