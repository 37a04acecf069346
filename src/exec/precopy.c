/* Copying a rank that runs, at the source: rounds, each of at most ROUND_BYTES, that the
 * destination fetches before the rank is stopped.
 *
 * A round goes: what was written since the last one is asked of the trackers, and counts as not
 * copied again; the next pages that are not copied are read into a memory of its own, where they
 * stand still; that memory is summed, shared and described like the range of a rank that stands.
 * Pages are read after the trackers have been asked, so whatever is written later is found by the
 * next round or by the last look, when the rank stands; and nothing is fetched whose sum was taken
 * of other bytes. What is copied when the rank stands is what exists and is not copied: what was
 * never tracked is always among it.
 *
 * Reads go through the range's file: protections of the program and its code, which lies over the
 * range, are not in their way. Rejected: fetching from the range itself, which saves one copy (0.4
 * s a GiB, of a thread that nobody waits for) and makes the sum of each piece in which one page is
 * written meanwhile wrong.
 */
#include "exec/precopy.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exec/impl.h"
#include "exec/move.h"
#include "snapshot/image.h"
#include "snapshot/tracks.h"
#include "weft/error.h"

#define ROUND_BYTES (UINT64_C(64) << 20)
#define READ_BYTES (UINT64_C(256) << 10)

struct weft__precopy {
    struct weft__rank *rank;
    uint32_t round; /* the newest; covered by the rank's lock, with what follows */
    bool busy;      /* somebody is at work on the rest */
    bool over;      /* to be freed by whoever is at work */
    /* of a round under way */
    weft_exec_copied *done;
    void *ctx;
    atomic_bool stop;
    /* of who is at work */
    struct weft_tracks tracks;
    struct weft_region still; /* the pages of a round, at the places that they have in the range */
    struct weft_extents outside; /* of what is tracked */
    struct weft_extents copied;  /* the destination has them, or will have when it asks again */
    struct weft_image *image;
    uint64_t at; /* this pass over the range has come so far */
    unsigned char *buffer;
};

static void free_precopy(struct weft__precopy *precopy)
{
    weft__tracks_stop(&precopy->tracks);
    weft__image_free(precopy->image);
    weft__region_fini(&precopy->still);
    weft__extents_fini(&precopy->outside);
    weft__extents_fini(&precopy->copied);
    free(precopy->buffer);
    free(precopy);
}

/* ---- lists of pages ---- */

static void take_over(struct weft_extents *list, struct weft_extents *from)
{
    weft__extents_fini(list);
    *list = *from;
    *from = (struct weft_extents){0};
}

/* What is written since it was last asked is not copied any more. */
static int forget_written(struct weft__precopy *precopy)
{
    struct weft_extents written = {0}, left = {0};
    int err = weft__tracks_collect(&precopy->tracks, &written);
    if (!err)
        err = weft__extents_without(&precopy->copied, &written, &left);
    if (!err)
        take_over(&precopy->copied, &left);
    weft__extents_fini(&written);
    weft__extents_fini(&left);
    return err;
}

/* What of a list lies at `from` or behind, at most most_bytes of it. Returns in *more_out whether
 * there is more. */
static int cut(const struct weft_extents *list, uint64_t from, uint64_t most_bytes,
               struct weft_extents *out, bool *more_out)
{
    int err = WEFT_OK;
    *more_out = false;
    for (size_t i = 0; i < list->n && !err; i++) {
        const uint64_t end = list->at[i].offset + list->at[i].len_bytes;
        const uint64_t begin = list->at[i].offset > from ? list->at[i].offset : from;
        const uint64_t room = most_bytes - out->total_bytes;
        if (begin >= end)
            continue;
        if (end - begin > room)
            *more_out = true;
        if (room == 0)
            break;
        err = weft__extents_add(out, begin, end - begin < room ? end - begin : room);
    }
    return err;
}

/* The pages of the next round; last: with it the pass over the range is done. */
static int choose(struct weft__precopy *precopy, struct weft_extents *chosen, bool *last_out)
{
    struct weft_extents touched = {0}, missing = {0}, wanted = {0};
    bool more = false;
    int err = weft__region_touched(&precopy->rank->region, &touched);
    if (!err)
        err = weft__extents_without(&touched, &precopy->copied, &missing);
    if (!err)
        err = weft__extents_without(&missing, &precopy->outside, &wanted);
    if (!err)
        err = cut(&wanted, precopy->at, ROUND_BYTES, chosen, &more);
    *last_out = !more;
    if (!more)
        precopy->at = 0;
    else if (chosen->n > 0)
        precopy->at = chosen->at[chosen->n - 1].offset + chosen->at[chosen->n - 1].len_bytes;
    weft__extents_fini(&touched);
    weft__extents_fini(&missing);
    weft__extents_fini(&wanted);
    return err;
}

static int check_size(const struct weft__rank *rank)
{
    struct stat status;
    if (fstat(rank->region.fd, &status) != 0)
        return weft_fail(-errno, "the memory of rank %d cannot be read", (int)rank->number);
    uint64_t bytes = (uint64_t)status.st_blocks * 512;
    if (bytes >= rank->exec->precopy_above)
        return WEFT_OK;
    return weft_fail(WEFT_ENOTSUP, "rank %d has %llu KiB: too few to copy before it stops",
                     (int)rank->number, (unsigned long long)(bytes >> 10));
}

/* ---- a round ---- */

static int begin(struct weft__precopy *precopy)
{
    const struct weft_region *region = &precopy->rank->region;
    struct weft_extents whole = {0};
    int err = check_size(precopy->rank);
    precopy->buffer = malloc(READ_BYTES);
    if (!err && !precopy->buffer)
        err = weft_fail(WEFT_ENOMEM, "no memory to copy rank %d", (int)precopy->rank->number);
    if (!err)
        err = weft__region_init(&precopy->still, "weft-precopy", NULL, region->len_bytes);
    if (!err)
        err = weft__tracks_start(&precopy->tracks, region);
    if (!err)
        err = weft__extents_add(&whole, 0, region->len_bytes);
    if (!err)
        err = weft__extents_without(&whole, &precopy->tracks.parts, &precopy->outside);
    weft__extents_fini(&whole);
    return err;
}

static int read_run(const struct weft__precopy *precopy, const struct weft_extent *run)
{
    const int fd = precopy->rank->region.fd;
    for (uint64_t done = 0; done < run->len_bytes;) {
        const uint64_t left = run->len_bytes - done;
        const size_t len = left < READ_BYTES ? (size_t)left : (size_t)READ_BYTES;
        if (atomic_load_explicit(&precopy->stop, memory_order_relaxed))
            return weft_fail(WEFT_ECANCELED, "the move was called off");
        ssize_t n = pread(fd, precopy->buffer, len, (off_t)(run->offset + done));
        if (n != (ssize_t)len)
            return weft_fail(WEFT_EIO, "the memory of rank %d cannot be read",
                             (int)precopy->rank->number);
        int err = weft__region_write(&precopy->still, run->offset + done, precopy->buffer, len);
        if (err)
            return err;
        done += len;
    }
    return WEFT_OK;
}

static int make_image(struct weft__precopy *precopy, const struct weft_extents *chosen)
{
    const struct weft_image_desc desc = {.region = &precopy->still, .extents = chosen};
    weft__image_free(precopy->image);
    precopy->image = NULL;
    int err = weft__region_punch(&precopy->still, 0, precopy->still.len_bytes);
    for (size_t i = 0; i < chosen->n && !err; i++)
        err = read_run(precopy, &chosen->at[i]);
    if (!err)
        err = weft__image_build(&desc, &precopy->image);
    return err ? err : weft__image_share(precopy->image, precopy->rank->exec->lane);
}

static int describe(const struct weft__precopy *precopy, uint8_t **bytes_out, size_t *len_out)
{
    const struct weft__rank *rank = precopy->rank;
    const struct weft_exec *exec = rank->exec;
    uint8_t *image = NULL;
    size_t image_len = 0;
    struct weft__move move = {.app = exec->app,
                              .rank = rank->number,
                              .size = exec->size,
                              .base = exec->base,
                              .stride = exec->stride,
                              .executor = exec->executor->number,
                              .running = 1,
                              .round = precopy->round};
    strncpy(move.lane, weft__lane_address(exec->lane), sizeof(move.lane) - 1);
    memcpy(move.build_id, exec->program.elf.build_id, exec->program.elf.build_id_len);
    move.build_id_len = exec->program.elf.build_id_len;
    int err = weft__image_encode(precopy->image, &image, &image_len);
    move.image = image;
    move.image_len = image_len;
    if (!err)
        err = weft__move_encode(&move, bytes_out, len_out);
    free(image);
    return err;
}

/* One round; on success the bytes of its description are the caller's. */
static int make_round(struct weft__precopy *precopy, struct weft_exec_round *round_out,
                      uint8_t **bytes_out)
{
    struct weft_extents chosen = {0}, all = {0};
    size_t len = 0;
    int err = precopy->round == 1 ? begin(precopy) : WEFT_OK;
    if (!err)
        err = forget_written(precopy);
    if (!err)
        err = choose(precopy, &chosen, &round_out->last);
    if (!err)
        err = make_image(precopy, &chosen);
    if (!err)
        err = weft__extents_either(&precopy->copied, &chosen, &all);
    if (!err)
        err = describe(precopy, bytes_out, &len);
    if (!err)
        take_over(&precopy->copied, &all);
    round_out->descriptor = *bytes_out;
    round_out->len_bytes = len;
    round_out->bytes = chosen.total_bytes;
    weft__extents_fini(&chosen);
    weft__extents_fini(&all);
    return err;
}

/* Lets go of it after work.  Returns whether it is to be freed. */
static bool leave(struct weft__precopy *precopy, bool failed)
{
    struct weft__rank *rank = precopy->rank;
    pthread_mutex_lock(&rank->lock);
    if (failed && rank->precopy == precopy)
        rank->precopy = NULL;
    bool over = precopy->over || failed;
    precopy->busy = false;
    pthread_mutex_unlock(&rank->lock);
    return over;
}

static void *work(void *arg)
{
    struct weft__precopy *precopy = arg;
    struct weft__rank *rank = precopy->rank;
    weft_exec_copied *done = precopy->done;
    void *ctx = precopy->ctx;
    struct weft_exec_round round = {0};
    uint8_t *bytes = NULL;
    char text[256] = "";
    int err = make_round(precopy, &round, &bytes);
    if (err)
        snprintf(text, sizeof(text), "%s", weft_fail_text(err));
    if (leave(precopy, err != WEFT_OK))
        free_precopy(precopy);
    done(ctx, err, err ? text : NULL, err ? NULL : &round);
    free(bytes);
    atomic_fetch_sub(&rank->copying, 1);
    return NULL;
}

/* ---- from outside ---- */

/* What keeps the rank where it is, and probably will when it has been copied. Other pins come and
 * go (requests, calls): those the rank's thread looks at when it stops.  The caller holds the lock.
 */
static int check_pins(const struct weft__rank *rank)
{
    const struct weft__executor *executor = rank->exec->executor;
    char reason[100];
    if (rank->forks)
        return weft_fail(WEFT_EPINNED, "it has forked its memory");
    if (executor->stays && executor->stays(rank, reason))
        return weft_fail(WEFT_EPINNED, "%s", reason);
    return WEFT_OK;
}

/* The rank's precopy for the round, busy.  The caller holds the lock. */
static int enter(struct weft__rank *rank, const struct weft_exec_copy *what,
                 struct weft__precopy **precopy_out)
{
    struct weft__precopy *precopy = rank->precopy;
    if (rank->state != WEFT_RANK_RUNNING)
        return weft_fail(WEFT_EBUSY, "rank %d cannot be copied: it is %s", (int)rank->number,
                         weft__exec_state_name(rank->state));
    if (what->round > 1 && (!precopy || precopy->busy || precopy->round + 1 != what->round))
        return weft_fail(WEFT_ENOENT, "round %u of copying rank %d does not follow the last one",
                         what->round, (int)rank->number);
    int err = what->round == 1 ? check_pins(rank) : WEFT_OK;
    if (err)
        return err;
    if (what->round == 1) {
        precopy = precopy ? NULL : calloc(1, sizeof(*precopy));
        if (!precopy)
            return weft_fail(rank->precopy ? WEFT_EBUSY : WEFT_ENOMEM, "rank %d cannot be copied",
                             (int)rank->number);
        precopy->rank = rank;
        rank->precopy = precopy;
    }
    precopy->round = what->round;
    precopy->done = what->done;
    precopy->ctx = what->ctx;
    precopy->busy = true;
    atomic_fetch_add(&rank->copying, 1);
    *precopy_out = precopy;
    return WEFT_OK;
}

/* A thread that takes no signals: those are the program's. */
static int start_work(struct weft__precopy *precopy)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, work, precopy);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return weft_fail(-error, "cannot start a thread to copy: %s", strerrordesc_np(error));
    pthread_detach(thread);
    return WEFT_OK;
}

int weft__exec_copy(struct weft_exec *exec, const struct weft_exec_copy *what)
{
    struct weft__rank *rank =
        what->rank >= 0 && what->rank < exec->size ? weft__rank_find(exec, what->rank) : NULL;
    struct weft__precopy *precopy = NULL;
    if (!rank)
        return weft_fail(WEFT_ENOENT, "rank %d is not here", (int)what->rank);
    if (what->round == 1)
        weft__precopy_end(rank);
    pthread_mutex_lock(&rank->lock);
    int err = enter(rank, what, &precopy);
    pthread_mutex_unlock(&rank->lock);
    if (err)
        return err;
    err = start_work(precopy);
    if (err) {
        if (leave(precopy, true))
            free_precopy(precopy);
        atomic_fetch_sub(&rank->copying, 1);
    }
    return err;
}

void weft__exec_copy_end(struct weft_exec *exec, int32_t number)
{
    struct weft__rank *rank =
        number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
    if (rank)
        weft__precopy_end(rank);
}

void weft__precopy_end(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    struct weft__precopy *precopy = rank->precopy;
    bool busy = precopy && precopy->busy;
    rank->precopy = NULL;
    if (busy) {
        precopy->over = true;
        atomic_store_explicit(&precopy->stop, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&rank->lock);
    if (precopy && !busy)
        free_precopy(precopy);
}

void weft__precopy_stop(struct weft__rank *rank)
{
    weft__precopy_end(rank);
    while (atomic_load(&rank->copying))
        sched_yield();
}

int weft__precopy_rest(struct weft__rank *rank, uint32_t round, struct weft_extents *touched_out,
                       struct weft_extents *rest_out)
{
    weft__extents_clear(touched_out);
    weft__extents_clear(rest_out);
    pthread_mutex_lock(&rank->lock);
    struct weft__precopy *precopy = rank->precopy;
    bool usable = precopy && !precopy->busy && round > 0 && precopy->round == round;
    if (usable)
        precopy->busy = true;
    pthread_mutex_unlock(&rank->lock);
    if (!usable)
        return weft_fail(WEFT_ENOENT, "rank %d was not copied before", (int)rank->number);
    int err = forget_written(precopy);
    if (!err)
        err = weft__region_touched(&rank->region, touched_out);
    if (!err)
        err = weft__extents_without(touched_out, &precopy->copied, rest_out);
    if (leave(precopy, err != WEFT_OK))
        free_precopy(precopy);
    return err;
}
