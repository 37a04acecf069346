/* A host: the real machine, and around it what src/group/service.c does with a lock, a clock and
 * the control server. Rules are broken on purpose here, in frames that have come.
 */
#include <stdlib.h>
#include <string.h>

#include "base/must.h"
#include "group.h"
#include "group/coord_wire.h"
#include "group/group.h"
#include "weft/error.h"
#include "wire/group.pb-c.h"

#define GRACE_NS (5 * MS)

/* ---- rules broken on purpose ---- */

/* Nobody misses it: the numbers of those behind it close up. */
static void drop_item(struct weft_coord_frame *frame, size_t i)
{
    weft__coord_item_fini(&frame->items[i]);
    memmove(&frame->items[i], &frame->items[i + 1], (--frame->items_n - i) * sizeof(*frame->items));
}

/* Breaks a rule, once. */
static void mutate(struct gsim *sim, struct weft_coord_frame *frame, bool doubled)
{
    if (sim->mutated || frame->items_n == 0)
        return;
    if (sim->mutant == GSIM_MUTANT_DOUBLES && doubled) {
        frame->first += frame->items_n;
        sim->mutated = true;
    }
    for (size_t i = 0; i < frame->items_n && !sim->mutated; i++) {
        struct weft_coord_item *item = &frame->items[i];
        if (sim->mutant == GSIM_MUTANT_HOLES && item->kind == WEFT_COORD_MESSAGE &&
            i + 1 < frame->items_n) {
            drop_item(frame, i);
            sim->mutated = true;
        } else if (sim->mutant == GSIM_MUTANT_EARLY && item->kind == WEFT_COORD_RELEASE) {
            item->number++;
            sim->mutated = true;
        } else if (sim->mutant == GSIM_MUTANT_THIEF && item->kind == WEFT_COORD_GRANT &&
                   item->err == WEFT_EBUSY) {
            item->err = WEFT_OK;
            sim->mutated = true;
        }
    }
}

/* ---- what goes out ---- */

static void host_sends(void *ctx, const struct weft_coord_peer *to,
                       const struct weft_coord_frame *frame)
{
    struct gsim_host *host = ctx;
    struct weft_coord_wire wire;
    if (host->dying)
        return;
    weft__coord_wire_frame(&wire, frame);
    net_push(gsim_link(host->sim, host->index, (uint32_t)(to->name[0] - 'a')), to->url,
             WEFT_GROUP_FRAME, &wire.frame.base);
    weft__coord_wire_fini(&wire);
}

static void reply_roster(struct gsim_host *host, const struct net_question *to,
                         const struct weft_coord_roster *roster)
{
    Weft__Group__Known known = WEFT__GROUP__KNOWN__INIT;
    known.roster = weft__coord_wire_roster(roster);
    net_reply(host->end, to, &known.base);
    free(known.roster);
}

static void reply_messages(struct gsim_host *host, const struct net_question *to,
                           const struct weft_coord_answer *answer)
{
    Weft__Group__Messages messages = WEFT__GROUP__MESSAGES__INIT;
    messages.n_messages = answer->messages_n;
    messages.messages = weft__must_alloc(answer->messages_n, sizeof(ProtobufCBinaryData));
    for (size_t i = 0; i < answer->messages_n; i++)
        messages.messages[i] =
            (ProtobufCBinaryData){.len = answer->messages[i].len_bytes,
                                  .data = (uint8_t *)(uintptr_t)answer->messages[i].bytes};
    net_reply(host->end, to, &messages.base);
    free(messages.messages);
}

static void reply(struct gsim_host *host, const struct net_question *to,
                  const struct weft_coord_answer *answer)
{
    if (answer->err != WEFT_OK)
        net_refuse(host->end, to, answer->err, answer->text);
    else if (answer->roster != NULL)
        reply_roster(host, to, answer->roster);
    else if (answer->messages_n > 0)
        reply_messages(host, to, answer);
    else
        net_reply(host->end, to, NULL);
}

static void host_answers(void *ctx, uint64_t token, const struct weft_coord_answer *answer)
{
    struct gsim_host *host = ctx;
    struct gsim *sim = host->sim;
    struct gsim_asked **at = &host->asked;
    while (*at != NULL && (uint64_t)(uintptr_t)*at != token)
        at = &(*at)->next;
    struct gsim_asked *asked = *at;
    if (asked == NULL) {
        gsim_fail(sim, "host %u answers a call twice", host->index);
        return;
    }
    *at = asked->next;
    if (sim->now_ns > asked->deadline_ns + GRACE_NS && !host->dying)
        gsim_fail(sim, "host %u answers call %04x %.3f ms late", host->index, asked->question.call,
                  (double)(sim->now_ns - asked->deadline_ns) / 1e6);
    if (!host->dying)
        reply(host, &asked->question, answer);
    free(asked);
}

/* ---- what comes in ---- */

static enum weft_coord_op op_of(uint16_t code)
{
    switch (code) {
    case WEFT_GROUP_OPEN:
        return WEFT_COORD_OPEN;
    case WEFT_GROUP_LEAVE:
        return WEFT_COORD_LEAVE;
    case WEFT_GROUP_LOCK:
        return WEFT_COORD_LOCK;
    case WEFT_GROUP_UNLOCK:
        return WEFT_COORD_UNLOCK;
    case WEFT_GROUP_BARRIER:
        return WEFT_COORD_BARRIER;
    case WEFT_GROUP_NOTIFY:
        return WEFT_COORD_NOTIFY;
    case WEFT_GROUP_SEND:
        return WEFT_COORD_SEND;
    default:
        return WEFT_COORD_RECV;
    }
}

/* Notes a call, whose token it gives. */
static void call(struct gsim_host *host, const struct net_question *question, uint32_t wait_ms,
                 struct weft_coord_call *call)
{
    struct gsim *sim = host->sim;
    struct gsim_asked *asked = weft__must_alloc(1, sizeof(*asked));
    call->deadline_ns = sim->now_ns + wait_ms * MS;
    call->token = (uint64_t)(uintptr_t)asked;
    *asked = (struct gsim_asked){
        .next = host->asked, .question = *question, .deadline_ns = call->deadline_ns};
    host->asked = asked;
    weft__coord_call(host->coord, call, sim->now_ns);
}

static void on_call(struct gsim_host *host, const struct net_question *question,
                    const Weft__Group__Call *in)
{
    call(host, question, in->wait_ms,
         &(struct weft_coord_call){.op = op_of(question->call),
                                   .flags = in->flags,
                                   .session = in->session,
                                   .group = in->group,
                                   .member = in->member,
                                   .peer = in->peer,
                                   .number = in->number,
                                   .settled = in->settled,
                                   .released = in->released,
                                   .bytes = in->data.data,
                                   .len_bytes = in->data.len});
}

static void on_create(struct gsim_host *host, const struct net_question *question,
                      const Weft__Group__Create *in)
{
    call(host, question, in->wait_ms,
         &(struct weft_coord_call){.op = WEFT_COORD_CREATE,
                                   .session = in->session,
                                   .group = in->group,
                                   .hosts = (const char *const *)in->hosts,
                                   .hosts_n = in->n_hosts,
                                   .host_of = in->host_of,
                                   .members = in->members});
}

static void on_beat(struct gsim_host *host, const struct net_question *question,
                    const Weft__Group__Beat *in)
{
    Weft__Group__BeatReply answer = WEFT__GROUP__BEAT_REPLY__INIT;
    weft__coord_beat(host->coord, in->session, host->sim->now_ns);
    net_reply(host->end, question, &answer.base);
}

static void on_frame(struct gsim_host *host, const Weft__Group__Frame *in)
{
    struct weft_coord_frame frame;
    int err = weft__coord_unwire_frame(in, &frame);
    if (err != WEFT_OK) {
        gsim_fail(host->sim, "a frame cannot be read: %s", weft_fail_text(err));
        return;
    }
    struct gsim_last *last = &host->last[(frame.from.name[0] - 'a') % GSIM_HOSTS_MAX];
    bool doubled = last->first == frame.first && last->items_n == frame.items_n;
    *last = (struct gsim_last){frame.first, frame.items_n};
    mutate(host->sim, &frame, doubled);
    weft__coord_take(host->coord, &frame, host->sim->now_ns);
    weft__coord_items_free(&frame);
}

static const ProtobufCMessageDescriptor *type_of(uint16_t code)
{
    return code == WEFT_GROUP_FRAME    ? &weft__group__frame__descriptor
           : code == WEFT_GROUP_CREATE ? &weft__group__create__descriptor
           : code == WEFT_GROUP_BEAT   ? &weft__group__beat__descriptor
                                       : &weft__group__call__descriptor;
}

void gsim_host_takes(void *ctx, const struct net_question *question, const struct weft_frame *frame)
{
    struct gsim_host *host = ctx;
    ProtobufCMessage *message = net_unpack(&host->sim->net, frame, type_of(frame->call));
    if (message == NULL)
        return;
    if (frame->call == WEFT_GROUP_FRAME)
        on_frame(host, (const Weft__Group__Frame *)message);
    else if (frame->call == WEFT_GROUP_CREATE)
        on_create(host, question, (const Weft__Group__Create *)message);
    else if (frame->call == WEFT_GROUP_BEAT)
        on_beat(host, question, (const Weft__Group__Beat *)message);
    else
        on_call(host, question, (const Weft__Group__Call *)message);
    weft__message_free(message);
    gsim_host_told(host);
}

/* ---- life ---- */

void gsim_host_told(struct gsim_host *host)
{
    uint64_t due = weft__coord_deadline(host->coord);
    if (due == WEFT_NEVER || (host->tick_at <= due && host->tick_at > host->sim->now_ns))
        return;
    host->tick_at = due > host->sim->now_ns ? due : host->sim->now_ns + 1;
    gsim_at(host->sim, host->tick_at, (struct gsim_event){.kind = GSIM_TICK, .to = host->index});
}

void gsim_host_start(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    *host = (struct gsim_host){.sim = sim, .index = index, .up = true};
    host->self.incarnation = ++sim->lives;
    gsim_host_connect(sim, index);
    struct weft_coord_desc desc = {.self = host->self,
                                   .dead_ns = 3000 * MS,
                                   .idle_ns = 10000 * MS,
                                   .resend_ns = 1000 * MS,
                                   .ack_ns = 400 * MS,
                                   .ctx = host,
                                   .answer = host_answers,
                                   .send = host_sends};
    host->coord = weft__coord_new(&desc);
}

void gsim_host_stop(struct gsim *sim, uint32_t index)
{
    struct gsim_host *host = &sim->hosts[index];
    host->dying = true;
    weft__coord_free(host->coord);
    host->coord = NULL;
    host->up = false;
    gsim_host_disconnect(sim, index);
}

void gsim_host_hears(struct gsim *sim, uint32_t index)
{
    struct weft_coord_peer list[GSIM_HOSTS_MAX];
    size_t n = 0;
    if (!sim->hosts[index].up)
        return;
    for (uint32_t i = 0; i < sim->hosts_n; i++) {
        bool listed = sim->hosts[i].up && !sim->hosts[i].outcast;
        if (listed || sim->mutant == GSIM_MUTANT_DEAF)
            list[n++] = sim->hosts[i].self;
    }
    weft__coord_hosts(sim->hosts[index].coord, list, n, sim->now_ns);
    gsim_host_told(&sim->hosts[index]);
}
