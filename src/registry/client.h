/* The registry's calls, on top of the process's control client. Asynchronous; the ones that a
 * start, a stop or a commit waits for have a waiting form.
 *
 * Two kinds of failure, never mixed:
 *   - the registry answered: "lost" is no error (err 0, won false); a refusal is WEFT_EEXIST,
 * WEFT_ESTALE, WEFT_EINVAL, WEFT_ENOSPC, WEFT_EAGAIN: nothing was changed;
 *   - WEFT_EREGISTRY: no answer came (deadline, connection, shutdown, its disk): the outcome is
 * UNKNOWN, the change may have happened, may still happen, or may never happen. An unknown
 * compare-and-set is settled by asking again with the same expected revision and value until an
 * answer comes: at most one of the tries can win, and where all lose, the value that stands tells
 * whether an earlier try won (weft__registry_cas_settled). That needs values that no other writer
 * would write: put the writer into the value (host, incarnation). A get alone does not settle it:
 * the first try may still be on its way.
 */
#ifndef WEFT_REGISTRY_CLIENT_H
#define WEFT_REGISTRY_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"

struct weft_client;

/* Where a registry is. Plain data: nothing to close; usable by every thread; both pointers must
 * outlive the calls. */
struct weft_registry_at {
    struct weft_client *client; /* NULL: closed already; asynchronous calls are WEFT_ESHUTDOWN */
    const char *url;            /* its service's sync port */
    uint32_t timeout_ms;        /* for one call; 0: 2000. A watch waits its wait_ms longer. */
};

/* What an answer says; a field that its call does not have is 0. Valid during the callback only. */
struct weft_registry_reply {
    uint64_t epoch;    /* grows at every start of the registry */
    uint64_t revision; /* join, beat, list, watch: of the host list. get, cas: of the key, 0: there
                          is none */
    uint32_t beat_ms;  /* join: beat this often */
    uint32_t dead_ms;  /* join: or be declared dead after this */
    uint64_t log;      /* join, get: which log it has; another one: it has lost what it knew */
    const struct weft_registry_host *hosts; /* list, watch: sorted by name */
    size_t hosts_n;
    bool won;          /* cas */
    const void *value; /* get, cas: what stands now */
    size_t value_len;
};

/* Runs exactly once, on the client's thread; must not block; may start further calls. reply: NULL
 * on error. text: what went wrong, valid during the call. */
typedef void weft_registry_done(void *ctx, int err, const char *text,
                                const struct weft_registry_reply *reply);

/* All of these: Thread: any.  Blocks: no.  Errors (done does not run): WEFT_EAGAIN; WEFT_EINVAL a
 * text or value too long. */

/* Enters host in the list; again with the same incarnation: refreshes it.
 * Refused: WEFT_EEXIST a live host of that name with another incarnation; WEFT_ESTALE this
 * incarnation was declared dead. */
int weft__registry_join(const struct weft_registry_at *at, const struct weft_registry_host *host,
                        weft_registry_done *done, void *ctx);
/* Takes the host out; one that is not there is fine.  Refused: WEFT_ESTALE another incarnation has
 * the name. */
int weft__registry_leave(const struct weft_registry_at *at, const char *name, uint64_t incarnation,
                         weft_registry_done *done, void *ctx);
/* Uses name, incarnation, used, slots and leaving of host.  Refused: WEFT_ESTALE the registry does
 * not know this incarnation as alive: join again when the epoch is a new one; else it was declared
 * dead: end, or join with a new incarnation. */
int weft__registry_beat(const struct weft_registry_at *at, const struct weft_registry_host *host,
                        weft_registry_done *done, void *ctx);
int weft__registry_list(const struct weft_registry_at *at, weft_registry_done *done, void *ctx);
/* As list, answered when the list's revision is above after, at the latest after wait_ms (<= 60000)
 * with what there is. A revision counts joins, leaves, deaths and changes of slots and leaving, not
 * of used; it also grows from epoch to epoch. */
int weft__registry_watch(const struct weft_registry_at *at, uint64_t after, uint32_t wait_ms,
                         weft_registry_done *done, void *ctx);
int weft__registry_get(const struct weft_registry_at *at, const char *key, weft_registry_done *done,
                       void *ctx);

/* A change of one key. The key gets a revision that no key ever had before. */
struct weft_registry_cas {
    const char *key;
    uint64_t expected; /* the revision that must stand; 0: there must be none */
    const void *value;
    size_t value_len;
    bool erase; /* remove the key; value is ignored */
    /* 0, or the epoch of the registry whose list of hosts has decided this: one that has started
     * anew refuses it with WEFT_ESTALE, as it may know that a dead host lives. */
    uint64_t epoch;
    /* 0, or the log that the caller began with: a registry with another one refuses it with
     * WEFT_ESTALE, as it does not know what has been under the key. */
    uint64_t log;
};
/* Everything is copied before this returns. Answered once the change is on disk. */
int weft__registry_cas(const struct weft_registry_at *at, const struct weft_registry_cas *cas,
                       weft_registry_done *done, void *ctx);
/* For an answer (err 0) to a repeated cas: whether it, or an earlier try of it, has won. */
bool weft__registry_cas_settled(const struct weft_registry_cas *cas,
                                const struct weft_registry_reply *reply);

/* A value in the caller's memory. */
struct weft_registry_value {
    uint64_t epoch;
    uint64_t revision; /* 0: there is none */
    bool won;          /* cas */
    size_t len;
    uint8_t bytes[WEFT_REGISTRY_VALUE_MAX];
};

/* The waiting forms.  Thread: any but the client's own.  Blocks: until the answer or timeout_ms. */
int weft__registry_join_wait(const struct weft_registry_at *at,
                             const struct weft_registry_host *host,
                             struct weft_registry_reply *reply_out); /* without hosts and value */
int weft__registry_leave_wait(const struct weft_registry_at *at, const char *name,
                              uint64_t incarnation);
int weft__registry_get_wait(const struct weft_registry_at *at, const char *key,
                            struct weft_registry_value *value_out);
int weft__registry_cas_wait(const struct weft_registry_at *at, const struct weft_registry_cas *cas,
                            struct weft_registry_value *value_out);
/* cas_wait, asked again while the outcome is unknown, until deadline_ns of the monotonic clock.
 * won tells whether any of the tries has.  Errors: WEFT_EREGISTRY still unknown at the deadline. */
int weft__registry_cas_settle(const struct weft_registry_at *at,
                              const struct weft_registry_cas *cas, uint64_t deadline_ns,
                              struct weft_registry_value *value_out);

#endif
