/* Calls about files of snapshots, which last as long as a disk takes: each on a thread of its own,
 * a few at a time. */
#ifndef WEFT_SNAPSHOT_JOBS_H
#define WEFT_SNAPSHOT_JOBS_H

#include <protobuf-c/protobuf-c.h>

#include "control/server.h"

struct weft_jobs;
struct weft_store;

struct weft_jobs_desc {
    struct weft_store *store; /* the snapshots in memory */
    const char *folder;       /* NULL or empty: every call is refused, WEFT_ENOTSUP */
    const char *io;           /* like the service's */
};

/* Errors: the folder's; WEFT_ENOTSUP no io_uring where that is asked for. */
int weft__jobs_open(const struct weft_jobs_desc *desc, struct weft_jobs **jobs_out);
/* Answers it now or later.  Thread: any.  Blocks: no. */
void weft__jobs_start(struct weft_jobs *jobs, struct weft_call *call,
                      const ProtobufCMessage *request);
/* Ends what is under way (WEFT_ESHUTDOWN), and refuses more.  Blocks: until the disk has done what
 * it was asked for already. */
void weft__jobs_stop(struct weft_jobs *jobs);
/* After stop. NULL is fine. */
void weft__jobs_close(struct weft_jobs *jobs);

#endif
