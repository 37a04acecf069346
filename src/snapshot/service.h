/* The snapshot service of a host: snapshots in memory, by key.
 *
 * A snapshot is immutable: a push to its key puts another one in its place, in one step. Small ones
 * travel inside the message; large ones are pulled by the receiver over the host's lane, with a
 * checksum per piece, and only what was touched. A push that does not come to its end leaves
 * nothing behind. Memory is bounded, also for pushes under way. */
#ifndef WEFT_SNAPSHOT_SERVICE_H
#define WEFT_SNAPSHOT_SERVICE_H

#include <stdint.h>

#include "control/server.h"

enum weft_snapshot_call {
    WEFT_SNAPSHOT_PUSH = 0x0300, /* PushRequest -> PushReply */
    WEFT_SNAPSHOT_PULL,          /* PullRequest -> PullReply */
    WEFT_SNAPSHOT_PULLED,        /* PulledRequest -> nothing; also by the async port */
    WEFT_SNAPSHOT_DELETE,        /* DeleteRequest -> DeleteReply; also by the async port */
    WEFT_SNAPSHOT_INFO,          /* InfoRequest -> Info */
    WEFT_SNAPSHOT_LIST,          /* ListRequest -> ListReply */

    WEFT_SNAPSHOT_SAVE = 0x0310, /* FileRequest -> FileReply: from memory into a file */
    WEFT_SNAPSHOT_RESTORE,       /* FileRequest -> FileReply: from a file into memory */
    WEFT_SNAPSHOT_VERIFY,        /* FileRequest -> FileReply: reads all of a file */
    WEFT_SNAPSHOT_STORED,        /* ListRequest -> StoredReply */
    WEFT_SNAPSHOT_DISCARD        /* DeleteRequest -> DeleteReply: deletes a file */
    /* and WEFT_CALL_LANE of link/data.h */
};

#define WEFT_SNAPSHOT_KEY_MAX 200            /* bytes, without the NUL */
#define WEFT_SNAPSHOT_INLINE_MAX (64u << 10) /* larger ones are pulled */
#define WEFT_SNAPSHOTS_MAX 65536u            /* keys of a host */
#define WEFT_SNAPSHOT_LIST_MAX 1000u         /* of one answer */
#define WEFT_SNAPSHOT_PULLS_MAX 16u          /* large pushes under way; more: WEFT_EAGAIN */
#define WEFT_SNAPSHOT_LEASES_MAX 4096u       /* large pulls under way; more: WEFT_EAGAIN */
#define WEFT_SNAPSHOT_JOBS_MAX 4u            /* calls about files under way; more: WEFT_EAGAIN */
#define WEFT_SNAPSHOT_CHUNK_MAX (4u << 20)   /* of the images of pushes */

struct weft_data;
struct weft_snapshot_service;

struct weft_snapshot_service_desc {
    uint64_t memory_max;    /* for snapshots; 0: an eighth of this machine's memory */
    struct weft_data *data; /* the host's lane; NULL: only small snapshots */
    const char *folder;     /* for files; NULL or empty: none */
    const char *io;         /* "auto", "io_uring" or "threads"; NULL: auto */
};

int weft__snapshot_service_open(const struct weft_snapshot_service_desc *desc,
                                struct weft_snapshot_service **service_out);
/* Ends pushes and calls about files under way (WEFT_ESHUTDOWN) and refuses new ones. Before the
 * server stops. NULL is fine.  Blocks: until no pull runs. */
void weft__snapshot_service_stop(struct weft_snapshot_service *service);
/* After the server has stopped, while the lane is open still. NULL is fine. */
void weft__snapshot_service_close(struct weft_snapshot_service *service);
/* The table for weft__server_start; ports and workers are the caller's. */
void weft__snapshot_service_table(struct weft_snapshot_service *service,
                                  struct weft_service_desc *service_out);

#endif
