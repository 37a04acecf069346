/* Lanes of a process over libfabric: what those on one interface share, where their provider is one
 * that shares, and that each has its own, where it is not. Two interfaces of a network namespace of
 * the test's own, or those that the command line names: SCHEME shared|own [INTERFACE INTERFACE]. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "link/lanes.h"
#include "tests/unit/link/pair.h"
#include "transport/ofi/ofi.h"
#include "weft/error.h"

#define LANES 3u
#define BYTES ((size_t)300000)
#define WITHIN_NS (60 * WEFT_NS_PER_S)

static struct end ends[2];
static struct weft_lanes sets[2];
static struct weft_lanes_peer peers[2];
static unsigned char from[BYTES], intos[WEFT_LANES_MAX][BYTES];
static const char *interfaces[2] = {"d1", "d2"};
static bool shared; /* lanes on one interface have one domain */

static void ignore_message(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
}

/* On so many interfaces. The sides begin with different ones: a card need not reach itself. */
static void open_both(unsigned nets, unsigned lanes)
{
    for (unsigned side = 0; side < 2; side++) {
        char net[64];
        snprintf(net, sizeof(net), "%s%s%s", interfaces[side], nets > 1 ? "," : "",
                 nets > 1 ? interfaces[!side] : "");
        assert_int_equal(weft__config_set("WEFT_NET", net), WEFT_OK);
        struct weft_lane_desc desc = end_desc(&ends[side], "", "thread");
        desc.bind = "0.0.0.0";
        desc.message = ignore_message;
        int err = weft__lanes_open(&desc, lanes, &sets[side]);
        if (err != WEFT_OK)
            fail_msg("%s", weft_fail_text(err));
    }
    for (unsigned side = 0; side < 2; side++)
        assert_int_equal(weft__lanes_peer(&sets[side], sets[!side].address, &peers[side]), WEFT_OK);
}

static void close_both(void)
{
    for (unsigned side = 0; side < 2; side++)
        weft__lanes_close(&sets[side]);
}

static void ended(struct weft_lane_get *get, int err)
{
    atomic_store((atomic_int *)get->user, err == WEFT_OK ? 1 : err);
}

/* A get by a lane of side 1 of what side 0 has registered: 0, or how it failed. */
static int pull(unsigned lane, const struct weft_lane_key *key)
{
    unsigned char *into = intos[lane];
    atomic_int done = 0;
    struct weft_lane_get get = {.peer = peers[1].of[lane],
                                .key = *key,
                                .into = into,
                                .len_bytes = BYTES,
                                .done = ended,
                                .user = &done};
    uint64_t deadline_ns = weft__now_ns() + WITHIN_NS;
    memset(into, 0, BYTES);
    int err = weft__lane_get(sets[1].lane[lane], &get);
    if (err != WEFT_OK)
        return err;
    while (atomic_load(&done) == 0) {
        if (weft__now_ns() > deadline_ns)
            abort(); /* the get is on this stack */
        sched_yield();
    }
    if (atomic_load(&done) != 1)
        return atomic_load(&done);
    return memcmp(into, from, BYTES) == 0 ? WEFT_OK : WEFT_EIO;
}

static uint64_t registrations(void)
{
    struct weft_lane_stats stats;
    weft__lanes_stats(&sets[0], &stats);
    return stats.usage.registrations;
}

static void register_all(struct weft_lane_region **regions, struct weft_lane_key *keys)
{
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(
            weft__lane_register(sets[0].lane[i], from, BYTES, WEFT_TP_READ, &regions[i], &keys[i]),
            WEFT_OK);
}

/* Lanes 0 and 2 are on the first interface, lane 1 on the second. */
static void a_range_is_registered_once_for_each_domain(void **state)
{
    (void)state;
    struct weft_lane_region *regions[LANES];
    struct weft_lane_key keys[LANES];
    struct weft_lane_stats each[WEFT_LANES_MAX];
    open_both(2, LANES);
    assert_int_equal(registrations(), 0);
    register_all(regions, keys);
    weft__lanes_each(&sets[0], each);
    assert_string_equal(each[0].address, each[2].address);
    assert_string_not_equal(each[0].address, each[1].address);
    assert_int_not_equal(each[0].usage.domain, 0);
    assert_int_not_equal(each[0].usage.domain, each[1].usage.domain);
    assert_int_equal(each[0].usage.domain == each[2].usage.domain, shared);
    for (unsigned i = 0; i < LANES; i++) {
        assert_int_equal(each[i].usage.registrations, 1);
        assert_int_equal(each[i].usage.registered_bytes, BYTES);
    }
    assert_int_equal(keys[0].tp.key == keys[2].tp.key, shared);
    for (unsigned i = 0; i < LANES; i++)
        assert_int_equal(pull(i, &keys[i]), WEFT_OK);
    assert_int_equal(registrations(), shared ? 2 : 3);
    weft__lane_unregister(sets[0].lane[0], regions[0]);
    assert_int_equal(registrations(), 2); /* lane 2 has it still */
    assert_int_equal(pull(2, &keys[2]), WEFT_OK);
    weft__lane_unregister(sets[0].lane[2], regions[2]);
    assert_int_equal(registrations(), 1);
    assert_int_equal(pull(1, &keys[1]), WEFT_OK);
    weft__lane_unregister(sets[0].lane[1], regions[1]);
    assert_int_equal(registrations(), 0);
    close_both();
}

static void a_key_ends_with_the_last_lane_that_has_registered_the_range(void **state)
{
    (void)state;
    struct weft_lane_region *regions[LANES];
    struct weft_lane_key keys[LANES];
    open_both(2, LANES);
    register_all(regions, keys);
    weft__lane_unregister(sets[0].lane[0], regions[0]);
    if (!shared) {
        assert_int_not_equal(pull(0, &keys[0]), WEFT_OK);
        assert_int_equal(pull(2, &keys[2]), WEFT_OK); /* that one has a key of its own */
    }
    weft__lane_unregister(sets[0].lane[2], regions[2]);
    assert_int_not_equal(pull(2, &keys[2]), WEFT_OK);
    assert_int_equal(pull(1, &keys[1]), WEFT_OK);
    close_both();
}

struct work {
    pthread_t thread;
    unsigned lane;
    struct weft_lane_region *region;
    atomic_uint wrong;
};

enum { TURNS = 2000 };

/* Registers and lets go what the other lanes do too. */
static void *register_often(void *ctx)
{
    struct work *work = ctx;
    for (unsigned i = 0; i < TURNS; i++) {
        struct weft_lane_region *region;
        struct weft_lane_key key;
        size_t at = i % 7 * 4096;
        if (weft__lane_register(sets[0].lane[work->lane], from + at, 4096, WEFT_TP_READ, &region,
                                &key) == WEFT_OK)
            weft__lane_unregister(sets[0].lane[work->lane], region);
        else
            atomic_fetch_add(&work->wrong, 1);
    }
    return NULL;
}

static void threads_register_the_same_ranges_on_all_lanes_at_a_time(void **state)
{
    (void)state;
    struct work work[LANES] = {0};
    open_both(2, LANES);
    for (unsigned i = 0; i < LANES; i++) {
        work[i].lane = i;
        assert_int_equal(pthread_create(&work[i].thread, NULL, register_often, &work[i]), 0);
    }
    for (unsigned i = 0; i < LANES; i++) {
        pthread_join(work[i].thread, NULL);
        assert_int_equal(atomic_load(&work[i].wrong), 0);
    }
    assert_int_equal(registrations(), 0);
    close_both();
}

static unsigned pulls = 300; /* fewer where the card is emulated */

static void *pull_often(void *ctx)
{
    struct work *work = ctx;
    struct weft_lane_key key;
    int err = weft__lane_register(sets[0].lane[work->lane], from, BYTES, WEFT_TP_READ,
                                  &work->region, &key);
    for (unsigned i = 0; i < pulls && err == WEFT_OK; i++)
        err = pull(work->lane, &key);
    if (err != WEFT_OK)
        print_message("lane %u: %s\n", work->lane, weft_error_text(err));
    atomic_fetch_add(&work->wrong, err != WEFT_OK);
    return NULL;
}

/* As many as there may be: the kernel bounds how many sleepers a descriptor may wake in the end. */
static void four_lanes_on_one_interface_move_bytes_at_a_time(void **state)
{
    (void)state;
    struct work work[WEFT_LANES_MAX] = {0};
    open_both(1, WEFT_LANES_MAX);
    for (unsigned i = 0; i < WEFT_LANES_MAX; i++) {
        work[i].lane = i;
        assert_int_equal(pthread_create(&work[i].thread, NULL, pull_often, &work[i]), 0);
    }
    for (unsigned i = 0; i < WEFT_LANES_MAX; i++) {
        pthread_join(work[i].thread, NULL);
        assert_int_equal(atomic_load(&work[i].wrong), 0);
    }
    assert_int_equal(registrations(), shared ? 1 : WEFT_LANES_MAX);
    for (unsigned i = 0; i < WEFT_LANES_MAX; i++)
        weft__lane_unregister(sets[0].lane[i], work[i].region);
    close_both();
}

/* false: it cannot be done here, and why has been printed. */
static bool enter_net(void)
{
    if (unshare(CLONE_NEWNET) != 0 ||
        system(
            "ip link set lo up && ip link add d1 type veth peer name d2 && for i in 1 2; do "
            "ip addr add 10.9.$i.1/24 dev d$i && ip link set d$i up || exit 1; done; "
            /* the kernel says a moment later that they are up */
            "for k in $(seq 600); do [ $(ip -o link show up | grep -c 'state UP') = 2 ] && exit 0; "
            "sleep 0.05; done; exit 1") != 0) {
        printf("skipped: no network namespace of our own: needs root (CAP_SYS_ADMIN)\n");
        return false;
    }
    return true;
}

static int usage(const char *name)
{
    printf("usage: %s [SCHEME shared|own [INTERFACE INTERFACE]]\n", name);
    return 2;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_registered_once_for_each_domain),
        cmocka_unit_test(a_key_ends_with_the_last_lane_that_has_registered_the_range),
        cmocka_unit_test(threads_register_the_same_ranges_on_all_lanes_at_a_time),
        cmocka_unit_test(four_lanes_on_one_interface_move_bytes_at_a_time),
    };
    if (argc != 1 && argc != 3 && argc != 5)
        return usage(argv[0]);
    pair_scheme = argc > 1 ? argv[1] : "ofi:net";
    shared = argc > 2 && strcmp(argv[2], "shared") == 0;
    weft__ofi_share_always = shared; /* says nothing new to a provider that pins memory */
    if (argc > 4) {
        memcpy(interfaces, argv + 3, sizeof(interfaces));
        pulls = 30;
    } else if (!enter_net()) {
        return 77;
    }
    for (size_t i = 0; i < BYTES; i++)
        from[i] = (unsigned char)(i * 11 + (i >> 9));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
