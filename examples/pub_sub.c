/* PUB and SUB: three listen to different topics, and one changes its mind. docs/channels.md */
#include <soma/soma.h>
#include <stdio.h>

SOMA_MESSAGE(news, (string, text))

static const soma_address feed = {.transport = SOMA_INPROC, .pattern = SOMA_PUB, .host = "news"};

/* ---- readers: the state is a name and what they want ---- */

struct reader {
    const char *name;
    const char *topic;
};

static int on_news(soma_agent *self, struct reader *my, const struct news *m)
{
    printf("%s reads of %s: %s\n", my->name, soma_topic(self), m->text);
    return 0;
}

/* Sport's handler: one result is enough. */
static int on_result(soma_agent *self, struct reader *my, const struct news *m)
{
    printf("%s cheers: %s\n", my->name, m->text);
    return soma_unsubscribe(self, "paper", "sport");
}

static int reader_init(soma_agent *self, void *state, const void *arg)
{
    struct reader *my = state;
    *my = *(const struct reader *)arg;
    int error = soma_connect(self, &feed, "paper", NULL);
    if (!error)
        error = soma_subscribe(self, "paper", my->topic, SOMA_HANDLERS(SOMA_ON(news, on_news)));
    if (!error && my->name[0] == 'B')
        error = soma_subscribe(self, "paper", "sport", SOMA_HANDLERS(SOMA_ON(news, on_result)));
    return error;
}

static const soma_behavior reader = {.name = "reader", .state_size = sizeof(struct reader), .init = reader_init};

/* ---- the publisher ---- */

static int press_ready(soma_agent *self, void *my)
{
    (void)my;
    return soma_bind(self, SOMA_PUB, "feed", &(soma_channel_options){.place = "inproc://news"}, NULL);
}

static int on_changed(soma_agent *self, void *my, const struct soma_channel_changed *m)
{
    (void)my;
    if (m->peers < 3) /* not all readers have subscribed yet */
        return 0;
    soma_publish(self, "feed", "weather/coast", news, .text = "sunny");
    soma_publish(self, "feed", "sport", news, .text = "2:1");
    soma_publish(self, "feed", "weather/hills", news, .text = "snow");
    soma_publish(self, "feed", "sport", news, .text = "3:1"); /* Bob has unsubscribed when this comes */
    return soma_publish(self, "feed", "letters", news, .text = "only Carol reads these");
}

static const soma_behavior press = {
    .name = "press", .ready = press_ready, .handlers = SOMA_HANDLERS(SOMA_ON(soma_channel_changed, on_changed))};

int main(void)
{
    const struct reader readers[] = {{"Alice", "weather/"}, {"Bob", "weather/hills"}, {"Carol", ""}};
    soma_system *system;
    int error = soma_system_open(&system, NULL);
    for (int i = 0; i < 3 && !error; i++)
        error = soma_spawn(system, &reader, &readers[i], NULL);
    if (!error)
        error = soma_spawn(system, &press, NULL, NULL);
    return soma_system_close(&system) || error;
}
