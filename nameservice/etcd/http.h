/*
 * Requests to etcd's gateway: JSON is posted to an address, and JSON comes back, once or, from a stream, line by line.
 * A thread of its own drives libcurl, so that nobody waits; it knows nothing of etcd or agents. Each result is given to
 * a function, in that thread. Nothing that comes is trusted: what is no JSON ends the request, and so does an answer
 * that is too long; such a line of a stream is left out.
 */
#ifndef NAMESERVICE_ETCD_HTTP_H
#define NAMESERVICE_ETCD_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define HTTP_BYTES_MOST (8u << 20) /* of an answer, or a line of a stream */
#define HTTP_RESULTS_MOST 64u      /* results that were given and not freed, beyond which nothing is read */

struct http;

struct http_result {
    struct http *http;
    uint64_t id;
    long status;  /* HTTP's; 0: there was no answer, or one of success that made no sense */
    bool more;    /* a line of a stream, which goes on */
    bool big;     /* it was too long to be read */
    json_t *json; /* NULL if it was, or is a stream's end; or if what refuses is no JSON */
};

/* Starts the thread. `give` gets each result, which http_result_free() ends; it must not wait. 0, SOMA_ENOMEM,
 * SOMA_ETHREAD. */
int http_open(struct http **http, void (*give)(void *context, struct http_result *result), void *context);

/* Posts `body`, which it takes, and frees. The whole answer must come within `time_ms`; 0: it is a stream. 0 or
 * SOMA_ENOMEM: nothing will come. Any thread. */
int http_post(struct http *http, uint64_t id, const char *url, char *body, uint32_t time_ms);

/* Ends a request. What has come by now may still be given. Any thread. */
void http_cancel(struct http *http, uint64_t id);

/* Any thread, also after http_close(). Gets a struct http_result. */
void http_result_free(void *result);

/* Posts, and waits for the answer, of which only the status is of interest. Any thread that may wait. */
long http_ask(struct http *http, const char *url, const char *body, uint32_t time_ms);

/* Ends all requests and the thread. */
void http_close(struct http *http);

#endif
