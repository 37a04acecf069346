/* The app's standard input on its way into a process of its own: a pipe, as it would have it from
 * other launchers, which a thread fills.
 *
 * The thread asks for the bytes from an offset on; they come into a socket (see
 * weft_exec_callbacks) that it empties into the pipe before it asks again, so no more is under way
 * than the two hold. It ends with the input, with the process, which has the pipe's only other end,
 * or when it is told to: then the socket is shut down in both directions. Rejected: the socket
 * itself as standard input: who has read how much of it cannot be seen, and /dev/stdin cannot be
 * opened. */
#include "exec/apart_input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "weft/error.h"

enum { BYTES = 64 << 10, AGAIN_MS = 100 };

struct weft__apart_input {
    const struct weft__rank *rank;
    int pipe[2];    /* read end: the process's, -1 when it has it; write end: the thread's */
    int sockets[2]; /* ours; where the bytes are put */
    pthread_t thread;
    unsigned char bytes[BYTES];
};

/* Whether what is waited for is there; false: it is to end, or nobody reads the pipe any more. */
static bool await(struct weft__apart_input *input, bool write, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = input->sockets[0], .events = write ? 0 : POLLIN},
                            {.fd = input->pipe[1], .events = write ? POLLOUT : 0}};
    while (poll(fds, 2, timeout_ms) < 0)
        if (errno != EINTR)
            return false;
    return !(fds[0].revents & POLLHUP) && !(fds[1].revents & POLLERR);
}

static bool put(struct weft__apart_input *input, size_t len)
{
    size_t done = 0;
    while (done < len) {
        if (!await(input, true, -1))
            return false;
        ssize_t n = write(input->pipe[1], input->bytes + done, len - done);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool ask(struct weft__apart_input *input, uint64_t offset)
{
    const struct weft_exec_callbacks *callbacks = &input->rank->exec->callbacks;
    for (;;) {
        int fd = fcntl(input->sockets[1], F_DUPFD_CLOEXEC, 3);
        if (fd >= 0 && callbacks->input(callbacks->ctx, offset, fd))
            return true;
        if (!await(input, false, AGAIN_MS))
            return false;
    }
}

static void *feed(void *arg)
{
    struct weft__apart_input *input = arg;
    uint64_t offset = 0;
    bool goes_on = ask(input, offset);
    while (goes_on && await(input, false, -1)) {
        ssize_t n = recv(input->sockets[0], input->bytes, BYTES, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            break;
        offset += n > 0 ? (uint64_t)n : 0;
        goes_on = n < 0 || (put(input, (size_t)n) && ask(input, offset));
    }
    close(input->pipe[1]);
    return NULL;
}

static int thread_start(struct weft__apart_input *input)
{
    sigset_t all, before;
    sigfillset(&all); /* SIGPIPE, too */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&input->thread, NULL, feed, input);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error ? weft_fail(-error, "cannot start a thread for the standard input: %s",
                             strerrordesc_np(error))
                 : WEFT_OK;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int weft__apart_input_start(const struct weft__rank *rank, struct weft__apart_input **input_out)
{
    *input_out = NULL;
    if (rank->number != rank->exec->input_rank)
        return WEFT_OK;
    struct weft__apart_input *input = calloc(1, sizeof(*input));
    if (!input)
        return weft_fail(WEFT_ENOMEM, "no memory for the standard input");
    *input = (struct weft__apart_input){.rank = rank, .pipe = {-1, -1}, .sockets = {-1, -1}};
    int err = WEFT_OK;
    if (pipe2(input->pipe, O_CLOEXEC) != 0 || fcntl(input->pipe[1], F_SETFL, O_NONBLOCK) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input->sockets) != 0)
        err = weft_fail(-errno, "cannot make a pipe for the standard input: %s",
                        strerrordesc_np(errno));
    err = err ? err : thread_start(input);
    if (err) {
        close_all(input->pipe, 2);
        close_all(input->sockets, 2);
        free(input);
        return err;
    }
    *input_out = input;
    return WEFT_OK;
}

int weft__apart_input_fd(const struct weft__apart_input *input)
{
    return input ? input->pipe[0] : -1;
}

void weft__apart_input_given(struct weft__apart_input *input)
{
    if (!input)
        return;
    close(input->pipe[0]);
    input->pipe[0] = -1;
}

void weft__apart_input_stop(struct weft__apart_input *input)
{
    if (!input)
        return;
    (void)shutdown(input->sockets[0], SHUT_RDWR);
    pthread_join(input->thread, NULL);
    close_all(input->pipe, 1);
    close_all(input->sockets, 2);
    free(input);
}
