/* A snapshot file: its header and its table.
 *
 *   0      u64 "WEFTSNAP"   8 u32 version (1)   12 u32 page (4096)   16 u64 bytes of the snapshot
 *          24 u64 bytes of data   32 u64 number of extents   40 u32 chunk   44 u32 bytes of the key
 *          48 u64 milliseconds since 1970   56 u64 XXH3-64 of the table   64 the key   zeros
 *          4088 u64 XXH3-64 of the header before it
 *   4096   data: the extents one behind the other, whole pages; what lies behind the end of the
 *          snapshot in the last page is 0
 *   then   the table: of each extent u64 offset, u64 length in the snapshot, ascending, never
 *          touching; of each chunk of data u64 XXH3-64; zeros up to a whole page
 *
 * All little endian. The file ends with its table: one that is longer or shorter is refused, and so
 * is one with any bit changed, because each byte is under one of the sums.
 */
#ifndef WEFT_SNAPSHOT_FILE_H
#define WEFT_SNAPSHOT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"

#define WEFT_FILE_HEADER_BYTES 4096u
#define WEFT_FILE_CHUNK_BYTES (1u << 20)
#define WEFT_FILE_CHUNK_MAX (64u << 20)
#define WEFT_FILE_KEY_MAX 200u

struct weft_file_head {
    char key[WEFT_FILE_KEY_MAX + 1];
    uint64_t size_bytes; /* of the snapshot */
    uint64_t data_bytes; /* of it in the file */
    uint64_t extents_n;
    uint64_t saved_wall_ms;
    uint64_t table_sum;
    uint32_t chunk_bytes;
};

/* What follows from a header. */
uint64_t weft__file_chunks(const struct weft_file_head *head);
uint64_t weft__file_table_at(const struct weft_file_head *head);
uint64_t weft__file_table_bytes(const struct weft_file_head *head);
uint64_t weft__file_bytes(const struct weft_file_head *head);

void weft__file_head_encode(const struct weft_file_head *head,
                            uint8_t bytes_out[WEFT_FILE_HEADER_BYTES]);
/* Errors: WEFT_EPROTO no snapshot file, or nonsense; WEFT_EVERSION; WEFT_ECHECKSUM damaged. The
 * text begins with the offset. */
int weft__file_head_decode(const uint8_t bytes[WEFT_FILE_HEADER_BYTES],
                           struct weft_file_head *head_out);

/* Writes weft__file_table_bytes() and notes their sum in the header. */
void weft__file_table_encode(struct weft_file_head *head, const struct weft_extents *extents,
                             const uint64_t *sums, uint8_t *bytes_out);
/* bytes: weft__file_table_bytes(). Owns: the extents, weft__extents_fini(); sums_out lies in bytes,
 * in this machine's order.  Errors: like the header's; WEFT_ENOMEM. */
int weft__file_table_decode(const struct weft_file_head *head, uint8_t *bytes,
                            struct weft_extents *extents_out, const uint64_t **sums_out);

#endif
