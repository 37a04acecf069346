/* State: byte values that the processes of a cluster share, each named by a user and a key.
 *
 * The main copy of a value lies in the weftd of one host, its main: the host of whoever created it.
 * The registry says which host that is, by compare-and-set, and the revision of that entry is the
 * value's epoch: whatever changes or reads a value carries it, so that a host which has lost a
 * value (it started anew, it was declared dead) can neither answer for it nor take a change. A
 * value lives as long as its main: when that dies the value is lost, every call says so
 * (WEFT_EHOSTDEAD, naming the host), and weft_state_delete() makes the name free for a new one. A
 * main that cannot reach the registry for WEFT_DEAD_MS answers nothing until it can.
 *
 * A user is a part of the name, not a permission: who may speak to a host's ports may use every
 * value.
 *
 * A process works on a replica: reading is local once the bytes are here, writing is local until it
 * is pushed. The size of a value is set when it is created and changes by weft_value_resize() only;
 * beside its bytes it has a list of items that only grows (weft_value_append) until it is cleared.
 *
 * Every change gives the value a new version; a push of gigabytes, or of up to 16384
 * separate ranges, is one change, and such a pull is of one version. A change that was answered has
 * happened exactly once. One that was not answered in time (WEFT_ETIMEDOUT, WEFT_EPEERDEAD) may
 * have happened or not, and will not happen later once another change of the same replica has been
 * answered.
 *
 * Thread: any, everywhere; calls on one value take turns, so one that waits for its main makes the
 * others wait.  Blocks: whatever talks to a host, until its answer or timeout_ms.
 */
#ifndef WEFT_STATE_H
#define WEFT_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_STATE_USER_MAX 64 /* bytes, without the NUL */
#define WEFT_STATE_KEY_MAX 160
#define WEFT_STATE_VALUE_MAX (UINT64_C(1) << 40) /* bytes */
#define WEFT_STATE_ITEM_MAX (1u << 20)           /* bytes of an appended item */

struct weft_state; /* a process's access to values */
struct weft_value; /* its replica of one */

struct weft_state_options {
    const char *host;    /* address[:port] of the weftd to ask; NULL: WEFT_HOST */
    uint32_t timeout_ms; /* for one call; 0: 10000 */
    uint32_t bulk_bytes; /* from here on bytes go by rma where the main has it; 0: 64 KiB */
};

struct weft_state_name {
    const char *user; /* 1 to WEFT_STATE_USER_MAX bytes */
    const char *key;  /* 1 to WEFT_STATE_KEY_MAX bytes */
};

/* Errors: the host's: WEFT_EPEERDEAD, WEFT_ETIMEDOUT nothing serves there; WEFT_EINVAL. */
WEFT_API int weft_state_open(const struct weft_state_options *options,
                             struct weft_state **state_out);
/* Every value of it must be closed.  NULL is fine. */
WEFT_API void weft_state_close(struct weft_state *state);

/* The replica of a value. size_bytes > 0: creates the value, zeroed, where there is none; where
 * there is one it must have that size. 0: it must exist. A process has one replica of a value:
 * opening it again gives the same. Errors: WEFT_ENOENT; WEFT_EEXIST it has another size;
 * WEFT_EHOSTDEAD its main is dead: the value is lost; WEFT_ENOSPC the host's WEFT_STATE_MEMORY or
 * its number of keys is used up. */
WEFT_API int weft_value_open(struct weft_state *state, const struct weft_state_name *name,
                             uint64_t size_bytes, struct weft_value **value_out);
/* What was written and not pushed is gone. */
WEFT_API void weft_value_close(struct weft_value *value);
/* The size as this replica knows it. */
WEFT_API uint64_t weft_value_size(struct weft_value *value);
/* The version of all bytes here that were not written here; 0: they are of several. A whole pull
 * makes them of one. */
WEFT_API uint64_t weft_value_version(struct weft_value *value);

/* All of these, in any order of what may go wrong: WEFT_EINVAL zero bytes; WEFT_ERANGE outside the
 * value; WEFT_ENOENT it was deleted; WEFT_ESTALE it was deleted and created anew: open it again;
 * WEFT_EHOSTDEAD its main is dead, the value is lost; WEFT_EPEERDEAD, WEFT_ETIMEDOUT no answer in
 * time; WEFT_EREGISTRY the same, because its main could not reach the registry; WEFT_EAGAIN its
 * main was too busy for all of that time. */

/* Copies bytes out; fetches those that are not here, and no others. */
WEFT_API int weft_value_read(struct weft_value *value, uint64_t offset, void *into,
                             size_t len_bytes);
/* Changes bytes here; a push brings them to the main. */
WEFT_API int weft_value_write(struct weft_value *value, uint64_t offset, const void *from,
                              size_t len_bytes);
/* The address of bytes of the replica, which are fetched where they are not here; good until close
 * or resize. Who writes there says so with weft_value_dirty(), and nobody else may use these bytes
 * meanwhile. */
WEFT_API int weft_value_map(struct weft_value *value, uint64_t offset, size_t len_bytes,
                            void **address_out);
/* The bytes were written through the address. */
WEFT_API int weft_value_dirty(struct weft_value *value, uint64_t offset, size_t len_bytes);
/* Whether anything is to be pushed. */
WEFT_API bool weft_value_is_dirty(struct weft_value *value);

/* Fetches everything anew but what was written here and not pushed. */
WEFT_API int weft_value_pull(struct weft_value *value);
/* Forgets what was written here and not pushed; it will be fetched anew when it is read. */
WEFT_API void weft_value_discard(struct weft_value *value);
/* Brings what was written here to the main, as one change; sends nothing when nothing was. */
WEFT_API int weft_value_push(struct weft_value *value);
/* The same, only if the value still has this version.  Errors: WEFT_ESTALE it has another one; what
 * was written stays to be pushed. */
WEFT_API int weft_value_push_if(struct weft_value *value, uint64_t version);
/* The same with the whole value, if anything was written. */
WEFT_API int weft_value_push_all(struct weft_value *value);
/* Brings exactly the bytes whose byte in mask is not 0 to the main, and takes everything here as
 * pushed. The mask is a replica of the same size, which has to be read whole. */
WEFT_API int weft_value_push_mask(struct weft_value *value, struct weft_value *mask);
/* The same as write and push of these bytes, without waiting for the main: they may be lost, and
 * come in any order.  Errors: WEFT_EMSGSIZE more than WEFT_STATE_ITEM_MAX. */
WEFT_API int weft_value_push_async(struct weft_value *value, uint64_t offset, const void *from,
                                   size_t len_bytes);
/* New bytes are zero. What was written here beyond the new end is gone. */
WEFT_API int weft_value_resize(struct weft_value *value, uint64_t size_bytes);

/* The list of items. append: count_out (may be NULL) is how many items it has now. */
WEFT_API int weft_value_append(struct weft_value *value, const void *item, size_t len_bytes,
                               uint64_t *count_out);
/* The same, not waiting for an answer: it may be lost. */
WEFT_API int weft_value_append_async(struct weft_value *value, const void *item, size_t len_bytes);
struct weft_value_items {
    uint64_t first; /* skip as many */
    uint64_t n;     /* at most so many */
    void (*each)(void *ctx, uint64_t index, const void *item, size_t len_bytes);
    void *ctx;
};
/* Calls each for the items; total_out (may be NULL) is how many the list has. */
WEFT_API int weft_value_items(struct weft_value *value, const struct weft_value_items *items,
                              uint64_t *total_out);
WEFT_API int weft_value_clear_items(struct weft_value *value);

/* Removes the value and frees its name, also where its main is dead; one that is not there is fine.
 */
WEFT_API int weft_state_delete(struct weft_state *state, const struct weft_state_name *name);

/* What a list shows of a value; texts are valid during the call only. */
struct weft_state_entry {
    const char *user, *key, *host;
    uint64_t size_bytes, version, items, epoch;
};
/* Calls each for the values of all hosts that answer; user NULL: of all users. unanswered_out (may
 * be NULL): hosts that did not. */
WEFT_API int weft_state_list(struct weft_state *state, const char *user,
                             void (*each)(void *ctx, const struct weft_state_entry *entry),
                             void *ctx, unsigned *unanswered_out);

/* What a process has asked for so far. */
struct weft_state_stats {
    uint64_t pulls, pushes, appends, asyncs; /* calls that went to a main; asyncs: without answer */
    uint64_t bytes_pulled, bytes_pushed;     /* of values, by message and by rma */
    uint64_t bulk_pulls, bulk_pushes;        /* by rma */
    uint64_t tried_again, resolved;
};
WEFT_API void weft_state_stats(struct weft_state *state, struct weft_state_stats *stats_out);

#ifdef __cplusplus
}
#endif

#endif
