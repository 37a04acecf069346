/* Pulls between two lanes of this process, over the transport that the command line names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "lanes.h"
#include "link/lane.h"
#include "memory.h"
#include "snapshot/pull.h"
#include "weft/error.h"

#define PAGE WEFT_REGION_PAGE
#define REGION_BYTES ((size_t)32 << 20)

static const char *scheme = "inproc";

struct rig {
    struct weft_lane *source_lane, *lane;
    struct weft_lane_peer peer;
    struct weft_region source, into;
    struct weft_image *image;   /* the source's */
    struct weft_image *decoded; /* the receiver's */
    struct weft_pull *pull;
    _Atomic uint32_t over; /* how often done ran */
    int err;
    char text[256];
    bool free_in_done;
    const struct weft_extents *only; /* what is described; NULL: what was touched */
    size_t spoil, spoil_packed;      /* > 0: offset of a byte to change once the sums are taken */
};

static int rig_open(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    if (!rig)
        return -1;
    assert_int_equal(lane_open(scheme, "source", &rig->source_lane), 0);
    assert_int_equal(lane_open(scheme, "receiver", &rig->lane), 0);
    assert_int_equal(weft__lane_peer(rig->lane, weft__lane_address(rig->source_lane), &rig->peer),
                     0);
    assert_int_equal(weft__region_init(&rig->source, "source", NULL, REGION_BYTES), 0);
    assert_int_equal(weft__region_init(&rig->into, "receiver", NULL, REGION_BYTES), 0);
    *state = rig;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    weft__image_free(rig->image);
    weft__image_free(rig->decoded);
    weft__lane_close(rig->lane);
    weft__lane_close(rig->source_lane);
    weft__region_fini(&rig->source);
    weft__region_fini(&rig->into);
    free(rig);
    return 0;
}

/* Takes the keys back: from now on nobody reads the source, which may change again. */
static void forget(struct rig *rig)
{
    weft__image_free(rig->image);
    weft__image_free(rig->decoded);
    rig->image = rig->decoded = NULL;
}

/* Builds, shares and sends the image of the source as it is now. */
static void describe(struct rig *rig, uint32_t chunk, uint32_t pack_below)
{
    const struct weft_image_desc desc = {.region = &rig->source,
                                         .extents = rig->only,
                                         .chunk_bytes = chunk,
                                         .pack_below_bytes = pack_below};
    uint8_t *bytes;
    size_t len;
    forget(rig);
    assert_int_equal(weft__image_build(&desc, &rig->image), 0);
    if (rig->spoil)
        ((char *)rig->source.base)[rig->spoil] ^= 1;
    if (rig->spoil_packed)
        rig->image->packed[rig->spoil_packed] ^= 0x80;
    assert_int_equal(weft__image_share(rig->image, rig->source_lane), 0);
    assert_int_equal(weft__image_encode(rig->image, &bytes, &len), 0);
    assert_int_equal(weft__image_decode(bytes, len, &rig->decoded), 0);
    free(bytes);
}

static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct rig *rig = user;
    rig->err = err;
    snprintf(rig->text, sizeof(rig->text), "%s", text ? text : "");
    if (rig->free_in_done)
        weft__pull_free(pull);
    atomic_fetch_add(&rig->over, 1);
    weft__futex_wake(&rig->over);
}

static void start(struct rig *rig, uint32_t window)
{
    const struct weft_pull_desc desc = {.lane = rig->lane,
                                        .peer = rig->peer,
                                        .image = rig->decoded,
                                        .into = &rig->into,
                                        .window = window,
                                        .done = pulled,
                                        .user = rig};
    atomic_store(&rig->over, 0);
    assert_int_equal(weft__pull_start(&desc, &rig->pull), 0);
}

static int await(struct rig *rig)
{
    uint64_t limit = weft__now_ns() + 60 * WEFT_NS_PER_S;
    while (!atomic_load(&rig->over))
        assert_int_equal(weft__futex_wait(&rig->over, 0, limit), 0);
    if (!rig->free_in_done)
        weft__pull_free(rig->pull);
    assert_int_equal(atomic_load(&rig->over), 1);
    return rig->err;
}

/* What was described has come, and nothing else. Sharing may fill small holes of the source. */
static void expect_same(struct rig *rig)
{
    struct weft_extents touched = {0}, to = {0};
    const struct weft_extents *from = &touched;
    assert_int_equal(weft__region_touched(&rig->source, &touched), 0);
    assert_int_equal(weft__region_touched(&rig->into, &to), 0);
    if (!rig->only)
        from = &rig->image->runs;
    assert_int_equal(from->n, to.n);
    assert_int_equal(from->total_bytes, to.total_bytes);
    for (size_t i = 0; i < from->n; i++) {
        assert_int_equal(from->at[i].offset, to.at[i].offset);
        assert_int_equal(from->at[i].len_bytes, to.at[i].len_bytes);
        assert_memory_equal((char *)rig->source.base + from->at[i].offset,
                            (char *)rig->into.base + to.at[i].offset, from->at[i].len_bytes);
    }
    weft__extents_fini(&touched);
    weft__extents_fini(&to);
}

static void a_region_arrives_whole_at_another_address_and_its_holes_stay_holes(void **state)
{
    struct rig *rig = *state;
    struct weft_pull_progress progress;
    for (size_t i = 0; i < 300; i++)
        touch(&rig->source, 2 * i + 5, 1, i + 1);
    touch(&rig->source, 1000, 1500, 99);
    touch(&rig->source, REGION_BYTES / PAGE - 3, 3, 100);
    describe(rig, 0, 0);
    assert_true(rig->image->packed_len_bytes > 0);
    start(rig, 0);
    while (!atomic_load(&rig->over)) {
        weft__pull_progress(rig->pull, &progress);
        assert_true(progress.landed_bytes <= progress.total_bytes);
    }
    weft__pull_progress(rig->pull, &progress);
    assert_int_equal(progress.landed_bytes, (300 + 1500 + 3) * PAGE);
    assert_int_equal(progress.gets, rig->image->pieces_n);
    assert_int_equal(await(rig), 0);
    expect_same(rig);
}

static void an_untouched_region_is_pulled_at_once(void **state)
{
    struct rig *rig = *state;
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    expect_same(rig);
}

static void pulled_into_memory_it_can_be_written_where_it_belongs_afterwards(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 1000, 600, 5);
    for (size_t i = 0; i < 600; i++)
        touch(&rig->source, 3 * i + 2000, 1, i + 1);
    describe(rig, 0, 0);
    unsigned char *memory = malloc(rig->image->total_bytes), *at = memory;
    const struct weft_pull_desc desc = {.lane = rig->lane,
                                        .peer = rig->peer,
                                        .image = rig->decoded,
                                        .memory = memory,
                                        .done = pulled,
                                        .user = rig};
    atomic_store(&rig->over, 0);
    assert_int_equal(weft__pull_start(&desc, &rig->pull), 0);
    assert_int_equal(await(rig), 0);
    for (size_t i = 0; i < rig->decoded->pieces_n; i++) {
        const struct weft_image_piece *piece = &rig->decoded->pieces[i];
        assert_int_equal(weft__image_place(rig->decoded, piece, at, &rig->into), 0);
        at += piece->len_bytes;
    }
    assert_int_equal(at - memory, rig->image->total_bytes);
    expect_same(rig);
    free(memory);
}

static void what_was_pulled_can_be_shared_with_the_sums_that_it_came_with(void **state)
{
    struct rig *rig = *state;
    const struct weft_image_desc desc = {.region = &rig->into};
    struct weft_image *fresh;
    touch(&rig->source, 1000, 600, 5);
    for (size_t i = 0; i < 600; i++)
        touch(&rig->source, 3 * i + 2000, 1, i + 1);
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    assert_int_equal(weft__image_adopt(rig->decoded, &rig->into), 0);
    assert_int_equal(weft__image_build(&desc, &fresh), 0);
    assert_int_equal(rig->decoded->pieces_n, fresh->pieces_n);
    assert_int_equal(rig->decoded->packed_len_bytes, fresh->packed_len_bytes);
    assert_memory_equal(rig->decoded->packed, fresh->packed, fresh->packed_len_bytes);
    for (size_t i = 0; i < fresh->pieces_n; i++)
        assert_true(rig->decoded->pieces[i].sum == fresh->pieces[i].sum);
    weft__image_free(fresh);
}

static void a_second_pull_brings_the_changes_over_the_first(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 0, 700, 1);
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    forget(rig);
    touch(&rig->source, 100, 50, 2);
    touch(&rig->source, 5000, 50, 3);
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    expect_same(rig);
}

static void regions_of_any_pattern_arrive_however_they_are_cut(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 20;
    for (int round = 0; round < 12; round++) {
        uint32_t chunk = PAGE * (uint32_t)(1 + random_next(&seed) % 64);
        uint32_t pack_below = 1 + (uint32_t)(random_next(&seed) % chunk);
        forget(rig);
        for (int i = 0; i < 20; i++)
            touch(&rig->source, (size_t)(random_next(&seed) % (REGION_BYTES / PAGE - 100)),
                  1 + (size_t)(random_next(&seed) % 100), random_next(&seed));
        describe(rig, chunk, pack_below);
        start(rig, 1 + (uint32_t)(random_next(&seed) % 20));
        assert_int_equal(await(rig), 0);
        expect_same(rig);
    }
}

static void a_byte_that_changed_after_its_sum_is_found_and_does_not_land(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 512, 2048, 7);
    rig->spoil = (512 + 1024) * PAGE + 5;
    describe(rig, 0, 0);
    start(rig, 2);
    assert_int_equal(await(rig), WEFT_ECHECKSUM);
    assert_non_null(strstr(rig->text, "offset 0x600000 "));
    struct weft_extents landed = {0};
    assert_int_equal(weft__region_touched(&rig->into, &landed), 0);
    for (size_t i = 0; i < landed.n; i++)
        assert_true(landed.at[i].offset + landed.at[i].len_bytes <= 0x600000 ||
                    landed.at[i].offset >= 0x700000);
    weft__extents_fini(&landed);
}

static void a_packed_byte_that_changed_is_found_too(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < 20; i++)
        touch(&rig->source, 10 * i, 2, i + 1);
    rig->spoil_packed = 5 * PAGE;
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), WEFT_ECHECKSUM);
    assert_non_null(strstr(rig->text, "packed"));
}

/* ---- keys and ranges that are none, or none any more ---- */

static uint64_t registrations(const struct rig *rig)
{
    struct weft_lane_stats stats;
    weft__lane_stats(rig->source_lane, &stats);
    return stats.regions;
}

/* The pull ends with an error that says which piece and why, and nothing has landed; the next one
 * over the same lanes goes well. */
static void expect_refused(struct rig *rig)
{
    struct weft_extents landed = {0};
    start(rig, 4);
    int err = await(rig);
    if (err != WEFT_EACCES && weft_error_damage(err) != WEFT_DAMAGE_PEER)
        fail_msg("%d: %s", err, rig->text);
    assert_non_null(strstr(rig->text, "the piece of "));
    assert_non_null(strstr(rig->text, "no longer"));
    assert_int_equal(weft__region_touched(&rig->into, &landed), 0);
    assert_int_equal(landed.n, 0);
    forget(rig);
    assert_int_equal(registrations(rig), 0);
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    expect_same(rig);
}

static void a_wrong_key_ends_the_pull_and_nothing_lands(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 0, 600, 1);
    describe(rig, 0, 0);
    rig->decoded->spans[0].key.tp.key ^= 0x5555;
    expect_refused(rig);
}

static void a_key_that_was_taken_back_ends_the_pull_and_nothing_lands(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 0, 600, 1);
    describe(rig, 0, 0);
    assert_int_equal(registrations(rig), 1);
    weft__image_free(rig->image);
    rig->image = NULL;
    assert_int_equal(registrations(rig), 0);
    expect_refused(rig);
}

/* What is shared ends with the region; the description goes on behind it. */
static void a_description_of_more_than_is_shared_ends_the_pull_and_nothing_lands(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, REGION_BYTES / PAGE - 600, 600, 1);
    describe(rig, 0, 0);
    rig->decoded->spans[0].key.tp.len_bytes = UINT64_MAX; /* whatever it says */
    for (size_t i = 0; i < rig->decoded->pieces_n; i++)
        rig->decoded->pieces[i].source_offset += 600 * PAGE;
    expect_refused(rig);
}

/* The source stops sharing and unmaps when some of it has been pulled. */
static void memory_that_goes_in_the_middle_ends_the_pull(void **state)
{
    struct rig *rig = *state;
    struct weft_pull_progress progress = {0};
    int err = 0;
    for (unsigned i = 0; i < 20 && !err; i++) {
        touch(&rig->source, 0, REGION_BYTES / PAGE, i + 1);
        describe(rig, 4 * PAGE, 0);
        start(rig, 2);
        while (!atomic_load(&rig->over) && progress.landed_bytes < REGION_BYTES / 3)
            weft__pull_progress(rig->pull, &progress);
        weft__image_free(rig->image);
        rig->image = NULL;
        weft__region_fini(&rig->source);
        err = await(rig);
        assert_int_equal(registrations(rig), 0);
        assert_int_equal(weft__region_init(&rig->source, "source", NULL, REGION_BYTES), 0);
    }
    if (err == WEFT_ETIMEDOUT && strstr(scheme, "verbs")) { /* where the card says nothing */
        assert_non_null(strstr(rig->text, "stalled"));
        return;
    }
    if (err != WEFT_EACCES && weft_error_damage(err) != WEFT_DAMAGE_PEER)
        fail_msg("%d: %s", err, rig->text);
    assert_non_null(strstr(rig->text, "the piece of "));
}

static void a_region_of_another_length_is_refused(void **state)
{
    struct rig *rig = *state;
    struct weft_region other;
    struct weft_pull *pull = NULL;
    describe(rig, 0, 0);
    assert_int_equal(weft__region_init(&other, "other", NULL, REGION_BYTES / 2), 0);
    const struct weft_pull_desc desc = {.lane = rig->lane,
                                        .peer = rig->peer,
                                        .image = rig->decoded,
                                        .into = &other,
                                        .done = pulled,
                                        .user = rig};
    assert_int_equal(weft__pull_start(&desc, &pull), WEFT_EINVAL);
    assert_null(pull);
    weft__region_fini(&other);
}

static void a_cancelled_pull_ends_once_and_clean_wherever_it_was(void **state)
{
    struct rig *rig = *state;
    uint64_t seed = 77;
    unsigned cancelled = 0;
    struct weft_pull_progress progress;
    touch(&rig->source, 0, REGION_BYTES / PAGE / 2, 1);
    describe(rig, 32 * PAGE, 0);
    for (int round = 0; round < 40; round++) {
        uint64_t at = random_next(&seed) % (REGION_BYTES / 2);
        rig->free_in_done = false;
        start(rig, 1 + (uint32_t)round % 8);
        do
            weft__pull_progress(rig->pull, &progress);
        while (round > 4 && progress.landed_bytes < at && !atomic_load(&rig->over));
        weft__pull_cancel(rig->pull);
        int err = await(rig);
        assert_true(err == 0 || err == WEFT_ECANCELED);
        cancelled += err == WEFT_ECANCELED;
    }
    assert_true(cancelled > 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    expect_same(rig);
}

/* What changed goes over the copy; a pull of it that was cancelled is begun again. */
static void an_update_that_was_cancelled_can_be_pulled_again(void **state)
{
    struct rig *rig = *state;
    struct weft_extents changed = {0};
    struct weft_lane_stats before, after;
    uint64_t seed = 5;
    touch(&rig->source, 0, REGION_BYTES / PAGE, 1);
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    for (unsigned round = 0; round < 4; round++) {
        forget(rig);
        weft__extents_clear(&changed);
        for (size_t page = random_next(&seed) % 50; page < REGION_BYTES / PAGE - 40;
             page += 40 + random_next(&seed) % 300) {
            size_t pages = 1 + random_next(&seed) % 39;
            touch(&rig->source, page, pages, random_next(&seed));
            assert_int_equal(weft__extents_add(&changed, page * PAGE, pages * PAGE), 0);
        }
        rig->only = &changed;
        describe(rig, 32 * PAGE, 0);
        for (unsigned i = 0; i < 4; i++) {
            start(rig, 2);
            for (uint64_t spin = random_next(&seed) % 100000; spin > 0; spin--)
                (void)atomic_load(&rig->over);
            weft__pull_cancel(rig->pull);
            int err = await(rig);
            assert_true(err == 0 || err == WEFT_ECANCELED);
        }
        weft__lane_stats(rig->lane, &before);
        start(rig, 0);
        assert_int_equal(await(rig), 0);
        weft__lane_stats(rig->lane, &after);
        assert_int_equal(after.rma_bytes_got - before.rma_bytes_got, changed.total_bytes);
        expect_same(rig);
    }
    weft__extents_fini(&changed);
}

/* 10 MiB all over tens of GiB, the first and the last page among them. */
static void a_huge_sparse_region_moves_what_was_touched(void **state)
{
    struct rig *rig = *state;
    const size_t runs = 1280, step = HUGE_BYTES / (runs - 1) / PAGE * PAGE;
    struct weft_lane_stats before, after;
    struct weft_extents landed = {0};
    uint8_t *bytes;
    size_t len;
    weft__region_fini(&rig->source);
    weft__region_fini(&rig->into);
    assert_int_equal(weft__region_init(&rig->source, "source", NULL, HUGE_BYTES), 0);
    assert_int_equal(weft__region_init(&rig->into, "receiver", NULL, HUGE_BYTES), 0);
    for (size_t i = 0; i < runs - 1; i++)
        touch(&rig->source, i * step / PAGE, 2, i + 1);
    touch(&rig->source, HUGE_BYTES / PAGE - 2, 2, runs);
    weft__lane_stats(rig->lane, &before);
    describe(rig, 0, 0);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    weft__lane_stats(rig->lane, &after);
    assert_int_equal(after.rma_bytes_got - before.rma_bytes_got, runs * 2 * PAGE);
    assert_int_equal(weft__image_encode(rig->image, &bytes, &len), 0);
    assert_true(len < 16 * runs); /* the description, too */
    free(bytes);
    assert_int_equal(weft__region_touched(&rig->into, &landed), 0);
    assert_int_equal(landed.total_bytes, runs * 2 * PAGE);
    weft__extents_fini(&landed);
    expect_same(rig);
}

/* Pieces that are read where they lie, past 4 GiB, as well as packed ones. */
static void long_runs_past_4_gib_are_pulled_from_where_they_lie(void **state)
{
    struct rig *rig = *state;
    weft__region_fini(&rig->source);
    weft__region_fini(&rig->into);
    assert_int_equal(weft__region_init(&rig->source, "source", NULL, HUGE_BYTES), 0);
    assert_int_equal(weft__region_init(&rig->into, "receiver", NULL, HUGE_BYTES), 0);
    touch(&rig->source, 3, 600, 1);
    touch(&rig->source, 4 * GIB / PAGE - 300, 600, 2); /* across the border */
    touch(&rig->source, 9 * GIB / PAGE + 7, 700, 3);
    touch(&rig->source, 9 * GIB / PAGE + 900, 1, 4);
    touch(&rig->source, HUGE_BYTES / PAGE - 600, 600, 5);
    describe(rig, 0, 0);
    assert_int_equal(rig->image->packed_len_bytes, PAGE);
    start(rig, 0);
    assert_int_equal(await(rig), 0);
    expect_same(rig);
}

static void a_pull_may_be_freed_in_done(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 0, 600, 1);
    describe(rig, 0, 0);
    rig->free_in_done = true;
    for (int round = 0; round < 5; round++) {
        start(rig, 0);
        assert_int_equal(await(rig), 0);
    }
    expect_same(rig);
}

static void two_pulls_over_one_lane_do_not_mix(void **state)
{
    struct rig *rig = *state;
    struct rig other = {.lane = rig->lane, .peer = rig->peer, .source_lane = rig->source_lane};
    assert_int_equal(weft__region_init(&other.source, "source 2", NULL, REGION_BYTES), 0);
    assert_int_equal(weft__region_init(&other.into, "receiver 2", NULL, REGION_BYTES), 0);
    touch(&rig->source, 0, 2000, 1);
    touch(&other.source, 1000, 2000, 2);
    describe(rig, 16 * PAGE, 0);
    describe(&other, 16 * PAGE, 0);
    start(rig, 0);
    start(&other, 0);
    assert_int_equal(await(rig), 0);
    assert_int_equal(await(&other), 0);
    expect_same(rig);
    expect_same(&other);
    weft__image_free(other.image);
    weft__image_free(other.decoded);
    weft__region_fini(&other.source);
    weft__region_fini(&other.into);
}

static void a_source_that_is_gone_ends_the_pull(void **state)
{
    struct rig *rig = *state;
    touch(&rig->source, 0, 600, 1);
    describe(rig, 0, 0);
    weft__image_free(rig->image);
    rig->image = NULL;
    weft__lane_close(rig->source_lane);
    const struct weft_pull_desc desc = {.lane = rig->lane,
                                        .peer = rig->peer,
                                        .image = rig->decoded,
                                        .into = &rig->into,
                                        .stall_ms = 500,
                                        .done = pulled,
                                        .user = rig};
    atomic_store(&rig->over, 0);
    assert_int_equal(weft__pull_start(&desc, &rig->pull), 0);
    assert_int_not_equal(await(rig), 0);
    assert_int_equal(lane_open(scheme, "source", &rig->source_lane), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)

/* Whether a lane of the scheme can be opened here. */
static bool available(void)
{
    struct weft_lane *lane;
    int err = lane_open(scheme, "probe", &lane);
    if (err) {
        printf("skipped: %s: %s\n", scheme, weft_fail_text(err));
        return false;
    }
    printf("over %s\n", weft__lane_report(lane));
    weft__lane_close(lane);
    return true;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(a_region_arrives_whole_at_another_address_and_its_holes_stay_holes),
        TEST(an_untouched_region_is_pulled_at_once),
        TEST(pulled_into_memory_it_can_be_written_where_it_belongs_afterwards),
        TEST(what_was_pulled_can_be_shared_with_the_sums_that_it_came_with),
        TEST(a_second_pull_brings_the_changes_over_the_first),
        TEST(regions_of_any_pattern_arrive_however_they_are_cut),
        TEST(a_byte_that_changed_after_its_sum_is_found_and_does_not_land),
        TEST(a_packed_byte_that_changed_is_found_too),
        TEST(a_wrong_key_ends_the_pull_and_nothing_lands),
        TEST(a_key_that_was_taken_back_ends_the_pull_and_nothing_lands),
        TEST(a_description_of_more_than_is_shared_ends_the_pull_and_nothing_lands),
        TEST(memory_that_goes_in_the_middle_ends_the_pull),
        TEST(an_update_that_was_cancelled_can_be_pulled_again),
        TEST(a_huge_sparse_region_moves_what_was_touched),
        TEST(long_runs_past_4_gib_are_pulled_from_where_they_lie),
        TEST(a_region_of_another_length_is_refused),
        TEST(a_cancelled_pull_ends_once_and_clean_wherever_it_was),
        TEST(a_pull_may_be_freed_in_done),
        TEST(two_pulls_over_one_lane_do_not_mix),
        TEST(a_source_that_is_gone_ends_the_pull),
    };
    if (argc > 1)
        scheme = argv[1];
    if (!available())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
