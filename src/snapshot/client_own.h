/* What the calls of a client share. */
#ifndef WEFT_SNAPSHOT_CLIENT_OWN_H
#define WEFT_SNAPSHOT_CLIENT_OWN_H

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

#endif
