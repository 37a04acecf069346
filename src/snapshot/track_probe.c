/* Which tracker works here, found out by really writing.
 *
 * Kernels accept requests that they do not serve (soft-dirty bits where they are not built in are
 * the best known), and containers forbid system calls that the kernel has, so neither versions nor
 * the success of a request tell anything. The choice is made once per process: what works goes on
 * working, and the trial costs 0.3 ms. A tracker that is named, by the caller or by
 * WEFT_SNAPSHOT_TRACKER, is taken or its error is returned, never another one.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config.h"
#include "snapshot/region.h"
#include "snapshot/track_ops.h"
#include "weft/error.h"

#define SETTING "WEFT_SNAPSHOT_TRACKER"

static const struct weft_track_ops *const trackers[] = {&weft__track_pagemap, &weft__track_segv,
                                                        &weft__track_none};
#define TRACKERS (sizeof(trackers) / sizeof(trackers[0]))

static const struct weft_track_ops *find_tracker(const char *name)
{
    for (size_t i = 0; i < TRACKERS; i++)
        if (strcmp(trackers[i]->name, name) == 0)
            return trackers[i];
    return NULL;
}

/* Writes to the second of three pages of its own and asks the tracker which it was. */
static int probe_range(const struct weft_track_ops *ops, char *base, int fd)
{
    const struct weft_track_desc desc = {.base = base, .len_bytes = 3 * WEFT_REGION_PAGE, .fd = fd};
    struct weft_track *track;
    struct weft_extents found = {0};
    base[0] = 1;
    int err = weft__track_start_with(ops, &desc, &track);
    if (err)
        return err;
    for (int round = 0; round < 2 && !err; round++) { /* also after it was armed again */
        *(volatile char *)(base + WEFT_REGION_PAGE) = (char)round;
        err = weft__track_collect(track, &found);
        bool right = found.n == 1 && found.at[0].offset == WEFT_REGION_PAGE &&
                     found.at[0].len_bytes == WEFT_REGION_PAGE;
        if (ops == &weft__track_none)
            right = found.n == 1 && found.at[0].len_bytes >= 2 * WEFT_REGION_PAGE;
        if (!err && !right)
            err = weft_fail(WEFT_ENOTSUP,
                            "%s: this kernel accepts the requests and does not report what is "
                            "written",
                            ops->name);
    }
    weft__track_stop(track);
    weft__extents_fini(&found);
    return err;
}

static int probe_memory(const struct weft_track_ops *ops, enum weft_track_memory memory)
{
    const size_t len = 3 * WEFT_REGION_PAGE;
    int fd = -1, flags = memory == WEFT_TRACK_SHARED ? MAP_SHARED : MAP_PRIVATE;
    if (memory != WEFT_TRACK_ANONYMOUS) {
        fd = memfd_create("probe", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)len)) {
            if (fd >= 0)
                close(fd);
            return weft_fail(-errno, "cannot make a memory file: %s", strerror(errno));
        }
    } else {
        flags |= MAP_ANONYMOUS;
    }
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd, 0);
    int err = base == MAP_FAILED ? weft_fail(WEFT_ENOMEM, "no memory to probe a tracker with")
                                 : probe_range(ops, base, fd);
    if (base != MAP_FAILED)
        munmap(base, len);
    if (fd >= 0)
        close(fd);
    return err;
}

static int probe(const struct weft_track_ops *ops)
{
    static const enum weft_track_memory kinds[] = {WEFT_TRACK_ANONYMOUS, WEFT_TRACK_SHARED,
                                                   WEFT_TRACK_PRIVATE_FILE};
    int err = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !err; i++)
        err = probe_memory(ops, kinds[i]);
    return err;
}

/* The first that works; the error is the last one's. */
static int find_working(const struct weft_track_ops **ops_out)
{
    static _Atomic(const struct weft_track_ops *) working;
    const struct weft_track_ops *found = atomic_load(&working);
    int err = WEFT_OK;
    for (size_t i = 0; i < TRACKERS && !found; i++) {
        err = probe(trackers[i]);
        if (!err)
            found = trackers[i];
    }
    if (!found)
        return err;
    atomic_store(&working, found);
    *ops_out = found;
    return WEFT_OK;
}

int weft__track_choose(const char *name, const struct weft_track_ops **ops_out)
{
    if (!name)
        name = weft__config_text(SETTING);
    if (strcmp(name, "auto") == 0)
        return find_working(ops_out);
    *ops_out = find_tracker(name);
    if (!*ops_out)
        return weft_fail(WEFT_EINVAL,
                         "no dirty tracker is called %s: auto, pagemap_scan, segv, none", name);
    return 0;
}

int weft__track_probe(const char *tracker)
{
    const struct weft_track_ops *ops = NULL;
    int err = weft__track_choose(tracker, &ops);
    return err ? err : probe(ops);
}

/* What speaks for a tracker, or against it. */
static const char *verdict(const struct weft_track_ops *ops, const struct weft_track_ops *chosen,
                           int err)
{
    const bool is_auto = strcmp(weft__config_text(SETTING), "auto") == 0;
    const size_t name_len = strlen(ops->name);
    if (err) {
        const char *why = weft_fail_text(err);
        return strncmp(why, ops->name, name_len) == 0 && why[name_len] == ':' ? why + name_len + 2
                                                                              : why;
    }
    if (ops == chosen)
        return is_auto ? "chosen" : "chosen by " SETTING;
    return is_auto ? "works, and costs more" : "works, but " SETTING " names another";
}

void weft__track_report(char *text, size_t room)
{
    const struct weft_track_ops *chosen = NULL;
    size_t len = 0;
    text[0] = '\0';
    (void)weft__track_choose(NULL, &chosen); /* why not, each tells itself */
    for (size_t i = 0; i < TRACKERS && len < room; i++) {
        int err = probe(trackers[i]);
        int n = snprintf(text + len, room - len, "%s: %s\n", trackers[i]->name,
                         verdict(trackers[i], chosen, err));
        len += n > 0 ? (size_t)n : 0;
    }
}
