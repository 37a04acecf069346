/* Landings of gets in tracked memory, over the transport that the command line names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "lanes.h"
#include "link/lane.h"
#include "memory.h"
#include "ranges.h"
#include "snapshot/track.h"
#include "weft/error.h"

#define PAGES 200
#define GETS 12
#define PATIENCE_NS (60ull * 1000000000)

static const char *scheme = "inproc";
static const char *const trackers[] = {"pagemap_scan", "segv", "none"};
static struct weft_lane *source_lane, *lane;
static struct weft_lane_peer peer;

struct batch {
    struct weft_lane_get gets[GETS];
    _Atomic uint32_t over, failed;
};

static void landed(struct weft_lane_get *get, int err)
{
    struct batch *batch = get->user;
    weft__region_written(get->into, get->len_bytes);
    atomic_fetch_add(&batch->failed, err != 0);
    atomic_fetch_add(&batch->over, 1);
    weft__futex_wake(&batch->over);
}

/* Gets into a slot of the range each, so that none overlaps another. */
static void get_some(struct batch *batch, const struct range *range,
                     const struct weft_lane_key *key, bool *written, uint64_t *seed)
{
    const size_t slot = PAGES / GETS * PAGE;
    memset(batch, 0, sizeof(*batch));
    for (size_t i = 0; i < GETS; i++) {
        size_t len = 1 + (size_t)(random_next(seed) % (random_next(seed) % 2 ? 300 : slot));
        size_t at = i * slot + (size_t)(random_next(seed) % (slot - len + 1));
        batch->gets[i] = (struct weft_lane_get){.peer = peer,
                                                .key = *key,
                                                .remote_offset = at,
                                                .into = range->base + at,
                                                .len_bytes = len,
                                                .done = landed,
                                                .user = batch};
        weft__region_will_write(range->base + at, len);
        assert_int_equal(weft__lane_get(lane, &batch->gets[i]), 0);
        memset(written + at / PAGE, true, (at + len - 1) / PAGE - at / PAGE + 1);
    }
    const uint64_t deadline = weft__now_ns() + PATIENCE_NS;
    for (uint32_t over; (over = atomic_load(&batch->over)) < GETS;)
        assert_int_equal(weft__futex_wait(&batch->over, over, deadline), 0);
    assert_int_equal(atomic_load(&batch->failed), 0);
}

static void check_gets(const char *tracker, enum memory memory)
{
    struct range range = range_make(memory, PAGES * PAGE);
    unsigned char *bytes = malloc(PAGES * PAGE);
    bool written[PAGES] = {0};
    uint64_t seed = 1618033 + memory;
    struct weft_lane_region *shared;
    struct weft_lane_key key;
    struct weft_lane_stats before, after;
    for (size_t i = 0; i < PAGES * PAGE; i++)
        bytes[i] = (unsigned char)random_next(&seed);
    weft__lane_stats(lane, &before);
    assert_int_equal(
        weft__lane_register(source_lane, bytes, PAGES * PAGE, WEFT_TP_READ, &shared, &key), 0);
    struct weft_track *track = track_make(tracker, &range);
    for (int round = 0; round < 10; round++) {
        struct batch batch;
        get_some(&batch, &range, &key, written, &seed);
        for (size_t i = 0; i < GETS; i++)
            assert_memory_equal(batch.gets[i].into, bytes + batch.gets[i].remote_offset,
                                batch.gets[i].len_bytes);
        collect_exactly(tracker, track, written, PAGES);
        memset(written, 0, sizeof(written));
    }
    collect_exactly(tracker, track, written, PAGES);
    weft__track_stop(track);
    weft__lane_unregister(source_lane, shared);
    weft__lane_stats(lane, &after);
    assert_true(after.rma_bytes_got > before.rma_bytes_got);
    free(bytes);
    range_drop(&range);
}

static void what_lands_by_gets_is_reported(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++)
        for (enum memory memory = ANONYMOUS; memory < MEMORIES; memory++)
            if (works(trackers[i]))
                check_gets(trackers[i], memory);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_lands_by_gets_is_reported)};
    if (argc > 1)
        scheme = argv[1];
    int err = lane_open(scheme, "source", &source_lane);
    if (err) {
        printf("skipped: %s: %s\n", scheme, weft_fail_text(err));
        return 77;
    }
    err = lane_open(scheme, "receiver", &lane);
    if (!err)
        err = weft__lane_peer(lane, weft__lane_address(source_lane), &peer);
    int failed = err ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
    if (err)
        printf("%s\n", weft_fail_text(err));
    weft__lane_close(lane);
    weft__lane_close(source_lane);
    return failed;
}
