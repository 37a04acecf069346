/* A set is an epoll instance, and the thread waits in one that has all sets as members: to arm and
 * to forget is a few system calls of the rank's worker, and the thread keeps no books. The closing
 * of a set takes it out of the thread's; an event of it that is on its way by then calls back
 * needlessly, which a rank bears: it looks again, and waits on.
 *
 * Rejected: one set for all, where a descriptor that two ranks have (a terminal) can be only once;
 * and a thread per blocking call, of which there may be one for each rank. */
#include "cell/watch.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "weft/error.h"

#define EVENTS 64
#define STOP UINT64_MAX

struct weft__watch {
    weft__watch_ready *ready;
    void *ctx;
    int all;  /* the thread's set */
    int stop; /* an eventfd in it */
    pthread_mutex_t lock;
    bool runs; /* the thread; under the lock */
    pthread_t thread;
};

static void *run(void *arg)
{
    const struct weft__watch *watch = arg;
    struct epoll_event events[EVENTS];
    for (;;) {
        int n = epoll_wait(watch->all, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == STOP)
                return NULL;
            watch->ready(watch->ctx, (int32_t)events[i].data.u64);
        }
    }
}

static int failed(const char *what)
{
    return weft_fail(-errno, "cannot %s to wait for descriptors of ranks: %s", what,
                     strerrordesc_np(errno));
}

int weft__watch_open(weft__watch_ready *ready, void *ctx, struct weft__watch **watch_out)
{
    struct weft__watch *watch = calloc(1, sizeof(*watch));
    struct epoll_event stop = {.events = EPOLLIN, .data.u64 = STOP};
    if (!watch)
        return weft_fail(WEFT_ENOMEM, "no memory to wait for descriptors of ranks");
    *watch = (struct weft__watch){.ready = ready, .ctx = ctx, .stop = -1};
    pthread_mutex_init(&watch->lock, NULL);
    watch->all = epoll_create1(EPOLL_CLOEXEC);
    if (watch->all >= 0)
        watch->stop = eventfd(0, EFD_CLOEXEC);
    if (watch->stop < 0 || epoll_ctl(watch->all, EPOLL_CTL_ADD, watch->stop, &stop) != 0) {
        int err = failed("make a set");
        weft__watch_close(watch);
        return err;
    }
    *watch_out = watch;
    return WEFT_OK;
}

void weft__watch_close(struct weft__watch *watch)
{
    const uint64_t one = 1;
    if (!watch)
        return;
    if (watch->runs && write(watch->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(watch->thread, NULL);
    if (watch->stop >= 0)
        close(watch->stop);
    if (watch->all >= 0)
        close(watch->all);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

/* Signals are for others. */
static int start(struct weft__watch *watch)
{
    sigset_t all, before;
    int error = 0;
    sigfillset(&all);
    pthread_mutex_lock(&watch->lock);
    if (!watch->runs) {
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(&watch->thread, NULL, run, watch);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        watch->runs = error == 0;
        if (watch->runs)
            pthread_setname_np(watch->thread, "descriptors");
    }
    pthread_mutex_unlock(&watch->lock);
    errno = error;
    return error ? failed("start a thread") : WEFT_OK;
}

/* One that is there twice is watched for the events of both. */
static int add(int set, const struct pollfd *fds, size_t i)
{
    struct epoll_event event = {.events = (uint16_t)fds[i].events};
    if (epoll_ctl(set, EPOLL_CTL_ADD, fds[i].fd, &event) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    for (size_t k = 0; k < i; k++)
        if (fds[k].fd == fds[i].fd)
            event.events |= (uint16_t)fds[k].events;
    return epoll_ctl(set, EPOLL_CTL_MOD, fds[i].fd, &event);
}

int weft__watch_arm(struct weft__watch *watch, int32_t rank, const struct pollfd *fds, size_t n,
                    int *set_out)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = (uint32_t)rank};
    int set = epoll_create1(EPOLL_CLOEXEC), rc = set;
    for (size_t i = 0; i < n && rc >= 0; i++)
        if (fds[i].fd >= 0)
            rc = add(set, fds, i);
    int err = rc < 0 ? failed("make a set") : start(watch);
    if (!err && epoll_ctl(watch->all, EPOLL_CTL_ADD, set, &event) != 0)
        err = failed("add a set");
    if (!err)
        *set_out = set;
    else if (set >= 0)
        close(set);
    return err;
}

void weft__watch_disarm(int set)
{
    close(set);
}
