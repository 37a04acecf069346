/* A client that does not read its answers fills the transport's queue for it, then its share here,
 * and nothing else: others have their own. Its answers are offered again one by one, after a pause
 * that doubles from 1 ms to 32 ms while there is no room, so a stuck client costs a system call now
 * and then, however much waits for it. An answer is kept until its call's deadline, or 10 s.
 *
 * Beyond UNSENT_MAX_BYTES an answer is dropped and the client is choked: its requests are refused
 * until it has taken what is kept. Dropping the oldest instead was rejected: a client that reads
 * again finds the answers to what it asked first.
 */
#include "control/unsent.h"

#include "base/clock.h"
#include "control/core.h"
#include "weft/error.h"

#define UNSENT_MAX_BYTES (4u << 20)
#define UNSENT_KEEP_NS (10 * WEFT_NS_PER_S)
#define PAUSE_MIN_NS WEFT_NS_PER_MS
#define PAUSE_MAX_NS (32 * WEFT_NS_PER_MS)

/* Whether the answer has gone, or never will. */
static bool try_send(struct weft_server *server, struct weft_call *call)
{
    const struct weft_tp_ctl_ops *ctl = server->pump.transport->ctl;

    if (call->answer == NULL || (atomic_load(&call->cancel) & WEFT_CALL_CANCELLED) != 0)
        return true;
    weft__frame_set_correlation(call->answer, call->asked);
    return ctl->reply(server->pump.ep, &call->from, call->answer, call->answer_len) != WEFT_EAGAIN;
}

static void stuck_add(struct weft_server *server, struct weft_party *party)
{
    LIST_INSERT_HEAD(&server->parties.stuck, party, in_stuck);
    party->pause_ns = PAUSE_MIN_NS;
    party->retry_ns = weft__now_ns() + party->pause_ns;
}

static void stuck_remove(struct weft_party *party)
{
    LIST_REMOVE(party, in_stuck);
    party->choked = false;
}

static bool keep(struct weft_server *server, struct weft_party *party, struct weft_call *call)
{
    if (party->unsent != NULL && party->unsent_bytes + call->answer_len > UNSENT_MAX_BYTES) {
        party->choked = true;
        weft__counter_add(&call->service->dropped, 1);
        return false;
    }
    if (party->unsent == NULL)
        stuck_add(server, party);
    if (call->deadline_ns == WEFT_NEVER)
        call->deadline_ns = weft__now_ns() + UNSENT_KEEP_NS;
    call->next = NULL;
    *party->unsent_tail = call;
    party->unsent_tail = &call->next;
    party->unsent_bytes += call->answer_len;
    return true;
}

bool weft__unsent_send(struct weft_server *server, struct weft_call *call)
{
    struct weft_party *party = call->connection;
    bool first = party == NULL || party->unsent == NULL;

    return (first && try_send(server, call)) || party == NULL || !keep(server, party, call);
}

static void take(struct weft_party *party, struct weft_call **at)
{
    struct weft_call *call = *at;

    *at = call->next;
    if (call->next == NULL)
        party->unsent_tail = at;
    party->unsent_bytes -= call->answer_len;
    if (party->unsent == NULL)
        stuck_remove(party);
}

bool weft__unsent_withdraw(struct weft_call *call)
{
    struct weft_party *party = call->connection;
    struct weft_call **at = party == NULL ? NULL : &party->unsent;

    while (at != NULL && *at != NULL && *at != call)
        at = &(*at)->next;
    if (at == NULL || *at == NULL)
        return false;
    take(party, at);
    return true;
}

uint64_t weft__unsent_due_ns(const struct weft_server *server)
{
    const struct weft_party *party;
    uint64_t due_ns = WEFT_NEVER;

    LIST_FOREACH(party, &server->parties.stuck, in_stuck)
    {
        if (party->retry_ns < due_ns)
            due_ns = party->retry_ns;
    }
    return due_ns;
}

/* The party may be gone afterwards. */
static void retry(struct weft_server *server, struct weft_party *party, uint64_t now_ns)
{
    bool more = true;

    while (more) {
        struct weft_call *call = party->unsent;

        if (!try_send(server, call)) {
            if (now_ns < call->deadline_ns)
                break;
            weft__counter_add(&call->service->dropped, 1);
        } else {
            party->pause_ns = PAUSE_MIN_NS;
        }
        take(party, &party->unsent);
        more = party->unsent != NULL;
        weft__fanin_finish(server, call);
    }
    if (!more)
        return;
    party->retry_ns = now_ns + party->pause_ns;
    party->pause_ns = party->pause_ns < PAUSE_MAX_NS ? 2 * party->pause_ns : PAUSE_MAX_NS;
}

void weft__unsent_retry(struct weft_server *server)
{
    struct weft_party *party = LIST_FIRST(&server->parties.stuck), *next;
    uint64_t now_ns = party == NULL ? 0 : weft__now_ns();

    for (; party != NULL; party = next) {
        next = LIST_NEXT(party, in_stuck);
        if (party->retry_ns <= now_ns)
            retry(server, party, now_ns);
    }
}

void weft__unsent_clear(struct weft_server *server)
{
    struct weft_party *party;

    while ((party = LIST_FIRST(&server->parties.stuck)) != NULL) {
        struct weft_call *call = party->unsent;

        take(party, &party->unsent);
        weft__fanin_finish(server, call);
    }
}
