/* Writing a snapshot file.
 *
 * The bytes are copied into a buffer, summed while they are in the cache, and written from there:
 * so what is on the disk has the sum that was taken, whatever else happens to the memory. The
 * header comes last; until then the file begins with zeros, and it has a name that no reader looks
 * for. Then fsync, the new name, fsync of the folder, in this order.
 *
 * Space is set apart first: a disk that is too full says so before the first byte, and the file
 * lies in one piece.
 *
 * 1 GiB on a virtual disk of a busy machine, fsync included, best of some rounds in GB/s, and
 * seconds of CPU: io_uring past the page cache 2.3 and 0.16 with 4 or 8 chunks of 1 MiB in flight
 * (1.2 with 2, 1.8 with 16, which is no better), threads past it 1.9 and 0.21; through the cache
 * io_uring 1.3 and 0.27, threads 1.7 and 0.27; one pwrite after the other without sums 1.5 and
 * 0.22. Beside the faster plain way (scripts/bench data), which is io_uring straight from the
 * memory: 1.0 to 1.4 of its speed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/clock.h"
#include "snapshot/files_own.h"
#include "weft/error.h"

enum { NAME_TRIES = 16 };

struct save {
    struct weft_files *files;
    const struct weft_file_source *source;
    struct weft_file_head head;
    char name[WEFT_FILE_NAME_ROOM];
    char temp[64];
    int fd;
    void *queue;
    struct weft_file_slots slots;
    uint64_t *sums;
    uint64_t chunk; /* the next one, */
    size_t extent;  /* and where it begins */
    uint64_t at;
    unsigned in_flight;
    int err;
};

static int save_failed(const struct save *save, int errno_seen)
{
    return weft__files_fail(save->files, "save", save->name, errno_seen);
}

/* ---- the temporary file ---- */

/* Between its making and its lock another process may take it for a leftover: then once more. */
static int open_temp(struct save *save)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        struct stat status;
        uint64_t number;
        if (getrandom(&number, sizeof(number), 0) != sizeof(number))
            return save_failed(save, EIO);
        (void)snprintf(save->temp, sizeof(save->temp), WEFT_FILE_TEMP "%016llx",
                       (unsigned long long)number);
        save->fd = openat(save->files->fd, save->temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (save->fd < 0 && errno == EEXIST)
            continue;
        if (save->fd < 0)
            return save_failed(save, errno);
        errno = 0;
        if (flock(save->fd, LOCK_EX | LOCK_NB) == 0 && fstat(save->fd, &status) == 0 &&
            status.st_nlink > 0)
            return WEFT_OK;
        if (errno == EOPNOTSUPP || errno == ENOLCK || errno == ENOSYS)
            return WEFT_OK; /* a file system without locks: nobody gets one */
        (void)unlinkat(save->files->fd, save->temp, 0);
        (void)close(save->fd);
        save->fd = -1;
    }
    return save_failed(save, EAGAIN);
}

/* Past this limit the kernel sends a signal that ends the process. */
static bool below_limit(uint64_t bytes)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
           bytes <= limit.rlim_cur;
}

static int write_all(const struct save *save, const uint8_t *bytes, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pwrite(save->fd, bytes, len < (1u << 30) ? len : 1u << 30, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return save_failed(save, n < 0 ? errno : EIO);
        bytes += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return WEFT_OK;
}

/* A file system that cannot write past its cache says so at the first write. */
static int prepare_file(struct save *save)
{
    _Alignas(WEFT_FILE_HEADER_BYTES) static const uint8_t zeros[WEFT_FILE_HEADER_BYTES];
    uint64_t size = weft__file_bytes(&save->head);
    if (!below_limit(size))
        return save_failed(save, EFBIG);
    if (fallocate(save->fd, 0, 0, (off_t)size) != 0 && errno != EOPNOTSUPP && errno != EINTR)
        return save_failed(save, errno);
    if (save->files->cache == WEFT_FILES_CACHED || fcntl(save->fd, F_SETFL, O_DIRECT) != 0)
        return WEFT_OK;
    if (pwrite(save->fd, zeros, sizeof(zeros), 0) == (ssize_t)sizeof(zeros) ||
        fcntl(save->fd, F_SETFL, 0) == 0)
        return WEFT_OK;
    return save_failed(save, errno);
}

/* ---- data ---- */

static int gather(void *ctx, uint64_t offset, uint8_t *bytes, size_t len)
{
    const struct weft_file_source *source = ctx;
    size_t there = 0;
    if (offset < source->size_bytes)
        there = source->size_bytes - offset < len ? source->size_bytes - offset : len;
    memcpy(bytes, (const uint8_t *)source->bytes + offset, there);
    memset(bytes + there, 0, len - there);
    return WEFT_OK;
}

static void start_chunk(struct save *save)
{
    const struct weft_file_head *head = &save->head;
    struct weft_file_slot *slot = save->slots.free;
    uint64_t done = save->chunk * head->chunk_bytes, left = head->data_bytes - done;
    save->slots.free = slot->next_free;
    slot->chunk = save->chunk++;
    slot->len_bytes = left < head->chunk_bytes ? (uint32_t)left : head->chunk_bytes;
    slot->extent = save->extent;
    slot->at = save->at;
    (void)weft__file_slot_parts(slot, save->source->extents, gather,
                                (void *)(uintptr_t)save->source);
    weft__file_advance(save->source->extents, &save->extent, &save->at, slot->len_bytes);
    save->sums[slot->chunk] = XXH3_64bits(slot->bytes, slot->len_bytes);
    slot->op = (struct weft_file_op){.fd = save->fd,
                                     .write = true,
                                     .len_bytes = slot->len_bytes,
                                     .offset = WEFT_FILE_HEADER_BYTES + done,
                                     .bytes = slot->bytes};
    save->files->io->start(save->queue, &slot->op);
    save->in_flight++;
}

static void finish_chunk(struct save *save)
{
    struct weft_file_op *op = save->files->io->next(save->queue);
    struct weft_file_slot *slot = (struct weft_file_slot *)op;
    if (weft__file_op_rest(op) && save->err == WEFT_OK) {
        save->files->io->start(save->queue, op);
        return;
    }
    save->in_flight--;
    slot->next_free = save->slots.free;
    save->slots.free = slot;
    if (op->result <= 0 && save->err == WEFT_OK)
        save->err = save_failed(save, op->result < 0 ? (int)-op->result : EIO);
}

static int write_data(struct save *save)
{
    const atomic_bool *stop = save->source->stop;
    uint64_t chunks = weft__file_chunks(&save->head);
    while (save->in_flight > 0 || (save->chunk < chunks && save->err == WEFT_OK)) {
        if (save->err == WEFT_OK && stop != NULL && atomic_load(stop))
            save->err = weft_fail(WEFT_ECANCELED, "saving %s was cancelled", save->name);
        else if (save->err == WEFT_OK && save->chunk < chunks && save->slots.free != NULL)
            start_chunk(save);
        else
            finish_chunk(save);
    }
    return save->err;
}

/* ---- the rest ---- */

static int write_table(struct save *save)
{
    uint64_t len = weft__file_table_bytes(&save->head);
    void *bytes = NULL;
    if (posix_memalign(&bytes, WEFT_FILE_HEADER_BYTES, len > 0 ? len : WEFT_FILE_HEADER_BYTES) != 0)
        return weft_fail(WEFT_ENOMEM, "no memory for the table of %s", save->name);
    weft__file_table_encode(&save->head, save->source->extents, save->sums, bytes);
    int err = write_all(save, bytes, len, weft__file_table_at(&save->head));
    free(bytes);
    return err;
}

static int write_head(struct save *save)
{
    _Alignas(WEFT_FILE_HEADER_BYTES) uint8_t bytes[WEFT_FILE_HEADER_BYTES];
    weft__file_head_encode(&save->head, bytes);
    return write_all(save, bytes, sizeof(bytes), 0);
}

static int write_file(struct save *save)
{
    uint64_t chunks = weft__file_chunks(&save->head);
    save->sums = malloc((chunks + 1) * sizeof(*save->sums));
    if (save->sums == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the sums of %s", save->name);
    uint32_t depth = chunks < save->files->depth ? (uint32_t)chunks : save->files->depth;
    int err = prepare_file(save);
    if (err == WEFT_OK && depth > 0)
        err = weft__file_slots_init(&save->slots, depth, save->head.chunk_bytes);
    if (err == WEFT_OK && depth > 0)
        err = save->files->io->open(depth, &save->queue);
    if (err == WEFT_OK)
        err = write_data(save);
    if (err == WEFT_OK)
        err = write_table(save);
    if (err == WEFT_OK)
        err = write_head(save);
    if (err == WEFT_OK && fsync(save->fd) != 0)
        err = save_failed(save, errno);
    return err;
}

static int give_name(struct save *save)
{
    const struct weft_files *files = save->files;
    if (renameat(files->fd, save->temp, files->fd, save->name) != 0)
        return save_failed(save, errno);
    save->temp[0] = '\0';
    if (fsync(files->fd) != 0)
        return weft__files_fail(files, "sync the folder", "", errno);
    return WEFT_OK;
}

static void save_end(struct save *save)
{
    if (save->fd >= 0 && save->temp[0] != '\0')
        (void)unlinkat(save->files->fd, save->temp, 0); /* while the lock is held */
    if (save->fd >= 0)
        (void)close(save->fd);
    if (save->queue != NULL)
        save->files->io->close(save->queue);
    weft__file_slots_fini(&save->slots);
    free(save->sums);
}

static int check_source(const struct weft_file_source *source)
{
    uint64_t page = WEFT_REGION_PAGE, size = (source->size_bytes + page - 1) / page * page;
    const struct weft_extents *extents = source->extents;
    if (source->size_bytes == 0 || source->size_bytes > WEFT_REGION_MAX_BYTES)
        return weft_fail(WEFT_EINVAL, "a snapshot has 1 to %zu bytes, not %llu",
                         WEFT_REGION_MAX_BYTES, (unsigned long long)source->size_bytes);
    for (size_t i = 0; i < extents->n; i++)
        if ((extents->at[i].offset | extents->at[i].len_bytes) % page ||
            extents->at[i].offset + extents->at[i].len_bytes > size)
            return weft_fail(WEFT_EINVAL, "the extent at 0x%llx is not whole pages of the snapshot",
                             (unsigned long long)extents->at[i].offset);
    return WEFT_OK;
}

int weft__file_save(struct weft_files *files, const struct weft_file_source *source,
                    struct weft_file_head *head_out)
{
    struct save save = {.files = files, .source = source, .fd = -1};
    int err = check_source(source);
    if (err == WEFT_OK)
        err = weft__file_name(source->key, save.name);
    if (err != WEFT_OK)
        return err;
    save.head = (struct weft_file_head){.size_bytes = source->size_bytes,
                                        .data_bytes = source->extents->total_bytes,
                                        .extents_n = source->extents->n,
                                        .saved_wall_ms = weft__wall_ms(),
                                        .chunk_bytes = WEFT_FILE_CHUNK_BYTES};
    (void)snprintf(save.head.key, sizeof(save.head.key), "%s", source->key);
    err = open_temp(&save);
    if (err == WEFT_OK)
        err = write_file(&save);
    if (err == WEFT_OK)
        err = give_name(&save);
    if (err == WEFT_OK && head_out != NULL)
        *head_out = save.head;
    save_end(&save);
    return err;
}

int weft__file_save_region(struct weft_files *files, const char *key,
                           const struct weft_region *region, struct weft_file_head *head_out)
{
    struct weft_extents extents = {0};
    int err = weft__region_touched(region, &extents);
    if (err == WEFT_OK)
        err = weft__file_save(files,
                              &(struct weft_file_source){.key = key,
                                                         .bytes = region->base,
                                                         .size_bytes = region->len_bytes,
                                                         .extents = &extents},
                              head_out);
    weft__extents_fini(&extents);
    return err;
}
