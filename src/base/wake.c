/* Wake-ups between threads.
 *
 * wakefd: an eventfd with a flag in front, so that many set() calls cost one write. drain() empties
 * the eventfd first and clears the flag second. A set() in between writes nothing, but its caller
 * has queued its work before, and the drainer looks at the queue afterwards: the flag's exchange
 * orders the two. The other order could leave the flag up with nothing in the eventfd, and every
 * later set() silent. An owner that listens only while it sleeps holds the flag up itself when it
 * is awake: the exchange of listen() orders it with each set(), which either is seen by the owner's
 * last look at the queue or finds the flag down and writes.
 *
 * futex: the word itself carries the ordering (release by who changes it, acquire here), so that
 * ThreadSanitizer sees what the kernel's queue does not tell it. Futexes are process-private.
 */
#include "base/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "weft/error.h"

/* fd 0 means "none" in a zeroed object, so a real one must lie above. */
static int above_zero(int fd)
{
    if (fd != 0)
        return fd;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int error = errno;
    close(fd);
    errno = error;
    return copy;
}

int weft__wakefd_open(struct weft_wakefd *wake)
{
    int fd = above_zero(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd < 0)
        return weft_fail(-errno,
                         "cannot open an eventfd: %s; raise the limit of open files (ulimit -n)",
                         strerrordesc_np(errno));
    wake->fd = fd;
    atomic_init(&wake->pending, 0);
    return WEFT_OK;
}

void weft__wakefd_close(struct weft_wakefd *wake)
{
    if (wake->fd > 0)
        close(wake->fd);
    wake->fd = -1;
}

void weft__wakefd_set(struct weft_wakefd *wake)
{
    if (atomic_exchange_explicit(&wake->pending, 1, memory_order_acq_rel))
        return;
    uint64_t one = 1;
    ssize_t n;
    do {
        n = write(wake->fd, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    /* EAGAIN: the count is at its limit, so the descriptor is readable all the same. */
    weft__check(n == (ssize_t)sizeof(one) || errno == EAGAIN);
}

void weft__wakefd_drain(struct weft_wakefd *wake)
{
    uint64_t count;
    ssize_t n;
    do {
        n = read(wake->fd, &count, sizeof(count));
    } while (n < 0 && errno == EINTR);
    weft__check(n == (ssize_t)sizeof(count) || errno == EAGAIN);
    atomic_exchange(&wake->pending, 0);
}

void weft__wakefd_listen(struct weft_wakefd *wake)
{
    atomic_exchange_explicit(&wake->pending, 0, memory_order_acq_rel);
}

void weft__wakefd_unlisten(struct weft_wakefd *wake)
{
    atomic_exchange_explicit(&wake->pending, 1, memory_order_acq_rel);
}

int weft__futex_wait(const _Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns)
{
    if (atomic_load_explicit(word, memory_order_acquire) != seen)
        return WEFT_OK;
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / WEFT_NS_PER_S),
                             .tv_nsec = (long)(deadline_ns % WEFT_NS_PER_S)};
    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, seen,
                      deadline_ns == WEFT_NEVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);
    int error = rc < 0 ? errno : 0;
    weft__check(error == 0 || error == EAGAIN || error == EINTR || error == ETIMEDOUT);
    if (atomic_load_explicit(word, memory_order_acquire) != seen)
        return WEFT_OK;
    /* No text: a deadline is an everyday event here, and its caller knows what was waited for. */
    return error == ETIMEDOUT ? WEFT_ETIMEDOUT : WEFT_OK;
}

void weft__futex_wake(const _Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}
