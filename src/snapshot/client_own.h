/* What the calls of a client share. */
#ifndef WEFT_SNAPSHOT_CLIENT_OWN_H
#define WEFT_SNAPSHOT_CLIENT_OWN_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "control/client.h"
#include "snapshot/client.h"

uint64_t weft__snapshot_deadline(const struct weft_snapshot_at *at);
int weft__snapshot_check(const struct weft_snapshot_at *at);
/* A call of the service; url and time-out are filled in here. */
int weft__snapshot_ask(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                       struct weft_client_call call, uint64_t deadline_ns,
                       ProtobufCMessage **reply_out);
/* A call whose answer is a DeleteReply. */
int weft__snapshot_ask_delete(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                              uint16_t code, bool *existed_out);

/* A call whose answer is a list, page by page. */
struct weft_snapshot_listing {
    uint16_t code;
    const ProtobufCMessageDescriptor *reply_type;
    /* Takes a page over. *after_out: the last key of it; NULL: there is no other page. */
    int (*gather)(void *all, const ProtobufCMessage *page, const char **after_out);
    void *all;
};
/* All whose key begins with at->key.  Errors: with a part of it gathered. */
int weft__snapshot_ask_list(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                            const struct weft_snapshot_listing *listing);

#endif
