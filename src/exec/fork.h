/* A fork, as the files of the rank's side share it. Private to src/exec/fork*.c; the rank's thread,
 * where nothing else is said. */
#ifndef WEFT_EXEC_FORK_H
#define WEFT_EXEC_FORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "control/client.h"
#include "snapshot/diff.h"
#include "snapshot/extent.h"
#include "snapshot/image.h"
#include "snapshot/origin.h"
#include "snapshot/pull.h"
#include "weft/fork.h"

struct weft__rank;

/* A question to another process. Its answer comes on the client's thread. */
struct weft__fork_ask {
    struct weft__rank *rank;
    bool asked;            /* it is in use */
    _Atomic uint32_t over; /* a futex word: the rest has been set */
    struct weft_client_ticket ticket;
    int err;
    char text[256]; /* of the error */
    uint8_t *body;  /* of the reply */
    size_t len_bytes;
};

/* Bytes on their way from a member. */
struct weft__fork_fetch {
    struct weft__rank *rank;
    struct weft_pull *pull; /* NULL: none */
    struct weft_image *image;
    struct weft_region into;
    _Atomic uint32_t over;
    int err;
    char text[256];
};

/* A process that runs threads of the fork. */
struct weft__fork_member {
    uint32_t process;
    char *host;
    char *control;
    uint32_t first, threads;
    uint64_t version;         /* of the memory that it has; 0: none */
    struct weft_image *image; /* it pulls; may be that of another member before it */
    struct weft__fork_ask run, end;
    bool was_over; /* the run, when the end was sent */
};

struct weft_fork {
    struct weft_fork *prev, *next;
    struct weft__rank *rank;
    uint64_t id;
    struct weft__fork_member *members; /* in the order of their threads */
    size_t members_n;
    uint32_t *busy; /* room for their processes */
    uint32_t threads_n;
    struct weft__fork_ask home;
    struct weft__fork_fetch fetch;

    /* The shared memory: whole pages, of which skew bytes before and some behind are not shared. */
    char *base;
    size_t len_bytes;
    size_t skew, shared_bytes;
    struct weft_origin *origin; /* as it was at the start of the run */
    uint32_t *stamps; /* by page: the version in which it last changed; 0: never touched */
    uint32_t version; /* of the newest run */

    bool running; /* started and not joined */
    int broken;   /* the error that ended it; WEFT_OK: none */
    char why[256];
    struct weft_fork_counts counts;
};

/* fork_ask.c */
struct weft__fork_question {
    const char *url;
    uint16_t code;
    const ProtobufCMessage *request;
    uint32_t timeout_ms;
};
/* Asks; where that cannot be done the answer is that error. */
void weft__fork_ask(struct weft__rank *rank, struct weft__fork_ask *ask,
                    const struct weft__fork_question *question);
/* Waits inside the runtime: things move on, and when the process is closing this does not return.
 * Errors: WEFT_ETIMEDOUT. */
int weft__fork_await(struct weft__rank *rank, const _Atomic uint32_t *over, uint64_t deadline_ns);
/* Waits without; returns whether it is over. Not longer than until the process closes. */
bool weft__fork_await_quietly(struct weft__rank *rank, const _Atomic uint32_t *over,
                              uint64_t deadline_ns);
/* Gives it up if it is under way, waits for its end, frees what it has.  Thread: any. */
void weft__fork_ask_fini(struct weft__fork_ask *ask);

/* fork_memory.c */
/* Pages (whole ones, from base) on which the memory differs from the origin. */
int weft__fork_changed(const struct weft_fork *fork, struct weft_extents *extents_out);
/* The memory as it is now becomes the next version of the origin. */
int weft__fork_sync(struct weft_fork *fork);
/* Gives each member that lacks something an image of it. */
int weft__fork_share(struct weft_fork *fork);
void weft__fork_unshare(struct weft_fork *fork);
/* What has changed here, on these pages. */
int weft__fork_diff(const struct weft_fork *fork, const struct weft_extents *changed,
                    struct weft_diffs *diffs_out);
/* Merges the lists in their order and brings the result into the memory, of which these pages have
 * changed here. Empties the lists.  Errors: WEFT_EMSGSIZE, and a list that cannot be applied:
 * nothing has changed. */
int weft__fork_merge(struct weft_fork *fork, struct weft_diffs *lists, size_t n,
                     const struct weft_extents *changed);
/* The memory is as it was at the start. */
void weft__fork_restore(struct weft_fork *fork);

/* fork_collect.c */
/* The differences of a member, from its answer.  Errors: WEFT_ETIMEDOUT may be repeated. */
int weft__fork_collect(struct weft_fork *fork, const struct weft__fork_member *member,
                       uint64_t deadline_ns, struct weft_diffs *diffs_out);
void weft__fork_fetch_fini(struct weft__fork_fetch *fetch);

#endif
