/* Events as lines of JSON (weft/event.h has the schema). */
#ifndef WEFT_BASE_EVENT_JSON_H
#define WEFT_BASE_EVENT_JSON_H

#include <stddef.h>

#include "base/events.h"

/* The longest line there is: each byte of a text may become six. */
#define WEFT_EVENT_LINE_MAX 2304

/* Writes the event as one line, with its '\n', and returns its length; host: whose event it is, at
 * most 64 bytes of it are taken.  Thread: any.  Blocks: no, and allocates nothing. */
size_t weft__event_json(const struct weft_event *event, const char *host,
                        char line_out[WEFT_EVENT_LINE_MAX]);

/* "app_started", ...; "" for what is no kind. */
const char *weft__event_name(uint32_t kind);

/* The kind of that name; WEFT_EVENT_NOTHING: there is none. */
uint32_t weft__event_kind(const char *name);

/* The fields of an event, in order: numbers, then texts. */
struct weft_event_field {
    const char *name;
    size_t name_len;
    const char *text; /* NULL: a number */
    int64_t number;   /* a code may be negative, the rest is not */
};
#define WEFT_EVENT_FIELDS_MAX (WEFT_EVENT_NUMBERS_MAX + WEFT_EVENT_TEXTS_MAX)
size_t weft__event_fields(const struct weft_event *event,
                          struct weft_event_field fields_out[WEFT_EVENT_FIELDS_MAX]);

#endif
