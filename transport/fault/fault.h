/* fault+X: a decorator that opens an endpoint of transport X and loses, delays, doubles and
 * reorders what passes through it, cuts its connections and fails its operations, from a seed. It
 * has the families of X. For tests; one end of a connection is enough.
 *
 * As a scheme: "fault(SPEC)+X", e.g. "fault(seed=7,drop=2%,dup=1%)+inproc"; "fault+X" does nothing
 * to X. Control servers and clients and lanes (WEFT_DATA) take it as a name. SPEC, in any order:
 *
 *    seed=N           what the dice start from; default 1
 *    drop=P           the letter is lost. P: a share of all letters, 0.02 or 2%
 *    dup=P            it comes twice
 *    delay=T          it is held for a time drawn from 1 to T; what follows it on the same
 *                     connection waits behind it. T: "5ms" or "200us" of the clock, or a plain
 *                     number: of calls to progress(), so that a test needs no clock
 *    late=P           with delay: the share that it is done to; default 100%
 *    reorder=P        it is held (delay, or else up to 8 calls to progress()), and what follows
 *                     overtakes it
 *    cut=P            its connection breaks: what is held there is lost, peer_lost runs. A control
 *                     peer connects anew; a data peer stays dead
 *    fail=N, fail=P   the N-th operation, or a share of them (with a '.' or '%'), fails with damage
 *                     PEER: a control call returns WEFT_ECONNRESET, a data operation completes with
 *                     WEFT_EPEERDEAD and has not moved anything
 *    on=KIND/KIND     only these: request, push, reply, message, rma; default all
 *    way=out, way=in  only what this endpoint submits, or only what it receives; default both
 *    after=N, for=N   the first N letters of each way pass untouched; the N after them do not
 *
 * A letter is a request, push, reply, message, get or put. The same seed and the same sequence of
 * letters in a way meet the same faults: a letter that is refused (WEFT_EAGAIN) has not been one.
 * Not faulted, everything keeps the promises of transport/spi.h. A dropped send completes with
 * WEFT_OK, as one does whose bytes are lost on the way; a get or put is never dropped, doubled or
 * overtaken. cut and fail are for what this endpoint submits, and cut for the replies to it. */
#ifndef WEFT_TRANSPORT_FAULT_H
#define WEFT_TRANSPORT_FAULT_H

#include <stdbool.h>

#include "base/clock.h"
#include "transport/spi.h"

#define WEFT_FAULT_SPEC_MAX 200

/* A transport's name, taken apart. */
struct weft_fault_scheme {
    bool faulty;                    /* it begins with "fault" */
    char spec[WEFT_FAULT_SPEC_MAX]; /* what stands in the parentheses */
    const char *inner;              /* X; the whole name where it is not faulty */
};

/* Errors: WEFT_EINVAL a name that begins with "fault+" or "fault(" and does not go on as it should.
 */
int weft__fault_scheme(const char *scheme, struct weft_fault_scheme *scheme_out);

struct weft_fault_desc {
    const struct weft_transport *inner;
    const char *spec; /* NULL or "": no faults */
    /* How an endpoint of inner is opened. NULL: its own open; weft__shim_open: behind the shim,
     * which is where the faults of rma belong, as the shim relies on what is below it. */
    int (*open)(const struct weft_transport *inner, const struct weft_tp_open *desc,
                struct weft_tp_ep **ep_out);
    /* What delays are measured with; must outlive the endpoint. NULL: the machine's clock. With a
     * clock of the caller's, who then makes time pass, spec has no delays in calls to progress(),
     * and the endpoint has no wait_fd: weft__fault_due_ns() says when to drive it. */
    const struct weft_clock *clock;
};

/* Opens an endpoint of X behind the decorator; use it by (*ep_out)->transport, whose scheme is X's:
 * who is connected to it sees X.  Errors: WEFT_EINVAL in the spec, naming the word; those of X's
 * open. */
int weft__fault_open(const struct weft_fault_desc *fault, const struct weft_tp_open *desc,
                     struct weft_tp_ep **ep_out);

/* From now on letters meet the faults of spec. The dice go on: its seed is not looked at, and
 * letters are counted from the opening. What is held stays held.  Thread: owner.  Errors:
 * WEFT_EINVAL in the spec, or delays of the clock behind delays in calls to progress(), or the
 * other way round. */
int weft__fault_change(struct weft_tp_ep *ep, const char *spec);
/* When progress() will have something to let go, by the endpoint's clock; in the past: now.
 * WEFT_NEVER: nothing is held here. For an endpoint with a clock of the caller's.  Thread: owner.
 */
uint64_t weft__fault_due_ns(const struct weft_tp_ep *ep);

/* What has been done to the letters of an endpoint. */
struct weft_fault_counts {
    uint64_t letters, dropped, doubled, held, overtaken, cut, failed;
};

/* ep: opened by weft__fault_open.  Thread: owner. */
void weft__fault_counts(const struct weft_tp_ep *ep, struct weft_fault_counts *counts_out);

#endif
