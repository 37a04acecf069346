/* The folder: opening it, what a killed process has left in it, lists, deletions, errors.
 *
 * Everything is reached through one descriptor of the folder, so that moving or replacing the
 * folder's path changes nothing under way. A file that is being written holds a lock (flock) which
 * ends with its process: what has a temporary name and no lock is a leftover. Rejected: files
 * without any name until they are whole (O_TMPFILE), because such a file can take a free name only,
 * and replacing needs a temporary one all the same.
 */
#include "snapshot/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/files_own.h"
#include "weft/error.h"

/* ---- errors ---- */

static int code_of(int errno_seen)
{
    switch (errno_seen) {
    case EDQUOT:
    case EFBIG:
        return WEFT_ENOSPC;
    case EROFS:
        return WEFT_EACCES;
    case ENFILE:
        return WEFT_EMFILE;
    default:
        return -errno_seen;
    }
}

static const char *remedy(int errno_seen)
{
    switch (errno_seen) {
    case ENOSPC:
        return "; free some space there, or set WEFT_SNAPSHOT_DIR to a folder with more";
    case EDQUOT:
        return "; raise the quota, or set WEFT_SNAPSHOT_DIR to another file system";
    case EFBIG:
        return "; raise the limit (ulimit -f), or choose a file system with larger files";
    case EROFS:
    case EACCES:
    case EPERM:
        return "; set WEFT_SNAPSHOT_DIR to a folder that this user may write";
    case EIO:
        return "; the disk fails: see the kernel's log, and set WEFT_SNAPSHOT_DIR to another";
    case EMFILE:
        return "; raise the limit of open files (ulimit -n)";
    default:
        return "";
    }
}

int weft__files_fail(const struct weft_files *files, const char *what, const char *name,
                     int errno_seen)
{
    return weft_fail(code_of(errno_seen), "cannot %s %s%s%s: %s%s", what, files->folder,
                     name[0] != '\0' ? "/" : "", name, strerror(errno_seen), remedy(errno_seen));
}

int weft__files_fail_text(const struct weft_files *files, const char *what, const char *name,
                          int err)
{
    char text[512];
    (void)snprintf(text, sizeof(text), "%s", weft_fail_text(err));
    return weft_fail(err, "cannot %s %s/%s: %s", what, files->folder, name, text);
}

/* ---- leftovers ---- */

static bool is_temp(const char *name)
{
    return strncmp(name, WEFT_FILE_TEMP, sizeof(WEFT_FILE_TEMP) - 1) == 0;
}

/* Whoever writes it holds its lock. */
static void remove_leftover(const struct weft_files *files, const char *name)
{
    int fd = openat(files->fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(files->fd, name, 0) == 0)
        weft__info("removed %s/%s, which was never finished", files->folder, name);
    (void)close(fd);
}

/* NULL: see errno. */
static DIR *list_names(const struct weft_files *files)
{
    int fd = openat(files->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL && fd >= 0)
        (void)close(fd);
    return dir;
}

static int remove_leftovers(const struct weft_files *files)
{
    DIR *dir = list_names(files);
    const struct dirent *entry;
    if (dir == NULL)
        return weft__files_fail(files, "list", "", errno);
    while ((entry = readdir(dir)) != NULL) // NOLINT(concurrency-mt-unsafe): the stream is ours
        if (is_temp(entry->d_name))
            remove_leftover(files, entry->d_name);
    (void)closedir(dir);
    return WEFT_OK;
}

/* ---- open and close ---- */

static int open_folder(struct weft_files *files)
{
    if (mkdir(files->folder, 0700) != 0 && errno != EEXIST)
        return weft__files_fail(files, "make the folder", "", errno);
    files->fd = open(files->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files->fd < 0)
        return weft__files_fail(files, "open the folder", "", errno);
    if (faccessat(files->fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0)
        return weft__files_fail(files, "write in the folder", "", errno);
    return remove_leftovers(files);
}

static int choose_io(struct weft_files *files, const struct weft_file_io *wanted)
{
    files->io = wanted != NULL ? wanted : &weft__file_io_uring;
    int err = files->io->supported();
    if (err == WEFT_OK || wanted != NULL)
        return err;
    weft__info("snapshots are read and written by threads: %s", weft_fail_text(err));
    files->io = &weft__file_io_threads;
    return WEFT_OK;
}

int weft__files_open(const struct weft_files_desc *desc, struct weft_files **files_out)
{
    struct weft_files *files = calloc(1, sizeof(*files));
    size_t len = strlen(desc->folder);
    if (files == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a folder of snapshots");
    files->fd = -1;
    files->cache = desc->cache;
    files->depth = desc->depth != 0 ? desc->depth : WEFT_FILES_DEPTH;
    if (files->depth > WEFT_FILES_DEPTH_MAX)
        files->depth = WEFT_FILES_DEPTH_MAX;
    int err = len > 0 && len < sizeof(files->folder)
                  ? WEFT_OK
                  : weft_fail(WEFT_EINVAL, "a folder for snapshots has a path of 1 to %zu bytes",
                              sizeof(files->folder) - 1);
    if (err == WEFT_OK) {
        memcpy(files->folder, desc->folder, len + 1);
        err = open_folder(files);
    }
    if (err == WEFT_OK)
        err = choose_io(files, desc->io);
    if (err == WEFT_OK)
        *files_out = files;
    else
        weft__files_close(files);
    return err;
}

void weft__files_close(struct weft_files *files)
{
    if (files == NULL)
        return;
    if (files->fd >= 0)
        (void)close(files->fd);
    free(files);
}

const char *weft__files_folder(const struct weft_files *files)
{
    return files->folder;
}

const char *weft__files_io(const struct weft_files *files)
{
    return files->io->name;
}

void weft__files_io_report(const char *named, char *text, size_t room)
{
    const struct weft_file_io *const uring = &weft__file_io_uring,
                                     *threads = &weft__file_io_threads;
    const int err = uring->supported();
    const bool wants_threads = named != NULL && strcmp(named, threads->name) == 0;
    const bool wants_uring = named != NULL && strcmp(named, uring->name) == 0;
    const char *first = "chosen", *second = "works, and costs more";
    if (err != WEFT_OK) {
        first = weft_fail_text(err);
        second = wants_uring ? "works, but another is named" : "chosen";
    } else if (wants_threads || wants_uring) {
        first = wants_uring ? "chosen by name" : "works, but another is named";
        second = wants_uring ? "works, but another is named" : "chosen by name";
    }
    (void)snprintf(text, room, "%s: %s\n%s: %s\n", uring->name, first, threads->name, second);
}

/* ---- one file ---- */

/* A file system that cannot read past its cache says so at the first read. */
static int read_head(const struct weft_files *files, const char *name, int fd, uint8_t *bytes)
{
    ssize_t n;
    do
        n = pread(fd, bytes, WEFT_FILE_HEADER_BYTES, 0);
    while (n < 0 && (errno == EINTR || (errno == EINVAL && fcntl(fd, F_GETFL) & O_DIRECT &&
                                        fcntl(fd, F_SETFL, 0) == 0)));
    if (n < 0)
        return weft__files_fail(files, "read", name, errno);
    if (n == WEFT_FILE_HEADER_BYTES)
        return WEFT_OK;
    weft_fail(WEFT_EPROTO, "at offset %zd: it ends in its header", n);
    return weft__files_fail_text(files, "read", name, WEFT_EPROTO);
}

int weft__files_open_head(const struct weft_files *files, const char *name, bool direct,
                          uint8_t *bytes, uint64_t *size_out)
{
    struct stat status;
    int fd = openat(files->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), err = WEFT_OK;
    if (fd < 0 && errno == ENOENT)
        return WEFT_ENOENT;
    if (fd < 0)
        return weft__files_fail(files, "open", name, errno);
    if (fstat(fd, &status) != 0)
        err = weft__files_fail(files, "read", name, errno);
    else if (!S_ISREG(status.st_mode))
        err = weft_fail(WEFT_EPROTO, "cannot read %s/%s: it is no file", files->folder, name);
    if (err == WEFT_OK) {
        if (!direct || fcntl(fd, F_SETFL, O_DIRECT) != 0) /* without, where it cannot be */
            (void)fcntl(fd, F_SETFL, 0);
        err = read_head(files, name, fd, bytes);
    }
    if (err != WEFT_OK) {
        (void)close(fd);
        return err;
    }
    *size_out = (uint64_t)status.st_size;
    return fd;
}

int weft__file_delete(struct weft_files *files, const char *key, bool *existed_out)
{
    char name[WEFT_FILE_NAME_ROOM];
    int err = weft__file_name(key, name);
    if (err != WEFT_OK)
        return err;
    bool existed = unlinkat(files->fd, name, 0) == 0;
    if (!existed && errno != ENOENT)
        return weft__files_fail(files, "delete", name, errno);
    if (existed && fsync(files->fd) != 0)
        return weft__files_fail(files, "sync the folder", "", errno);
    if (existed_out != NULL)
        *existed_out = existed;
    return WEFT_OK;
}

/* ---- lists ---- */

struct list {
    struct weft_file_entry *entries;
    size_t n, room;
    const char *prefix, *after;
};

static int by_key(const void *a, const void *b)
{
    const struct weft_file_entry *x = a, *y = b;
    return strcmp(x->head.key, y->head.key);
}

static int list_add(struct list *list, const char *key)
{
    if (strncmp(key, list->prefix, strlen(list->prefix)) != 0 || strcmp(key, list->after) <= 0)
        return WEFT_OK;
    if (list->n == list->room) {
        size_t room = list->room != 0 ? 2 * list->room : 64;
        struct weft_file_entry *more = realloc(list->entries, room * sizeof(*more));
        if (more == NULL)
            return weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
        list->entries = more;
        list->room = room;
    }
    struct weft_file_entry *entry = &list->entries[list->n++];
    *entry = (struct weft_file_entry){.err = WEFT_OK};
    (void)snprintf(entry->head.key, sizeof(entry->head.key), "%s", key);
    return WEFT_OK;
}

/* Fills in what the header says: that it has this name is part of it. */
static int look(const struct weft_files *files, const char *name, struct weft_file_head *head_out)
{
    _Alignas(WEFT_FILE_HEADER_BYTES) uint8_t bytes[WEFT_FILE_HEADER_BYTES];
    char wanted[WEFT_FILE_NAME_ROOM];
    struct weft_file_head head;
    uint64_t size = 0;
    int fd = weft__files_open_head(files, name, false, bytes, &size);
    if (fd < 0)
        return fd;
    (void)close(fd);
    int err = weft__file_head_decode(bytes, &head);
    if (err == WEFT_OK && weft__file_bytes(&head) != size)
        err = weft_fail(WEFT_EPROTO, "at offset 0x%llx: it ends here, not at 0x%llx",
                        (unsigned long long)size, (unsigned long long)weft__file_bytes(&head));
    if (err == WEFT_OK &&
        (weft__file_name(head.key, wanted) != WEFT_OK || strcmp(wanted, name) != 0))
        err = weft_fail(WEFT_EPROTO, "at offset 64: it holds another snapshot");
    if (err == WEFT_OK)
        *head_out = head;
    return err;
}

static int collect(const struct weft_files *files, struct list *list)
{
    DIR *dir = list_names(files);
    const struct dirent *entry;
    char key[WEFT_FILE_KEY_MAX + 1];
    int err = WEFT_OK;
    if (dir == NULL)
        return weft__files_fail(files, "list", "", errno);
    while (err == WEFT_OK &&
           (entry = readdir(dir)) != NULL) { // NOLINT(concurrency-mt-unsafe): the stream is ours
        struct weft_file_head head;
        if (!weft__file_name_key(entry->d_name, key))
            continue;
        if (key[0] != '\0')
            err = list_add(list, key);
        else if (look(files, entry->d_name, &head) == WEFT_OK)
            err = list_add(list, head.key);
    }
    (void)closedir(dir);
    return err;
}

static void look_at_all(const struct weft_files *files, struct list *list)
{
    char name[WEFT_FILE_NAME_ROOM];
    for (size_t i = 0; i < list->n; i++) {
        struct weft_file_entry *entry = &list->entries[i];
        entry->err = weft__file_name(entry->head.key, name);
        if (entry->err == WEFT_OK)
            entry->err = look(files, name, &entry->head);
    }
}

/* lint: see the header. */
int weft__files_list(struct weft_files *files, const char *prefix, const char *after, size_t max,
                     struct weft_file_entry **entries_out, size_t *n_out)
{
    struct list list = {.prefix = prefix, .after = after};
    int err = collect(files, &list);
    if (err != WEFT_OK) {
        free(list.entries);
        return err;
    }
    if (list.n > 0)
        qsort(list.entries, list.n, sizeof(*list.entries), by_key);
    if (list.n > max)
        list.n = max;
    look_at_all(files, &list);
    *entries_out = list.entries;
    *n_out = list.n;
    return WEFT_OK;
}
