/* Who calls: a connection, or a client by its number in the frame; the calls that it has under way,
 * counted. The fan-in thread's alone. */
#ifndef WEFT_CONTROL_PARTY_H
#define WEFT_CONTROL_PARTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "transport/spi.h"

#define WEFT_PARTY_BUCKETS 1024
#define WEFT_PARTY_KEY_MAX (WEFT_TP_FROM_MAX + 4)

struct weft_call;

/* There while a call of it is open. */
struct weft_party {
    struct weft_party *next; /* of its bucket, or of the spare ones */
    LIST_ENTRY(weft_party) in_stuck;
    LIST_HEAD(, weft_call) calls; /* of a connection; of a client number they are only counted */
    size_t calls_n;
    struct weft_call *unsent; /* answers for which the transport had no room, by next */
    struct weft_call **unsent_tail;
    size_t unsent_bytes;
    uint64_t retry_ns; /* when to offer the first of them again */
    uint64_t pause_ns;
    bool choked; /* answers were dropped: nothing more is taken until the rest has gone */
    uint32_t hash;
    uint16_t key_len;
    uint8_t key[WEFT_PARTY_KEY_MAX];
};

struct weft_parties {
    struct weft_party *bucket[WEFT_PARTY_BUCKETS];
    struct weft_party *spare;
    size_t spare_n;
    LIST_HEAD(, weft_party) stuck; /* those with unsent answers */
};

void weft__parties_fini(struct weft_parties *parties);

/* Counts the call to its connection and its client number.  Errors: WEFT_EAGAIN one of them has as
 * many calls under way as the service allows, or is choked; WEFT_ENOMEM. */
int weft__party_join(struct weft_parties *parties, struct weft_call *call);
/* Fine on a call that has not joined. */
void weft__party_leave(struct weft_parties *parties, struct weft_call *call);
/* The call is answered over another connection from now on.  Errors: WEFT_ENOMEM. */
int weft__party_move(struct weft_parties *parties, struct weft_call *call,
                     const struct weft_tp_from *from);
/* The first of the open calls of that connection, a list by in_party; NULL: none. */
struct weft_call *weft__party_calls(const struct weft_parties *parties,
                                    const struct weft_tp_from *from);
/* The open call of that connection; NULL: none. */
struct weft_call *weft__party_find(const struct weft_parties *parties,
                                   const struct weft_tp_from *from, uint64_t correlation);

#endif
