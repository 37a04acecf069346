/* Calls from outside, straight to one rank of an app: the caller's side (the rank's is
 * weft/executor.h).
 *
 * The rank is found wherever it is now. A call that the rank had not begun when it moved is sent
 * again to where it is then; one that was begun runs at most once.
 */
#ifndef WEFT_CALLER_H
#define WEFT_CALLER_H

#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/client.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Remembers where apps and their ranks are. */
struct weft_caller;

/* host: "address[:port]" or url of any weftd of the cluster; NULL: WEFT_HOST. The client must
 * outlive the caller.   Thread: any.  Blocks: no.  Errors: WEFT_EINVAL no address; WEFT_ENOMEM. */
WEFT_API int weft_caller_open(struct weft_client *client, const char *host,
                              struct weft_caller **caller_out);
/* No call is under way. NULL is fine. */
WEFT_API void weft_caller_close(struct weft_caller *caller);

struct weft_caller_request {
    uint64_t app; /* as weft run and weft apps print it */
    int32_t rank;
    uint32_t code; /* the program's own */
    const void *body;
    size_t body_bytes;
    uint32_t timeout_ms; /* > 0; for all of it */
    uint32_t flags;      /* WEFT_CLIENT_IDEMPOTENT: tried again too where it may have been begun */
};

/* Calls the rank and waits for its answer.
 * Thread: any but the client's own.   Blocks: until the answer, at most timeout_ms.
 * Owns:   *reply_out is the caller's, free(); with one NUL behind its *reply_bytes_out bytes. Both
 *         may be NULL.
 * Errors: what the rank fails with; WEFT_EAGAIN its queue is full: see weft_fail_retry_ms();
 *         WEFT_ENOENT no such app, or it or the rank has ended; WEFT_EPEERDEAD its process or the
 *         rank has died, maybe after the call was begun; WEFT_EUNKNOWNCALL it serves no such code;
 *         WEFT_ETIMEDOUT; WEFT_EINVAL. The text is weft_fail_text(). */
WEFT_API int weft_caller_call(struct weft_caller *caller, const struct weft_caller_request *request,
                              void **reply_out, size_t *reply_bytes_out);

#ifdef __cplusplus
}
#endif

#endif
