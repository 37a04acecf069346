/* What happens on this host, and what its app processes tell it: kept, told and written to a file.
 */
#ifndef WEFT_HOST_WEFTD_EVENTS_H
#define WEFT_HOST_WEFTD_EVENTS_H

#include "base/events.h"
#include "host/weftd.h"

/* Errors: WEFT_ENOMEM; WEFT_EINVAL the file of WEFT_EVENTS cannot be opened. */
int weft__weftd_events_init(struct weft_host *host);
void weft__weftd_events_fini(struct weft_host *host);

/* Records what has just happened. A note is best written in place:
 *   weft__weftd_event(host, &(struct weft_event_note){.kind = WEFT_EVENT_..., .rank = ..., ...});
 */
static inline void weft__weftd_event(struct weft_host *host, const struct weft_event_note *note)
{
    weft__events_note(&host->events, note);
}

/* Tells a client (wire/events.proto); takes what a process of an app tells. */
void weft__weftd_on_events(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_events_tell(void *host, struct weft_call *call,
                                const ProtobufCMessage *request);

#endif
