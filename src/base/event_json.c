/* A writer of JSON for this one purpose: it allocates nothing, a line never outgrows its room, and
 * every text comes out as valid JSON, whatever bytes a program's or a host's name is made of. A
 * library was rejected here: it would allocate per field, on the thread that decides. */
#include "base/event_json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "weft/api.h"

static const struct {
    const char *name, *numbers, *texts;
} kinds[WEFT_EVENT_KINDS] = {{"", "", ""},
#define X(kind, name, numbers, texts, what) {name, numbers, texts},
                             WEFT_EVENTS(X)
#undef X
};

const char *weft__event_name(uint32_t kind)
{
    return kind < WEFT_EVENT_KINDS ? kinds[kind].name : "";
}

uint32_t weft__event_kind(const char *name)
{
    uint32_t kind = WEFT_EVENT_KINDS;
    while (--kind > WEFT_EVENT_NOTHING && strcmp(kinds[kind].name, name) != 0)
        ;
    return kind;
}

/* ---- fields ---- */

/* The next of the names separated by commas; false: there is none. */
static bool next_name(const char **rest, struct weft_event_field *field)
{
    if (**rest == '\0')
        return false;
    field->name = *rest;
    field->name_len = strcspn(*rest, ",");
    *rest += field->name_len;
    *rest += **rest == ',';
    return true;
}

size_t weft__event_fields(const struct weft_event *event,
                          struct weft_event_field fields[WEFT_EVENT_FIELDS_MAX])
{
    if (event->kind >= WEFT_EVENT_KINDS)
        return 0;
    const char *numbers = kinds[event->kind].numbers, *texts = kinds[event->kind].texts;
    const char *text = event->text, *end = event->text + sizeof(event->text);
    size_t n = 0;
    for (size_t i = 0; i < WEFT_EVENT_NUMBERS_MAX && next_name(&numbers, &fields[n]); i++) {
        fields[n].text = NULL;
        fields[n++].number = (int64_t)event->n[i];
    }
    while (n < WEFT_EVENT_FIELDS_MAX && next_name(&texts, &fields[n])) {
        bool whole = memchr(text, '\0', (size_t)(end - text)) != NULL;
        fields[n].number = 0;
        fields[n++].text = whole ? text : "";
        text += whole ? strlen(text) + 1 : 0;
    }
    return n;
}

/* ---- JSON ---- */

struct line {
    char *at, *end; /* room for the closing of the line lies behind end */
};

static void put(struct line *line, const char *fmt, ...) WEFT_PRINTF(2, 3);
static void put(struct line *line, const char *fmt, ...)
{
    va_list args;
    size_t room = (size_t)(line->end - line->at);
    va_start(args, fmt);
    int n = vsnprintf(line->at, room, fmt, args);
    va_end(args);
    weft__check(n >= 0 && (size_t)n < room); /* WEFT_EVENT_LINE_MAX is enough */
    line->at += n;
}

/* The length of the UTF-8 character that a text begins with; 0: it is none. */
static size_t utf8_len(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80       ? 1
                 : s[0] >> 5 == 6  ? 2
                 : s[0] >> 4 == 14 ? 3
                 : s[0] >> 3 == 30 ? 4
                                   : 0;
    if (len <= 1)
        return len;
    uint32_t c = s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0u) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    bool surrogate = c >= 0xd800 && c < 0xe000;
    return c < least[len] || surrogate || c > 0x10ffff ? 0 : len;
}

static void put_text(struct line *line, const char *text, size_t max)
{
    const unsigned char *s = (const unsigned char *)text, *end = s + strnlen(text, max);
    put(line, "\"");
    while (s < end) {
        size_t len = utf8_len(s);
        if (len == 0 || s + len > end)
            put(line, "\\ufffd");
        else if (*s == '"' || *s == '\\')
            put(line, "\\%c", *s);
        else if (*s < 0x20 || *s == 0x7f)
            put(line, "\\u%04x", *s);
        else
            put(line, "%.*s", (int)len, (const char *)s);
        s += len != 0 ? len : 1;
    }
    put(line, "\"");
}

size_t weft__event_json(const struct weft_event *event, const char *host,
                        char out[WEFT_EVENT_LINE_MAX])
{
    struct line line = {.at = out, .end = out + WEFT_EVENT_LINE_MAX};
    struct weft_event_field fields[WEFT_EVENT_FIELDS_MAX];
    put(&line,
        "{\"v\":%d,\"time_ns\":%" PRIu64 ",\"mono_ns\":%" PRIu64 ",\"host\":", WEFT_EVENT_VERSION,
        event->time_ns, event->mono_ns);
    put_text(&line, host, 64);
    if (event->app != 0)
        put(&line, ",\"app\":\"%" PRIx64 "\"", event->app);
    else
        put(&line, ",\"app\":null");
    if (event->rank != WEFT_EVENT_NO_RANK)
        put(&line, ",\"rank\":%" PRId32, event->rank);
    else
        put(&line, ",\"rank\":null");
    put(&line, ",\"kind\":\"%s\"", weft__event_name(event->kind));
    size_t n = weft__event_fields(event, fields);
    for (size_t i = 0; i < n; i++) {
        put(&line, ",\"%.*s\":", (int)fields[i].name_len, fields[i].name);
        if (fields[i].text != NULL)
            put_text(&line, fields[i].text, WEFT_EVENT_TEXT_MAX);
        else
            put(&line, "%" PRId64, fields[i].number);
    }
    put(&line, "}\n");
    return (size_t)(line.at - out);
}
