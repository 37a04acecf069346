/* A mutex and a condition that clang's -Wthread-safety understands. gcc sees plain pthreads. */
#ifndef WEFT_CONTROL_LOCK_H
#define WEFT_CONTROL_LOCK_H

#include <pthread.h>

#if defined(__clang__)
#define WEFT_LOCK_ATTR(x) __attribute__((x))
#else
#define WEFT_LOCK_ATTR(x)
#endif
#define WEFT_CAPABILITY WEFT_LOCK_ATTR(capability("mutex"))
/* For the reader only: in C, clang 14 cannot name a member beside the one it guards. */
#define WEFT_GUARDED_BY(lock)
#define WEFT_REQUIRES(lock) WEFT_LOCK_ATTR(requires_capability(lock))
#define WEFT_ACQUIRES(lock) WEFT_LOCK_ATTR(acquire_capability(lock))
#define WEFT_RELEASES(lock) WEFT_LOCK_ATTR(release_capability(lock))
#define WEFT_LOCK_UNCHECKED WEFT_LOCK_ATTR(no_thread_safety_analysis)

struct WEFT_CAPABILITY weft_lock {
    pthread_mutex_t mutex;
};

static inline void weft__lock_init(struct weft_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

static inline void weft__lock_fini(struct weft_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

static inline void weft__lock_take(struct weft_lock *lock) WEFT_ACQUIRES(lock) WEFT_LOCK_UNCHECKED
{
    pthread_mutex_lock(&lock->mutex);
}

static inline void weft__lock_drop(struct weft_lock *lock) WEFT_RELEASES(lock) WEFT_LOCK_UNCHECKED
{
    pthread_mutex_unlock(&lock->mutex);
}

/* Sleeps until somebody signals cond; the lock is given up meanwhile. Spurious returns are
 * possible. */
static inline void weft__lock_sleep(struct weft_lock *lock, pthread_cond_t *cond)
    WEFT_REQUIRES(lock) WEFT_LOCK_UNCHECKED
{
    pthread_cond_wait(cond, &lock->mutex);
}

#endif
