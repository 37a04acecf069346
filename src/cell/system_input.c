/* Standard input of the rank that reads its app's: a socket, which others fill when it is empty.
 *
 * What counts is the number of bytes that the program has read, which moves with it; the next ones
 * are asked for by number, so what lies in the socket when the rank moves is simply forgotten.
 * Being a socket it can be waited for like any other, and its end is the socket's end. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cell/system_call.h"
#include "weft/error.h"

int weft__system_input_open(struct weft__system *system)
{
    struct weft__fds_host *files = &system->files;
    int fds[2];
    if (!system->input.ask || files->files->files[0].kind != WEFT__FDS_STANDARD)
        return WEFT_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
        return weft_fail(-errno, "cannot make a socket for the standard input: %s",
                         strerrordesc_np(errno));
    (void)shutdown(fds[0], SHUT_WR);
    system->input.is_open = true;
    system->input.fd = fds[0];
    system->input.peer = fds[1];
    system->input.asked = 0;
    files->fds[0] = fds[0];
    return WEFT_OK;
}

void weft__system_input_close(struct weft__system *system)
{
    if (system->input.is_open)
        close(system->input.peer);
    system->input.is_open = false;
}

bool weft__system_is_input(const struct weft__system *system, const struct weft__fds_file *file)
{
    return system->input.is_open && file == &system->files.files->files[0] &&
           file->kind == WEFT__FDS_STANDARD;
}

bool weft__system_input_ask(struct weft__system *system)
{
    uint64_t offset = system->state->input_offset;
    int there = 0;
    if (!weft__system_is_input(system, &system->files.files->files[0]) ||
        system->input.asked == offset + 1 || ioctl(system->input.fd, FIONREAD, &there) != 0 ||
        there > 0)
        return true;
    int fd = fcntl(system->input.peer, F_DUPFD_CLOEXEC, 3);
    if (fd >= 0 && system->input.ask(system->input.ctx, offset, fd))
        system->input.asked = offset + 1;
    return system->input.asked == offset + 1;
}
