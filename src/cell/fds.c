/* Numbers are given out as a kernel does: the lowest that is free. What a file is, is asked of the
 * kernel once it is open, and its path is the one that the kernel has for it: so neither depends on
 * how the program has named it. */
#include "cell/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "weft/error.h"

#define PROC 0x9fa0 /* of struct statfs.f_type */
#define SYS 0x62656572
#define STATUS_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC | O_DIRECT | O_NOATIME)

void weft__fds_zero(struct weft__fds_host *host)
{
    host->files = NULL;
    host->folder = -1;
    for (int i = 0; i < WEFT__FDS_MAX; i++)
        host->fds[i] = -1;
}

int weft__fds_init(struct weft__fds_host *host, struct weft__fds *files)
{
    weft__fds_zero(host);
    host->files = files;
    host->folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (host->folder < 0)
        return weft_fail(-errno, "cannot open the working folder: %s", strerrordesc_np(errno));
    mode_t mask = umask(022);
    umask(mask);
    files->umask = mask;
    for (uint16_t i = 0; i < 3; i++) {
        files->descriptors[i].file = (uint16_t)(i + 1);
        files->files[i] = (struct weft__fds_file){
            .uses = 1, .kind = WEFT__FDS_STANDARD, .flags = i ? O_WRONLY : 0};
        host->fds[i] = i;
    }
    files->descriptors_end = files->files_end = 3;
    return WEFT_OK;
}

/* The first three of the host stay open: they are everybody's. */
static void close_host_fd(struct weft__fds_host *host, unsigned i)
{
    if (host->fds[i] > 2)
        close(host->fds[i]);
    host->fds[i] = -1;
}

void weft__fds_fini(struct weft__fds_host *host)
{
    if (!host->files)
        return;
    for (unsigned i = 0; i < WEFT__FDS_MAX; i++)
        close_host_fd(host, i);
    if (host->folder >= 0)
        close(host->folder);
    weft__fds_zero(host);
}

/* ---- the tables ---- */

static unsigned index_of(const struct weft__fds_host *host, int64_t fd)
{
    return fd >= 0 && fd < WEFT__FDS_MAX ? host->files->descriptors[fd].file : 0;
}

struct weft__fds_file *weft__fds_find(const struct weft__fds_host *host, int64_t fd)
{
    unsigned at = index_of(host, fd);
    return at && at <= WEFT__FDS_MAX ? &host->files->files[at - 1] : NULL;
}

int weft__fds_host_fd(const struct weft__fds_host *host, int64_t fd)
{
    unsigned at = index_of(host, fd);
    return at && at <= WEFT__FDS_MAX ? host->fds[at - 1] : -1;
}

static int64_t free_descriptor(const struct weft__fds *files, int64_t least)
{
    if (least < 0 || least >= WEFT__FDS_MAX)
        return -EINVAL;
    while (least < WEFT__FDS_MAX && files->descriptors[least].file)
        least++;
    return least < WEFT__FDS_MAX ? least : -EMFILE;
}

static void bind(struct weft__fds *files, int64_t fd, unsigned file, bool cloexec)
{
    files->descriptors[fd] = (struct weft__fds_number){(uint16_t)(file + 1), cloexec};
    files->files[file].uses++;
    if (fd >= files->descriptors_end)
        files->descriptors_end = (uint32_t)fd + 1;
}

static void release(struct weft__fds_host *host, int64_t fd)
{
    struct weft__fds *files = host->files;
    unsigned file = files->descriptors[fd].file - 1u;
    files->descriptors[fd] = (struct weft__fds_number){0};
    while (files->descriptors_end && !files->descriptors[files->descriptors_end - 1].file)
        files->descriptors_end--;
    if (--files->files[file].uses)
        return;
    close_host_fd(host, file);
    files->files[file] = (struct weft__fds_file){0};
    while (files->files_end && !files->files[files->files_end - 1].uses)
        files->files_end--;
}

static int64_t add(struct weft__fds_host *host, int host_fd, const struct weft__fds_file *what,
                   const char *path)
{
    struct weft__fds *files = host->files;
    int64_t fd = free_descriptor(files, 0);
    unsigned i = 0;
    while (i < WEFT__FDS_MAX && files->files[i].uses)
        i++;
    if (fd < 0 || i == WEFT__FDS_MAX) {
        close(host_fd);
        return -EMFILE;
    }
    files->files[i] = *what;
    host->fds[i] = host_fd;
    if (path)
        snprintf(files->paths[i], PATH_MAX, "%s", path);
    if (i >= files->files_end)
        files->files_end = i + 1;
    bind(files, fd, i, what->flags & O_CLOEXEC);
    files->files[i].flags &= STATUS_FLAGS;
    return fd;
}

/* ---- what a file is ---- */

static bool is_everywhere(dev_t device)
{
    unsigned minor_number = minor(device);
    return major(device) == 1 && (minor_number == 3 || minor_number == 5 || minor_number == 7 ||
                                  minor_number == 8 || minor_number == 9); /* null, zero, full,
                                                                             random, urandom */
}

static enum weft__fds_pin pin_of(int host_fd, const struct stat *status)
{
    struct statfs system;
    if (S_ISFIFO(status->st_mode))
        return WEFT__FDS_PIN_PIPE;
    if (S_ISSOCK(status->st_mode))
        return WEFT__FDS_PIN_SOCKET;
    if (S_ISCHR(status->st_mode) && is_everywhere(status->st_rdev))
        return WEFT__FDS_PIN_NONE;
    if (!S_ISREG(status->st_mode) && !S_ISDIR(status->st_mode))
        return WEFT__FDS_PIN_DEVICE;
    if (fstatfs(host_fd, &system) == 0 && (system.f_type == PROC || system.f_type == SYS))
        return WEFT__FDS_PIN_SYSTEM;
    return WEFT__FDS_PIN_NONE;
}

int64_t weft__fds_add(struct weft__fds_host *host, int host_fd, int flags)
{
    char link[64], path[PATH_MAX];
    struct stat status;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", host_fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len < 0 || path[0] != '/' || fstat(host_fd, &status) != 0) {
        close(host_fd);
        return len >= 0 && path[0] != '/' ? -EACCES : -EIO;
    }
    path[len] = '\0';
    enum weft__fds_pin pin =
        flags & (O_TMPFILE & ~O_DIRECTORY) ? WEFT__FDS_PIN_NAMELESS : pin_of(host_fd, &status);
    const struct weft__fds_file file = {
        .kind = pin ? WEFT__FDS_PINNED : WEFT__FDS_PATH, .pin = (uint8_t)pin, .flags = flags};
    return add(host, host_fd, &file, path);
}

int64_t weft__fds_add_pinned(struct weft__fds_host *host, int host_fd, int flags,
                             enum weft__fds_pin pin)
{
    const struct weft__fds_file file = {
        .kind = WEFT__FDS_PINNED, .pin = (uint8_t)pin, .flags = flags};
    return add(host, host_fd, &file, NULL);
}

/* ---- calls ---- */

int64_t weft__fds_dup(struct weft__fds_host *host, int64_t fd, int64_t least, bool cloexec)
{
    unsigned at = index_of(host, fd);
    if (!at)
        return -EBADF;
    int64_t into = free_descriptor(host->files, least);
    if (into >= 0)
        bind(host->files, into, at - 1, cloexec);
    return into;
}

int64_t weft__fds_dup_to(struct weft__fds_host *host, int64_t fd, int64_t into, bool cloexec)
{
    unsigned at = index_of(host, fd);
    if (!at || into < 0 || into >= WEFT__FDS_MAX)
        return -EBADF;
    if (fd == into)
        return into;
    if (host->files->descriptors[into].file)
        release(host, into);
    bind(host->files, into, at - 1, cloexec);
    return into;
}

int64_t weft__fds_close(struct weft__fds_host *host, int64_t fd)
{
    if (!index_of(host, fd))
        return -EBADF;
    release(host, fd);
    return 0;
}

unsigned weft__fds_count(const struct weft__fds *files)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < files->descriptors_end && i < WEFT__FDS_MAX; i++)
        n += files->descriptors[i].file != 0;
    return n;
}
