/* Trying.
 *
 * Errors of an answer are of three kinds: refused for good (the caller's mistake, no memory), full
 * just now (wait and send again), and everything that leaves open whether the main is there or has
 * done it (check, then send again). A check says: there is another value of that name now, or none,
 * or its main is dead - the end; or all is well, or nobody knows - send again, a little later. */
#include "state/attempt.h"

#include "base/clock.h"
#include "weft/error.h"

#define TRY_NS (2 * WEFT_NS_PER_S)
#define NAP_MIN_NS (2 * WEFT_NS_PER_MS)
#define NAP_MAX_NS (200 * WEFT_NS_PER_MS)

static struct weft_attempt_step end(int err)
{
    return (struct weft_attempt_step){.what = WEFT_ATTEMPT_END, .err = err};
}

static struct weft_attempt_step send(struct weft_attempt *attempt, uint64_t now_ns)
{
    uint64_t most = attempt->try_ns != 0 ? attempt->try_ns : TRY_NS;
    if (now_ns >= attempt->deadline_ns)
        return end(attempt->last != WEFT_OK ? attempt->last : WEFT_ETIMEDOUT);
    uint64_t left = attempt->deadline_ns - now_ns;
    attempt->tries++;
    return (struct weft_attempt_step){.what = WEFT_ATTEMPT_SEND,
                                      .try_ns = left < most ? left : most};
}

/* Longer each time, at most to the deadline. */
static struct weft_attempt_step nap(struct weft_attempt *attempt, uint64_t now_ns, uint64_t least)
{
    uint64_t for_ns = NAP_MIN_NS << (attempt->naps < 7 ? attempt->naps : 7);
    attempt->naps++;
    if (now_ns >= attempt->deadline_ns)
        return end(attempt->last);
    if (for_ns > NAP_MAX_NS)
        for_ns = NAP_MAX_NS;
    if (for_ns < least)
        for_ns = least;
    if (for_ns > attempt->deadline_ns - now_ns)
        for_ns = attempt->deadline_ns - now_ns;
    return (struct weft_attempt_step){.what = WEFT_ATTEMPT_SLEEP, .until_ns = now_ns + for_ns};
}

struct weft_attempt_step weft__attempt_start(struct weft_attempt *attempt, uint64_t now_ns)
{
    attempt->tries = attempt->naps = 0;
    attempt->last = WEFT_OK;
    return send(attempt, now_ns);
}

static bool is_open(int err)
{
    switch (err) {
    case WEFT_ESTALE:
    case WEFT_EREGISTRY:
    case WEFT_ETIMEDOUT:
    case WEFT_EPEERDEAD:
    case WEFT_ECONNREFUSED:
    case WEFT_ECONNRESET:
    case WEFT_EHOSTUNREACH:
    case WEFT_ESHUTDOWN:
    case WEFT_ECANCELED:
        return true;
    default:
        return false;
    }
}

struct weft_attempt_step weft__attempt_answered(struct weft_attempt *attempt, uint64_t now_ns,
                                                int err, uint32_t retry_ms)
{
    if (err == WEFT_OK || (err != WEFT_EAGAIN && !is_open(err)))
        return end(err);
    attempt->last = err == WEFT_ESTALE || err == WEFT_ESHUTDOWN ? WEFT_EPEERDEAD : err;
    if (err == WEFT_EAGAIN)
        return nap(attempt, now_ns, retry_ms * WEFT_NS_PER_MS);
    if (now_ns >= attempt->deadline_ns)
        return end(attempt->last);
    return (struct weft_attempt_step){.what = WEFT_ATTEMPT_CHECK,
                                      .try_ns = attempt->deadline_ns - now_ns};
}

struct weft_attempt_step weft__attempt_checked(struct weft_attempt *attempt, uint64_t now_ns,
                                               int err, uint64_t epoch)
{
    if (err == WEFT_OK && epoch != attempt->epoch)
        return end(WEFT_ESTALE);
    if (err == WEFT_ENOENT || err == WEFT_EHOSTDEAD || err == WEFT_EINVAL)
        return end(err);
    return nap(attempt, now_ns, 0);
}

struct weft_attempt_step weft__attempt_woken(struct weft_attempt *attempt, uint64_t now_ns)
{
    return send(attempt, now_ns);
}
