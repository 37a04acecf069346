/* Files over a move.
 *
 * At the source every file is looked up again by its path before the rank stops: if that leads
 * elsewhere by now (the file has been deleted, or replaced), the rank stays. At the destination it
 * is opened again, before the move is decided, and must be the same: under the same kernel the same
 * device and inode, else inode, size and time of change, which is what a shared file system keeps.
 * Files that are open for writing on a file system of one machine do not go to another.
 *
 * Rejected: copying files along. Others may have them open, and would not see them any more. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cell/fds.h"
#include "weft/error.h"

#define REASON 100
#define FLAGS_AGAIN (O_ACCMODE | O_APPEND | O_DSYNC | O_SYNC | O_DIRECT | O_NOATIME)

static const char *const pins[] = {[WEFT__FDS_PIN_NONE] = "a file",
                                   [WEFT__FDS_PIN_PIPE] = "a pipe",
                                   [WEFT__FDS_PIN_SOCKET] = "a socket",
                                   [WEFT__FDS_PIN_EVENT] = "an eventfd",
                                   [WEFT__FDS_PIN_EPOLL] = "an epoll set",
                                   [WEFT__FDS_PIN_MEMORY] = "a memfd",
                                   [WEFT__FDS_PIN_NAMELESS] = "a file without a name",
                                   [WEFT__FDS_PIN_DEVICE] = "a device",
                                   [WEFT__FDS_PIN_SYSTEM] = "a file about this host"};

/* Those that no other machine sees. */
static bool is_local(int fd)
{
    static const long types[] = {0xef53,     0x58465342, 0x9123683e, 0x01021994, 0x858458f6,
                                 0x794c7630, 0x52654973, 0xf2f52010, 0x2fc12fc1};
    struct statfs system;
    if (fstatfs(fd, &system) != 0)
        return false;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (system.f_type == types[i])
            return true;
    return false;
}

static void read_boot(char out[40])
{
    memset(out, 0, 40);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, out, 36) != 36)
        memset(out, 0, 40);
    close(fd);
}

static uint64_t mtime_ns(const struct stat *status)
{
    return (uint64_t)status->st_mtim.tv_sec * 1000000000 + (uint64_t)status->st_mtim.tv_nsec;
}

static bool writes(const struct weft__fds_file *file)
{
    return (file->flags & O_ACCMODE) != O_RDONLY;
}

/* ---- at the source ---- */

/* The descriptor that people know a file by. */
static unsigned number_of(const struct weft__fds *files, unsigned file)
{
    unsigned fd = 0;
    while (fd < WEFT__FDS_MAX - 1 && files->descriptors[fd].file != file + 1)
        fd++;
    return fd;
}

static bool note_file(const struct weft__fds_host *host, unsigned i, char reason_out[REASON])
{
    struct weft__fds *files = host->files;
    struct weft__fds_file *file = &files->files[i];
    struct stat open_one, named;
    const char *path = files->paths[i];
    unsigned number = number_of(files, i);
    int fd = host->fds[i];
    if (fstat(fd, &open_one) != 0) {
        snprintf(reason_out, REASON, "descriptor %u: %s", number, strerrordesc_np(errno));
        return false;
    }
    if (stat(path, &named) != 0 || named.st_dev != open_one.st_dev ||
        named.st_ino != open_one.st_ino) {
        snprintf(reason_out, REASON, "descriptor %u is a deleted file: %.60s", number, path);
        return false;
    }
    if (writes(file) && !is_local(fd))
        (void)fdatasync(fd); /* so that its destination sees what it has written */
    file->mode = open_one.st_mode;
    file->device = S_ISCHR(open_one.st_mode) ? open_one.st_rdev : open_one.st_dev;
    file->inode = open_one.st_ino;
    file->size = (uint64_t)open_one.st_size;
    file->mtime_ns = mtime_ns(&open_one);
    file->offset = lseek(fd, 0, SEEK_CUR);
    return true;
}

static bool note_folder(const struct weft__fds_host *host, char reason_out[REASON])
{
    struct weft__fds *files = host->files;
    struct stat status, named;
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", host->folder);
    ssize_t len = readlink(link, files->folder, sizeof(files->folder) - 1);
    files->folder[len > 0 ? len : 0] = '\0';
    if (len <= 0 || fstat(host->folder, &status) != 0 || stat(files->folder, &named) != 0 ||
        named.st_ino != status.st_ino) {
        snprintf(reason_out, REASON, "its working folder has been deleted");
        return false;
    }
    files->folder_device = status.st_dev;
    files->folder_inode = status.st_ino;
    return true;
}

/* Whether the file is of a kind that does not move. */
static bool ties(const struct weft__fds *files, unsigned i, char reason_out[REASON])
{
    const struct weft__fds_file *file = &files->files[i];
    if (file->kind == WEFT__FDS_PINNED)
        snprintf(reason_out, REASON, "descriptor %u is %s", number_of(files, i),
                 pins[file->pin <= WEFT__FDS_PIN_SYSTEM ? file->pin : 0]);
    else if (file->locked)
        snprintf(reason_out, REASON, "descriptor %u holds a lock: %.60s", number_of(files, i),
                 files->paths[i]);
    return file->kind == WEFT__FDS_PINNED || file->locked;
}

bool weft__fds_stay(const struct weft__fds_host *host, char reason_out[REASON])
{
    const struct weft__fds *files = host->files;
    uint32_t end = files ? files->files_end : 0; /* none before the program begins */
    for (unsigned i = 0; i < end && i < WEFT__FDS_MAX; i++)
        if (ties(files, i, reason_out))
            return true;
    return false;
}

bool weft__fds_leave(const struct weft__fds_host *host, char reason_out[REASON])
{
    struct weft__fds *files = host->files;
    bool can = true;
    for (unsigned i = 0; can && i < files->files_end; i++) {
        can = !ties(files, i, reason_out);
        if (can && files->files[i].kind == WEFT__FDS_PATH)
            can = note_file(host, i, reason_out);
    }
    if (can)
        read_boot(files->boot);
    return can && note_folder(host, reason_out);
}

/* ---- at the destination ---- */

/* The tables have come from elsewhere. */
static bool is_sound(const struct weft__fds *files)
{
    uint16_t uses[WEFT__FDS_MAX] = {0};
    if (files->descriptors_end > WEFT__FDS_MAX || files->files_end > WEFT__FDS_MAX)
        return false;
    for (unsigned i = 0; i < files->descriptors_end; i++) {
        if (files->descriptors[i].file > files->files_end)
            return false;
        if (files->descriptors[i].file)
            uses[files->descriptors[i].file - 1]++;
    }
    for (unsigned i = 0; i < files->files_end; i++) {
        const struct weft__fds_file *file = &files->files[i];
        bool known = file->kind == WEFT__FDS_PATH
                         ? memchr(files->paths[i], 0, PATH_MAX) && files->paths[i][0] == '/'
                     : file->kind == WEFT__FDS_STANDARD ? i < 3
                                                        : file->kind == 0;
        if (!known || file->uses != uses[i] || (file->kind == 0) != (uses[i] == 0))
            return false;
    }
    return memchr(files->folder, 0, PATH_MAX) && files->folder[0] == '/';
}

static int refuse(const char *path, const char *why)
{
    return weft_fail(WEFT_EPINNED, "it has %.60s open, which %s", path, why);
}

static int check_file(const struct weft__fds_file *file, const char *path, int fd, bool same_kernel)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return refuse(path, strerrordesc_np(errno));
    bool is_device = S_ISCHR(status.st_mode);
    uint64_t device = is_device ? status.st_rdev : status.st_dev;
    if ((status.st_mode & S_IFMT) != (file->mode & S_IFMT))
        return refuse(path, "is another file here");
    if (is_device || same_kernel)
        return device == file->device && (is_device || status.st_ino == file->inode)
                   ? WEFT_OK
                   : refuse(path, "is another file here");
    if (status.st_ino != file->inode ||
        (S_ISREG(status.st_mode) &&
         ((uint64_t)status.st_size != file->size || mtime_ns(&status) != file->mtime_ns)))
        return refuse(path, "is another file here");
    return writes(file) && is_local(fd)
               ? refuse(path, "is written, and on a file system of this host alone")
               : WEFT_OK;
}

static int open_file(struct weft__fds_host *host, unsigned i, bool same_kernel)
{
    const struct weft__fds_file *file = &host->files->files[i];
    const char *path = host->files->paths[i];
    int fd = open(path, (file->flags & FLAGS_AGAIN) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        char why[80];
        snprintf(why, sizeof(why), "cannot be opened here: %s", strerrordesc_np(errno));
        return refuse(path, why);
    }
    host->fds[i] = fd;
    int err = check_file(file, path, fd, same_kernel);
    if (!err && file->offset >= 0 && lseek(fd, file->offset, SEEK_SET) < 0)
        err = refuse(path, "cannot be positioned here");
    return err;
}

static int open_folder(struct weft__fds_host *host)
{
    host->folder = open(host->files->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return host->folder >= 0 ? WEFT_OK
                             : weft_fail(WEFT_EPINNED, "its working folder %.60s is not here: %s",
                                         host->files->folder, strerrordesc_np(errno));
}

int weft__fds_arrive(struct weft__fds_host *host, struct weft__fds *files)
{
    char boot[40];
    weft__fds_fini(host);
    if (!is_sound(files))
        return weft_fail(WEFT_EPROTO, "the program that has arrived has damaged tables of files");
    host->files = files;
    read_boot(boot);
    bool same_kernel = boot[0] && memcmp(boot, files->boot, sizeof(boot)) == 0;
    int err = open_folder(host);
    for (unsigned i = 0; !err && i < files->files_end; i++) {
        if (files->files[i].kind == WEFT__FDS_STANDARD)
            host->fds[i] = (int)i;
        else if (files->files[i].kind == WEFT__FDS_PATH)
            err = open_file(host, i, same_kernel);
    }
    if (err)
        weft__fds_fini(host);
    return err;
}
