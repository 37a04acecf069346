/* What many peers cost a process: connections and memory grow with peers and lanes, and not with
 * the ranks that speak over them. The peers are lanes of another process, one for each lane of each
 * process that it stands for; everything really connects.
 *
 *   link_growth_test SCHEME PEERS LANES
 */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "link/address.h"
#include "link/lanes.h"
#include "tests/unit/link/pair.h"
#include "weft/error.h"

#define PEERS_MAX 256u
#define RANKS 8u /* of each process */
#define TEXT_MAX WEFT_LANES_ADDRESS_MAX
#define WITHIN_NS (60 * WEFT_NS_PER_S)
#define DESCRIPTORS_PER_LANE 28u /* net: 25, and the connections */

static unsigned peers_n, lanes_n;

/* Of both processes. */
struct shared {
    atomic_uint opened, stop;
    atomic_uint heard;
    char address[PEERS_MAX][TEXT_MAX];
};

static struct shared *shared;
static pid_t child;

/* ---- the peers ---- */

static void heard(void *ctx, const void *data, size_t len_bytes)
{
    (void)ctx;
    (void)data;
    (void)len_bytes;
    atomic_fetch_add(&shared->heard, 1);
}

static struct weft_lane *open_peer(unsigned peer, unsigned lane)
{
    char name[32];
    snprintf(name, sizeof(name), "peer-%u-%u", peer, lane);
    struct end end = {0};
    struct weft_lane_desc desc = end_desc(&end, name, "worker");
    desc.message = heard;
    struct weft_lane *opened;
    int err = weft__lane_open(&desc, &opened);
    if (err != WEFT_OK) {
        fprintf(stderr, "peer %u: %s\n", peer, weft_fail_text(err));
        _exit(1);
    }
    size_t at = strlen(shared->address[peer]);
    if (lane > 0)
        shared->address[peer][at++] = WEFT_ADDRESS_BETWEEN;
    snprintf(shared->address[peer] + at, TEXT_MAX - at, "%s", weft__lane_address(opened));
    return opened;
}

static void be_peers(void)
{
    static struct weft_lane *lanes[PEERS_MAX * WEFT_LANES_MAX];
    unsigned n = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned peer = 0; peer < peers_n; peer++) {
        for (unsigned lane = 0; lane < lanes_n; lane++)
            lanes[n++] = open_peer(peer, lane);
        atomic_store(&shared->opened, peer + 1);
    }
    while (!atomic_load(&shared->stop))
        for (unsigned i = 0; i < n; i++)
            weft__lane_drive(lanes[i]);
    _exit(0);
}

/* ---- the process that is looked at ---- */

static struct weft_lanes here;
static struct weft_lanes_peer peers[PEERS_MAX];
static unsigned said;

static void fail_late(unsigned heard_n, unsigned wanted)
{
    struct weft_lane_stats stats;
    weft__lanes_stats(&here, &stats);
    fail_msg("%u of %u; %u connections lost, %u messages with them", heard_n, wanted,
             (unsigned)stats.peers_lost, (unsigned)stats.messages_failed);
}

static void until(const atomic_uint *word, unsigned wanted)
{
    uint64_t deadline_ns = weft__now_ns() + WITHIN_NS;
    while (atomic_load(word) < wanted) {
        weft__lanes_drive(&here);
        if (waitpid(child, NULL, WNOHANG) == child)
            fail_msg("the peers have ended");
        if (weft__now_ns() > deadline_ns)
            fail_late(atomic_load(word), wanted);
    }
}

/* Ranks are numbered through: those of this process come first. */
static void say(unsigned peer, unsigned from, unsigned to)
{
    int32_t rank = (int32_t)((peer + 1) * RANKS + to);
    unsigned lane = weft__lanes_of_pair(&here, (int32_t)from, rank);
    struct iovec part = {&rank, sizeof(rank)};
    int err;
    while ((err = weft__lane_send(here.lane[lane], peers[peer].of[lane], &part, 1)) == WEFT_EAGAIN)
        weft__lanes_drive(&here);
    if (err != WEFT_OK)
        fail_msg("send to peer %u: %s", peer, weft_fail_text(err));
    said++;
}

static void talk(unsigned first, unsigned last, unsigned ranks)
{
    for (unsigned from = 0; from < ranks; from++)
        for (unsigned to = 0; to < ranks; to++)
            for (unsigned peer = first; peer < last; peer++)
                say(peer, from, to);
    until(&shared->heard, said);
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

/* What this process holds: its resident memory. Under ThreadSanitizer that is mostly the tool's own
 * memory of who touched what, which grows with use; there it is what has been allocated. */
#ifdef __SANITIZE_THREAD__
size_t __sanitizer_get_current_allocated_bytes(void); /* gcc comes without the header */

static size_t held_bytes(void)
{
    return __sanitizer_get_current_allocated_bytes();
}
#else
static size_t held_bytes(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %lu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
#endif

struct cost {
    unsigned descriptors;
    size_t held_bytes;
    uint64_t connections, memory_bytes;
};

static struct cost measure(const char *when)
{
    struct weft_lane_stats stats;
    weft__lanes_stats(&here, &stats);
    struct cost cost = {descriptors(), held_bytes(), stats.usage.connections,
                        stats.usage.memory_bytes};
    print_message("%-34s %5u descriptors, %6zu KiB held, %4u connections\n", when, cost.descriptors,
                  cost.held_bytes >> 10, (unsigned)cost.connections);
    return cost;
}

static void know(unsigned first, unsigned last)
{
    for (unsigned peer = first; peer < last; peer++) {
        until(&shared->opened, peer + 1);
        int err = weft__lanes_peer(&here, shared->address[peer], &peers[peer]);
        if (err != WEFT_OK)
            fail_msg("peer %u at %s: %s", peer, shared->address[peer], weft_fail_text(err));
    }
}

static void cost_grows_with_peers_and_lanes_and_not_with_ranks(void **state)
{
    (void)state;
    struct end end = {0};
    struct weft_lane_desc desc = end_desc(&end, "here", "thread");
    desc.message = heard;
    assert_int_equal(weft__lanes_open(&desc, lanes_n, &here), WEFT_OK);
    unsigned half = peers_n / 2, rest = peers_n - half;
    know(0, peers_n);
    struct cost none = measure("peers known, nothing said");
    assert_int_equal(none.connections, 0);
    talk(0, half, RANKS);
    struct cost some = measure("half of them, 64 pairs of ranks each");
    talk(half, peers_n, RANKS);
    struct cost all = measure("all of them");
    talk(0, peers_n, 2 * RANKS);
    struct cost again = measure("256 pairs of ranks each");
    print_message("per peer and lane: %.1f descriptors, %.1f KiB\n",
                  (double)(all.descriptors - some.descriptors) / rest / lanes_n,
                  (double)(all.held_bytes - some.held_bytes) / 1024 / rest / lanes_n);
    if (all.connections) { /* a transport that counts them */
        assert_int_equal(some.connections, half * lanes_n);
        assert_int_equal(all.connections, peers_n * lanes_n);
    }
    assert_int_equal(again.connections, all.connections);
    assert_in_range(again.descriptors, 1, all.descriptors + 2);
    assert_in_range(all.descriptors - some.descriptors, 0, 2 * rest * lanes_n);
    assert_in_range(all.held_bytes, 0, some.held_bytes + (size_t)rest * lanes_n * (512u << 10));
    assert_in_range(again.held_bytes, 0, all.held_bytes + (8u << 20));
    assert_in_range(again.memory_bytes, 0, all.memory_bytes + (8u << 20));
    weft__lanes_close(&here);
}

static void another_number_of_lanes_is_refused_by_name(void **state)
{
    (void)state;
    struct end end = {0};
    struct weft_lane_desc desc = end_desc(&end, "two", "thread");
    struct weft_lanes two;
    struct weft_lanes_peer peer;
    assert_int_equal(weft__lanes_open(&desc, 2, &two), WEFT_OK);
    int err = weft__lanes_peer(&two, weft__lane_address(two.lane[0]), &peer);
    assert_int_equal(err, WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(err), "WEFT_LANES"));
    weft__lanes_close(&two);
    desc = end_desc(&end, "none", "worker");
    err = weft__lanes_open(&desc, 2, &two);
    assert_int_equal(err, WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(err), "WEFT_PROGRESS"));
    assert_int_equal(weft__lanes_open(&desc, WEFT_LANES_MAX + 1, &two), WEFT_EINVAL);
}

static void a_pair_of_ranks_has_one_lane_and_all_lanes_have_pairs(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= WEFT_LANES_MAX; n++) {
        struct weft_lanes lanes = {.n = n};
        unsigned used[WEFT_LANES_MAX] = {0};
        for (int32_t a = 0; a < 64; a++)
            for (int32_t b = 64; b < 128; b++) {
                unsigned lane = weft__lanes_of_pair(&lanes, a, b);
                assert_in_range(lane, 0, n - 1);
                assert_int_equal(lane, weft__lanes_of_pair(&lanes, b, a));
                used[lane]++;
            }
        for (unsigned i = 0; i < n; i++)
            assert_in_range(used[i], 4096 / n / 2, 4096 / n * 2);
    }
}

/* Enough descriptors for all lanes of both processes. */
static int make_room(void)
{
    struct rlimit limit;
    rlim_t needed = peers_n * lanes_n * DESCRIPTORS_PER_LANE + 256;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= needed)
        return 0;
    if (limit.rlim_max < needed)
        return 1;
    limit.rlim_cur = needed;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cost_grows_with_peers_and_lanes_and_not_with_ranks),
        cmocka_unit_test(another_number_of_lanes_is_refused_by_name),
        cmocka_unit_test(a_pair_of_ranks_has_one_lane_and_all_lanes_have_pairs),
    };
    if (argc < 4)
        return 2;
    pair_scheme = argv[1];
    peers_n = (unsigned)strtoul(argv[2], NULL, 10);
    lanes_n = (unsigned)strtoul(argv[3], NULL, 10);
    if (make_room() != 0) {
        printf("skipped: the limit of open files is too low for %u peers (ulimit -n)\n", peers_n);
        return 77;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (peers_n > PEERS_MAX || lanes_n > WEFT_LANES_MAX || shared == MAP_FAILED)
        return 2;
    child = fork();
    if (child == 0)
        be_peers();
    int failed = cmocka_run_group_tests_name("growth", tests, NULL, NULL);
    atomic_store(&shared->stop, 1);
    waitpid(child, NULL, 0);
    return failed;
}
