/* A reader of the ring of events like any other, which happens to write down what it reads.
 *
 * Each write is of whole lines, to a file that is opened for appending, so that several hosts may
 * share one. What the disk does not take is dropped and counted; a line that it took half of is cut
 * off again. A file that has become too long is renamed under a lock, by the first host that sees
 * it; the others see that the name leads to another file, and follow. Writing from the thread that
 * decides was rejected: disks stall for seconds.
 */
#include "host/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/event_json.h"
#include "base/log.h"
#include "base/wake.h"
#include "control/thread.h"
#include "weft/error.h"

enum { PATH_BYTES = 4096, BUFFER = 65536, EVERY_MS = 100, CLOSE_MS = 2000 };

struct weft_event_file {
    struct weft_thread thread;
    _Atomic uint32_t closing; /* futex word */
    char path[PATH_BYTES];
    char host[64];
    uint64_t max_bytes;
    struct weft_events *events;
    uint64_t next;
    int fd;       /* -1: it could not be opened again; tried with each write */
    bool failing; /* said so already */
    struct weft_counter written, dropped;
    size_t lines, used; /* in the buffer */
    char buffer[BUFFER];
};

/* The path with the host's name for %h. */
static int read_path(struct weft_event_file *file, const char *path)
{
    size_t used = 0;
    for (const char *at = path; *at != '\0' && used < PATH_BYTES - 8; at++) {
        bool name = at[0] == '%' && at[1] == 'h';
        int n = snprintf(file->path + used, PATH_BYTES - used, name ? "%s" : "%.1s",
                         name ? file->host : at);
        used += n > 0 ? (size_t)n : 0;
        at += name;
    }
    return used < PATH_BYTES - 8 ? WEFT_OK
                                 : weft_fail(WEFT_EINVAL, "the path of WEFT_EVENTS is too long");
}

static int open_file(const struct weft_event_file *file)
{
    return open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether the name leads to the file that is open. */
static bool is_current(const struct weft_event_file *file, struct stat *open_out)
{
    struct stat named;
    return fstat(file->fd, open_out) == 0 && stat(file->path, &named) == 0 &&
           is_same(open_out, &named);
}

/* FILE becomes FILE.1 when it is too long; only a file can. */
static void turn(struct weft_event_file *file)
{
    struct stat now;
    char old[PATH_BYTES + 2];
    if (file->fd >= 0 && is_current(file, &now)) {
        if ((uint64_t)now.st_size + file->used <= file->max_bytes || !S_ISREG(now.st_mode) ||
            flock(file->fd, LOCK_EX | LOCK_NB) != 0)
            return;
        snprintf(old, sizeof(old), "%s.1", file->path);
        if (is_current(file, &now)) /* nobody was faster */
            (void)rename(file->path, old);
    }
    if (file->fd >= 0)
        close(file->fd); /* and with it the lock */
    file->fd = open_file(file);
}

/* Takes half a line away again, unless another host has written behind it. */
static void cut_off(const struct weft_event_file *file, const struct stat *before, size_t written)
{
    struct stat now;
    if (written == 0 || fstat(file->fd, &now) != 0 ||
        now.st_size != before->st_size + (off_t)written)
        return;
    if (ftruncate(file->fd, before->st_size) != 0)
        weft__warn("half a line stays in \"%s\": %s", file->path, strerror(errno));
}

/* 0, or an errno: then nothing of it is in the file. */
static int write_lines(const struct weft_event_file *file)
{
    struct stat before;
    size_t done = 0;
    if (file->fd < 0 || fstat(file->fd, &before) != 0)
        return errno;
    while (done < file->used) {
        ssize_t n = write(file->fd, file->buffer + done, file->used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int err = n < 0 ? errno : ENOSPC;
            cut_off(file, &before, done);
            return err;
        }
        done += (size_t)n;
    }
    return 0;
}

static void flush(struct weft_event_file *file)
{
    if (file->lines == 0)
        return;
    turn(file);
    int err = write_lines(file);
    weft__counter_add(err == 0 ? &file->written : &file->dropped, file->lines);
    if (err != 0 && !file->failing)
        weft__warn("events cannot be written to \"%s\": %s; they are dropped", file->path,
                   strerror(err));
    else if (err == 0 && file->failing)
        weft__warn("events are written to \"%s\" again", file->path);
    file->failing = err != 0;
    file->lines = file->used = 0;
}

static void write_new(struct weft_event_file *file)
{
    struct weft_event events[32];
    uint64_t lost = 0;
    size_t n;
    do {
        n = weft__events_read(file->events, &file->next, events, 32, &lost);
        for (size_t i = 0; i < n; i++) {
            if (file->used + WEFT_EVENT_LINE_MAX > BUFFER)
                flush(file);
            file->used += weft__event_json(&events[i], file->host, file->buffer + file->used);
            file->lines++;
        }
    } while (n > 0);
    flush(file);
    weft__counter_add(&file->dropped, lost);
}

static void *run(void *argument)
{
    struct weft_event_file *file = argument;
    bool last;
    do { /* once more after the closing: what was recorded before it is written */
        (void)weft__futex_wait(&file->closing, 0, weft__now_ns() + EVERY_MS * WEFT_NS_PER_MS);
        last = atomic_load(&file->closing) != 0;
        write_new(file);
    } while (!last);
    weft__thread_end(&file->thread);
    return NULL;
}

int weft__event_file_open(const struct weft_event_file_desc *desc,
                          struct weft_event_file **file_out)
{
    struct weft_event_file *file = calloc(1, sizeof(*file));
    if (file == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to write events");
    file->max_bytes = desc->max_bytes;
    file->events = desc->events;
    file->next = 1 + atomic_load(&desc->events->head);
    snprintf(file->host, sizeof(file->host), "%s", desc->host);
    int err = read_path(file, desc->path);
    file->fd = err == WEFT_OK ? open_file(file) : -1;
    if (err == WEFT_OK && file->fd < 0)
        err = weft_fail(WEFT_EINVAL, "cannot open the file of WEFT_EVENTS \"%s\": %s", file->path,
                        strerror(errno));
    if (err == WEFT_OK)
        err = weft__thread_start(&file->thread, "weft-events", run, file);
    if (err != WEFT_OK) {
        if (file->fd >= 0)
            close(file->fd);
        free(file);
        return err;
    }
    *file_out = file;
    return WEFT_OK;
}

int weft__event_file_close(struct weft_event_file *file)
{
    if (file == NULL)
        return WEFT_OK;
    atomic_store(&file->closing, 1);
    weft__futex_wake(&file->closing);
    if (weft__thread_await(&file->thread, weft__now_ns() + CLOSE_MS * WEFT_NS_PER_MS) != WEFT_OK) {
        weft__thread_leave(&file->thread); /* it hangs in the disk, and keeps the file */
        return weft_fail(WEFT_ETIMEDOUT, "the disk of \"%s\" does not answer", file->path);
    }
    weft__thread_join(&file->thread);
    if (file->fd >= 0)
        close(file->fd);
    free(file);
    return WEFT_OK;
}

void weft__event_file_stats(const struct weft_event_file *file, struct weft_event_file_stats *stats)
{
    stats->written = file != NULL ? weft__counter_get(&file->written) : 0;
    stats->dropped = file != NULL ? weft__counter_get(&file->dropped) : 0;
}
