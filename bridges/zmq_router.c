/* Making ROUTERs; see zmq_router.h. */
#include "bridges/zmq_router.h"
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <zmq.h>

/* The program's own random numbers go on as if nothing had been drawn. The state is not on the stack, as another thread
 * might set it again that has found it in use. */
void *router_open(void *context)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char state[32];
    unsigned seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
        return NULL;
    pthread_mutex_lock(&lock);
    char *before = initstate(seed, state, sizeof(state));
    void *router = zmq_socket(context, ZMQ_ROUTER);
    setstate(before);
    pthread_mutex_unlock(&lock);
    return router;
}
