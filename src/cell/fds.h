/* The descriptors of a rank: its own numbers, from 0 on, for files that its host has open for it.
 *
 * Two tables in the range, as in a kernel: descriptors, and the files that they stand for; several
 * descriptors may stand for one file and share its offset. The descriptors of the host that serve
 * them are not in the range. Regular files and folders move: they are opened again at the
 * destination, by path, where they must be the same. The first three descriptors begin as the
 * standard input and outputs of the app's process, and are that on every host. Everything else
 * keeps the rank where it is, with a reason, until it is closed. */
#ifndef WEFT_CELL_FDS_H
#define WEFT_CELL_FDS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEFT__FDS_MAX 1024

enum weft__fds_kind {
    WEFT__FDS_FREE,
    WEFT__FDS_STANDARD, /* its number is the host's */
    WEFT__FDS_PATH,     /* a regular file, a folder, or a device that is the same everywhere */
    WEFT__FDS_PINNED    /* does not move */
};

/* What those are that do not move. */
enum weft__fds_pin {
    WEFT__FDS_PIN_NONE,
    WEFT__FDS_PIN_PIPE,
    WEFT__FDS_PIN_SOCKET,
    WEFT__FDS_PIN_EVENT,
    WEFT__FDS_PIN_EPOLL,
    WEFT__FDS_PIN_MEMORY,
    WEFT__FDS_PIN_NAMELESS,
    WEFT__FDS_PIN_DEVICE,
    WEFT__FDS_PIN_SYSTEM /* of /proc, /sys: about this host */
};

struct weft__fds_file {
    uint16_t uses; /* descriptors that stand for it */
    uint8_t kind;
    uint8_t pin;
    uint8_t locked; /* it holds a lock, which does not move */
    uint8_t padding[3];
    int32_t flags; /* O_*, as the program knows them */
    /* As of when the rank was stopped. */
    uint32_t mode;
    uint64_t device, inode, size, mtime_ns;
    int64_t offset;
};

struct weft__fds_number {
    uint16_t file;    /* index + 1; 0: closed */
    uint16_t cloexec; /* nothing ever comes of it */
};

/* Of the rank; lies in its range. */
struct weft__fds {
    struct weft__fds_number descriptors[WEFT__FDS_MAX];
    uint32_t descriptors_end; /* all used ones are below */
    uint32_t files_end;
    uint32_t umask;
    uint32_t padding;
    uint64_t folder_device, folder_inode;
    char boot[40]; /* which run of which kernel device and inode are of */
    struct weft__fds_file files[WEFT__FDS_MAX];
    char folder[PATH_MAX]; /* where its relative paths begin; as of when it was stopped */
    char paths[WEFT__FDS_MAX][PATH_MAX]; /* of files of kind PATH, absolute */
};

/* What of it is this process's. */
struct weft__fds_host {
    struct weft__fds *files;
    int fds[WEFT__FDS_MAX]; /* of the host, by file; -1: none */
    int folder;             /* of the host; -1: none */
};

/* Begins with the first three; `files` is zeros.  Errors: WEFT_EIO no working folder; errno's. */
int weft__fds_init(struct weft__fds_host *host, struct weft__fds *files);
/* Gives everything of the host back, and nothing of the rank; fine when it is done already. */
void weft__fds_fini(struct weft__fds_host *host);
/* Makes a host that has nothing open. */
void weft__fds_zero(struct weft__fds_host *host);

/* The file of a descriptor; NULL: it is not open. */
struct weft__fds_file *weft__fds_find(const struct weft__fds_host *host, int64_t fd);
/* The descriptor of the host that serves it; -1: it is not open. */
int weft__fds_host_fd(const struct weft__fds_host *host, int64_t fd);

/* A file that the host has just opened for the rank, by a path: what it is is found out. It gets
 * the lowest free number.
 * Owns: host_fd, also on failure.  Errors: -EMFILE; -EIO; -EACCES it is none of the file system's.
 */
int64_t weft__fds_add(struct weft__fds_host *host, int host_fd, int flags);
/* One that the rank has made, and that does not move. Errors as above. */
int64_t weft__fds_add_pinned(struct weft__fds_host *host, int host_fd, int flags,
                             enum weft__fds_pin pin);
/* Errors of these: -EBADF, -EMFILE, -EINVAL. */
int64_t weft__fds_dup(struct weft__fds_host *host, int64_t fd, int64_t least, bool cloexec);
int64_t weft__fds_dup_to(struct weft__fds_host *host, int64_t fd, int64_t into, bool cloexec);
int64_t weft__fds_close(struct weft__fds_host *host, int64_t fd);
/* How many are open. */
unsigned weft__fds_count(const struct weft__fds *files);

/* Notes what the files and the folder are, so that they can be opened elsewhere. Returns whether
 * the rank can leave; if not, why. */
bool weft__fds_leave(const struct weft__fds_host *host, char reason_out[100]);
/* Whether what the tables alone say keeps the rank here; if so, why.  Thread: any, while it runs:
 * what it changes meanwhile is seen or not. */
bool weft__fds_stay(const struct weft__fds_host *host, char reason_out[100]);
/* Opens all of a table that has come from elsewhere.
 * Errors: WEFT_EPROTO it makes no sense; WEFT_EPINNED a file is not here, or is another one. */
int weft__fds_arrive(struct weft__fds_host *host, struct weft__fds *files);

#endif
