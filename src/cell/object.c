/* One list of all objects of the process, found by device, inode, size and time of change: a file
 * that has been replaced is another object. There are some dozens at most.
 *
 * The path is the one that the kernel has for the open file, so it is absolute and has no links in
 * it. Rejected: sending code along with a rank that moves, which would be most of what a small rank
 * has, and would not be shared at the destination. */
#include "cell/object.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weft/error.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct weft__object *objects;

static uint64_t mtime_ns(const struct stat *status)
{
    return (uint64_t)status->st_mtim.tv_sec * 1000000000 + (uint64_t)status->st_mtim.tv_nsec;
}

static bool is_object(int fd)
{
    char magic[SELFMAG];
    return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
           memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static int path_of(int fd, char path_out[WEFT__OBJECT_PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path_out, WEFT__OBJECT_PATH_MAX);
    if (len <= 0 || len >= (ssize_t)WEFT__OBJECT_PATH_MAX || path_out[0] != '/')
        return weft_fail(WEFT_ENOEXEC, "the path of an object file is longer than %u bytes",
                         WEFT__OBJECT_PATH_MAX - 1);
    path_out[len] = '\0';
    return WEFT_OK;
}

static int read_object(struct weft__object *object)
{
    void *bytes = mmap(NULL, object->size, PROT_READ, MAP_PRIVATE, object->fd, 0);
    if (bytes == MAP_FAILED)
        return weft_fail(-errno, "cannot read %s: %s", object->path, strerrordesc_np(errno));
    const struct weft__elf_file file = {.name = object->path,
                                        .advice = "it is mapped by a rank",
                                        .bytes = bytes,
                                        .len_bytes = object->size};
    int err = weft__elf_read(&file, &object->elf);
    munmap(bytes, object->size);
    return err;
}

/* With a descriptor of its own: the program closes its one. */
static int make(int fd, const struct stat *status, struct weft__object **object_out)
{
    char link[64];
    struct weft__object *object = calloc(1, sizeof(*object));
    if (!object)
        return weft_fail(WEFT_ENOMEM, "no memory for an object file");
    *object = (struct weft__object){.uses = 1,
                                    .device = status->st_dev,
                                    .inode = status->st_ino,
                                    .size = (uint64_t)status->st_size,
                                    .mtime_ns = mtime_ns(status)};
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    object->fd = open(link, O_RDONLY | O_CLOEXEC);
    int err = object->fd >= 0
                  ? path_of(fd, object->path)
                  : weft_fail(-errno, "cannot read an object file: %s", strerrordesc_np(errno));
    if (!err)
        err = read_object(object);
    if (!err) {
        *object_out = object;
        return WEFT_OK;
    }
    if (object->fd >= 0)
        close(object->fd);
    free(object);
    return err;
}

static struct weft__object *known(const struct stat *status)
{
    struct weft__object *object = objects;
    while (object &&
           (object->device != status->st_dev || object->inode != status->st_ino ||
            object->size != (uint64_t)status->st_size || object->mtime_ns != mtime_ns(status)))
        object = object->next;
    return object;
}

int weft__object_get(int fd, struct weft__object **object_out)
{
    struct stat status;
    int err = WEFT_OK;
    if (fstat(fd, &status) != 0)
        return weft_fail(-errno, "cannot look at an object file: %s", strerrordesc_np(errno));
    pthread_mutex_lock(&lock);
    struct weft__object *object = known(&status);
    if (object) {
        object->uses++;
    } else if (!S_ISREG(status.st_mode) || !is_object(fd)) {
        err = WEFT_ENOEXEC;
    } else if (!(err = make(fd, &status, &object))) {
        object->next = objects;
        objects = object;
    }
    pthread_mutex_unlock(&lock);
    if (!err)
        *object_out = object;
    return err;
}

int weft__object_open(const char *path, struct weft__object **object_out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return weft_fail(-errno, "cannot open %s: %s", path, strerrordesc_np(errno));
    int err = weft__object_get(fd, object_out);
    close(fd);
    if (err == WEFT_ENOEXEC)
        weft_fail(err, "%s is no object file", path);
    return err;
}

void weft__object_put(struct weft__object *object)
{
    if (!object)
        return;
    pthread_mutex_lock(&lock);
    bool last = --object->uses == 0;
    if (last) {
        struct weft__object **at = &objects;
        while (*at != object)
            at = &(*at)->next;
        *at = object->next;
    }
    pthread_mutex_unlock(&lock);
    if (!last)
        return;
    close(object->fd);
    free(object);
}

/* ---- names ---- */

void weft__object_describe(const struct weft__object *object, struct weft__object_name *name_out)
{
    memcpy(name_out->build_id, object->elf.build_id, object->elf.build_id_len);
    name_out->build_id_len = object->elf.build_id_len;
    snprintf(name_out->path, sizeof(name_out->path), "%s", object->path);
}

int weft__object_find(const struct weft__object_name *name, struct weft__object **object_out)
{
    struct weft__object *object = NULL;
    if (name->build_id_len == 0 || name->build_id_len > WEFT_BUILD_ID_MAX ||
        !memchr(name->path, 0, sizeof(name->path)) || name->path[0] != '/')
        return weft_fail(WEFT_EPROTO, "the program that has arrived has a damaged list of its "
                                      "libraries");
    int err = weft__object_open(name->path, &object);
    if (err == WEFT_ENOMEM)
        return err;
    if (err || !object)
        return weft_fail(WEFT_EPINNED, "its library %.60s is not here", name->path);
    if (object->elf.build_id_len != name->build_id_len ||
        memcmp(object->elf.build_id, name->build_id, name->build_id_len) != 0) {
        weft__object_put(object);
        return weft_fail(WEFT_EPINNED, "its library %.60s is another build here", name->path);
    }
    *object_out = object;
    return WEFT_OK;
}
