/* Whether a path still leads to its peer, when the owner doubts it.
 *
 * The owner hears no acknowledgement; that may be the path, or the peer's program may be stopped or
 * moving. So the peer's lane is asked, over the path in question; it answers over the path that it
 * uses itself. Only where that does not come either the path is left. The question carries the
 * asker's address, because messages name no sender. Where there is no room for it, because messages
 * to the peer wait, these tell: as long as some of them go it is asked again, and when none goes
 * any more it counts as one that does not answer. Time is looked at when the owner doubts again,
 * which it does for as long as nothing comes: there is no timer.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "link/impl.h"
#include "weft/error.h"

#define TRUST_NS (3 * WEFT_NS_PER_S)  /* how long a connection is not doubted */
#define ANSWER_NS (2 * WEFT_NS_PER_S) /* how long an answer may take */

void weft__lane_doubt(struct weft_lane *lane, struct weft_lane_peer peer)
{
    struct weft__lane_to *to = weft__lane_to_get(lane, peer);
    if (!to || !lane->paths || atomic_exchange(&to->doubted, true))
        return;
    weft__lane_submit_item(lane, &to->doubt);
}

static void ask(struct weft_lane *lane, struct weft__lane_to *to, uint64_t now_ns)
{
    uint64_t question = now_ns;
    struct iovec parts[] = {{&question, sizeof(question)},
                            {lane->address, strlen(lane->address) + 1}};
    int err = weft__lane_send_as(lane, to, LANE_QUESTION, parts, 2);
    to->asked_ns = now_ns;
    to->question = err == WEFT_OK ? question : 0;
    to->taken_then = to->taken;
    if (err != WEFT_OK)
        weft__debug("lane %s: cannot ask %s: %s", lane->name, to->address, weft_error_text(err));
}

void weft__lane_doubted(struct weft_lane *lane, struct weft__lane_to *to)
{
    uint64_t now_ns = weft__now_ns();
    if (!to->attached || now_ns - to->trusted_ns < TRUST_NS)
        return;
    bool in_vain = to->asked_ns && !to->question; /* its share of the buffers was out */
    if (!to->asked_ns || (in_vain && to->taken != to->taken_then)) {
        ask(lane, to, now_ns);
    } else if (now_ns - to->asked_ns >= ANSWER_NS) {
        to->asked_ns = 0;
        weft__lane_lose(lane, to, WEFT_EHOSTUNREACH);
    }
}

void weft__lane_questioned(struct weft_lane *lane, const unsigned char *bytes, size_t len_bytes)
{
    struct weft_lane_peer peer;
    uint64_t question;
    if (len_bytes <= sizeof(question) || bytes[len_bytes - 1] != '\0') {
        weft__counter_add(&lane->refused, 1);
        return;
    }
    memcpy(&question, bytes, sizeof(question));
    int err = weft__lane_peer(lane, (const char *)bytes + sizeof(question), &peer);
    if (err == WEFT_OK) {
        struct iovec part = {&question, sizeof(question)};
        err = weft__lane_send_as(lane, weft__lane_to_get(lane, peer), LANE_ANSWER, &part, 1);
        weft__lane_peer_put(lane, peer);
    }
    if (err != WEFT_OK)
        weft__debug("lane %s: cannot answer a question: %s", lane->name, weft_error_text(err));
}

void weft__lane_answered(struct weft_lane *lane, const unsigned char *bytes, size_t len_bytes)
{
    uint64_t question = 0;
    uint32_t n = atomic_load_explicit(&lane->peers_n, memory_order_relaxed);
    if (len_bytes == sizeof(question))
        memcpy(&question, bytes, sizeof(question));
    for (uint32_t id = 0; id < n; id++) {
        struct weft__lane_to *to = weft__lane_to_get(lane, (struct weft_lane_peer){id});
        if (!to || !to->asked_ns || !question || to->question != question)
            continue;
        to->asked_ns = 0;
        to->trusted_ns = weft__now_ns();
    }
}
