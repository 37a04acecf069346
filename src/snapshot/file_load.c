/* Reading a snapshot file.
 *
 * The header and the table are read and checked when the file is opened, and the file must be as
 * long as they say: so what is missing or too much is found before a byte is delivered. Chunks are
 * read ahead, summed while they are in the cache, and delivered only when the sum is right. What
 * reads a file that is replaced meanwhile goes on reading the old one.
 *
 * 1 GiB into a fresh region, on the machine of file_save.c: past the page cache 0.97 GB/s and 0.47
 * s of CPU where nothing is cached (through the cache 0.9 and 0.7 to 1.4 s, one pread after the
 * other 0.9 and 1.6 s); where all of it is cached, through it 1.5 GB/s, past it 0.8. So a look at a
 * few pages decides. Beside the faster plain way (scripts/bench data): 0.89 to 0.92 of its speed
 * where the processors are busy with other work, the sums being what it lacks; more than 8 chunks
 * in flight do not help.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xxhash.h>

#include "snapshot/files_own.h"
#include "weft/error.h"

struct weft_file {
    struct weft_files *files;
    char name[WEFT_FILE_NAME_ROOM];
    int fd;
    struct weft_file_head head;
    struct weft_extents extents;
    uint8_t *table;
    const uint64_t *sums; /* in the table */
};

static int load_failed(const struct weft_file *file, int errno_seen)
{
    return weft__files_fail(file->files, "read", file->name, errno_seen);
}

/* err has been described with the offset. */
static int damaged(const struct weft_file *file, int err)
{
    return weft__files_fail_text(file->files, "read", file->name, err);
}

/* ---- open ---- */

static int read_all(const struct weft_file *file, uint8_t *bytes, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        ssize_t n = pread(file->fd, bytes, len < (1u << 30) ? len : 1u << 30, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return load_failed(file, errno);
        if (n == 0) {
            weft_fail(WEFT_EPROTO, "at offset 0x%llx: it ends here", (unsigned long long)offset);
            return damaged(file, WEFT_EPROTO);
        }
        bytes += n;
        offset += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return WEFT_OK;
}

static int read_table(struct weft_file *file)
{
    uint64_t len = weft__file_table_bytes(&file->head);
    void *bytes = NULL;
    if (posix_memalign(&bytes, WEFT_FILE_HEADER_BYTES, len > 0 ? len : WEFT_FILE_HEADER_BYTES) != 0)
        return weft_fail(WEFT_ENOMEM, "no memory for the table of %s", file->name);
    file->table = bytes;
    int err = read_all(file, bytes, len, weft__file_table_at(&file->head));
    if (err != WEFT_OK)
        return err;
    err = weft__file_table_decode(&file->head, bytes, &file->extents, &file->sums);
    return err == WEFT_OK ? WEFT_OK : damaged(file, err);
}

static int check_head(struct weft_file *file, const uint8_t *bytes, const char *key, uint64_t size)
{
    int err = weft__file_head_decode(bytes, &file->head);
    if (err == WEFT_OK && strcmp(file->head.key, key) != 0)
        err = weft_fail(WEFT_EPROTO, "at offset 64: it holds the snapshot \"%s\"", file->head.key);
    if (err == WEFT_OK && weft__file_bytes(&file->head) != size)
        err =
            weft_fail(WEFT_EPROTO, "at offset 0x%llx: it ends here, not at 0x%llx",
                      (unsigned long long)size, (unsigned long long)weft__file_bytes(&file->head));
    return err == WEFT_OK ? WEFT_OK : damaged(file, err);
}

/* Whether a page of the data is in memory already. */
static bool is_cached(const struct weft_file *file, uint64_t offset)
{
    uint8_t byte;
    struct iovec into = {.iov_base = &byte, .iov_len = 1};
    return preadv2(file->fd, &into, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* Copying out of the page cache is faster than the disk, which is faster than going through the
 * cache. A few pages stand for all. */
static void choose_way(const struct weft_file *file)
{
    const uint64_t data = file->head.data_bytes, first = WEFT_FILE_HEADER_BYTES;
    if (file->files->cache != WEFT_FILES_AUTO || data == 0 ||
        !(fcntl(file->fd, F_GETFL) & O_DIRECT) || fcntl(file->fd, F_SETFL, 0) != 0)
        return;
    if (!is_cached(file, first) || !is_cached(file, first + data / 2) ||
        !is_cached(file, first + data - 1))
        (void)fcntl(file->fd, F_SETFL, O_DIRECT);
}

int weft__file_open(struct weft_files *files, const char *key, struct weft_file **file_out)
{
    _Alignas(WEFT_FILE_HEADER_BYTES) uint8_t bytes[WEFT_FILE_HEADER_BYTES];
    struct weft_file *file = calloc(1, sizeof(*file));
    uint64_t size = 0;
    if (file == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a file");
    file->files = files;
    file->fd = -1;
    int err = weft__file_name(key, file->name);
    if (err == WEFT_OK) {
        file->fd = weft__files_open_head(files, file->name, files->cache != WEFT_FILES_CACHED,
                                         bytes, &size);
        err = file->fd < 0 ? file->fd : WEFT_OK;
        if (err == WEFT_ENOENT)
            err = weft_fail(err, "there is no snapshot \"%s\" in %s", key, files->folder);
    }
    if (err == WEFT_OK)
        err = check_head(file, bytes, key, size);
    if (err == WEFT_OK)
        err = read_table(file);
    if (err == WEFT_OK)
        choose_way(file);
    if (err == WEFT_OK)
        *file_out = file;
    else
        weft__file_close(file);
    return err;
}

void weft__file_close(struct weft_file *file)
{
    if (file == NULL)
        return;
    if (file->fd >= 0)
        (void)close(file->fd);
    weft__extents_fini(&file->extents);
    free(file->table);
    free(file);
}

const struct weft_file_head *weft__file_head(const struct weft_file *file)
{
    return &file->head;
}

const struct weft_extents *weft__file_extents(const struct weft_file *file)
{
    return &file->extents;
}

/* ---- load ---- */

struct load {
    const struct weft_file *file;
    weft_file_sink *sink;
    void *ctx;
    const atomic_bool *stop;
    void *queue;
    struct weft_file_slots slots;
    uint64_t chunk; /* the next one, */
    size_t extent;  /* and where it begins */
    uint64_t at;
    unsigned in_flight;
    int err;
};

/* The last page may be longer than the snapshot. */
static int deliver(void *ctx, uint64_t offset, uint8_t *bytes, size_t len)
{
    const struct load *load = ctx;
    uint64_t size = load->file->head.size_bytes;
    return load->sink(load->ctx, offset, bytes, len < size - offset ? len : size - offset);
}

static int take_chunk(struct load *load, const struct weft_file_slot *slot)
{
    const struct weft_file *file = load->file;
    const struct weft_file_op *op = &slot->op;
    if (op->result < 0)
        return load_failed(file, (int)-op->result);
    if (op->result == 0) {
        weft_fail(WEFT_EPROTO, "at offset 0x%llx: it ends here", (unsigned long long)op->offset);
        return damaged(file, WEFT_EPROTO);
    }
    if (XXH3_64bits(slot->bytes, slot->len_bytes) != file->sums[slot->chunk]) {
        weft_fail(
            WEFT_ECHECKSUM, "at offset 0x%llx: %u bytes of data are damaged",
            (unsigned long long)(WEFT_FILE_HEADER_BYTES + slot->chunk * file->head.chunk_bytes),
            slot->len_bytes);
        return damaged(file, WEFT_ECHECKSUM);
    }
    return load->sink != NULL ? weft__file_slot_parts(slot, &file->extents, deliver, load)
                              : WEFT_OK;
}

static void start_chunk(struct load *load)
{
    const struct weft_file_head *head = &load->file->head;
    struct weft_file_slot *slot = load->slots.free;
    uint64_t done = load->chunk * head->chunk_bytes, left = head->data_bytes - done;
    load->slots.free = slot->next_free;
    slot->chunk = load->chunk++;
    slot->len_bytes = left < head->chunk_bytes ? (uint32_t)left : head->chunk_bytes;
    slot->extent = load->extent;
    slot->at = load->at;
    weft__file_advance(&load->file->extents, &load->extent, &load->at, slot->len_bytes);
    slot->op = (struct weft_file_op){.fd = load->file->fd,
                                     .len_bytes = slot->len_bytes,
                                     .offset = WEFT_FILE_HEADER_BYTES + done,
                                     .bytes = slot->bytes};
    load->file->files->io->start(load->queue, &slot->op);
    load->in_flight++;
}

static void finish_chunk(struct load *load)
{
    const struct weft_file_io *io = load->file->files->io;
    struct weft_file_op *op = io->next(load->queue);
    struct weft_file_slot *slot = (struct weft_file_slot *)op;
    if (weft__file_op_rest(op) && load->err == WEFT_OK) {
        io->start(load->queue, op);
        return;
    }
    load->in_flight--;
    if (load->err == WEFT_OK)
        load->err = take_chunk(load, slot);
    slot->next_free = load->slots.free;
    load->slots.free = slot;
}

static int read_data(struct load *load)
{
    uint64_t chunks = weft__file_chunks(&load->file->head);
    while (load->in_flight > 0 || (load->chunk < chunks && load->err == WEFT_OK)) {
        if (load->err == WEFT_OK && load->stop != NULL && atomic_load(load->stop))
            load->err = weft_fail(WEFT_ECANCELED, "reading %s was cancelled", load->file->name);
        else if (load->err == WEFT_OK && load->chunk < chunks && load->slots.free != NULL)
            start_chunk(load);
        else
            finish_chunk(load);
    }
    return load->err;
}

int weft__file_load(struct weft_file *file, weft_file_sink *sink, void *ctx,
                    const atomic_bool *stop)
{
    struct load load = {.file = file, .sink = sink, .ctx = ctx, .stop = stop};
    const struct weft_files *files = file->files;
    uint64_t chunks = weft__file_chunks(&file->head);
    uint32_t depth = chunks < files->depth ? (uint32_t)chunks : files->depth;
    if (depth == 0)
        return WEFT_OK;
    int err = weft__file_slots_init(&load.slots, depth, file->head.chunk_bytes);
    if (err == WEFT_OK)
        err = files->io->open(depth, &load.queue);
    if (err == WEFT_OK) {
        err = read_data(&load);
        files->io->close(load.queue);
    }
    weft__file_slots_fini(&load.slots);
    return err;
}

static int into_region(void *ctx, uint64_t offset, const void *bytes, size_t len)
{
    return weft__region_write(ctx, offset, bytes, len);
}

int weft__file_load_region(struct weft_file *file, const struct weft_region *region)
{
    if (region->len_bytes < file->head.size_bytes)
        return weft_fail(WEFT_ERANGE, "a snapshot of %llu bytes does not fit into a region of %zu",
                         (unsigned long long)file->head.size_bytes, region->len_bytes);
    return weft__file_load(file, into_region, (void *)(uintptr_t)region, NULL);
}
