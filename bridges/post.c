/* Handles, wakes and waits; see post.h. */
#include "bridges/post.h"
#include "runtime/thread.h"
#include <errno.h>
#include <soma/error.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#define CALL UINT64_MAX /* a key */
#define SECOND UINT64_C(1000000000)
#define ENDED (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

/* ---- what is waited for ---- */

static bool watch(const struct post *post, int handle, uint64_t key, uint32_t signs)
{
    struct epoll_event event = {.events = signs, .data.u64 = key};
    return handle >= 0 && !epoll_ctl(post->poll, EPOLL_CTL_ADD, handle, &event);
}

static int handle_of(void *socket)
{
    int handle = -1;
    size_t size = sizeof(handle);
    return zmq_getsockopt(socket, ZMQ_FD, &handle, &size) ? -1 : handle;
}

bool post_watch(struct post *post, void *socket, uint64_t key)
{
    return watch(post, handle_of(socket), key, EPOLLIN | EPOLLET);
}

bool post_watch_first(struct post *post, void *socket, uint64_t key)
{
    return watch(post, handle_of(socket), key, EPOLLIN);
}

/* An eventfd can always be written to: so whoever is woken because it was, or was read, is told, whatever it is by
 * then.
 */
bool post_watch_used(struct post *post, void *socket, uint64_t key)
{
    return watch(post, handle_of(socket), key, EPOLLIN | EPOLLOUT | EPOLLET);
}

static uint32_t handle_signs(bool writes)
{
    return EPOLLIN | EPOLLRDHUP | EPOLLET | (writes ? (uint32_t)EPOLLOUT : 0u);
}

bool post_watch_handle(const struct post *post, int handle, uint64_t key, bool writes)
{
    return watch(post, handle, key, handle_signs(writes));
}

bool post_watch_again(const struct post *post, int handle, uint64_t key, bool writes)
{
    struct epoll_event event = {.events = handle_signs(writes), .data.u64 = key};
    return !epoll_ctl(post->poll, EPOLL_CTL_MOD, handle, &event);
}

void post_forget(struct post *post, void *socket)
{
    epoll_ctl(post->poll, EPOLL_CTL_DEL, handle_of(socket), NULL);
}

void post_end_context(void *context)
{
    while (zmq_ctx_term(context) && errno == EINTR)
        ;
}

bool post_socket_has(void *socket)
{
    int events = 0;
    size_t size = sizeof(events);
    return !zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) && events & ZMQ_POLLIN;
}

/* Each write is told of, so that nobody needs to read. */
static void eventfd_tell(int handle)
{
    const uint64_t one = 1;
    if (write(handle, &one, sizeof(one)) != sizeof(one))
        return; // never: it would take longer than all of us
}

void post_ring(const struct post *post)
{
    eventfd_tell(post->bell);
}

void post_call(const struct post *post)
{
    eventfd_tell(post->call);
}

void post_set_alarm(struct post *post, uint64_t now, uint64_t until)
{
    if (post->due <= now) // it has gone off
        post->due = UINT64_MAX;
    if (until >= post->due)
        return;
    uint64_t left = until > now ? until - now : 1;
    const struct itimerspec time = {.it_value = {(time_t)(left / SECOND), (long)(left % SECOND)}};
    timerfd_settime(post->alarm, 0, &time, NULL);
    post->due = until;
}

/* ---- who waits ---- */

/* Who was turned away may come now. If he is not waiting yet, or any more, nothing is lost: the thread is told. */
static void turned_ask(struct post *post)
{
    shared_u32 *futex = ptr_load(&post->turned);
    if (!futex)
        return;
    ptr_store(&post->turned, NULL);
    futex_wake(futex);
}

static void turn_want(struct post *post)
{
    u32_add(&post->wanted, 1); // its order does not matter: who has the turn looks time and again
    pthread_mutex_lock(&post->turn);
    u32_add(&post->wanted, (uint32_t)-1);
}

/* Without the turn meanwhile. True if there was a call. */
static bool keys_wait(struct post *post, bool asks, int timeout, uint64_t keys[POST_MOST], uint32_t *count)
{
    struct epoll_event events[POST_MOST];
    bool called = false;
    pthread_mutex_unlock(&post->turn);
    if (asks)
        turned_ask(post);
    int told = epoll_wait(post->poll, events, POST_MOST, timeout);
    turn_want(post);
    *count = 0;
    for (int i = 0; i < told; i++) {
        if (events[i].data.u64 == CALL)
            called = true;
        else
            keys[(*count)++] = events[i].data.u64 | (events[i].events & ENDED ? POST_ENDED : 0);
    }
    return called;
}

/* The thread must not wait before that: it would be told. */
void post_clear(struct post *post)
{
    const uint64_t stay = post->stays;
    if (post->taken)
        post_call(post);
    while (post->taken && post->stays == stay) // it may be back already
        pthread_cond_wait(&post->left, &post->turn);
}

uint32_t post_wait(struct post *post, bool presses, uint64_t keys[POST_MOST])
{
    uint32_t count;
    post->sits = !presses;
    bool called = keys_wait(post, !presses, presses ? 0 : -1, keys, &count);
    post->sits = false;
    if (called) // another was meant; who comes later sees that he is awake
        post_clear(post);
    return count;
}

uint32_t post_doze(struct post *post, uint32_t time, uint64_t keys[POST_MOST])
{
    const struct timespec moment = {.tv_nsec = time};
    uint32_t count = 0;
    post->sits = true;
    pthread_mutex_unlock(&post->turn);
    turned_ask(post);
    nanosleep(&moment, NULL); // this hides no race: what happens meanwhile is told in the epoll, later
    turn_want(post);
    post->sits = false;
    if (!post->taken && keys_wait(post, false, 0, keys, &count))
        post_clear(post);
    return count;
}

void post_share(struct post *post)
{
    if (u32_load(&post->wanted)) // he who waits beside us tells when he has left
        pthread_cond_wait(&post->left, &post->turn);
}

/* Another takes the turn, and a place beside the thread. False: nobody may now. */
static bool beside_begin(struct post *post, const shared_u32 *futex)
{
    bool turn = !pthread_mutex_trylock(&post->turn), early = !turn || !post->sits;
    bool free = !early && !post->taken && !post->shut;
    if (early)
        ptr_store(&post->turned, (void *)(uintptr_t)futex);
    if (free) {
        post->taken = true;
        post->stays++;
    } else if (turn) {
        pthread_mutex_unlock(&post->turn);
    }
    return free;
}

bool post_await(struct post *post, const shared_u32 *awake, post_note_fn *note, void *context, bool *mail)
{
    uint64_t keys[POST_MOST];
    uint32_t count = 0;
    if (!beside_begin(post, awake))
        return false;
    bool roused = u32_load(awake); // else we are called from here on, and nobody else takes that for his
    bool looks = note(context, keys, 0);
    if (!looks && !roused) {
        keys_wait(post, false, -1, keys, &count);
        looks = note(context, keys, count);
    }
    *mail = (looks && !roused) || count;
    post->taken = false;
    pthread_cond_broadcast(&post->left); // the thread, and who closes
    pthread_mutex_unlock(&post->turn);
    return true;
}

void post_shut(struct post *post)
{
    pthread_mutex_lock(&post->turn);
    post->shut = true;
    post_clear(post);
    pthread_mutex_unlock(&post->turn);
}

/* ---- opening and closing ---- */

int post_open(struct post *post)
{
    *post = (struct post){.poll = epoll_create1(EPOLL_CLOEXEC),
                          .bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                          .call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
                          .alarm = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                          .due = UINT64_MAX};
    pthread_mutex_init(&post->turn, NULL);
    pthread_cond_init(&post->left, NULL);
    const uint32_t signs = EPOLLIN | EPOLLET;
    bool watched = watch(post, post->bell, POST_NOTHING, signs) && watch(post, post->call, CALL, signs) &&
                   watch(post, post->alarm, POST_NOTHING, signs);
    return watched ? 0 : SOMA_ENOMEM;
}

void post_close(struct post *post)
{
    const int handles[] = {post->bell, post->call, post->alarm, post->poll};
    for (size_t i = 0; i < sizeof(handles) / sizeof(*handles); i++)
        if (handles[i] >= 0)
            close(handles[i]);
    pthread_cond_destroy(&post->left);
    pthread_mutex_destroy(&post->turn);
}
