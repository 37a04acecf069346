/* Pipes, sockets, and waiting for them. A rank that has one open stays on its host.
 *
 * Here every one is non-blocking, so that a rank that waits never holds a worker; whether the
 * program has asked for that is kept with its flags. What wakes a rank that waits is watch.c. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cell/system_call.h"
#include "cell/user.h"

#define EVENTS 64 /* of an epoll set, at a time */

/* Puts two descriptors into the tables, or none; and their numbers where the program wants them. */
static int64_t add_pair(struct weft__system *system, const int host_fds[2], int flags,
                        enum weft__fds_pin pin, uint64_t address)
{
    struct weft__fds_host *files = &system->files;
    bool pipe = pin == WEFT__FDS_PIN_PIPE;
    int64_t a = weft__fds_add_pinned(files, host_fds[0], flags | (pipe ? O_RDONLY : O_RDWR), pin);
    int64_t b = weft__fds_add_pinned(files, host_fds[1], flags | (pipe ? O_WRONLY : O_RDWR), pin);
    const int own[2] = {(int)a, (int)b};
    int64_t rc = a < 0   ? a
                 : b < 0 ? b
                         : weft__user_write(&system->space, address, own, sizeof(own));
    if (rc == 0)
        return 0;
    if (a >= 0)
        (void)weft__fds_close(files, a);
    if (b >= 0)
        (void)weft__fds_close(files, b);
    return rc;
}

void weft__system_on_pipe(struct weft__system *system, struct weft__trap_call *call)
{
    int flags = call->number == SYS_pipe2 ? (int)call->args[1] : 0, host_fds[2];
    call->result = pipe2(host_fds, flags | O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : -errno;
    if (call->result == 0)
        call->result = add_pair(system, host_fds, flags, WEFT__FDS_PIN_PIPE, call->args[0]);
}

/* SOCK_NONBLOCK and SOCK_CLOEXEC are the flags of open(). */
static int flags_of(uint64_t type)
{
    return (int)type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
}

void weft__system_on_socket(struct weft__system *system, struct weft__trap_call *call)
{
    const uint64_t *args = call->args;
    int fd = socket((int)args[0], (int)args[1] | SOCK_NONBLOCK | SOCK_CLOEXEC, (int)args[2]);
    call->result = fd < 0 ? -errno
                          : weft__fds_add_pinned(&system->files, fd, O_RDWR | flags_of(args[1]),
                                                 WEFT__FDS_PIN_SOCKET);
}

void weft__system_on_socketpair(struct weft__system *system, struct weft__trap_call *call)
{
    const uint64_t *args = call->args;
    int host_fds[2], type = (int)args[1] | SOCK_NONBLOCK | SOCK_CLOEXEC;
    call->result = socketpair((int)args[0], type, (int)args[2], host_fds) == 0 ? 0 : -errno;
    if (call->result == 0)
        call->result = add_pair(system, host_fds, flags_of(args[1]), WEFT__FDS_PIN_SOCKET, args[3]);
}

/* accept() and accept4(): on the host first, then the new descriptor is given its number. */
void weft__system_on_accept(struct weft__system *system, struct weft__trap_call *call)
{
    const uint64_t *args = call->args;
    const struct weft__fds_file *file = weft__fds_find(&system->files, (int)args[0]);
    int flags = call->number == SYS_accept4 ? flags_of(args[3]) : 0;
    if (!file) {
        call->result = -EBADF;
        return;
    }
    const uint64_t host[6] = {(uint64_t)weft__fds_host_fd(&system->files, (int)args[0]), args[1],
                              args[2], SOCK_NONBLOCK | SOCK_CLOEXEC};
    call->result = weft__system_raw(SYS_accept4, host);
    if (call->result >= 0)
        call->result = weft__fds_add_pinned(&system->files, (int)call->result, O_RDWR | flags,
                                            WEFT__FDS_PIN_SOCKET);
    else if (call->result == -EAGAIN && !(file->flags & O_NONBLOCK))
        weft__system_wait_for_one(system, call, POLLIN, WEFT__SYSTEM_RESTART);
}

void weft__system_on_connect(struct weft__system *system, struct weft__trap_call *call)
{
    const struct weft__fds_file *file = weft__fds_find(&system->files, (int)call->args[0]);
    int fd = weft__fds_host_fd(&system->files, (int)call->args[0]), error = 0;
    const uint64_t host[6] = {(uint64_t)fd, call->args[1], call->args[2]};
    socklen_t len = sizeof(error);
    if (!file) {
        call->result = -EBADF;
        return;
    }
    if (!system->wait.again) {
        call->result = weft__system_raw(SYS_connect, host);
    } else {
        struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
        int n = poll(&poll_fd, 1, 0);
        if (n > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
        call->result = n > 0 ? -error : -EINPROGRESS;
    }
    if (call->result == -EINPROGRESS && !(file->flags & O_NONBLOCK))
        weft__system_wait_for_one(system, call, POLLOUT, EINTR);
}

/* sendmsg() and recvmsg(): control messages could bring descriptors of the host in. */
void weft__system_on_message(struct weft__system *system, struct weft__trap_call *call)
{
    struct msghdr message;
    call->result = weft__user_read(&system->space, &message, call->args[1], sizeof(message));
    if (call->result)
        return;
    if (message.msg_controllen || message.msg_iovlen > IOV_MAX) {
        call->result = message.msg_controllen ? -EOPNOTSUPP : -EMSGSIZE;
        return;
    }
    const uint64_t parts = (uint64_t)(uintptr_t)message.msg_iov;
    for (size_t i = 0; i < message.msg_iovlen; i++) {
        struct iovec part;
        call->result =
            weft__user_read(&system->space, &part, parts + i * sizeof(part), sizeof(part));
        if (call->result == 0 &&
            !weft__user_buffer(&system->space, (uint64_t)(uintptr_t)part.iov_base, part.iov_len))
            call->result = -EFAULT;
        if (call->result)
            return;
    }
    weft__system_on_file(system, call);
}

void weft__system_on_eventfd(struct weft__system *system, struct weft__trap_call *call)
{
    int flags = call->number == SYS_eventfd2 ? (int)call->args[1] : 0;
    int fd = eventfd((unsigned)call->args[0], flags | EFD_NONBLOCK | EFD_CLOEXEC);
    call->result = fd < 0 ? -errno
                          : weft__fds_add_pinned(&system->files, fd,
                                                 O_RDWR | (flags & (EFD_NONBLOCK | EFD_CLOEXEC)),
                                                 WEFT__FDS_PIN_EVENT);
}

void weft__system_on_memfd(struct weft__system *system, struct weft__trap_call *call)
{
    char name[256];
    call->result = weft__user_text(&system->space, name, call->args[0], sizeof(name));
    if (call->result)
        return;
    int fd = memfd_create(name, (unsigned)call->args[1] | MFD_CLOEXEC);
    call->result =
        fd < 0 ? -errno
               : weft__fds_add_pinned(&system->files, fd,
                                      O_RDWR | (call->args[1] & MFD_CLOEXEC ? O_CLOEXEC : 0),
                                      WEFT__FDS_PIN_MEMORY);
}

/* ---- poll and select ---- */

/* Nothing is ready: waits on, or it is over. */
static void look_again(struct weft__system *system, struct weft__trap_call *call,
                       uint64_t deadline_ns, const struct pollfd *fds, size_t n)
{
    call->result = 0;
    if (n > 0)
        (void)weft__system_input_ask(system);
    if (weft__system_now(system) >= deadline_ns)
        return;
    weft__system_wait_for(
        system, call,
        &(struct weft__system_wish){.fds = fds, .n = n, .until_ns = deadline_ns, .error = EINTR});
}

/* Milliseconds, as poll() has them; negative: for ever. */
static uint64_t deadline_of_ms(struct weft__system *system, int timeout_ms)
{
    struct weft__wait *wait = &system->state->wait;
    if (!system->wait.again)
        wait->deadline_ns =
            timeout_ms < 0 ? UINT64_MAX
                           : weft__system_now(system) + (uint64_t)timeout_ms * UINT64_C(1000000);
    return wait->deadline_ns;
}

/* Asks the host; descriptors that are not the rank's say so. Returns how many have something. */
static int poll_now(const struct weft__system *system, struct pollfd *fds, uint64_t n)
{
    int own[WEFT__FDS_MAX];
    for (uint64_t i = 0; i < n; i++) {
        own[i] = fds[i].fd;
        fds[i].fd = own[i] < 0 ? -1 : weft__fds_host_fd(&system->files, own[i]);
    }
    int rc = poll(fds, n, 0);
    rc = rc < 0 ? -errno : rc;
    for (uint64_t i = 0; i < n; i++) {
        if (own[i] >= 0 && fds[i].fd < 0) {
            fds[i].revents = POLLNVAL;
            rc += rc >= 0;
        }
        fds[i].fd = own[i];
    }
    return rc;
}

void weft__system_on_poll(struct weft__system *system, struct weft__trap_call *call)
{
    struct pollfd fds[WEFT__FDS_MAX];
    uint64_t n = call->args[1], deadline_ns = 0;
    if (n > WEFT__FDS_MAX) {
        call->result = -EINVAL;
        return;
    }
    call->result = weft__user_read(&system->space, fds, call->args[0], n * sizeof(fds[0]));
    if (call->result)
        return;
    if (call->number == SYS_poll)
        deadline_ns = deadline_of_ms(system, (int)call->args[2]);
    else
        call->result = weft__system_timeout(system, call->args[2], &deadline_ns);
    if (!call->result && call->number == SYS_ppoll && call->args[3] && !system->wait.again)
        call->result = weft__system_mask_for_now(system, call->args[3], call->args[4]);
    if (call->result)
        return;
    int ready = poll_now(system, fds, n);
    if (ready == 0) {
        look_again(system, call, deadline_ns, fds, n);
        return;
    }
    call->result = weft__user_write(&system->space, call->args[0], fds, n * sizeof(fds[0]));
    call->result = call->result ? call->result : ready;
}

struct sets {
    fd_set in[3], out[3];
};

static const short events_of[3] = {POLLIN, POLLOUT, POLLPRI};
static const short ready_of[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};

/* Sets of descriptors, as poll() wants them. Returns how many. */
static unsigned to_poll(const struct sets *sets, int n, struct pollfd *fds)
{
    unsigned used = 0;
    for (int fd = 0; fd < n; fd++) {
        short events = 0;
        for (int i = 0; i < 3; i++)
            if (FD_ISSET(fd, &sets->in[i]))
                events |= events_of[i];
        if (events)
            fds[used++] = (struct pollfd){.fd = fd, .events = events};
    }
    return used;
}

/* Returns how many bits are set, or -EBADF. */
static int from_poll(struct sets *sets, const struct pollfd *fds, unsigned n)
{
    int bits = 0;
    for (unsigned k = 0; k < n; k++) {
        if (fds[k].revents & POLLNVAL)
            return -EBADF;
        for (int i = 0; i < 3; i++)
            if (fds[k].events & events_of[i] && fds[k].revents & ready_of[i]) {
                FD_SET(fds[k].fd, &sets->out[i]);
                bits++;
            }
    }
    return bits;
}

static int read_sets(const struct weft__system *system, const uint64_t args[6], size_t len,
                     struct sets *sets)
{
    int rc = 0;
    memset(sets, 0, sizeof(*sets));
    for (int i = 0; i < 3 && !rc; i++)
        if (args[1 + i])
            rc = weft__user_read(&system->space, &sets->in[i], args[1 + i], len);
    return rc;
}

static int write_sets(const struct weft__system *system, const uint64_t args[6], size_t len,
                      const struct sets *sets)
{
    int rc = 0;
    for (int i = 0; i < 3 && !rc; i++)
        if (args[1 + i])
            rc = weft__user_write(&system->space, args[1 + i], &sets->out[i], len);
    return rc;
}

/* select() has microseconds and no mask; pselect6() nanoseconds, and a pointer to the mask. */
static int select_times(struct weft__system *system, const struct weft__trap_call *call,
                        uint64_t *deadline_out)
{
    struct timeval time;
    uint64_t mask[2];
    struct weft__wait *wait = &system->state->wait;
    if (call->number == SYS_select) {
        if (call->args[4] && weft__user_read(&system->space, &time, call->args[4], sizeof(time)))
            return -EFAULT;
        if (call->args[4] && (time.tv_sec < 0 || time.tv_usec < 0))
            return -EINVAL;
        if (!system->wait.again)
            wait->deadline_ns = call->args[4] ? weft__system_now(system) +
                                                    (uint64_t)time.tv_sec * UINT64_C(1000000000) +
                                                    (uint64_t)time.tv_usec * 1000
                                              : UINT64_MAX;
        *deadline_out = wait->deadline_ns;
        return 0;
    }
    int rc = weft__system_timeout(system, call->args[4], deadline_out);
    if (rc || !call->args[5] || system->wait.again)
        return rc;
    rc = weft__user_read(&system->space, mask, call->args[5], sizeof(mask));
    return rc || !mask[0] ? rc : weft__system_mask_for_now(system, mask[0], mask[1]);
}

void weft__system_on_select(struct weft__system *system, struct weft__trap_call *call)
{
    struct sets sets;
    struct pollfd fds[WEFT__FDS_MAX];
    int n = (int)call->args[0];
    uint64_t deadline_ns;
    if (n < 0) {
        call->result = -EINVAL;
        return;
    }
    n = n < FD_SETSIZE ? n : FD_SETSIZE;
    size_t len = ((size_t)n + 63) / 64 * 8;
    call->result = read_sets(system, call->args, len, &sets);
    if (!call->result)
        call->result = select_times(system, call, &deadline_ns);
    if (call->result)
        return;
    unsigned used = to_poll(&sets, n, fds);
    int ready = poll_now(system, fds, used);
    if (ready > 0)
        ready = from_poll(&sets, fds, used);
    if (ready == 0) {
        look_again(system, call, deadline_ns, fds, used);
        if (system->wait.wanted)
            return;
    }
    call->result = ready < 0 ? ready : write_sets(system, call->args, len, &sets);
    call->result = call->result ? call->result : ready;
}

/* ---- epoll ---- */

void weft__system_on_epoll_create(struct weft__system *system, struct weft__trap_call *call)
{
    bool one = call->number == SYS_epoll_create1;
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (!one && (int)call->args[0] <= 0) {
        call->result = -EINVAL;
        close(fd);
        return;
    }
    call->result = fd < 0
                       ? -errno
                       : weft__fds_add_pinned(&system->files, fd,
                                              one && call->args[0] & EPOLL_CLOEXEC ? O_CLOEXEC : 0,
                                              WEFT__FDS_PIN_EPOLL);
}

void weft__system_on_epoll_ctl(struct weft__system *system, struct weft__trap_call *call)
{
    int set = weft__fds_host_fd(&system->files, (int)call->args[0]);
    int fd = weft__fds_host_fd(&system->files, (int)call->args[2]);
    const uint64_t host[6] = {(uint64_t)set, call->args[1], (uint64_t)fd, call->args[3]};
    call->result = set < 0 || fd < 0 ? -EBADF : weft__system_raw(SYS_epoll_ctl, host);
}

void weft__system_on_epoll_wait(struct weft__system *system, struct weft__trap_call *call)
{
    struct epoll_event events[EVENTS];
    int set = weft__fds_host_fd(&system->files, (int)call->args[0]), n = (int)call->args[2];
    if (set < 0 || n <= 0) {
        call->result = set < 0 ? -EBADF : -EINVAL;
        return;
    }
    if (call->number == SYS_epoll_pwait && call->args[4] && !system->wait.again) {
        call->result = weft__system_mask_for_now(system, call->args[4], call->args[5]);
        if (call->result)
            return;
    }
    int ready = epoll_wait(set, events, n < EVENTS ? n : EVENTS, 0);
    if (ready == 0) {
        const struct pollfd own = {.fd = (int)call->args[0], .events = POLLIN};
        look_again(system, call, deadline_of_ms(system, (int)call->args[3]), &own, 1);
        return;
    }
    call->result = ready < 0 ? -errno
                   : weft__user_write(&system->space, call->args[1], events,
                                      (size_t)ready * sizeof(events[0])) != 0
                       ? -EFAULT
                       : ready;
}
