/* Calls from a client to one rank of an app, wherever that is. */
#ifndef WEFT_HOST_EXECUTOR_H
#define WEFT_HOST_EXECUTOR_H

#include <stddef.h>
#include <stdint.h>

struct weft_client;

/* Remembers where ranks were found. */
struct weft_finder;

/* The client must outlive it. */
int weft__finder_open(struct weft_client *client, struct weft_finder **finder_out);
void weft__finder_close(struct weft_finder *finder); /* no call is under way; NULL is fine */

struct weft_executor_request {
    const char *home; /* url of the sync port of the app's home */
    uint64_t app;
    int32_t rank;
    uint32_t code; /* the program's own */
    const void *body;
    size_t len_bytes;
    uint32_t timeout_ms; /* > 0; for all of it */
    uint32_t flags;      /* WEFT_CLIENT_IDEMPOTENT: tried again too where it may have been begun */
};

/* Calls the rank and waits for its answer. A rank that has moved is found again: a call that was
 * not begun is always sent again, until the time is over.
 * Thread: any but the client's own.  Blocks: at most timeout_ms.
 * Owns: *body_out is the caller's, free().
 * Errors: WEFT_EAGAIN the rank's queue is full, with a hint; WEFT_ENOENT no such app or rank, or it
 * has ended; WEFT_EPEERDEAD its process or the rank has died, after it had maybe begun;
 * WEFT_ETIMEDOUT; WEFT_EINVAL; and whatever the rank answers with. */
int weft__finder_call(struct weft_finder *finder, const struct weft_executor_request *request,
                      void **body_out, size_t *len_out);

#endif
