/* The file that a host appends its events to, as lines of JSON (weft/event.h). */
#ifndef WEFT_HOST_EVENT_FILE_H
#define WEFT_HOST_EVENT_FILE_H

#include <stdint.h>

#include "base/events.h"

struct weft_event_file;

struct weft_event_file_desc {
    const char *path;           /* %h in it becomes the host's name */
    const char *host;           /* whose events they are */
    uint64_t max_bytes;         /* then FILE becomes FILE.1, and a new FILE begins */
    struct weft_events *events; /* what is recorded there from now on is written */
};

/* A thread of its own writes, within a tenth of a second: whoever records never waits for a disk.
 * Thread: any.  Errors: WEFT_EINVAL it cannot be opened: the text names it; WEFT_ENOMEM;
 * WEFT_EAGAIN. */
int weft__event_file_open(const struct weft_event_file_desc *desc,
                          struct weft_event_file **file_out);
/* Writes what is still to be written.  Blocks: until then, at most 2 s.  NULL is fine.
 * Errors: WEFT_ETIMEDOUT the disk does not answer: the events must stay valid. */
int weft__event_file_close(struct weft_event_file *file);

struct weft_event_file_stats {
    uint64_t written; /* lines */
    uint64_t dropped; /* lines that the disk did not take, or that were not kept until they could be
                         written */
};
/* Thread: any.  NULL is fine. */
void weft__event_file_stats(const struct weft_event_file *file,
                            struct weft_event_file_stats *stats_out);

#endif
