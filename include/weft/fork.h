/* Threads of one rank on several hosts: fork memory over the cluster, run, merge what changed.
 *
 * A rank shares a piece of its memory (weft_alloc()) with threads on hosts that have free slots.
 * Each host gets a copy of it at the same address, so pointers into it hold; the threads of a host
 * share that copy, and no host sees what another one writes. When all threads have returned, what
 * each host changed comes back as differences and is merged into the rank's memory, region by
 * region: added up, the largest kept, written over. A host gets the whole memory once; later only
 * the pages that have changed since.
 *
 *   open (slots are taken) -> start -> join -> start -> join -> ... -> close (slots are given back)
 *
 * The threads run a function of the rank's program, which is loaded once more on every host, the
 * rank's own included: its globals are as at the program's start, and what the threads are to know
 * lies in the shared memory or in the argument. They may call everything but what this library
 * offers to ranks: there weft_alloc() returns NULL.
 *
 * A thread that crashes on another host, or that host, costs the fork alone: the rank is told by
 * the join. The threads on the rank's own host run in the rank's process and on its real memory:
 * one that crashes there ends the app, as a crash of the rank does.
 *
 * While a fork is open its rank cannot move.
 *
 * Thread: the rank's own, for all of these but weft_fork_is_cancelled(); in other threads they fail
 * with WEFT_EINVAL. The text of an error is weft_fail_text().
 */
#ifndef WEFT_FORK_H
#define WEFT_FORK_H

#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weft_fork;

enum weft_fork_type {
    WEFT_FORK_RAW,
    WEFT_FORK_BOOL, /* one byte */
    WEFT_FORK_INT32,
    WEFT_FORK_INT64,
    WEFT_FORK_FLOAT,
    WEFT_FORK_DOUBLE
};

/* The first three take bytes, whatever the type; the others a number type. */
enum weft_fork_op {
    WEFT_FORK_OVERWRITE, /* where several hosts wrote, the one with the highest threads wins */
    WEFT_FORK_XOR,
    WEFT_FORK_IGNORE, /* is after the join as it was before the fork */
    WEFT_FORK_SUM,
    WEFT_FORK_SUBTRACT,
    WEFT_FORK_PRODUCT,
    WEFT_FORK_MAX,
    WEFT_FORK_MIN
};

struct weft_fork_region {
    size_t offset;    /* in the shared memory */
    size_t len_bytes; /* 0: to its end */
    enum weft_fork_type type;
    enum weft_fork_op op;
};

struct weft_fork_options {
    void *base; /* the memory to share, in one piece of the rank's own */
    size_t len_bytes;
    uint32_t threads; /* one slot each; 0: as many as the cluster has free slots now */
    const struct weft_fork_region *regions;
    size_t regions_n;
    enum weft_fork_op rest; /* of what is in no region: OVERWRITE, XOR or IGNORE */
    uint32_t timeout_ms;    /* 0: 30000 */
};

/* Takes slots, and gets hosts ready to run the threads. Nothing is copied yet.
 * Blocks: until they are, at most timeout_ms.   Owns: *fork_out, weft_fork_close().
 * Errors: WEFT_ENOSLOTS not so many free slots; WEFT_ERANGE the memory is not the rank's, or a
 * region lies outside of it; WEFT_EEXIST regions overlap; WEFT_EINVAL an operation does not take
 * the type, or the region is not whole elements; WEFT_ENOSPC more than 65536 regions; WEFT_EAGAIN
 * 64 forks are open; WEFT_ETIMEDOUT; WEFT_ENOTSUP the rank does not run on a cluster. The texts
 * name the regions, and hosts. */
WEFT_API int weft_fork_open(const struct weft_fork_options *options, struct weft_fork **fork_out);

/* What a thread runs with. */
struct weft_fork_thread {
    uint32_t index; /* 0 to threads - 1 */
    uint32_t threads;
    void *base; /* of the shared memory: the same address everywhere */
    size_t len_bytes;
    const void *argument;
    size_t argument_bytes;
    const char *host; /* its name */
};
typedef int weft_fork_function(const struct weft_fork_thread *thread);

/* Starts the function in every thread, with a copy of these bytes, at most 64 KiB. The shared
 * memory is copied first; after this returns and until the join the rank may write to it as one of
 * its host's threads does.
 * Blocks: while it compares and copies what has changed.
 * Errors: WEFT_EINVAL no function of the program, or no argument; WEFT_EBUSY not joined yet;
 * WEFT_EMSGSIZE the argument is too long; WEFT_ENOMEM; what ended the fork, after such an error of
 * a join. */
WEFT_API int weft_fork_start(struct weft_fork *fork, weft_fork_function *function,
                             const void *argument, size_t argument_bytes);
/* Waits for the threads and merges what their hosts have changed, all of it or nothing. values:
 * NULL, or what each thread returned, by index.
 * Blocks: at most timeout_ms; UINT32_MAX: until they return.
 * Errors: WEFT_ETIMEDOUT they still run: join again, or close. After any other one the memory is as
 * it was at the start: WEFT_EPEERDEAD and others of damage PEER: another host, or the app's process
 * there, has died, the text says which and of what; the fork is over, close it. WEFT_ENOEXEC a host
 * has another build of the program; WEFT_ENOSPC the memory does not fit a host's WEFT_FORK_MEMORY;
 * WEFT_EINVAL not started. */
WEFT_API int weft_fork_join(struct weft_fork *fork, uint32_t timeout_ms, int *values);
/* Gives slots and memory back. Threads that run are told (weft_fork_is_cancelled()), the shared
 * memory is as it was at their start. NULL is fine.
 * Blocks: until the threads of this host have returned. Those of others have 2 s, then their
 * process is ended, unless it has ranks: it keeps their slots until the app ends. */
WEFT_API void weft_fork_close(struct weft_fork *fork);

/* Whether nobody waits for the thread any more.  Thread: those of the fork. */
WEFT_API int weft_fork_is_cancelled(const struct weft_fork_thread *thread);

/* How many there are. */
WEFT_API uint32_t weft_fork_threads(const struct weft_fork *fork);
/* The host of a thread; NULL: there is no such thread. */
WEFT_API const char *weft_fork_host(const struct weft_fork *fork, uint32_t thread);

struct weft_fork_counts {
    uint32_t hosts;          /* that run threads, */
    uint32_t hosts_remote;   /* and of them those that hold a copy */
    uint64_t starts;         /* since it was opened, */
    uint64_t sent_bytes;     /* bytes of the memory that went to hosts, */
    uint64_t returned_bytes; /* and of differences that came back */
};
WEFT_API void weft_fork_count(const struct weft_fork *fork, struct weft_fork_counts *counts_out);

#ifdef __cplusplus
}
#endif

#endif
