/* Lists of names, which a client asks the server for; see client.h. */
#include "nameservice/check.h"
#include "nameservice/client.h"
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

static void listing_release(struct client *my, struct listing *listing)
{
    if (listing->ops || listing->task.under_way || listing->task.queued)
        return;
    *(listing->previous ? &listing->previous->next : &my->listings) = listing->next;
    if (listing->next)
        listing->next->previous = listing->previous;
    soma_name_list_destroy(&listing->query);
    free(listing);
}

static int on_page(soma_agent *self, struct client *my, const struct soma_name_page *m)
{
    struct listing *listing = (struct listing *)(uintptr_t)soma_tag(self);
    if (!task_ended(my, &listing->task) && listing->ops && my->settled)
        task_queue(my, &listing->task);
    else if (listing->ops && my->settled)
        op_answer(self, my, listing->ops, &soma_name_page_type, m);
    listing_release(my, listing);
    tasks_pump(self, my);
    return 0;
}

static int on_no_page(soma_agent *self, struct client *my, const int *error)
{
    struct listing *listing = (struct listing *)(uintptr_t)soma_tag(self);
    bool failed = task_failed(self, my, &listing->task, *error);
    if (failed && listing->ops)
        op_fail(self, my, listing->ops, *error);
    else if (listing->ops && my->settled)
        task_queue(my, &listing->task);
    listing_release(my, listing);
    tasks_pump(self, my);
    return 0;
}

void listing_ask(soma_agent *self, struct client *my, struct listing *listing)
{
    if (listing->ops && soma_request_send(self, my->server, SOMA_NEVER,
                                          SOMA_THEN(soma_name_page, on_page, on_no_page, .tag = (uintptr_t)listing),
                                          &soma_name_list_type, &listing->query) > 0)
        task_sent(my, &listing->task);
    else if (listing->ops)
        op_fail(self, my, listing->ops, SOMA_ENOMEM);
    listing_release(my, listing);
}

/* A server that has not settled does not know all names yet. */
void listings_up(struct client *my)
{
    for (struct listing *listing = my->listings; listing && my->settled; listing = listing->next)
        task_queue(my, &listing->task);
}

void listings_free(struct client *my)
{
    for (struct listing *listing = my->listings, *next; listing; listing = next) {
        next = listing->next;
        soma_name_list_destroy(&listing->query);
        free(listing);
    }
}

static void list_late(soma_agent *self, struct client *my, struct op *op)
{
    struct listing *listing = op->of;
    op_fail(self, my, op, SOMA_ETIMEOUT);
    listing_release(my, listing);
}

int on_name_list(soma_agent *self, struct client *my, const struct soma_name_list *m)
{
    int error = check_prefix(m->prefix);
    if (is_stranger(self))
        return 0;
    if (!error)
        error = check_prefix(m->after);
    struct listing *listing = error ? NULL : calloc(1, sizeof(*listing));
    if (!listing || soma_name_list_copy(&listing->query, m)) {
        free(listing);
        soma_reply_error(self, error ? error : SOMA_ENOMEM);
        return 0;
    }
    listing->task.kind = TASK_LIST;
    listing->next = my->listings;
    if (listing->next)
        listing->next->previous = listing;
    my->listings = listing;
    if (op_new(self, my, &listing->ops, listing, m->timeout, list_late) && my->settled)
        task_queue(my, &listing->task);
    listing_release(my, listing);
    tasks_pump(self, my);
    return 0;
}
