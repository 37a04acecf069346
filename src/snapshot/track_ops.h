/* Between track.c and the trackers. */
#ifndef WEFT_SNAPSHOT_TRACK_OPS_H
#define WEFT_SNAPSHOT_TRACK_OPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "snapshot/extent.h"
#include "snapshot/pages.h"
#include "snapshot/track.h"

enum weft_track_memory { WEFT_TRACK_ANONYMOUS, WEFT_TRACK_SHARED, WEFT_TRACK_PRIVATE_FILE };

struct weft_landing {
    size_t first_page, pages;
};

struct weft_track_ops {
    const char *name;
    /* Arms the whole range.  May set track->own.  Errors: as weft__track_start. */
    int (*start)(struct weft_track *track);
    void (*stop)(struct weft_track *track);
    /* Moves what was written into track->dirty and arms again, but for landings under way. */
    int (*gather)(struct weft_track *track);
    /* Lets a landing in that has just been noted.  NULL: nothing to do. */
    void (*admit)(struct weft_track *track, const struct weft_landing *landing);
};

struct weft_track {
    const struct weft_track_ops *ops;
    char *base;
    size_t len_bytes;
    size_t pages_n;
    enum weft_track_memory memory;
    int fd;               /* shared: its file, */
    uint64_t file_offset; /* and where in it the range begins */
    struct weft_track *next;

    pthread_mutex_t lock; /* after the list's; covers what follows and gather */
    bool started;
    struct weft_pages dirty;
    struct weft_landing *landings;
    size_t landings_n, landings_capacity;
    struct weft_track_counts counts;
    void *own; /* the tracker's */
};

extern const struct weft_track_ops weft__track_pagemap, weft__track_segv, weft__track_none;

/* By name; NULL: the setting's.  Errors: WEFT_EINVAL there is none of that name; auto: those of the
 * last that does not work. */
int weft__track_choose(const char *name, const struct weft_track_ops **ops_out);
/* weft__track_start() by a tracker that has been chosen. */
int weft__track_start_with(const struct weft_track_ops *ops, const struct weft_track_desc *desc,
                           struct weft_track **track_out);
/* What is mapped in the range: all readable and writable, and of one kind.  Fills memory and
 * file_offset.  Errors: WEFT_EINVAL, the text says where it is not; WEFT_EIO. */
int weft__track_mapping(struct weft_track *track);
/* Calls each for the data ranges of a shared mapping's file that lie in the tracked range, counted
 * from its beginning.  Errors: WEFT_EIO; what each returns. */
int weft__track_file_data(struct weft_track *track,
                          int (*each)(struct weft_track *track, uint64_t offset, uint64_t len));

#endif
