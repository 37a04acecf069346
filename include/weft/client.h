/* Calls to services: those of a host, and those of your own programs (weft/service.h).
 *
 * One client serves a whole process: it keeps one connection per port that it talks to, shared by
 * all threads, with any number of requests under way on it; each gets its own answer, in whatever
 * order they come. A call that times out leaves the client and the connection usable. A thread
 * inside drives all connections; answers of weft_client_start() come on that thread.
 *
 * A call runs at most once on the server, whatever happens, unless it is marked
 * WEFT_CLIENT_IDEMPOTENT. When a call fails after it was sent, it may have run or not, and the
 * error's text says so.
 */
#ifndef WEFT_CLIENT_H
#define WEFT_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"
#include "weft/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct weft_client;

struct weft_client_options {
    size_t pending_max; /* requests under way; 0: 4096; beyond: WEFT_EAGAIN */
};

enum weft_client_flag {
    /* May run more than once: sent again, until its deadline, when its connection breaks, the
     * server is full (after the pause that it names) or shuts down. Other calls fail then, and were
     * run at most once. */
    WEFT_CLIENT_IDEMPOTENT = 1
};

struct weft_client_request {
    const char *url; /* "tcp://127.0.0.2:8100": a sync port, address in numbers */
    uint16_t code;   /* which handler */
    uint32_t flags;  /* enum weft_client_flag */
    const void *body;
    size_t body_bytes;   /* at most 8 MiB; a service may take less */
    uint32_t timeout_ms; /* > 0; the server knows it, and does not begin what nobody waits for */
};

/* Names a call under way; never used again. 0 is none. */
struct weft_client_ticket {
    uint64_t id;
};

/* The end of a call. err 0: body is the reply. Otherwise text says what happened, body is NULL, and
 * where err is WEFT_EAGAIN weft_fail_retry_ms() says when to try again. Runs exactly once, on the
 * client's own thread: it must not block, and may start and cancel calls. body and text are valid
 * during the call. */
typedef void weft_client_answer(void *ctx, int err, const char *text, const void *body,
                                size_t body_bytes);

/* options NULL: defaults.   Thread: any.  Blocks: no.
 * Errors: WEFT_EINVAL pending_max; WEFT_ENOMEM. */
WEFT_API int weft_client_open(const struct weft_client_options *options,
                              struct weft_client **client_out);

/* Ends every call under way with WEFT_ESHUTDOWN and frees the client. NULL is fine.
 * Thread: any but the client's own.   Blocks: until the answers' callbacks have run. */
WEFT_API void weft_client_close(struct weft_client *client);

/* Calls and waits.
 * Thread: any but the client's own.   Blocks: until the reply, at most timeout_ms.
 * Owns:   *reply_out is the caller's, free(); with one NUL behind its *reply_bytes_out bytes. Both
 *         may be NULL.
 * Errors: what the handler fails with; WEFT_ETIMEDOUT; WEFT_EPEERDEAD the connection broke, or
 *         nobody listens there; WEFT_EAGAIN too much under way here, or there: see
 *         weft_fail_retry_ms(); WEFT_EUNKNOWNCALL; WEFT_EMSGSIZE; WEFT_EINVAL; WEFT_EACCES the
 *         host does not accept our key, or we not its. The text is weft_fail_text(). */
WEFT_API int weft_client_call(struct weft_client *client, const struct weft_client_request *request,
                              void **reply_out, size_t *reply_bytes_out);

/* Starts a call; answer(ctx, ...) runs at its end. The request's body is copied. ticket_out: NULL,
 * or where the ticket goes, before answer can run.
 * Thread: any, also inside an answer.   Blocks: no.
 * Errors: WEFT_EAGAIN; WEFT_EMSGSIZE; WEFT_EINVAL. Then answer never runs. */
WEFT_API int weft_client_start(struct weft_client *client,
                               const struct weft_client_request *request,
                               weft_client_answer *answer, void *ctx,
                               struct weft_client_ticket *ticket_out);

/* Gives a call up: its answer runs soon, with WEFT_ECANCELED or with the reply, where that was
 * faster, and the server is told, which may have begun it or not. Fine for a call that is over.
 * Thread: any, also inside an answer.   Blocks: no. */
WEFT_API void weft_client_cancel(struct weft_client *client, struct weft_client_ticket ticket);

/* Sends bytes to a handler on an async port: no answer, and no order against requests.
 * Thread: any.   Blocks: no.
 * Errors: WEFT_EAGAIN; WEFT_EMSGSIZE; WEFT_EINVAL. */
WEFT_API int weft_client_push(struct weft_client *client, const char *url, uint16_t code,
                              const void *body, size_t body_bytes);

#ifdef __cplusplus
}
#endif

#endif
