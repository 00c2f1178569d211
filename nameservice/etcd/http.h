/*
 * Requests to etcd's gateway: JSON is posted to an address, and JSON comes back, once or, from a stream, line by line.
 * A thread of its own drives libcurl, so that nobody waits; it knows nothing of etcd or agents. Each result is given to
 * a function, in that thread. Nothing that comes is trusted: what is too long or no JSON ends the request.
 */
#ifndef NAMESERVICE_ETCD_HTTP_H
#define NAMESERVICE_ETCD_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HTTP_BYTES_MOST (8u << 20) /* of an answer, or a line of a stream */
#define HTTP_RESULTS_MOST 64u      /* results that were given and not freed, beyond which nothing is read */
#define HTTP_FAREWELL_MS 500u      /* for the last request of all */

struct http;

struct http_result {
    struct http *http;
    uint64_t id;
    long status;  /* HTTP's; 0: there was no answer, or it made no sense */
    bool more;    /* a line of a stream, which goes on */
    json_t *json; /* NULL if that has no line, but its end */
};

/* Starts the thread. `give` gets each result, which http_result_free() ends; it must not wait. An answer, unless it is
 * a stream, must come within `time_ms`. 0, SOMA_ENOMEM, SOMA_ETHREAD. */
int http_open(struct http **http, uint32_t time_ms, void (*give)(void *context, struct http_result *result),
              void *context);

/* Posts `body`, which it takes, and frees. 0 or SOMA_ENOMEM: nothing will come. Any thread. */
int http_post(struct http *http, uint64_t id, const char *url, char *body, bool stream);

/* Ends a request. What has come by now may still be given. Any thread. */
void http_cancel(struct http *http, uint64_t id);

/* Any thread, also after http_close(). Gets a struct http_result. */
void http_result_free(void *result);

/* Ends all requests and the thread. A last request is made, unless `url` is NULL; takes `body`. */
void http_close(struct http *http, const char *url, char *body);

#endif
