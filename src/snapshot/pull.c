/* Pulling.
 *
 * Each piece goes: get into a buffer of the window, sum checked, written into the region's file,
 * buffer used again. The detour over the buffer is what makes it fast: whole pages written into a
 * memfd need no clearing and no fault (2.6 GB/s with the sum, against 1.7 for a plain copy into a
 * fresh mapping), the sum is taken of bytes that are in the cache, the buffers are the only memory
 * that a network card must know, and a piece with a wrong sum never reaches the region. The pull's
 * thread owns everything; the lane's callback only puts the slot into a ring and wakes it. The ring
 * holds as many as the window, so it cannot be full. Whatever happens, the thread ends only when no
 * get is in flight: the lane owns the buffers until then. A peer that has stalled is dropped, which
 * makes the lane give them back. Rejected: gets straight into the mapping, with or without a thread
 * that populates pages ahead (measured: 1.5 to 1.7 GB/s); checking on the lane's thread (it would
 * keep the lane from receiving).
 *
 * 1 GiB over TCP between two processes on two processors (scripts/bench data): 2.25 GB/s; raw
 * libfabric without sums 2.64 into buffers and from there into the file, all by one polling thread,
 * and 1.50 straight into the mapping. Summing and writing take 0.6 s of this thread's time, which
 * is the longest part. Tried without gain, as both processors are busy already: driving the lane
 * from here, a second thread that lands; pieces of 256 KiB to 2 MiB and windows of 4 to 16 make no
 * difference.
 */
#include "snapshot/pull.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/ring.h"
#include "base/wake.h"
#include "snapshot/spare.h"
#include "weft/error.h"

#define WINDOW_MAX 64u
#define STALL_MS 10000u
#define CANCELLED 0x80000000u   /* above every count: an image has fewer pieces */
#define RETRY_NS WEFT_NS_PER_MS /* the lane is full of other people's gets */

struct slot {
    struct weft_lane_get get;
    struct weft_pull *pull;
    const struct weft_image_piece *piece;
    unsigned char *buffer;
    int err;          /* of the get */
    bool asked_again; /* after it was lost once */
    struct slot *next_free;
};

struct weft_pull {
    struct weft_pull_desc desc;
    pthread_t self; /* written by the thread before done can run */
    /* the lane's thread and others write these */
    struct weft_mpsc landed;
    _Atomic uint32_t events; /* gets that have come back, and CANCELLED */
    /* the thread's; counters are read by others */
    struct slot *slots;
    struct slot *free_slots;
    unsigned char *buffers;
    size_t buffers_bytes;
    size_t next_piece;
    uint64_t asked_bytes;  /* of the pieces before */
    uint32_t asked, taken; /* gets started; gets that came back and were looked at */
    int err;
    char text[256];
    bool freed_in_done;
    _Atomic uint64_t landed_bytes, gets;
};

/* Thread: the lane's. The count is the last thing that it touches: after it the pull may be gone,
 * and the wake-up is no more than an address. */
static void get_done(struct weft_lane_get *get, int err)
{
    struct slot *slot = get->user;
    struct weft_pull *pull = slot->pull;
    slot->err = err;
    weft__check(weft__mpsc_push(&pull->landed, slot));
    atomic_fetch_add_explicit(&pull->events, 1, memory_order_release);
    weft__futex_wake(&pull->events);
}

/* Notes the first error; nothing new is asked for from then on. */
static void fail(struct weft_pull *pull, int err, const char *text)
{
    if (pull->err)
        return;
    pull->err = err;
    strncpy(pull->text, text, sizeof(pull->text) - 1);
}

/* What may be behind a get's error, for whoever reads it. */
static const char *cause_of(int err)
{
    if (err == WEFT_EACCES)
        return "; its source does not share it, or no longer";
    if (weft_error_damage(err) == WEFT_DAMAGE_PEER)
        return "; its source has gone, or no longer shares it";
    if (err == WEFT_ENOMEM)
        return "; raise the limit of locked memory (ulimit -l) where the network card wants it";
    return "";
}

static void fail_piece(struct weft_pull *pull, const struct slot *slot, int err)
{
    const struct weft_image *image = pull->desc.image;
    uint64_t offset = slot->piece->packed ? image->runs.at[slot->piece->runs_at].offset
                                          : slot->piece->source_offset;
    weft_fail(err, "the piece of %u bytes at offset 0x%llx of the region%s: %s%s",
              slot->piece->len_bytes, (unsigned long long)offset,
              slot->piece->packed ? " (packed)" : "", weft_error_text(err), cause_of(err));
    fail(pull, err, weft_fail_text(err));
}

/* Starts the get of the slot's piece.  Errors: the lane's. */
static int get_piece(struct weft_pull *pull, struct slot *slot)
{
    const struct weft_image *image = pull->desc.image;
    const struct weft_image_piece *piece = slot->piece;
    const struct weft_image_span *span = piece->packed ? NULL : &image->spans[piece->runs_at];
    slot->get = (struct weft_lane_get){
        .peer = pull->desc.peer,
        .key = span ? span->key : image->packed_key,
        .remote_offset = span ? piece->source_offset - span->range.offset : piece->source_offset,
        .into = slot->buffer,
        .len_bytes = piece->len_bytes,
        .done = get_done,
        .user = slot};
    return weft__lane_get(pull->desc.lane, &slot->get);
}

/* Asks for the next piece.  Errors: the lane's; the slot stays free. */
static int ask(struct weft_pull *pull, struct slot *slot)
{
    slot->piece = &pull->desc.image->pieces[pull->next_piece];
    slot->asked_again = false;
    if (!pull->desc.into)
        slot->buffer = (unsigned char *)pull->desc.memory + pull->asked_bytes;
    return get_piece(pull, slot);
}

/* What was lost with its connection is asked for once more: the lane connects anew, or takes
 * another path, and a get may be repeated. */
static bool ask_again(struct weft_pull *pull, struct slot *slot)
{
    if (pull->err || slot->asked_again || weft_error_damage(slot->err) != WEFT_DAMAGE_PEER)
        return false;
    slot->asked_again = true;
    return get_piece(pull, slot) == WEFT_OK;
}

/* Keeps the window full.  Returns whether the lane refused for now. */
static bool ask_all(struct weft_pull *pull)
{
    if (atomic_load_explicit(&pull->events, memory_order_acquire) & CANCELLED)
        fail(pull, WEFT_ECANCELED, "the pull was cancelled");
    while (!pull->err && pull->free_slots && pull->next_piece < pull->desc.image->pieces_n) {
        struct slot *slot = pull->free_slots;
        int err = ask(pull, slot);
        if (err == WEFT_EAGAIN)
            return true;
        if (err) {
            fail_piece(pull, slot, err);
            return false;
        }
        pull->free_slots = slot->next_free;
        pull->asked_bytes += pull->desc.image->pieces[pull->next_piece++].len_bytes;
        pull->asked++;
    }
    return false;
}

/* Checks and writes what a get has brought. */
static void land(struct weft_pull *pull, const struct slot *slot)
{
    const struct weft_image_piece *piece = slot->piece;
    atomic_fetch_add_explicit(&pull->gets, 1, memory_order_relaxed);
    if (pull->err)
        return;
    if (slot->err) {
        fail_piece(pull, slot, slot->err);
        return;
    }
    if (XXH3_64bits(slot->buffer, piece->len_bytes) != piece->sum) {
        fail_piece(pull, slot, WEFT_ECHECKSUM);
        return;
    }
    int err = pull->desc.into
                  ? weft__image_place(pull->desc.image, piece, slot->buffer, pull->desc.into)
                  : 0;
    if (err)
        fail(pull, err, weft_fail_text(err));
    else
        atomic_fetch_add_explicit(&pull->landed_bytes, piece->len_bytes, memory_order_relaxed);
}

/* Takes the next slot that has come back; NULL: none until deadline_ns, or a cancel came in
 * between. */
static struct slot *next_landed(struct weft_pull *pull, uint64_t deadline_ns)
{
    uint32_t seen = atomic_load_explicit(&pull->events, memory_order_acquire);
    if ((seen & ~CANCELLED) == pull->taken) {
        weft__futex_wait(&pull->events, seen, deadline_ns);
        seen = atomic_load_explicit(&pull->events, memory_order_acquire);
    }
    if ((seen & ~CANCELLED) == pull->taken)
        return NULL;
    struct slot *slot = weft__mpsc_pop(&pull->landed);
    weft__check(slot); /* callbacks of a lane come one after the other, each counted once it is in
                          the ring */
    pull->taken++;
    return slot;
}

static void stalled(struct weft_pull *pull)
{
    if (!pull->err)
        fail(pull, WEFT_ETIMEDOUT,
             "the pull has stalled: no bytes came in time; the peer was dropped");
    else
        weft__warn("a pull waits for %u gets of a dropped peer", pull->asked - pull->taken);
    weft__lane_drop(pull->desc.lane, pull->desc.peer);
}

static void transfer(struct weft_pull *pull)
{
    const uint64_t stall_ns = pull->desc.stall_ms * WEFT_NS_PER_MS;
    uint64_t stall_at = weft__now_ns() + stall_ns;
    for (;;) {
        bool refused = ask_all(pull);
        if (pull->asked == pull->taken && !refused)
            return;
        uint64_t now_ns = weft__now_ns();
        struct slot *slot = next_landed(pull, refused ? now_ns + RETRY_NS : stall_at);
        if (slot && ask_again(pull, slot)) {
            pull->asked++;
            stall_at = weft__now_ns() + stall_ns;
        } else if (slot) {
            land(pull, slot);
            slot->next_free = pull->free_slots;
            pull->free_slots = slot;
            stall_at = weft__now_ns() + stall_ns;
        } else if (weft__now_ns() >= stall_at) {
            stalled(pull);
            stall_at = weft__now_ns() + stall_ns;
        }
    }
}

static void pull_release(struct weft_pull *pull)
{
    weft__mpsc_fini(&pull->landed);
    weft__spare_put(pull->buffers, pull->buffers_bytes);
    free(pull->slots);
    free(pull);
}

static void *pull_main(void *arg)
{
    struct weft_pull *pull = arg;
    pull->self = pthread_self();
    transfer(pull);
    pull->desc.done(pull, pull->err, pull->err ? pull->text : NULL, pull->desc.user);
    if (pull->freed_in_done)
        pull_release(pull);
    return NULL;
}

static bool make_buffers(struct weft_pull *pull, uint32_t chunk)
{
    pull->buffers_bytes = (size_t)pull->desc.window * chunk;
    pull->buffers = weft__spare_get(pull->buffers_bytes);
    return pull->buffers != NULL;
}

static int make_slots(struct weft_pull *pull)
{
    const uint32_t chunk = pull->desc.image->chunk_bytes;
    size_t ring = 2;
    while (ring < pull->desc.window)
        ring *= 2;
    pull->slots = calloc(pull->desc.window, sizeof(*pull->slots));
    bool enough = pull->slots && (!pull->desc.into || make_buffers(pull, chunk));
    if (!enough)
        return weft_fail(WEFT_ENOMEM, "no memory for %u buffers of %u bytes to pull into",
                         pull->desc.window, chunk);
    for (uint32_t i = 0; i < pull->desc.window; i++) {
        struct slot *slot = &pull->slots[i];
        slot->pull = pull;
        if (pull->buffers)
            slot->buffer = pull->buffers + (size_t)i * chunk;
        slot->next_free = pull->free_slots;
        pull->free_slots = slot;
    }
    return weft__mpsc_init(&pull->landed, ring);
}

int weft__pull_start(const struct weft_pull_desc *desc, struct weft_pull **pull_out)
{
    if (desc->into && desc->image->region_len_bytes != desc->into->len_bytes)
        return weft_fail(WEFT_EINVAL,
                         "an image of a region of 0x%llx bytes does not fit one of 0x%zx",
                         (unsigned long long)desc->image->region_len_bytes, desc->into->len_bytes);
    struct weft_pull *pull = calloc(1, sizeof(*pull));
    if (!pull)
        return weft_fail(WEFT_ENOMEM, "no memory for a pull");
    pull->desc = *desc;
    if (pull->desc.window == 0 || pull->desc.window > WINDOW_MAX)
        pull->desc.window = pull->desc.window ? WINDOW_MAX : WEFT_PULL_WINDOW;
    if (pull->desc.stall_ms == 0)
        pull->desc.stall_ms = STALL_MS;
    pthread_t thread;
    int err = make_slots(pull);
    *pull_out = err ? NULL : pull; /* before the thread: done may look at it */
    if (!err) {
        err = -pthread_create(&thread, NULL, pull_main, pull);
        if (err)
            weft_fail(err, "cannot start a thread to pull: %s", strerror(-err));
    }
    if (err) {
        *pull_out = NULL;
        pull_release(pull);
    }
    return err;
}

void weft__pull_cancel(struct weft_pull *pull)
{
    atomic_fetch_or_explicit(&pull->events, CANCELLED, memory_order_release);
    weft__futex_wake(&pull->events);
}

void weft__pull_progress(const struct weft_pull *pull, struct weft_pull_progress *progress_out)
{
    progress_out->total_bytes = pull->desc.image->total_bytes;
    progress_out->landed_bytes = atomic_load_explicit(&pull->landed_bytes, memory_order_relaxed);
    progress_out->gets = atomic_load_explicit(&pull->gets, memory_order_relaxed);
}

void weft__pull_free(struct weft_pull *pull)
{
    if (!pull)
        return;
    if (pthread_equal(pthread_self(), pull->self)) {
        pthread_detach(pull->self);
        pull->freed_in_done = true;
        return;
    }
    pthread_join(pull->self, NULL);
    pull_release(pull);
}
