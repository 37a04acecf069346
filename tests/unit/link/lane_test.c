/* A lane over one transport, named on the command line. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "pair.h"
#include "weft/error.h"

#define THREADS 4u
#define EACH 2000u

static bool over_inproc(void)
{
    return strcmp(pair_scheme, "inproc") == 0;
}

struct numbered {
    uint32_t thread, number;
    unsigned char filler[120];
};

struct order {
    uint32_t next[THREADS];
    unsigned wrong;
};

static void in_order(struct end *end, const void *data, size_t len_bytes)
{
    struct order *order = end->user;
    struct numbered m;
    if (len_bytes != sizeof(m)) {
        order->wrong++;
        return;
    }
    memcpy(&m, data, sizeof(m));
    if (m.thread >= THREADS || order->next[m.thread]++ != m.number)
        order->wrong++;
}

struct sender {
    struct end *end;
    uint32_t thread;
};

static void *send_numbered(void *arg)
{
    struct sender *sender = arg;
    struct numbered m = {.thread = sender->thread};
    for (m.number = 0; m.number < EACH; m.number++)
        end_send(sender->end, &m, sizeof(m));
    return NULL;
}

static void four_threads(const char *progress)
{
    struct end a = {0}, b = {0};
    struct order order = {0};
    b.message = in_order;
    b.user = &order;
    pair_open(&a, &b, progress);
    pthread_t threads[THREADS];
    struct sender senders[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){&a, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_numbered, &senders[i]), 0);
    }
    while (atomic_load(&b.heard) < THREADS * EACH)
        pair_move(&a, &b);
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct weft_lane_stats stats;
    weft__lane_stats(b.lane, &stats);
    assert_int_equal(stats.messages_received, THREADS * EACH);
    assert_int_equal(stats.bytes_received, THREADS * EACH * sizeof(struct numbered));
    pair_close(&a, &b);
    assert_int_equal(order.wrong, 0);
}

static void messages_of_four_threads_arrive_in_order_per_thread(void **state)
{
    (void)state;
    four_threads("thread");
}

static void without_a_progress_thread_the_callers_move_everything(void **state)
{
    (void)state;
    four_threads("worker");
}

static void *send_until_told(void *arg)
{
    struct end *end = arg;
    unsigned char bytes[1000] = {1};
    atomic_bool *stop = end->user;
    while (!atomic_load(stop))
        end_send(end, bytes, sizeof(bytes));
    return NULL;
}

static void gets_of_64_mib_land_while_messages_flow(void **state)
{
    (void)state;
    size_t len = (size_t)64 << 20;
    unsigned char *from = malloc(len), *into = calloc(1, len);
    fill_pattern(from, len, 3);
    atomic_bool stop = false;
    struct end a = {0}, b = {0};
    b.user = &stop;
    pair_open(&a, &b, "thread");
    struct weft_lane_region *region;
    struct weft_lane_key key;
    assert_int_equal(weft__lane_register(b.lane, from, len, WEFT_TP_READ, &region, &key), WEFT_OK);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, send_until_told, &b), 0);
    struct pull pull;
    pull_start(&a, &pull, &key, into, len);
    while (!atomic_load(&pull.ended) || atomic_load(&a.heard) < 100)
        sched_yield(); /* the progress threads do it all */
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(pull.err, WEFT_OK);
    assert_true(same_pattern(into, len, 3));
    struct weft_lane_stats stats;
    weft__lane_stats(a.lane, &stats);
    assert_int_equal(stats.rma_bytes_got, len);
    weft__lane_unregister(b.lane, region);
    pair_close(&a, &b);
    free(from);
    free(into);
}

static void a_wrong_token_is_refused_and_counted(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    end_open(&b, "b", "thread");
    struct weft_lane_desc desc = end_desc(&a, "a", "thread");
    desc.token = PAIR_TOKEN + 1;
    assert_int_equal(weft__lane_open(&desc, &a.lane), WEFT_OK);
    assert_int_equal(weft__lane_peer(a.lane, weft__lane_address(b.lane), &a.other), WEFT_OK);
    for (unsigned i = 0; i < 10; i++)
        end_send(&a, "guess", 5);
    struct weft_lane_stats stats;
    do {
        pair_move(&a, &b);
        weft__lane_stats(b.lane, &stats);
    } while (stats.messages_refused < 10);
    assert_int_equal(stats.messages_received, 0);
    assert_int_equal(atomic_load(&b.heard), 0);
    pair_close(&a, &b);
}

static void closing_ends_what_is_under_way(void **state)
{
    (void)state;
    size_t len = (size_t)32 << 20;
    unsigned char *from = calloc(1, len), *into = calloc(1, len);
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "worker"); /* nobody drives b: nothing can complete */
    struct weft_lane_region *region;
    struct weft_lane_key key;
    assert_int_equal(weft__lane_register(b.lane, from, len, WEFT_TP_READ, &region, &key), WEFT_OK);
    struct pull pulls[4];
    for (unsigned i = 0; i < 4; i++)
        pull_start(&a, &pulls[i], &key, into + i * (len / 4), len / 4);
    for (unsigned i = 0; i < 50; i++) {
        weft__lane_drive(a.lane);
        end_send(&a, "flying", 6);
    }
    weft__lane_close(a.lane);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(atomic_load(&pulls[i].ended), 1);
        if (!over_inproc()) /* which copies at once */
            assert_int_equal(pulls[i].err, WEFT_ECANCELED);
    }
    weft__lane_unregister(b.lane, region);
    weft__lane_close(b.lane);
    free(from);
    free(into);
}

static void a_full_lane_says_so_and_recovers(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "worker");
    unsigned char bytes[PAIR_MESSAGE_MAX] = {0};
    struct iovec part = {bytes, sizeof(bytes)};
    unsigned sent = 0;
    int err;
    while ((err = weft__lane_send(a.lane, a.other, &part, 1)) == WEFT_OK)
        sent++;
    assert_int_equal(err, WEFT_EAGAIN);
    assert_true(sent > 0);
    while (atomic_load(&b.heard) < sent)
        pair_move(&a, &b);
    end_send(&a, bytes, sizeof(bytes));
    while (atomic_load(&b.heard) < sent + 1)
        pair_move(&a, &b);
    pair_close(&a, &b);
}

/* Uses the calling thread's CPU for a while. */
static void burn_cpu(void)
{
    struct timespec start, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do {
        sched_yield();
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec < 20000000);
}

/* A thread that polls never stops using its CPU; one that sleeps uses none between two looks. */
static bool comes_to_rest(const struct end *end)
{
    for (unsigned tries = 0; tries < 50; tries++) {
        struct weft_lane_stats before, after;
        weft__lane_stats(end->lane, &before);
        burn_cpu();
        weft__lane_stats(end->lane, &after);
        if (before.progress_cpu_ns == after.progress_cpu_ns)
            return true;
    }
    return false;
}

static void an_idle_progress_thread_sleeps(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    assert_true(comes_to_rest(&a));
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 20; i++)
            end_send(&a, "wake up", 7);
        while (atomic_load(&b.heard) < 20 * (round + 1))
            sched_yield();
        assert_true(comes_to_rest(&a));
        assert_true(comes_to_rest(&b));
    }
    pair_close(&a, &b);
}

static void a_sleeping_lane_wakes_up_for_messages_and_gets(void **state)
{
    (void)state;
    unsigned char from[5000], into[5000];
    fill_pattern(from, sizeof(from), 1);
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    struct weft_lane_region *region;
    struct weft_lane_key key;
    assert_int_equal(weft__lane_register(b.lane, from, sizeof(from), WEFT_TP_READ, &region, &key),
                     WEFT_OK);
    for (unsigned i = 0; i < 300; i++) {
        memset(into, 0, sizeof(into));
        struct pull pull;
        pull_start(&a, &pull, &key, into, sizeof(into));
        while (!atomic_load(&pull.ended))
            sched_yield();
        assert_int_equal(pull.err, WEFT_OK);
        assert_true(same_pattern(into, sizeof(into), 1));
        end_send(&b, "x", 1);
        while (atomic_load(&a.heard) == i)
            sched_yield();
    }
    weft__lane_unregister(b.lane, region);
    pair_close(&a, &b);
}

static void while_a_thread_polls_the_progress_thread_sleeps(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    weft__lane_polling(a.lane, true);
    assert_true(comes_to_rest(&a));
    struct weft_lane_stats before, after;
    weft__lane_stats(a.lane, &before);
    for (unsigned i = 1; i <= 100; i++) {
        end_send(&b, "ping", 4);
        while (atomic_load(&a.heard) < i)
            weft__lane_drive(a.lane);
    }
    weft__lane_stats(a.lane, &after);
    assert_int_equal(before.progress_wakeups, after.progress_wakeups);
    weft__lane_polling(a.lane, false);
    end_send(&b, "ping", 4);
    while (atomic_load(&a.heard) < 101)
        sched_yield();
    pair_close(&a, &b);
}

static void a_forged_key_fails_and_a_good_one_works_afterwards(void **state)
{
    (void)state;
    unsigned char from[3000], into[3000];
    fill_pattern(from, sizeof(from), 9);
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    struct weft_lane_region *region;
    struct weft_lane_key key;
    assert_int_equal(weft__lane_register(b.lane, from, sizeof(from), WEFT_TP_READ, &region, &key),
                     WEFT_OK);
    struct pull pull;
    for (unsigned i = 0; i < 5; i++) {
        struct weft_lane_key forged = key;
        forged.tp.key ^= 0x55aa55;
        memset(into, 0, sizeof(into));
        pull_start(&a, &pull, &forged, into, sizeof(into));
        while (!atomic_load(&pull.ended))
            pair_move(&a, &b);
        assert_int_not_equal(pull.err, WEFT_OK);
        assert_int_equal(into[1], 0);
        /* The connection may have gone with it; then a get may meet the end of the old one. */
        unsigned tries = 0;
        do {
            pull_start(&a, &pull, &key, into, sizeof(into));
            while (!atomic_load(&pull.ended))
                pair_move(&a, &b);
        } while (pull.err != WEFT_OK && ++tries < 3);
        assert_int_equal(pull.err, WEFT_OK);
        assert_true(same_pattern(into, sizeof(into), 9));
    }
    weft__lane_unregister(b.lane, region);
    pair_close(&a, &b);
}

static void a_range_beyond_the_registration_is_denied(void **state)
{
    (void)state;
    unsigned char from[3000], into[3000];
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    struct weft_lane_region *region;
    struct weft_lane_key key;
    assert_int_equal(weft__lane_register(b.lane, from, 2000, WEFT_TP_READ, &region, &key), WEFT_OK);
    struct pull pull;
    pull_start(&a, &pull, &key, into, sizeof(into));
    while (!atomic_load(&pull.ended))
        pair_move(&a, &b);
    assert_int_equal(pull.err, WEFT_EACCES);
    weft__lane_unregister(b.lane, region);
    pair_close(&a, &b);
}

static void dropping_a_peer_ends_its_gets_and_leaves_the_others(void **state)
{
    (void)state;
    size_t len = (size_t)8 << 20;
    unsigned char *from = malloc(len), *into = calloc(1, len), *gone = calloc(1, len);
    fill_pattern(from, len, 5);
    struct end a = {0}, b = {0}, c = {0};
    pair_open(&a, &b, "worker");
    end_open(&c, "c", "worker");
    struct weft_lane_peer silent;
    assert_int_equal(weft__lane_peer(a.lane, weft__lane_address(c.lane), &silent), WEFT_OK);
    struct weft_lane_region *of_b, *of_c;
    struct weft_lane_key key_b, key_c;
    assert_int_equal(weft__lane_register(b.lane, from, len, WEFT_TP_READ, &of_b, &key_b), WEFT_OK);
    assert_int_equal(weft__lane_register(c.lane, from, len, WEFT_TP_READ, &of_c, &key_c), WEFT_OK);
    struct pull lost, good;
    struct end to_c = {.lane = a.lane, .other = silent};
    pull_start(&to_c, &lost, &key_c, gone, len); /* nobody drives c any more after the connection */
    for (unsigned i = 0; i < 2000; i++) {
        weft__lane_drive(a.lane);
        if (i < 1000 && !over_inproc())
            weft__lane_drive(c.lane);
    }
    pull_start(&a, &good, &key_b, into, len);
    weft__lane_drive(a.lane);
    weft__lane_drop(a.lane, silent);
    while (!atomic_load(&lost.ended) || !atomic_load(&good.ended))
        pair_move(&a, &b);
    if (lost.err != WEFT_OK)
        assert_int_equal(lost.err, WEFT_ECANCELED);
    assert_int_equal(good.err, WEFT_OK);
    assert_true(same_pattern(into, len, 5));
    weft__lane_unregister(b.lane, of_b);
    weft__lane_unregister(c.lane, of_c);
    pair_close(&a, &b);
    weft__lane_close(c.lane);
    free(from);
    free(into);
    free(gone);
}

static void a_dropped_peer_can_be_used_again(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = atomic_load(&b.heard);
        end_send(&a, "again", 5);
        while (atomic_load(&b.heard) == before)
            pair_move(&a, &b);
        weft__lane_drop(a.lane, a.other);
    }
    pair_close(&a, &b);
}

static void bad_addresses_messages_and_peers_are_named_errors(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    struct weft_lane_peer peer = {99};
    assert_int_equal(weft__lane_peer(a.lane, "nonsense", &peer), WEFT_EINVAL);
    assert_int_equal(weft__lane_peer(a.lane, "carrier-pigeon;00ff", &peer), WEFT_ENOTSUP);
    assert_int_equal(peer.id, 99);
    struct weft_lane_peer again;
    assert_int_equal(weft__lane_peer(a.lane, weft__lane_address(b.lane), &again), WEFT_OK);
    assert_int_equal(again.id, a.other.id);
    static unsigned char large[PAIR_MESSAGE_MAX + 1];
    struct iovec part = {large, sizeof(large)};
    assert_int_equal(weft__lane_send(a.lane, a.other, &part, 1), WEFT_EMSGSIZE);
    assert_int_equal(weft__lane_send(a.lane, peer, &part, 1), WEFT_EINVAL);
    pair_close(&a, &b);
}

static int peer_number(struct weft_lane *lane, unsigned number, struct weft_lane_peer *peer_out)
{
    char address[64];
    const char *own = weft__lane_address(lane);
    snprintf(address, sizeof(address), "%.*s;%08x", (int)strcspn(own, ";"), own, number);
    return weft__lane_peer(lane, address, peer_out);
}

static void peers_that_nobody_uses_make_room_for_others(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    struct weft_lane_peer peer, kept;
    unsigned n = 0;
    pair_open(&a, &b, "thread");
    assert_int_equal(peer_number(a.lane, 1, &kept), WEFT_OK);
    for (unsigned i = 2; i < 6000; i++) { /* more than there is room for at a time */
        assert_int_equal(peer_number(a.lane, i, &peer), WEFT_OK);
        assert_int_not_equal(peer.id, a.other.id);
        assert_int_not_equal(peer.id, kept.id);
        weft__lane_peer_put(a.lane, peer);
    }
    while (n < 6000 && peer_number(a.lane, 10000 + n, &peer) == WEFT_OK)
        n++;
    assert_in_range(n, 4000, 4096);
    assert_int_equal(peer_number(a.lane, 10000, &peer), WEFT_OK); /* a known one */
    end_send(&a, "still", 5);
    while (atomic_load(&b.heard) == 0)
        pair_move(&a, &b);
    weft__lane_peer_put(a.lane, a.other); /* with its connection; the message may be on its way */
    while (peer_number(a.lane, 20000, &peer) != WEFT_OK)
        pair_move(&a, &b);
    assert_int_equal(peer.id, a.other.id);
    weft__lane_peer_put(a.lane, kept);
    assert_int_equal(weft__lane_peer(a.lane, weft__lane_address(b.lane), &a.other), WEFT_OK);
    assert_int_equal(a.other.id, kept.id);
    end_send(&a, "again", 5);
    while (atomic_load(&b.heard) == 1)
        pair_move(&a, &b);
    pair_close(&a, &b);
}

static void an_empty_get_ends_too(void **state)
{
    (void)state;
    struct end a = {0}, b = {0};
    pair_open(&a, &b, "thread");
    struct weft_lane_key key = {0};
    struct pull pull;
    pull_start(&a, &pull, &key, NULL, 0);
    while (!atomic_load(&pull.ended))
        pair_move(&a, &b);
    assert_int_equal(pull.err, WEFT_OK);
    pair_close(&a, &b);
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void lanes_that_come_and_go_leave_no_descriptors(void **state)
{
    (void)state;
    unsigned before = 0;
    for (unsigned i = 0; i < 40; i++) {
        struct end a = {0}, b = {0};
        pair_open(&a, &b, i % 2 ? "worker" : "thread");
        if (i % 3) { /* else nobody connects */
            end_send(&a, "hello", 5);
            while (!atomic_load(&b.heard))
                pair_move(&a, &b);
            end_send(&b, "hello", 5);
            while (!atomic_load(&a.heard))
                pair_move(&a, &b);
        }
        pair_close(&a, &b);
        if (i == 9)
            before = descriptors();
    }
    /* A transport may close what a connection leaves in a thread of its own. */
    while (descriptors() > before)
        sched_yield();
}

/* What libfabric leaves of a connection that is being made then, it leaves: net a descriptor, now
 * and then. */
static void lanes_can_be_closed_while_they_connect(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        struct end a = {0}, b = {0};
        pair_open(&a, &b, i % 2 ? "worker" : "thread");
        end_send(&a, "hello", 5);
        for (unsigned k = 0; k < i % 7; k++) {
            pair_move(&a, &b);
            end_send(&b, "hello", 5);
        }
        pair_close(i % 4 < 2 ? &a : &b, i % 4 < 2 ? &b : &a);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        pair_scheme = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_four_threads_arrive_in_order_per_thread),
        cmocka_unit_test(without_a_progress_thread_the_callers_move_everything),
        cmocka_unit_test(gets_of_64_mib_land_while_messages_flow),
        cmocka_unit_test(a_wrong_token_is_refused_and_counted),
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(a_full_lane_says_so_and_recovers),
        cmocka_unit_test(an_idle_progress_thread_sleeps),
        cmocka_unit_test(a_sleeping_lane_wakes_up_for_messages_and_gets),
        cmocka_unit_test(while_a_thread_polls_the_progress_thread_sleeps),
        cmocka_unit_test(a_forged_key_fails_and_a_good_one_works_afterwards),
        cmocka_unit_test(a_range_beyond_the_registration_is_denied),
        cmocka_unit_test(dropping_a_peer_ends_its_gets_and_leaves_the_others),
        cmocka_unit_test(a_dropped_peer_can_be_used_again),
        cmocka_unit_test(bad_addresses_messages_and_peers_are_named_errors),
        cmocka_unit_test(peers_that_nobody_uses_make_room_for_others),
        cmocka_unit_test(an_empty_get_ends_too),
        cmocka_unit_test(lanes_that_come_and_go_leave_no_descriptors),
        cmocka_unit_test(lanes_can_be_closed_while_they_connect),
    };
    return cmocka_run_group_tests_name(pair_scheme, tests, NULL, NULL);
}
