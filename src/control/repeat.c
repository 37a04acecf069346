/* A request that comes again while the first one runs gets nothing of its own: the answer of the
 * first goes to whoever asked last, over the connection and with the correlation of the newest,
 * because the client of an older connection may have gone. One whose answer is kept gets it again.
 *
 * IDEMPOTENT requests leave no trace here: they may run again, and cost no memory.
 */
#include "control/repeat.h"

#include <string.h>

#include "base/clock.h"
#include "control/core.h"
#include "control/dedupe.h"
#include "control/unsent.h"
#include "weft/error.h"

#define CLIENTS_MAX 1024
#define KEPT_MAX_BYTES ((size_t)32 << 20)
#define CLIENT_KEPT_MAX_BYTES (WEFT_FRAME_BODY_MAX + ((size_t)4 << 10)) /* the largest answer */
#define CLIENT_KEPT_MAX 256
#define KEPT_NS (5 * WEFT_NS_PER_S)        /* beyond the call's deadline */
#define KEPT_ALONE_NS (60 * WEFT_NS_PER_S) /* of a call without one */

static int make_table(struct weft_server *server)
{
    const struct weft_dedupe_limits limits = {.clients_max = CLIENTS_MAX,
                                              .kept_max_bytes = KEPT_MAX_BYTES,
                                              .client_kept_max_bytes = CLIENT_KEPT_MAX_BYTES,
                                              .client_kept_max = CLIENT_KEPT_MAX};

    return server->dedupe != NULL ? WEFT_OK : weft__dedupe_new(&limits, &server->dedupe);
}

/* The answer of `first` goes where `again` came from. */
static int redirect(struct weft_server *server, struct weft_call *first,
                    const struct weft_call *again)
{
    bool waits;
    int rc;

    if (again->push)
        return WEFT_OK;
    waits = weft__unsent_withdraw(first);
    rc = weft__party_move(&server->parties, first, &again->from);
    if (rc == WEFT_OK)
        first->asked = again->asked;
    if (waits)
        weft__fanin_send(server, first);
    return rc;
}

static void answer_again(struct weft_server *server, const struct weft_dedupe_entry *entry,
                         const struct weft_call *again)
{
    const struct weft_tp_ctl_ops *ctl = server->pump.transport->ctl;

    weft__frame_set_correlation(entry->answer, again->asked);
    if (ctl->reply(server->pump.ep, &again->from, entry->answer, entry->answer_len) == WEFT_EAGAIN)
        weft__counter_add(&again->service->dropped, 1);
}

static int judge(struct weft_server *server, enum weft_dedupe_verdict verdict,
                 const struct weft_dedupe_entry *entry, const struct weft_call *call)
{
    const char *service = call->service->name;

    switch (verdict) {
    case WEFT_DEDUPE_NEW:
        return WEFT_OK;
    case WEFT_DEDUPE_RUNNING:
    case WEFT_DEDUPE_ANSWERED:
        if (entry->code != call->handler->code)
            return weft_fail(WEFT_EPROTO,
                             "service %s: the number of this request was that of another, of call "
                             "%u; a client numbers each request anew",
                             service, entry->code);
        if (verdict == WEFT_DEDUPE_RUNNING)
            return redirect(server, entry->owner, call);
        answer_again(server, entry, call);
        return WEFT_OK;
    case WEFT_DEDUPE_FORGOTTEN:
        return weft_fail(WEFT_ESTALE,
                         "service %s: this request has come before; its answer is no longer kept",
                         service);
    case WEFT_DEDUPE_OLD:
        return weft_fail(WEFT_ESTALE,
                         "service %s: this request is too old to say whether it has come before",
                         service);
    case WEFT_DEDUPE_NO_MEMORY:
        break;
    }
    return weft_fail(WEFT_ENOMEM, "no memory for a request of service %s", service);
}

bool weft__repeat_begin(struct weft_server *server, struct weft_call *call,
                        const struct weft_frame *frame, int *rc_out)
{
    struct weft_dedupe_key key = {.client = frame->client, .sequence = frame->sequence};
    enum weft_dedupe_verdict verdict = WEFT_DEDUPE_NO_MEMORY;
    struct weft_dedupe_entry *entry = NULL;

    if (frame->client == 0 || (frame->flags & WEFT_FRAME_IDEMPOTENT) != 0)
        return true;
    key.port = call->push ? call->service->async_port : call->service->sync_port;
    if (make_table(server) == WEFT_OK)
        verdict = weft__dedupe_take(server->dedupe, &key, call->arrived_ns, &entry);
    *rc_out = judge(server, verdict, entry, call);
    if (verdict != WEFT_DEDUPE_NEW) {
        if (verdict != WEFT_DEDUPE_NO_MEMORY)
            weft__counter_add(&call->service->repeated, 1);
        return false;
    }
    entry->owner = call;
    entry->code = call->handler->code;
    call->entry = entry;
    return true;
}

void weft__repeat_undo(struct weft_server *server, struct weft_call *call)
{
    if (call->entry != NULL)
        weft__dedupe_undo(server->dedupe, call->entry);
    call->entry = NULL;
}

void weft__repeat_end(struct weft_server *server, struct weft_call *call)
{
    uint64_t until_ns = call->deadline_ns;
    bool cancelled = (atomic_load(&call->cancel) & WEFT_CALL_CANCELLED) != 0;

    if (call->entry == NULL)
        return;
    if (until_ns == WEFT_NEVER)
        until_ns = call->arrived_ns + KEPT_ALONE_NS;
    if (call->push || cancelled) {
        weft__dedupe_end(server->dedupe, call->entry, NULL, 0, 0);
    } else {
        weft__dedupe_end(server->dedupe, call->entry, call->answer, call->answer_len,
                         until_ns + KEPT_NS);
        call->answer = NULL;
    }
    call->entry = NULL;
}
