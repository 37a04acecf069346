/* Numbers that are zero and lie last, and the unused rest of the texts, do not travel. What comes
 * is of strangers: lengths are checked, and the last byte of the texts is always a zero. */
#include "host/events_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/event_json.h"
#include "base/must.h"
#include "wire/message.h"

/* The length of the texts: up to and with the last zero byte behind anything else. */
static size_t texts_len(const struct weft_event *event)
{
    size_t len = sizeof(event->text);
    while (len > 0 && event->text[len - 1] == '\0')
        len--;
    return len < sizeof(event->text) ? len + (len > 0) : len;
}

static size_t numbers_n(const struct weft_event *event)
{
    size_t n = WEFT_EVENT_NUMBERS_MAX;
    while (n > 0 && event->n[n - 1] == 0)
        n--;
    return n;
}

void weft__events_pack(const struct weft_event *events, size_t n, struct weft_events_packed *packed)
{
    packed->messages = weft__must_alloc(n, sizeof(*packed->messages));
    packed->list = weft__must_alloc(n, sizeof(*packed->list));
    packed->n = n;
    for (size_t i = 0; i < n; i++) {
        Weft__Events__Event *message = &packed->messages[i];
        weft__events__event__init(message);
        message->sequence = events[i].sequence;
        message->time_ns = events[i].time_ns;
        message->mono_ns = events[i].mono_ns;
        message->app = events[i].app;
        message->kind = weft__message_text(weft__event_name(events[i].kind));
        message->rank = events[i].rank;
        message->n = (uint64_t *)(uintptr_t)events[i].n; /* packing does not write */
        message->n_n = numbers_n(&events[i]);
        message->texts.data = (uint8_t *)(uintptr_t)events[i].text;
        message->texts.len = texts_len(&events[i]);
        packed->list[i] = message;
    }
}

void weft__events_packed_free(struct weft_events_packed *packed)
{
    free(packed->messages);
    free(packed->list);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

void weft__events_unpack(const Weft__Events__Event *message, struct weft_event *event)
{
    memset(event, 0, sizeof(*event));
    event->sequence = message->sequence;
    event->time_ns = message->time_ns;
    event->mono_ns = message->mono_ns;
    event->app = message->app;
    event->kind = weft__event_kind(message->kind);
    event->rank = message->rank;
    for (size_t i = 0; i < message->n_n && i < WEFT_EVENT_NUMBERS_MAX; i++)
        event->n[i] = message->n[i];
    size_t len = least(message->texts.len, sizeof(event->text) - 1);
    if (len > 0)
        memcpy(event->text, message->texts.data, len);
}
