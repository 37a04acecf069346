/* Storing and loading ranks: a thread of its own, because snapshots take as long as networks and
 * disks do, one rank at a time, because each needs room in the store's memory on its way.
 *
 * A rank is pushed into the memory of the store's snapshot service, put into a file there, and
 * deleted from that memory; back the other way round. What is refused for want of room or of free
 * hands, which other processes may hold just now, is tried again for a while. A file that is left
 * by a try that was given up is the home's to erase. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/app_freeze.h"
#include "host/transports.h"
#include "snapshot/client.h"
#include "weft/error.h"

enum { KEY_ROOM = 192, AGAIN_US = 20000, ROOM_MS = 20000, CALL_MAX_MS = 3600000 };

struct trip {
    struct weft_app_freezer *freezer;
    struct weft_snapshots *snapshots;
    char key[KEY_ROOM];
};

static uint32_t left_ms(const struct weft_app_freezer *freezer)
{
    uint64_t now_ns = weft__now_ns();
    uint64_t left = freezer->until_ns > now_ns ? (freezer->until_ns - now_ns) / WEFT_NS_PER_MS : 0;
    return left == 0 ? 1 : left < CALL_MAX_MS ? (uint32_t)left : CALL_MAX_MS;
}

static struct weft_snapshot_at at(const struct trip *trip)
{
    return (struct weft_snapshot_at){
        .url = trip->freezer->store, .key = trip->key, .timeout_ms = left_ms(trip->freezer)};
}

/* Whether to try again: others may have made room by then. */
static bool again(const struct trip *trip, int err, uint64_t begun_ns)
{
    uint64_t now_ns = weft__now_ns();
    bool room = err == WEFT_ENOSPC && now_ns < begun_ns + ROOM_MS * WEFT_NS_PER_MS;
    if (!room && err != WEFT_EAGAIN && err != WEFT_EMFILE)
        return false;
    if (atomic_load(&trip->freezer->thread_stop) || now_ns >= trip->freezer->until_ns)
        return false;
    (void)usleep(AGAIN_US);
    return true;
}

static int push(const struct trip *trip, const struct weft_region *region)
{
    uint64_t begun_ns = weft__now_ns();
    struct weft_snapshot_at where;
    int err;
    do {
        where = at(trip);
        err = weft__snapshot_push(trip->snapshots, &where, region);
    } while (again(trip, err, begun_ns));
    return err;
}

/* Into a file, or out of one. */
static int file(const struct trip *trip, bool restore)
{
    /* A disk that is full stays so; memory does not. */
    uint64_t begun_ns = restore ? weft__now_ns() : 0;
    struct weft_snapshot_at where;
    int err;
    do {
        where = at(trip);
        err = restore ? weft__snapshot_restore(trip->snapshots, &where, NULL)
                      : weft__snapshot_save(trip->snapshots, &where);
    } while (again(trip, err, begun_ns));
    return err;
}

/* The copy in the store's memory is not needed any more. */
static void drop(const struct trip *trip)
{
    struct weft_snapshot_at where = at(trip);
    (void)weft__snapshot_delete(trip->snapshots, &where, NULL);
}

static int store(const struct trip *trip, struct weft_app_frozen *rank)
{
    const struct weft_region *region;
    struct stat status;
    int err = weft__exec_memory(trip->freezer->app->exec, rank->rank, &region, NULL);
    if (err != WEFT_OK)
        return err;
    if (fstat(region->fd, &status) == 0)
        rank->bytes = (uint64_t)status.st_blocks * 512;
    err = push(trip, region);
    return err == WEFT_OK ? file(trip, false) : err;
}

static int load(const struct trip *trip, const struct weft_app_frozen *rank)
{
    struct weft_exec *exec = trip->freezer->app->exec;
    struct weft_snapshot_copy copy;
    int err = weft__exec_reserve(exec, rank->rank);
    if (err == WEFT_OK)
        err = file(trip, true);
    if (err != WEFT_OK)
        return err;
    struct weft_snapshot_at where = at(trip);
    err = weft__snapshot_pull(trip->snapshots, &where, &copy);
    if (err != WEFT_OK)
        return err;
    err = weft__exec_load(exec, &(struct weft_exec_load){.rank = rank->rank,
                                                         .descriptor = rank->descriptor,
                                                         .len_bytes = rank->len_bytes,
                                                         .from = &copy.region});
    weft__region_fini(&copy.region);
    return err;
}

static int all(struct trip *trip)
{
    struct weft_app_freezer *freezer = trip->freezer;
    int err = WEFT_OK;
    for (size_t i = 0; i < freezer->ranks_n && err == WEFT_OK; i++) {
        struct weft_app_frozen *rank = &freezer->ranks[i];
        if (atomic_load(&freezer->thread_stop)) {
            snprintf(freezer->thread_text, sizeof(freezer->thread_text), "it was given up");
            return WEFT_ECANCELED;
        }
        snprintf(trip->key, sizeof(trip->key), "%s%d", freezer->prefix, rank->rank);
        err = freezer->loads ? load(trip, rank) : store(trip, rank);
        snprintf(freezer->thread_text, sizeof(freezer->thread_text), "rank %d cannot be %s: %s",
                 rank->rank, freezer->loads ? "loaded" : "stored",
                 err != WEFT_OK ? weft_fail_text(err) : "");
        drop(trip);
    }
    return err;
}

static void *run(void *arg)
{
    struct weft_app_freezer *freezer = arg;
    struct trip trip = {.freezer = freezer};
    int err =
        weft__snapshots_open(&(struct weft_snapshots_desc){.client = freezer->app->asker.client,
                                                           .transports = weft__transports,
                                                           .transports_n = weft__transports_n},
                             &trip.snapshots);
    if (err != WEFT_OK)
        snprintf(freezer->thread_text, sizeof(freezer->thread_text), "%s", weft_fail_text(err));
    else
        err = all(&trip);
    weft__snapshots_close(trip.snapshots);
    freezer->thread_err = err;
    weft__loop_must_post(freezer->app->asker.loop, &freezer->thread_over);
    return NULL;
}

int weft__app_store_start(struct weft_app_freezer *freezer, bool loads)
{
    freezer->loads = loads;
    freezer->thread_text[0] = '\0';
    atomic_store(&freezer->thread_stop, false);
    int err = -pthread_create(&freezer->thread, NULL, run, freezer);
    if (err != WEFT_OK)
        return weft_fail(err, "no thread to store or load ranks");
    freezer->thread_runs = true;
    return WEFT_OK;
}

void weft__app_store_join(struct weft_app_freezer *freezer)
{
    if (!freezer->thread_runs)
        return;
    (void)pthread_join(freezer->thread, NULL);
    freezer->thread_runs = false;
}
