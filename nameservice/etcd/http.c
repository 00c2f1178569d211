/* The thread that speaks HTTP; see http.h. */
#include "nameservice/etcd/http.h"
#include <curl/curl.h>
#include <pthread.h>
#include <soma/error.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_MS 1000L
#define CONNECTIONS_MOST 16L /* to one member */
#define IDLE_MS 60000        /* the thread looks at least so often */
#define PROBE_IDLE_S 10L     /* a stream that tells nothing for so long is probed, */
#define PROBE_S 3L           /* so often, as its way may be gone without a word */

struct request {
    struct request *next;
    uint64_t id;
    struct http *http;
    CURL *easy; /* NULL: not begun */
    char *url;
    char *body;
    uint32_t time_ms; /* 0: it is a stream */
    bool cancelled;   /* under the lock */
    bool big;         /* what comes is too long */
    char *data;       /* that has come: an answer, or the begin of a line */
    size_t size, capacity;
};

struct http {
    void (*give)(void *context, struct http_result *result);
    void *context;
    pthread_t thread;
    CURLM *multi;
    struct curl_slist *headers;
    pthread_mutex_t lock;
    pthread_cond_t room;
    /* ---- under the lock ---- */
    struct request *asked; /* to be begun; the first is the last */
    struct request *begun; /* changed by the thread alone */
    bool cancels;          /* some are cancelled */
    bool closing;
    bool closed;
    uint32_t results; /* that were given, and not freed */
};

/* ---- results ---- */

/* Gives the lock back, and frees what is of no use any more. */
static void http_leave(struct http *http)
{
    bool over = http->closed && !http->results;
    pthread_mutex_unlock(&http->lock);
    if (!over)
        return;
    pthread_mutex_destroy(&http->lock);
    pthread_cond_destroy(&http->room);
    free(http);
}

void http_result_free(void *pointer)
{
    struct http_result *result = pointer;
    struct http *http = result->http;
    if (result->json)
        json_decref(result->json);
    free(result);
    pthread_mutex_lock(&http->lock);
    http->results--;
    pthread_cond_signal(&http->room);
    http_leave(http);
}

/* Waits while too many were not looked at. False: memory is out, or nobody wants it any more. */
static bool result_give(struct request *request, long status, bool more, json_t *json)
{
    struct http *http = request->http;
    struct http_result *result = malloc(sizeof(*result));
    pthread_mutex_lock(&http->lock);
    while (http->results >= HTTP_RESULTS_MOST && !http->closing)
        pthread_cond_wait(&http->room, &http->lock);
    bool wanted = result && !http->closing && !request->cancelled;
    http->results += wanted;
    pthread_mutex_unlock(&http->lock);
    if (!wanted) {
        if (json)
            json_decref(json);
        free(result);
        return false;
    }
    *result = (struct http_result){http, request->id, status, more, request->big, json};
    http->give(http->context, result);
    return true;
}

/* ---- what comes ---- */

/* False: nothing more of it is wanted. Of a line that is too long nothing is kept, but the next may be of use. */
static bool data_add(struct request *request, const char *data, size_t size)
{
    request->big = request->big || size > HTTP_BYTES_MOST - request->size;
    if (request->big) {
        request->size = 0;
        return !request->time_ms;
    }
    if (request->size + size > request->capacity) {
        size_t capacity = request->capacity ? request->capacity : 4096;
        while (capacity < request->size + size)
            capacity *= 2;
        char *grown = realloc(request->data, capacity);
        if (!grown)
            return false;
        request->data = grown;
        request->capacity = capacity;
    }
    memcpy(request->data + request->size, data, size);
    request->size += size;
    return true;
}

static long status_of(const struct request *request)
{
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* A line of a stream is whole. */
static bool line_give(struct request *request)
{
    json_t *json = request->big ? NULL : json_loadb(request->data, request->size, 0, NULL);
    request->size = 0;
    bool goes_on = (json || request->big) && result_give(request, status_of(request), true, json);
    request->big = false;
    return goes_on;
}

static size_t on_data(char *data, size_t one, size_t size, void *pointer)
{
    struct request *request = pointer;
    const char *at = data;
    (void)one; // it is 1
    for (const char *end; !request->time_ms && (end = memchr(at, '\n', size - (size_t)(at - data))); at = end + 1)
        if (!data_add(request, at, (size_t)(end - at)) || !line_give(request))
            return 0;
    return data_add(request, at, size - (size_t)(at - data)) ? size : 0;
}

/* ---- requests ---- */

static void request_free(struct request *request)
{
    if (request->easy)
        curl_easy_cleanup(request->easy);
    free(request->url);
    free(request->body);
    free(request->data);
    free(request);
}

static CURL *easy_new(const struct http *http, struct request *request)
{
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); // whatever the environment says
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, http->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->time_ms); // 0: no end
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, PROBE_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, PROBE_S);
    return easy;
}

/* It is over. An answer must be one JSON value, but a refusal may be in any words. */
static void request_done(struct request *request, CURLcode code)
{
    json_t *json = NULL;
    long status = code == CURLE_OK ? status_of(request) : 0;
    if (status && request->time_ms && !(json = json_loadb(request->data, request->size, 0, NULL)) && status < 400)
        status = 0;
    result_give(request, status, false, json);
    request_free(request);
}

static void request_unlink(struct http *http, struct request *request)
{
    pthread_mutex_lock(&http->lock);
    struct request **link = &http->begun;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    pthread_mutex_unlock(&http->lock);
}

static void request_begin(struct http *http, struct request *request)
{
    request->easy = easy_new(http, request);
    if (request->easy && !curl_multi_add_handle(http->multi, request->easy))
        return;
    request_unlink(http, request);
    request_done(request, CURLE_OUT_OF_MEMORY);
}

static void requests_begin(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    while (http->asked) {
        struct request *request = http->asked;
        http->asked = request->next;
        request->next = http->begun;
        http->begun = request;
    }
    pthread_mutex_unlock(&http->lock);
    for (struct request *request = http->begun, *next; request && !request->easy; request = next) {
        next = request->next;
        request_begin(http, request);
    }
}

/* All of them, or those that were cancelled. */
static void requests_end(struct http *http, bool all)
{
    struct request *ended = NULL;
    pthread_mutex_lock(&http->lock);
    if (all || http->cancels)
        for (struct request **link = &http->begun; *link;) {
            struct request *request = *link;
            if (!all && !request->cancelled) {
                link = &request->next;
                continue;
            }
            *link = request->next;
            request->next = ended;
            ended = request;
        }
    http->cancels = false;
    pthread_mutex_unlock(&http->lock);
    for (struct request *next; ended; ended = next) {
        next = ended->next;
        curl_multi_remove_handle(http->multi, ended->easy);
        request_free(ended);
    }
}

static void requests_finish(struct http *http)
{
    int left;
    for (CURLMsg *said; (said = curl_multi_info_read(http->multi, &left));) {
        struct request *request;
        CURLcode code = said->data.result;
        if (said->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(said->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        curl_multi_remove_handle(http->multi, request->easy);
        request_unlink(http, request);
        request_done(request, code);
    }
}

static void *http_main(void *pointer)
{
    struct http *http = pointer;
    int running;
    for (;;) {
        pthread_mutex_lock(&http->lock);
        bool closing = http->closing;
        pthread_mutex_unlock(&http->lock);
        if (closing)
            return NULL;
        requests_begin(http);
        requests_end(http, false);
        curl_multi_perform(http->multi, &running);
        requests_finish(http);
        curl_multi_poll(http->multi, NULL, 0, IDLE_MS, NULL);
    }
}

/* ---- from outside ---- */

int http_post(struct http *http, uint64_t id, const char *url, char *body, uint32_t time_ms)
{
    struct request *request = calloc(1, sizeof(*request));
    char *copy = strdup(url);
    if (!request || !copy) {
        free(request);
        free(copy);
        free(body);
        return SOMA_ENOMEM;
    }
    *request = (struct request){.id = id, .http = http, .url = copy, .body = body, .time_ms = time_ms};
    pthread_mutex_lock(&http->lock);
    request->next = http->asked;
    http->asked = request;
    pthread_mutex_unlock(&http->lock);
    curl_multi_wakeup(http->multi);
    return 0;
}

static struct request **request_find(struct request **list, uint64_t id)
{
    while (*list && (*list)->id != id)
        list = &(*list)->next;
    return list;
}

/* What has begun is the thread's to end. */
void http_cancel(struct http *http, uint64_t id)
{
    pthread_mutex_lock(&http->lock);
    struct request **link = request_find(&http->asked, id), *asked = *link;
    struct request *begun = *request_find(&http->begun, id);
    if (asked)
        *link = asked->next;
    if (begun)
        begun->cancelled = http->cancels = true;
    pthread_mutex_unlock(&http->lock);
    if (asked)
        request_free(asked);
    if (begun)
        curl_multi_wakeup(http->multi);
}

static void http_free(struct http *http)
{
    if (http->multi)
        curl_multi_cleanup(http->multi);
    curl_slist_free_all(http->headers);
    curl_global_cleanup();
    pthread_mutex_lock(&http->lock);
    http->closed = true;
    http_leave(http);
}

int http_open(struct http **result, void (*give)(void *context, struct http_result *result), void *context)
{
    struct http *http = calloc(1, sizeof(*http));
    *result = NULL;
    if (!http || curl_global_init(CURL_GLOBAL_NOTHING)) {
        free(http);
        return SOMA_ENOMEM;
    }
    *http = (struct http){.give = give, .context = context, .multi = curl_multi_init()};
    pthread_mutex_init(&http->lock, NULL);
    pthread_cond_init(&http->room, NULL);
    // The second: a member that has no leader says so at once, and ends its streams, which would only fall silent.
    static const char *const headers[] = {"Content-Type: application/json", "Grpc-Metadata-hasleader: true", "Expect:"};
    bool good = http->multi;
    for (size_t i = 0; good && i < sizeof(headers) / sizeof(*headers); i++) {
        struct curl_slist *longer = curl_slist_append(http->headers, headers[i]);
        good = longer;
        http->headers = longer ? longer : http->headers;
    }
    if (good)
        curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_MOST);
    int error = !good ? SOMA_ENOMEM : pthread_create(&http->thread, NULL, http_main, http) ? SOMA_ETHREAD : 0;
    if (error)
        http_free(http);
    else
        *result = http;
    return error;
}

long http_ask(struct http *http, const char *url, const char *body, uint32_t time_ms)
{
    struct request request = {.http = http, .url = strdup(url), .body = body ? strdup(body) : NULL, .time_ms = time_ms};
    long status = 0;
    request.easy = request.url && request.body ? easy_new(http, &request) : NULL;
    if (request.easy && curl_easy_perform(request.easy) == CURLE_OK)
        status = status_of(&request);
    if (request.easy)
        curl_easy_cleanup(request.easy);
    free(request.url);
    free(request.body);
    free(request.data);
    return status;
}

void http_close(struct http *http)
{
    pthread_mutex_lock(&http->lock);
    http->closing = true;
    pthread_cond_signal(&http->room);
    pthread_mutex_unlock(&http->lock);
    curl_multi_wakeup(http->multi);
    pthread_join(http->thread, NULL);
    requests_end(http, true);
    for (struct request *request = http->asked, *next; request; request = next) {
        next = request->next;
        request_free(request);
    }
    http_free(http); // what was given and not freed keeps its lock
}
