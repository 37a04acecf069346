/* The append log.
 *
 *   file:  8 bytes "weftlog2", frames; the digit is the format: what a reader of this one would not
 *          understand raises it, and a log of another one is refused
 *   frame: u32 magic, u32 payload length, u64 XXH3-64 of the payload, seeded with the frame's
 * offset; payload payload: entries, one behind the other: u8 kind, u64 number, u16 key length, u16
 * value length, key, value (EPOCH: number is the epoch, the value the highest revision and the
 * log's id)     all little endian
 *
 * One commit is one frame, written and synced before anybody is told, so a crash can tear the last
 * frame only. A bad frame with a good one behind it is therefore no torn tail but damage: cutting
 * there would lose what was promised, so open refuses. The seed makes a good frame good at its own
 * place only: values that contain frames deceive nobody.
 *
 * A write that fails (the disk is full) is taken back: the file is cut to what was there before,
 * and synced. If that fails, or the sync of a frame did, nobody knows what a crash would leave: the
 * kernel may have dropped the pages and report success the next time. Such a file is never written
 * again; a fresh one with what stands takes its place as soon as there is room.
 *
 * Epochs grow even over the loss of the log: none begins below the wall clock's seconds. The id
 * tells whoever has read from one log that he is asking another one.
 * Rejected: a frame per change (a torn batch could not be told from damage), logging of hosts (they
 * join anew within a beat).
 */
#include "registry/journal.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/clock.h"
#include "base/log.h"
#include "registry/registry.h"
#include "weft/error.h"

#define FILE_MAGIC "weftlog2"
#define FILE_MAGIC_BYTES 8u
#define FRAME_MAGIC 0x4c474552u /* "REGL" */
#define FRAME_HEADER 16u
#define ENTRY_HEADER 13u
#define PAYLOAD_MAX (1u << 20)
#define COMPACT_MIN_BYTES (1u << 20)
#define EPOCH_VALUE_BYTES 16u /* revision, id */

enum entry_kind { ENTRY_EPOCH = 1, ENTRY_SET = 2, ENTRY_ERASE = 3 };

struct entry {
    uint8_t kind;
    uint64_t number;
    struct weft_bytes key, value;
};

static int fail_errno(const char *what, const char *path)
{
    int err = -errno;
    return weft_fail(err, "cannot %s the registry's log %s: %s", what, path, strerror(-err));
}

static uint64_t frame_sum(const uint8_t *frame, uint32_t payload_len, uint64_t offset)
{
    return XXH3_64bits_withSeed(frame + FRAME_HEADER, payload_len, offset);
}

static void seal(uint8_t *frame, size_t frame_len, uint64_t offset)
{
    uint32_t magic = htole32(FRAME_MAGIC), len = htole32((uint32_t)(frame_len - FRAME_HEADER));
    memcpy(frame, &magic, 4);
    memcpy(frame + 4, &len, 4);
    uint64_t sum = htole64(frame_sum(frame, (uint32_t)(frame_len - FRAME_HEADER), offset));
    memcpy(frame + 8, &sum, 8);
}

static size_t entry_bytes(const struct entry *entry)
{
    return ENTRY_HEADER + entry->key.len + entry->value.len;
}

static size_t entry_put(uint8_t *at, const struct entry *entry)
{
    uint64_t number = htole64(entry->number);
    uint16_t key_len = htole16((uint16_t)entry->key.len),
             value_len = htole16((uint16_t)entry->value.len);
    at[0] = entry->kind;
    memcpy(at + 1, &number, 8);
    memcpy(at + 9, &key_len, 2);
    memcpy(at + 11, &value_len, 2);
    if (entry->key.len)
        memcpy(at + ENTRY_HEADER, entry->key.at, entry->key.len);
    if (entry->value.len)
        memcpy(at + ENTRY_HEADER + entry->key.len, entry->value.at, entry->value.len);
    return entry_bytes(entry);
}

/* Returns the entry's length; 0: malformed. */
static size_t entry_get(const uint8_t *at, size_t len, struct entry *entry_out)
{
    uint64_t number;
    uint16_t key_len, value_len;
    if (len < ENTRY_HEADER)
        return 0;
    memcpy(&number, at + 1, 8);
    memcpy(&key_len, at + 9, 2);
    memcpy(&value_len, at + 11, 2);
    *entry_out =
        (struct entry){.kind = at[0],
                       .number = le64toh(number),
                       .key = {at + ENTRY_HEADER, le16toh(key_len)},
                       .value = {at + ENTRY_HEADER + le16toh(key_len), le16toh(value_len)}};
    return entry_bytes(entry_out) <= len ? entry_bytes(entry_out) : 0;
}

static int replay_entry(struct weft_journal *journal, struct weft_values *keys,
                        const struct entry *entry)
{
    if (entry->kind == ENTRY_EPOCH && entry->key.len == 0 &&
        entry->value.len == EPOCH_VALUE_BYTES) {
        uint64_t revision, id;
        memcpy(&revision, entry->value.at, 8);
        memcpy(&id, (const uint8_t *)entry->value.at + 8, 8);
        journal->epoch = entry->number;
        journal->id = le64toh(id);
        if (keys->revision < le64toh(revision))
            keys->revision = le64toh(revision);
        return 0;
    }
    if ((entry->kind == ENTRY_SET || entry->kind == ENTRY_ERASE) && entry->key.len != 0 &&
        entry->key.len <= WEFT_REGISTRY_KEY_MAX && entry->value.len <= WEFT_REGISTRY_VALUE_MAX) {
        const struct weft_values_change change = {.key = entry->key,
                                                  .value = entry->value,
                                                  .erase = entry->kind == ENTRY_ERASE,
                                                  .revision = entry->number};
        return weft__values_apply(keys, &change);
    }
    return weft_fail(WEFT_EVERSION,
                     "the registry's log %s holds an entry of kind %u that this version does not "
                     "know; use the version "
                     "that wrote it",
                     journal->path, entry->kind);
}

static int replay_payload(struct weft_journal *journal, struct weft_values *keys,
                          size_t payload_len)
{
    const uint8_t *payload = journal->batch + FRAME_HEADER;
    size_t at = 0;
    while (at < payload_len) {
        struct entry entry;
        size_t len = entry_get(payload + at, payload_len - at, &entry);
        if (len == 0)
            return weft_fail(WEFT_EVERSION,
                             "the registry's log %s holds a malformed entry behind offset %llu",
                             journal->path, (unsigned long long)journal->len_bytes);
        int err = replay_entry(journal, keys, &entry);
        if (err)
            return err;
        at += len;
    }
    return 0;
}

/* Reads as much as there is, up to len. */
static ssize_t read_at(const struct weft_journal *journal, void *into, size_t len, uint64_t offset)
{
    size_t got = 0;
    while (got < len) {
        ssize_t n = pread(journal->fd, (uint8_t *)into + got, len - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno("read", journal->path);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    return (ssize_t)got;
}

/* Reads the frame at offset into the batch.  1: a good frame of *payload_len_out; 0: none; < 0:
 * error. */
static int read_frame(struct weft_journal *journal, uint64_t offset, size_t *payload_len_out)
{
    uint8_t *frame = journal->batch;
    uint32_t magic, len;
    uint64_t sum;
    ssize_t got = read_at(journal, frame, FRAME_HEADER, offset);
    if (got < (ssize_t)FRAME_HEADER)
        return got < 0 ? (int)got : 0;
    memcpy(&magic, frame, 4);
    memcpy(&len, frame + 4, 4);
    memcpy(&sum, frame + 8, 8);
    len = le32toh(len);
    if (le32toh(magic) != FRAME_MAGIC || len == 0 || len > PAYLOAD_MAX)
        return 0;
    got = read_at(journal, frame + FRAME_HEADER, len, offset + FRAME_HEADER);
    if (got < (ssize_t)len)
        return got < 0 ? (int)got : 0;
    if (le64toh(sum) != frame_sum(frame, len, offset))
        return 0;
    *payload_len_out = len;
    return 1;
}

/* Looks for a good frame anywhere at or behind offset.  1: found; 0: none; < 0: error. */
static int good_frame_behind(struct weft_journal *journal, uint64_t offset)
{
    const uint32_t magic = htole32(FRAME_MAGIC);
    uint8_t block[8192];
    for (;;) {
        ssize_t got = read_at(journal, block, sizeof(block), offset);
        if (got < (ssize_t)FRAME_HEADER)
            return got < 0 ? (int)got : 0;
        for (size_t i = 0; i + sizeof(magic) <= (size_t)got; i++) {
            size_t payload_len;
            if (memcmp(block + i, &magic, sizeof(magic)))
                continue;
            int good = read_frame(journal, offset + i, &payload_len);
            if (good)
                return good;
        }
        offset += (uint64_t)got - (sizeof(magic) - 1);
    }
}

static int write_all(int fd, const uint8_t *bytes, size_t len, uint64_t offset)
{
    while (len) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : WEFT_EIO;
        bytes += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return weft_fail(WEFT_ENOMEM, "no memory");
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) ? fail_errno("sync the folder of", path) : 0;
    if (fd >= 0)
        close(fd);
    free(copy);
    return err;
}

/* Cuts off what a crash left half-written behind len_bytes, unless it is something else. */
static int cut_tail(struct weft_journal *journal, uint64_t file_len)
{
    unsigned long long at = journal->len_bytes;
    int good = good_frame_behind(journal, journal->len_bytes + 1);
    if (good < 0)
        return good;
    if (good)
        return weft_fail(WEFT_ECHECKSUM,
                         "the registry's log %s is damaged at offset %llu, before its end; restore "
                         "it from a copy, or move it away: running apps go on without it, but "
                         "their ranks stay where they are",
                         journal->path, at);
    weft__warn("the registry's log %s ends in a torn record: %llu bytes cut off at offset %llu",
               journal->path, (unsigned long long)file_len - at, at);
    if (ftruncate(journal->fd, (off_t)journal->len_bytes))
        return fail_errno("cut the torn tail of", journal->path);
    journal->torn_at = journal->len_bytes;
    return 0;
}

static int replay(struct weft_journal *journal, struct weft_values *keys, uint64_t file_len)
{
    journal->len_bytes = FILE_MAGIC_BYTES;
    while (journal->len_bytes < file_len) {
        size_t payload_len = 0;
        int good = read_frame(journal, journal->len_bytes, &payload_len);
        if (good < 0)
            return good;
        if (!good)
            return cut_tail(journal, file_len);
        int err = replay_payload(journal, keys, payload_len);
        if (err)
            return err;
        journal->len_bytes += FRAME_HEADER + payload_len;
    }
    return 0;
}

/* Opens and locks the file that the path names when the lock is held: a compaction may just have
 * replaced it. */
static int open_locked(struct weft_journal *journal)
{
    for (;;) {
        struct stat mine, named;
        journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (journal->fd < 0)
            return fail_errno("open", journal->path);
        if (flock(journal->fd, LOCK_EX | LOCK_NB))
            return weft_fail(errno == EWOULDBLOCK ? WEFT_EBUSY : -errno,
                             "the registry's log %s is in use: another head runs here; stop it or "
                             "choose another folder",
                             journal->path);
        if (fstat(journal->fd, &mine))
            return fail_errno("look at", journal->path);
        if (!stat(journal->path, &named) && mine.st_ino == named.st_ino &&
            mine.st_dev == named.st_dev)
            return 0;
        close(journal->fd);
    }
}

/* A new file, or one whose creation was cut short, gets its first bytes; any other must have them.
 */
static int open_header(struct weft_journal *journal, uint64_t *file_len_out)
{
    char head[FILE_MAGIC_BYTES];
    struct stat st;
    if (fstat(journal->fd, &st))
        return fail_errno("look at", journal->path);
    ssize_t got = read_at(journal, head, sizeof(head), 0);
    if (got < 0)
        return (int)got;
    bool whole = got == (ssize_t)sizeof(head), ours = !memcmp(head, FILE_MAGIC, (size_t)got);
    if (!ours && whole && !memcmp(head, FILE_MAGIC, FILE_MAGIC_BYTES - 1))
        return weft_fail(WEFT_EVERSION,
                         "the registry's log %s has format %c, this version of weft has %c: use "
                         "the one that wrote it, or move the log away: running apps go on without "
                         "it, but their ranks stay where they are",
                         journal->path, head[FILE_MAGIC_BYTES - 1],
                         FILE_MAGIC[FILE_MAGIC_BYTES - 1]);
    if (!ours)
        return weft_fail(WEFT_EINVAL, "%s is no log of a registry; choose another file",
                         journal->path);
    *file_len_out = (uint64_t)st.st_size;
    if (whole)
        return 0;
    int err = write_all(journal->fd, (const uint8_t *)FILE_MAGIC, FILE_MAGIC_BYTES, 0);
    if (err)
        return weft_fail(err, "cannot write the registry's log %s: %s; choose another folder",
                         journal->path, strerror(-err));
    *file_len_out = FILE_MAGIC_BYTES;
    return sync_folder(journal->path);
}

static int batch_add(struct weft_journal *journal, const struct entry *entry)
{
    if (journal->batch_len + entry_bytes(entry) > FRAME_HEADER + PAYLOAD_MAX)
        return WEFT_EAGAIN;
    journal->batch_len += entry_put(journal->batch + journal->batch_len, entry);
    return 0;
}

static void batch_add_epoch(struct weft_journal *journal, const struct weft_values *keys)
{
    const uint64_t value[] = {htole64(keys->revision), htole64(journal->id)};
    const struct entry entry = {
        .kind = ENTRY_EPOCH, .number = journal->epoch, .value = {value, sizeof(value)}};
    static_assert(sizeof(value) == EPOCH_VALUE_BYTES, "revision, id");
    assert(journal->batch_len == FRAME_HEADER);
    batch_add(journal, &entry);
}

/* Above every one before, also where the log that knew them is lost. */
static uint64_t next_epoch(const struct weft_journal *journal)
{
    uint64_t seconds = weft__wall_ms() / 1000;
    return seconds > journal->epoch && seconds <= UINT32_MAX ? seconds : journal->epoch + 1;
}

static int open_all(struct weft_journal *journal, struct weft_values *keys)
{
    uint64_t file_len = 0;
    int err = open_locked(journal);
    if (!err)
        err = open_header(journal, &file_len);
    if (!err)
        err = replay(journal, keys, file_len);
    if (err)
        return err;
    while (journal->id == 0) /* a new log */
        if (getrandom(&journal->id, sizeof(journal->id), 0) != sizeof(journal->id))
            return weft_fail(WEFT_EIO, "no random number for the registry's log");
    journal->epoch = next_epoch(journal);
    journal->batch_len = FRAME_HEADER;
    batch_add_epoch(journal, keys);
    return weft__journal_commit(journal);
}

int weft__journal_open(struct weft_journal *journal_out, const char *path, struct weft_values *keys)
{
    struct weft_journal journal = {.fd = -1, .compact_at = COMPACT_MIN_BYTES};
    journal.path = strdup(path);
    journal.batch = malloc(FRAME_HEADER + PAYLOAD_MAX);
    int err = !journal.path || !journal.batch
                  ? weft_fail(WEFT_ENOMEM, "no memory for the registry's log")
                  : open_all(&journal, keys);
    if (err) {
        weft__journal_close(&journal);
        return err;
    }
    *journal_out = journal;
    return 0;
}

void weft__journal_close(struct weft_journal *journal)
{
    if (journal->path && journal->fd >= 0)
        close(journal->fd);
    free(journal->path);
    free(journal->batch);
    *journal = (struct weft_journal){.fd = -1};
}

static struct entry entry_of(const struct weft_values_change *change)
{
    struct entry entry = {
        .kind = ENTRY_SET, .number = change->revision, .key = change->key, .value = change->value};
    if (change->erase) {
        entry.kind = ENTRY_ERASE;
        entry.value = (struct weft_bytes){NULL, 0};
    }
    return entry;
}

static int fail_broken(const struct weft_journal *journal)
{
    return weft_fail(WEFT_EIO, "the registry cannot write its log %s; make room on that disk",
                     journal->path);
}

int weft__journal_add(struct weft_journal *journal, const struct weft_values_change *change)
{
    const struct entry entry = entry_of(change);
    assert(change->key.len <= WEFT_REGISTRY_KEY_MAX &&
           change->value.len <= WEFT_REGISTRY_VALUE_MAX);
    if (journal->broken)
        return fail_broken(journal);
    return batch_add(journal, &entry);
}

/* Undoes a write that has failed. */
static int take_back(const struct weft_journal *journal)
{
    return ftruncate(journal->fd, (off_t)journal->len_bytes) || fdatasync(journal->fd) ? -errno : 0;
}

static int commit_failed(struct weft_journal *journal, int err, bool written)
{
    if (written || err == WEFT_EIO || take_back(journal)) {
        journal->broken = true;
        return weft_fail(WEFT_EIO,
                         "the registry cannot write its log %s: %s; it is written anew when there "
                         "is room, until then nothing is changed",
                         journal->path, strerror(-err));
    }
    return weft_fail(WEFT_ENOSPC,
                     "the registry cannot write its log %s: %s; nothing was changed, make room on "
                     "that disk",
                     journal->path, strerror(-err));
}

int weft__journal_commit(struct weft_journal *journal)
{
    size_t len = journal->batch_len;
    if (len == FRAME_HEADER)
        return 0;
    journal->batch_len = FRAME_HEADER;
    if (journal->broken)
        return fail_broken(journal);
    seal(journal->batch, len, journal->len_bytes);
    int err = write_all(journal->fd, journal->batch, len, journal->len_bytes);
    if (err)
        return commit_failed(journal, err, false);
    if (fdatasync(journal->fd))
        return commit_failed(journal, -errno, true);
    journal->len_bytes += len;
    return 0;
}

bool weft__journal_bloated(const struct weft_journal *journal, const struct weft_values *keys)
{
    uint64_t live = keys->live_bytes + keys->n * ENTRY_HEADER;
    return !journal->broken && journal->len_bytes >= journal->compact_at &&
           journal->len_bytes / 4 > live;
}

/* Writes everything that stands to a new journal; only its batch and its length are used on the
 * way. */
static int write_standing(struct weft_journal *fresh, const struct weft_values *keys)
{
    int err = write_all(fresh->fd, (const uint8_t *)FILE_MAGIC, FILE_MAGIC_BYTES, 0);
    if (err)
        return err;
    fresh->len_bytes = FILE_MAGIC_BYTES;
    batch_add_epoch(fresh, keys);
    for (size_t i = 0; i < keys->buckets_n; i++)
        for (const struct weft_values_entry *key = keys->buckets[i]; key && !err; key = key->next) {
            const struct entry entry = {.kind = ENTRY_SET,
                                        .number = key->revision,
                                        .key = {key->key, key->key_len},
                                        .value = {key->value, key->value_len}};
            if (batch_add(fresh, &entry) == 0)
                continue;
            err = weft__journal_commit(fresh);
            if (!err)
                err = batch_add(fresh, &entry);
        }
    return err ? err : weft__journal_commit(fresh);
}

bool weft__journal_is_lost(struct weft_journal *journal)
{
    struct stat mine;
    if (fstat(journal->fd, &mine) == 0 && mine.st_nlink == 0)
        journal->broken = true;
    return journal->broken;
}

/* Puts the fresh file in the place of the old one; the lock goes with it. */
static int replace(struct weft_journal *journal, struct weft_journal *fresh)
{
    struct stat mine, named;
    if (!fstat(journal->fd, &mine) && !stat(journal->path, &named) && mine.st_ino != named.st_ino)
        return weft_fail(WEFT_EBUSY,
                         "the registry's log %s was deleted, and is another head's now; stop one "
                         "of the two",
                         journal->path);
    if (flock(fresh->fd, LOCK_EX | LOCK_NB) || rename(fresh->path, journal->path))
        return fail_errno("replace", journal->path);
    int err = sync_folder(journal->path);
    journal->broken = err != 0; /* nobody knows which file a crash would leave */
    int old = journal->fd;
    journal->fd = fresh->fd;
    fresh->fd = old;
    journal->len_bytes = fresh->len_bytes;
    return err;
}

int weft__journal_compact(struct weft_journal *journal, const struct weft_values *keys)
{
    struct weft_journal fresh = {
        .fd = -1, .epoch = journal->epoch, .id = journal->id, .batch_len = FRAME_HEADER};
    assert(journal->batch_len == FRAME_HEADER);
    journal->compact_at = 2 * journal->len_bytes;
    if (asprintf(&fresh.path, "%s.new", journal->path) < 0)
        return weft_fail(WEFT_ENOMEM, "no memory");
    fresh.batch = malloc(FRAME_HEADER + PAYLOAD_MAX);
    fresh.fd = open(fresh.path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int err = !fresh.batch   ? weft_fail(WEFT_ENOMEM, "no memory")
              : fresh.fd < 0 ? fail_errno("write", fresh.path)
                             : write_standing(&fresh, keys);
    if (!err)
        err = replace(journal, &fresh);
    if (!err)
        journal->compact_at = COMPACT_MIN_BYTES;
    else
        (void)unlink(fresh.path); /* it has another name if it has taken the place */
    weft__journal_close(&fresh);
    return err;
}
