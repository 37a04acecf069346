/* The append log of the registry: what must survive its process, which is the keys and the epoch.
 */
#ifndef WEFT_REGISTRY_JOURNAL_H
#define WEFT_REGISTRY_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/values.h"

struct weft_journal {
    int fd;
    char *path;
    uint64_t epoch;
    uint64_t id;         /* of the log: drawn with its first byte, kept for its life */
    uint64_t len_bytes;  /* everything before it is whole */
    uint64_t torn_at;    /* where open cut a torn tail off; 0: there was none */
    uint64_t compact_at; /* not worth trying below this length */
    bool broken;         /* nobody knows what is on disk: only a rewrite helps */
    uint8_t *batch;      /* the frame that is being filled */
    size_t batch_len;
};

/* Opens, or creates, and locks the file, replays it into keys (empty before), cuts a torn tail off
 * and starts the next epoch, which is on disk when this returns. Errors: WEFT_EBUSY another process
 * has it; WEFT_ECHECKSUM damaged before its end, the text has the offset; WEFT_EVERSION;
 * WEFT_EINVAL no registry log; WEFT_ENOMEM; what open(2), read(2) and write(2) say. */
int weft__journal_open(struct weft_journal *journal_out, const char *path,
                       struct weft_values *keys);
void weft__journal_close(struct weft_journal *journal);
/* Adds a change to the batch.  Errors: WEFT_EAGAIN the batch is full: commit it first; WEFT_EIO
 * broken: see weft__journal_compact(). */
int weft__journal_add(struct weft_journal *journal, const struct weft_values_change *change);
/* Writes the batch in one piece and syncs; after an error the batch is dropped.
 * Blocks: on the disk.
 * Errors: WEFT_EIO the journal is broken, and whether the batch is on disk is not known;
 * WEFT_ENOSPC it is not, as if it had never been, and the journal goes on. */
int weft__journal_commit(struct weft_journal *journal);
/* Whether somebody has deleted the file; then it is broken. */
bool weft__journal_is_lost(struct weft_journal *journal);
/* Whether the file holds so much that is no longer true that it should be rewritten. */
bool weft__journal_bloated(const struct weft_journal *journal, const struct weft_values *keys);
/* Rewrites the file to what stands; the old one stays in place until the new one is on disk. Mends
 * a broken journal: of batches whose fate was not known, those that keys has stand now, the others
 * are gone for good.
 * Blocks: on the disk.  Errors: WEFT_EIO, WEFT_ENOSPC: the old file goes on, or stays broken;
 * WEFT_EBUSY: another head has put its own in the place of a file that was deleted. */
int weft__journal_compact(struct weft_journal *journal, const struct weft_values *keys);

#endif
