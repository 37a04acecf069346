/* Calls on descriptors: the rank's number is translated into the host's, and the call goes through;
 * what only concerns numbers stays in the tables.
 *
 * What a rank has open that may make it wait (pipes, sockets) never blocks on the host: where the
 * kernel says that it would, and the program has not asked for that, the call waits as a rank does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cell/environment.h"
#include "cell/system_call.h"
#include "cell/user.h"
#include "exec/program.h"

#define VECTORS 64 /* at a time; more are a short read or write */
#define SETTABLE (O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME)

/* A path to one of the program's own descriptors, as /dev/fd and /proc have them; -1: it is none.
 */
static int named_descriptor(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"};
    static const char *const names[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
    for (int i = 0; i < 3; i++)
        if (strcmp(path, names[i]) == 0)
            return i;
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(folders[i]);
        if (strncmp(path, folders[i], len) != 0)
            continue;
        int fd = 0;
        for (const char *c = path + len; *c; c++)
            if (*c < '0' || *c > '9' || (fd = fd * 10 + (*c - '0')) >= WEFT__FDS_MAX)
                return WEFT__FDS_MAX;
        return fd;
    }
    return -1;
}

/* The name of a library that the dynamic linker may be looking for; NULL: it is not. */
static const char *library_of(const struct weft__system *system, const char *path, int flags)
{
    const char *slash = strrchr(path, '/');
    bool reads = (flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT);
    return system->space.space->linker && reads ? slash ? slash + 1 : path : NULL;
}

/* The MPI of a cell is weft's, wherever a program or a library of its says that one is. */
static void choose_mpi(const char *library, char path[PATH_MAX])
{
    const char *folder = weft__environment_libraries();
    if (folder &&
        (strcmp(library, "libmpi_abi.so.0") == 0 || strcmp(library, "libmpi_abi.so.1") == 0))
        snprintf(path, PATH_MAX, "%s/libmpi_abi.so.1", folder);
}

void weft__system_on_open(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t args[4] = {(uint64_t)AT_FDCWD, call->args[0], call->args[1], call->args[2]};
    char path[PATH_MAX];
    if (call->number == SYS_openat)
        memcpy(args, call->args, sizeof(args));
    else if (call->number == SYS_creat)
        args[2] = O_CREAT | O_WRONLY | O_TRUNC, args[3] = call->args[1];
    int flags = (int)args[2], folder;
    call->result = weft__user_text(&system->space, path, args[1], sizeof(path));
    if (call->result)
        return;
    int own = named_descriptor(path);
    if (own >= 0) {
        call->result = weft__fds_dup(&system->files, own, 0, flags & O_CLOEXEC);
        call->result = call->result == -EBADF ? -ENOENT : call->result;
        return;
    }
    const char *library = library_of(system, path, flags);
    if (library && weft__program_is_foreign(library)) {
        weft__system_refuse(system, call, ENOENT,
                            "a library needs an MPI with an ABI of its own; build it against the "
                            "standard ABI");
        return;
    }
    if (library)
        choose_mpi(library, path);
    args[1] = (uint64_t)(uintptr_t)path;
    folder = path[0] == '/' ? AT_FDCWD : weft__system_folder(system, (int)args[0]);
    if (folder == -EBADF) {
        call->result = -EBADF;
        return;
    }
    int fd = weft__system_open(system, folder, args + 1);
    call->result = fd < 0 ? fd : weft__fds_add(&system->files, fd, flags);
}

void weft__system_on_close(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = weft__fds_close(&system->files, (int)call->args[0]);
}

void weft__system_on_close_range(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t first = call->args[0], last = call->args[1];
    call->result = first > last || call->args[2] & ~(uint64_t)CLOSE_RANGE_CLOEXEC ? -EINVAL : 0;
    for (uint64_t fd = first; !call->result && fd <= last && fd < WEFT__FDS_MAX; fd++)
        if (call->args[2])
            system->state->files.descriptors[fd].cloexec = 1;
        else
            (void)weft__fds_close(&system->files, (int64_t)fd);
}

void weft__system_on_dup(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = weft__fds_dup(&system->files, (int)call->args[0], 0, false);
}

void weft__system_on_dup_to(struct weft__system *system, struct weft__trap_call *call)
{
    int from = (int)call->args[0], into = (int)call->args[1];
    bool three = call->number == SYS_dup3, cloexec = three && call->args[2] & O_CLOEXEC;
    call->result = three && (from == into || call->args[2] & ~(uint64_t)O_CLOEXEC)
                       ? -EINVAL
                       : weft__fds_dup_to(&system->files, from, into, cloexec);
}

/* ---- input and output ---- */

static bool would_wait(const struct weft__system *system, const struct weft__trap_call *call,
                       const struct weft__fds_file *file)
{
    bool message = call->number == SYS_sendto || call->number == SYS_recvfrom;
    return call->result == -EAGAIN &&
           (file->kind == WEFT__FDS_PINNED || weft__system_is_input(system, file)) &&
           !(file->flags & O_NONBLOCK) && !(message && call->args[3] & MSG_DONTWAIT);
}

/* Of a write that has to be whole, what is done already is kept. */
static void write_on(struct weft__system *system, struct weft__trap_call *call,
                     const struct weft__fds_file *file, uint64_t done)
{
    bool whole = (call->number == SYS_write || call->number == SYS_sendto) &&
                 file->kind == WEFT__FDS_PINNED && !(file->flags & O_NONBLOCK);
    if (call->result > 0 && whole) {
        done += (uint64_t)call->result;
        call->result = (int64_t)done;
        if (done < call->args[2]) {
            system->state->wait.done_bytes = done;
            system->wait.hasty = 0;
            weft__system_wait(system, call, 0, WEFT__SYSTEM_RESTART);
            call->result = (int64_t)done; /* interrupted: it is less than wished */
        }
    } else if (done && call->result < 0 && !system->wait.wanted) {
        call->result = (int64_t)done;
    }
}

/* Bytes are counted that are read as from any file; as from a socket none are. */
static void on_input(struct weft__system *system, const struct weft__trap_call *call)
{
    if (call->result > 0 &&
        (call->number == SYS_read || call->number == SYS_readv || call->number == SYS_preadv2))
        system->state->input_offset += (uint64_t)call->result;
    else if (call->result == -EAGAIN || call->number == SYS_ioctl)
        (void)weft__system_input_ask(system);
}

/* What it waits for. */
static short events_of(const struct weft__trap_call *call)
{
    bool writes = call->number == SYS_write || call->number == SYS_writev ||
                  call->number == SYS_pwritev2 || call->number == SYS_sendto ||
                  call->number == SYS_sendmsg;
    return writes ? POLLOUT : POLLIN;
}

/* Of sockets, which the input shall not be. */
static bool is_of_sockets(const struct weft__trap_call *call)
{
    return call->number == SYS_recvfrom || call->number == SYS_recvmsg ||
           call->number == SYS_sendto || call->number == SYS_sendmsg ||
           call->number == SYS_shutdown || call->number == SYS_setsockopt ||
           call->number == SYS_getsockopt;
}

void weft__system_on_file(struct weft__system *system, struct weft__trap_call *call)
{
    const struct weft__fds_file *file = weft__fds_find(&system->files, (int)call->args[0]);
    if (!file) {
        call->result = -EBADF;
        return;
    }
    if (is_of_sockets(call) && weft__system_is_input(system, file)) {
        call->result = -ENOTSOCK;
        return;
    }
    uint64_t args[6], done = system->wait.again ? system->state->wait.done_bytes : 0;
    system->state->wait.done_bytes = 0;
    memcpy(args, call->args, sizeof(args));
    args[0] = (uint64_t)weft__fds_host_fd(&system->files, (int)call->args[0]);
    if (done) {
        args[1] += done;
        args[2] -= done;
    }
    call->result = weft__system_raw(call->number, args);
    if (weft__system_is_input(system, file))
        on_input(system, call);
    if (would_wait(system, call, file)) {
        weft__system_wait_for_one(system, call, events_of(call), WEFT__SYSTEM_RESTART);
        if (done) {
            system->state->wait.done_bytes = done;
            call->result = (int64_t)done;
        }
    } else {
        write_on(system, call, file, done);
    }
}

/* readv() and its like: each part lies in the program. */
void weft__system_on_vector(struct weft__system *system, struct weft__trap_call *call)
{
    struct iovec parts[VECTORS];
    uint64_t n = call->args[2], args[6];
    memcpy(args, call->args, sizeof(args));
    call->result = n > IOV_MAX ? -EINVAL : 0;
    if (call->result)
        return;
    n = n < VECTORS ? n : VECTORS;
    call->result = weft__user_read(&system->space, parts, args[1], n * sizeof(parts[0]));
    for (uint64_t i = 0; i < n && !call->result; i++)
        if (!weft__user_buffer(&system->space, (uint64_t)(uintptr_t)parts[i].iov_base,
                               parts[i].iov_len))
            call->result = -EFAULT;
    if (call->result)
        return;
    uint64_t kept = call->args[1];
    call->args[1] = (uint64_t)(uintptr_t)parts;
    call->args[2] = n;
    weft__system_on_file(system, call);
    call->args[1] = kept;
    call->args[2] = args[2];
}

/* The first and the third argument: copy_file_range(); or the first two: sendfile(). */
void weft__system_on_two_files(struct weft__system *system, struct weft__trap_call *call)
{
    int second = call->number == SYS_sendfile ? 1 : 2;
    uint64_t args[6];
    memcpy(args, call->args, sizeof(args));
    int a = weft__fds_host_fd(&system->files, (int)args[0]);
    int b = weft__fds_host_fd(&system->files, (int)args[second]);
    args[0] = (uint64_t)a;
    args[second] = (uint64_t)b;
    call->result = a < 0 || b < 0 ? -EBADF : weft__system_raw(call->number, args);
}

/* Files of the installed system, which nobody changes while they are read: the C library maps its
 * tables of conversions as shared ones. */
static bool is_constant(const struct weft__system *system, const struct weft__fds_file *file,
                        uint64_t prot)
{
    const struct weft__fds *files = &system->state->files;
    return file && file->kind == WEFT__FDS_PATH && (file->flags & O_ACCMODE) == O_RDONLY &&
           !(prot & PROT_WRITE) && strncmp(files->paths[file - files->files], "/usr/", 5) == 0;
}

void weft__system_on_mmap(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t args[6];
    memcpy(args, call->args, sizeof(args));
    bool is_file = !(args[3] & MAP_ANONYMOUS);
    const struct weft__fds_file *file =
        is_file ? weft__fds_find(&system->files, (int)args[4]) : NULL;
    if ((args[3] & MAP_TYPE) == MAP_SHARED && is_constant(system, file, args[2]))
        args[3] ^= MAP_SHARED | MAP_PRIVATE;
    if ((args[3] & MAP_TYPE) != MAP_PRIVATE) {
        weft__system_refuse(system, call, ENODEV,
                            "shared mappings do not move; MAP_PRIVATE is served");
        return;
    }
    if (is_file && (!file || (file->flags & O_ACCMODE) == O_WRONLY)) {
        call->result = file ? -EACCES : -EBADF;
        return;
    }
    if (is_file)
        args[4] = (uint64_t)weft__fds_host_fd(&system->files, (int)args[4]);
    call->result = weft__space_mmap(&system->space, args);
}

/* ---- fcntl and its like ---- */

/* Locks of a process become locks of the open file, since ranks share a process. */
static void set_lock(struct weft__system *system, struct weft__trap_call *call,
                     struct weft__fds_file *file, int host_fd)
{
    struct flock lock;
    int command = (int)call->args[1];
    bool ask = command == F_GETLK || command == F_OFD_GETLK;
    bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
    call->result = weft__user_read(&system->space, &lock, call->args[2], sizeof(lock));
    if (call->result)
        return;
    lock.l_pid = 0;
    call->result = fcntl(host_fd, ask ? F_OFD_GETLK : F_OFD_SETLK, &lock) == -1 ? -errno : 0;
    if (waits && (call->result == -EAGAIN || call->result == -EACCES)) {
        weft__system_wait(system, call, weft__system_now(system) + WEFT__SYSTEM_TICK_NS,
                          WEFT__SYSTEM_RESTART);
        return;
    }
    if (ask && !call->result)
        call->result = weft__user_write(&system->space, call->args[2], &lock, sizeof(lock));
    else if (!call->result && lock.l_type != F_UNLCK)
        file->locked = 1;
    else if (!call->result && lock.l_whence == SEEK_SET && lock.l_start == 0 && lock.l_len == 0)
        file->locked = 0;
}

static int64_t set_flags(struct weft__fds_file *file, int host_fd, int flags)
{
    if (file->kind != WEFT__FDS_STANDARD &&
        fcntl(host_fd, F_SETFL, (flags & SETTABLE) | O_NONBLOCK) == -1)
        return -errno;
    file->flags = (file->flags & ~SETTABLE) | (flags & SETTABLE);
    return 0;
}

void weft__system_on_fcntl(struct weft__system *system, struct weft__trap_call *call)
{
    int64_t fd = (int)call->args[0];
    struct weft__fds_file *file = weft__fds_find(&system->files, fd);
    int host_fd = weft__fds_host_fd(&system->files, fd);
    if (!file) {
        call->result = -EBADF;
        return;
    }
    struct weft__fds_number *descriptor = &system->state->files.descriptors[fd];
    call->result = 0;
    switch ((int)call->args[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        call->result =
            weft__fds_dup(&system->files, fd, (int)call->args[2], call->args[1] == F_DUPFD_CLOEXEC);
        break;
    case F_GETFD:
        call->result = descriptor->cloexec ? FD_CLOEXEC : 0;
        break;
    case F_SETFD:
        descriptor->cloexec = call->args[2] & FD_CLOEXEC;
        break;
    case F_GETFL:
        call->result = file->flags;
        break;
    case F_SETFL:
        call->result = set_flags(file, host_fd, (int)call->args[2]);
        break;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        set_lock(system, call, file, host_fd);
        break;
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
        call->result = fcntl(host_fd, (int)call->args[1], (int)call->args[2]);
        call->result = call->result == -1 ? -errno : call->result;
        break;
    default:
        call->result = -EINVAL;
        break;
    }
}

void weft__system_on_flock(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__fds_file *file = weft__fds_find(&system->files, (int)call->args[0]);
    int host_fd = weft__fds_host_fd(&system->files, (int)call->args[0]);
    int what = (int)call->args[1];
    if (!file) {
        call->result = -EBADF;
        return;
    }
    call->result = flock(host_fd, what | LOCK_NB) == 0 ? 0 : -errno;
    if (call->result == 0)
        file->locked = (what & ~LOCK_NB) != LOCK_UN;
    else if (call->result == -EWOULDBLOCK && !(what & LOCK_NB))
        weft__system_wait(system, call, weft__system_now(system) + WEFT__SYSTEM_TICK_NS,
                          WEFT__SYSTEM_RESTART);
}

/* What programs ask of any descriptor; devices have many more. */
void weft__system_on_ioctl(struct weft__system *system, struct weft__trap_call *call)
{
    int64_t fd = (int)call->args[0];
    struct weft__fds_file *file = weft__fds_find(&system->files, fd);
    int on;
    if (!file) {
        call->result = -EBADF;
        return;
    }
    switch (call->args[1]) {
    case FIOCLEX:
    case FIONCLEX:
        system->state->files.descriptors[fd].cloexec = call->args[1] == FIOCLEX;
        call->result = 0;
        break;
    case FIONBIO:
        call->result = weft__user_read(&system->space, &on, call->args[2], sizeof(on));
        if (!call->result)
            file->flags = on ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK;
        break;
    case TCGETS:
    case TIOCGWINSZ:
    case TIOCGPGRP:
    case FIONREAD:
        call->result = call->args[2] == 0 || !weft__user_buffer(&system->space, call->args[2], 1)
                           ? -EFAULT
                           : 0;
        if (!call->result)
            weft__system_on_file(system, call);
        break;
    default:
        call->result = -ENOTTY;
        break;
    }
}
