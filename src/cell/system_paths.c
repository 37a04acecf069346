/* Calls on names: each becomes its form with a folder (openat() and its like), and that is the
 * rank's own working folder where the program names none. So ranks of one process have folders of
 * their own, and no path is put together here.
 *
 * Folders and files are made with the rank's mask. The process has one mask for all, so where the
 * two differ a file is made exclusively, and given its mode then. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cell/system_call.h"
#include "cell/user.h"

#define MODES 07777u
#define TRIES 8

/* The form of a call that has a folder: where the program's arguments go. */
struct form {
    int64_t number;
    uint8_t path; /* argument of the program's that the path is; the folder is set before it */
    bool has_folder;
    int flags;    /* for the last argument of the new form; 0: none */
    uint8_t into; /* where to put them */
};

static const struct form *form_of(int64_t number)
{
    static const struct {
        int64_t from;
        struct form form;
    } forms[] = {
        {SYS_stat, {SYS_newfstatat, 0, false, 0, 3}},
        {SYS_lstat, {SYS_newfstatat, 0, false, AT_SYMLINK_NOFOLLOW, 3}},
        {SYS_newfstatat, {SYS_newfstatat, 1, true, 0, 0}},
        {SYS_statx, {SYS_statx, 1, true, 0, 0}},
        {SYS_access, {SYS_faccessat, 0, false, 0, 0}},
        {SYS_faccessat, {SYS_faccessat, 1, true, 0, 0}},
        {SYS_faccessat2, {SYS_faccessat2, 1, true, 0, 0}},
        {SYS_rmdir, {SYS_unlinkat, 0, false, AT_REMOVEDIR, 2}},
        {SYS_unlink, {SYS_unlinkat, 0, false, 0, 2}},
        {SYS_unlinkat, {SYS_unlinkat, 1, true, 0, 0}},
        {SYS_chmod, {SYS_fchmodat, 0, false, 0, 0}},
        {SYS_fchmodat, {SYS_fchmodat, 1, true, 0, 0}},
        {SYS_chown, {SYS_fchownat, 0, false, 0, 4}},
        {SYS_lchown, {SYS_fchownat, 0, false, AT_SYMLINK_NOFOLLOW, 4}},
        {SYS_fchownat, {SYS_fchownat, 1, true, 0, 0}},
        {SYS_utimensat, {SYS_utimensat, 1, true, 0, 0}},
        {SYS_readlink, {SYS_readlinkat, 0, false, 0, 0}},
        {SYS_readlinkat, {SYS_readlinkat, 1, true, 0, 0}},
        {SYS_mkdir, {SYS_mkdirat, 0, false, 0, 0}},
        {SYS_mkdirat, {SYS_mkdirat, 1, true, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (forms[i].from == number)
            return &forms[i].form;
    return NULL;
}

int weft__system_folder(const struct weft__system *system, int fd)
{
    if (fd == AT_FDCWD)
        return system->files.folder;
    int host_fd = weft__fds_host_fd(&system->files, fd);
    return host_fd >= 0 ? host_fd : -EBADF;
}

/* The arguments with the folder in front.  Errors: -EBADF. */
static int put_folder(const struct weft__system *system, const struct form *form,
                      const uint64_t from[6], uint64_t args[6])
{
    int folder = weft__system_folder(system, form->has_folder ? (int)from[0] : AT_FDCWD);
    memset(args, 0, 6 * sizeof(args[0]));
    args[0] = (uint64_t)folder;
    if (form->has_folder)
        memcpy(args + 1, from + 1, 5 * sizeof(args[0]));
    else
        memcpy(args + 1, from, (form->into > 1 ? form->into - 1u : 4u) * sizeof(args[0]));
    if (form->into)
        args[form->into] = (uint64_t)form->flags;
    return folder == -EBADF ? -EBADF : 0;
}

/* A folder that is not looked at, because the path is absolute, may be anything. */
static bool is_absolute(const struct weft__system *system, uint64_t path)
{
    char first;
    return weft__user_read(&system->space, &first, path, 1) == 0 && first == '/';
}

void weft__system_on_path(struct weft__system *system, struct weft__trap_call *call)
{
    const struct form *form = form_of(call->number);
    uint64_t args[6];
    int rc = put_folder(system, form, call->args, args);
    if (rc && is_absolute(system, call->args[form->path]))
        args[0] = (uint64_t)AT_FDCWD, rc = 0;
    call->result = rc ? rc : weft__system_raw(form->number, args);
}

/* rename, link, symlink and their forms. */
void weft__system_on_two_paths(struct weft__system *system, struct weft__trap_call *call)
{
    const uint64_t *from = call->args, here = (uint64_t)(int64_t)AT_FDCWD;
    uint64_t args[6] = {here, from[0], here, from[1], 0, 0};
    int64_t number = SYS_renameat2;
    bool symlink = call->number == SYS_symlink || call->number == SYS_symlinkat;
    if (call->number == SYS_renameat || call->number == SYS_renameat2 || call->number == SYS_linkat)
        memcpy(args, from, 4 * sizeof(args[0]));
    if (call->number == SYS_renameat2 || call->number == SYS_linkat)
        args[4] = from[4];
    if (call->number == SYS_link || call->number == SYS_linkat)
        number = SYS_linkat;
    if (symlink) {
        bool at = call->number == SYS_symlinkat;
        uint64_t names[6] = {from[0], at ? from[1] : here, from[at ? 2 : 1]};
        int folder = weft__system_folder(system, (int)names[1]);
        names[1] = (uint64_t)folder;
        call->result = folder == -EBADF ? -EBADF : weft__system_raw(SYS_symlinkat, names);
        return;
    }
    int a = weft__system_folder(system, (int)args[0]),
        b = weft__system_folder(system, (int)args[2]);
    args[0] = (uint64_t)a;
    args[2] = (uint64_t)b;
    call->result = a == -EBADF || b == -EBADF ? -EBADF : weft__system_raw(number, args);
}

/* A path of the program's, opened for the time of one call.  Errors: negative errno. */
static int open_briefly(const struct weft__system *system, uint64_t path, int flags)
{
    const uint64_t args[3] = {path, (uint64_t)flags, 0};
    return weft__system_open(system, system->files.folder, args);
}

void weft__system_on_truncate(struct weft__system *system, struct weft__trap_call *call)
{
    int fd = open_briefly(system, call->args[0], O_WRONLY);
    call->result = fd < 0 ? fd : ftruncate(fd, (off_t)call->args[1]) == 0 ? 0 : -errno;
    if (fd >= 0)
        close(fd);
}

void weft__system_on_statfs(struct weft__system *system, struct weft__trap_call *call)
{
    int fd = open_briefly(system, call->args[0], O_PATH);
    const uint64_t args[6] = {(uint64_t)fd, call->args[1]};
    call->result = fd < 0 ? fd : weft__system_raw(SYS_fstatfs, args);
    if (fd >= 0)
        close(fd);
}

/* ---- the working folder ---- */

void weft__system_on_chdir(struct weft__system *system, struct weft__trap_call *call)
{
    int fd;
    if (call->number == SYS_fchdir) {
        int own = weft__fds_host_fd(&system->files, (int)call->args[0]);
        fd = own < 0 ? -EBADF : openat(own, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = fd == -1 ? -errno : fd;
    } else {
        fd = open_briefly(system, call->args[0], O_PATH | O_DIRECTORY);
    }
    if (fd >= 0 && faccessat(fd, ".", X_OK, AT_EACCESS) != 0) {
        close(fd);
        fd = -EACCES;
    }
    call->result = fd < 0 ? fd : 0;
    if (fd < 0)
        return;
    close(system->files.folder);
    system->files.folder = fd;
}

void weft__system_on_getcwd(struct weft__system *system, struct weft__trap_call *call)
{
    char link[64], path[PATH_MAX];
    struct stat status;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", system->files.folder);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len < 0 || fstat(system->files.folder, &status) != 0 || status.st_nlink == 0) {
        call->result = -ENOENT;
        return;
    }
    path[len++] = '\0';
    call->result = (uint64_t)len > call->args[1] ? -ERANGE
                   : weft__user_write(&system->space, call->args[0], path, (size_t)len) != 0
                       ? -EFAULT
                       : len;
}

/* The program itself has a name that is not the process's. */
void weft__system_on_readlink(struct weft__system *system, struct weft__trap_call *call)
{
    char path[32], link[64], program[PATH_MAX];
    bool at = call->number == SYS_readlinkat;
    uint64_t into = call->args[at ? 2 : 1], room = call->args[at ? 3 : 2];
    int rc = weft__user_text(&system->space, path, call->args[at ? 1 : 0], sizeof(path));
    if (rc || strcmp(path, "/proc/self/exe") != 0) {
        weft__system_on_path(system, call);
        return;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", system->space.program);
    ssize_t len = readlink(link, program, sizeof(program));
    if (len > 0 && (uint64_t)len > room)
        len = (ssize_t)room;
    rc = len > 0 ? weft__user_write(&system->space, into, program, (size_t)len) : -EIO;
    call->result = rc ? rc : len;
}

/* ---- modes ---- */

static mode_t process_mask;

static void learn_mask(void)
{
    process_mask = umask(022);
    umask(process_mask);
}

static mode_t mask_of_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, learn_mask);
    return process_mask;
}

void weft__system_on_umask(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__fds *files = &system->state->files;
    call->result = (int64_t)files->umask;
    files->umask = (uint32_t)call->args[0] & 0777;
}

/* Makes the file, and gives it the mode that the process's mask would take from it. */
static int make(int folder, const uint64_t args[3], int flags, mode_t mode)
{
    const char *path = (const char *)(uintptr_t)args[0];
    for (int i = 0; i < TRIES; i++) {
        int fd = openat(folder, path, flags | O_EXCL, mode);
        if (fd >= 0) {
            (void)fchmod(fd, mode);
            return fd;
        }
        if (errno != EEXIST || (int)args[1] & O_EXCL)
            return -errno;
        fd = openat(folder, path, flags & ~O_CREAT, 0);
        if (fd >= 0 || errno != ENOENT)
            return fd >= 0 ? fd : -errno;
    }
    int fd = openat(folder, path, flags, mode);
    return fd >= 0 ? fd : -errno;
}

int weft__system_open(const struct weft__system *system, int folder, const uint64_t args[3])
{
    const char *path = (const char *)(uintptr_t)args[0];
    uint32_t mask = system->state->files.umask;
    int flags = (int)args[1] | O_CLOEXEC | O_NOCTTY;
    mode_t mode = (mode_t)args[2] & MODES & ~mask;
    if (!(flags & O_PATH))
        flags |= O_NONBLOCK;
    bool creates = flags & O_CREAT && (flags & O_TMPFILE) != O_TMPFILE;
    if (creates && mode & mask_of_process() & ~mask)
        return make(folder, args, flags, mode);
    int fd = openat(folder, path, flags, mode);
    return fd >= 0 ? fd : -errno;
}

void weft__system_on_mkdir(struct weft__system *system, struct weft__trap_call *call)
{
    const struct form *form = form_of(call->number);
    uint64_t args[6], mask = system->state->files.umask;
    call->result = put_folder(system, form, call->args, args);
    if (call->result)
        return;
    args[2] &= MODES & ~mask;
    call->result = weft__system_raw(SYS_mkdirat, args);
    if (call->result == 0 && args[2] & mask_of_process() & ~mask)
        (void)fchmodat((int)args[0], (const char *)(uintptr_t)args[1], (mode_t)args[2], 0);
}
