/* Snapshots in a process that may lock hardly any memory. Whether that is enough is tried, not
 * looked up: most transports lock none. Where the network card does (its addresses are on the
 * command line) sharing fails with an error that says so, nothing is left of it, and it works once
 * the limit is higher. */
#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wake.h"
#include "host_scene.h"
#include "link/data.h"
#include "snapshot/image.h"
#include "snapshot/pull.h"
#include "weft/error.h"

#define LARGE ((size_t)48 << 20)

static const char *far_address; /* of the receiver; NULL: the source's. Its device locks memory */

/* Gives up the right to lock more than the limit. Before the first descriptor of a card is opened:
 * the kernel refuses those of a process that has other rights by now. */
static bool become_ordinary(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data) != 0)
        return false;
    data[0].effective &= ~(UINT32_C(1) << CAP_IPC_LOCK);
    data[0].permitted &= ~(UINT32_C(1) << CAP_IPC_LOCK);
    return syscall(SYS_capset, &head, data) == 0;
}

static uint64_t locked_kib(void)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "VmPin: %llu", &kib) == 1)
            break;
    (void)fclose(file);
    return kib;
}

/* The limit from now on; the hard one stays. */
static void limit_to(uint64_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

struct pulling {
    _Atomic uint32_t over;
    int err;
    char text[256];
};

static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct pulling *pulling = user;
    (void)pull;
    (void)snprintf(pulling->text, sizeof(pulling->text), "%s", err != WEFT_OK ? text : "");
    pulling->err = err;
    atomic_store(&pulling->over, 1);
    weft__futex_wake(&pulling->over);
}

static int pull_over(struct weft_lane *lane, const char *address, const struct weft_image *image,
                     const struct weft_region *into)
{
    struct pulling pulling = {.err = WEFT_OK};
    struct weft_pull_desc desc = {
        .lane = lane, .image = image, .into = into, .done = pulled, .user = &pulling};
    struct weft_pull *pull;
    int err = weft__lane_peer(lane, address, &desc.peer);
    if (err == WEFT_OK)
        err = weft__pull_start(&desc, &pull);
    if (err != WEFT_OK)
        return err;
    while (atomic_load(&pulling.over) == 0)
        (void)weft__futex_wait(&pulling.over, 0, WEFT_NEVER);
    weft__pull_free(pull);
    weft__lane_peer_put(lane, desc.peer);
    return pulling.err == WEFT_OK ? WEFT_OK : weft_fail(pulling.err, "%s", pulling.text);
}

/* A description of the image as its receiver has it. */
static struct weft_image *received(const struct weft_image *image)
{
    struct weft_image *decoded;
    uint8_t *bytes;
    size_t len;
    assert_int_equal(weft__image_encode(image, &bytes, &len), WEFT_OK);
    assert_int_equal(weft__image_decode(bytes, len, &decoded), WEFT_OK);
    free(bytes);
    return decoded;
}

static uint64_t registrations(struct weft_lane *lane)
{
    struct weft_lane_stats stats;
    weft__lane_stats(lane, &stats);
    return stats.regions;
}

/* Shares what is too much to be locked; it is not shared in the end. */
static void expect_named_refusal(struct weft_lane *lane, const struct weft_region *region)
{
    struct weft_image *image;
    const uint64_t locked = locked_kib();
    limit_to(locked * 1024 + (1 << 20));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(weft__image_build(&(struct weft_image_desc){.region = region}, &image),
                         WEFT_OK);
        int err = weft__image_share(image, lane);
        assert_int_not_equal(err, WEFT_OK);
        assert_non_null(strstr(weft_fail_text(err), "ulimit -l"));
        weft__image_free(image);
        assert_int_equal(registrations(lane), 0);
        assert_int_equal(locked_kib(), locked);
    }
    limit_to(RLIM_INFINITY);
}

static void a_low_limit_of_locked_memory_is_no_obstacle_or_a_named_one(void **state)
{
    struct weft_data *source, *receiver;
    struct weft_lane *source_lane, *lane;
    struct weft_region region, into;
    struct weft_image *image;
    (void)state;
    if (far_address == NULL) {
        void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        limit_to(0);
        assert_int_not_equal(syscall(SYS_mlock, page, 4096),
                             0); /* it is one; sanitizers lock none */
        (void)munmap(page, 4096);
    }
    lane_owner_open("source", &source);
    if (far_address != NULL)
        host_address = far_address;
    lane_owner_open("receiver", &receiver);
    assert_int_equal(weft__data_lane(source, &source_lane), WEFT_OK);
    assert_int_equal(weft__data_lane(receiver, &lane), WEFT_OK);
    print_message("%s\n", weft__lane_report(lane));
    assert_int_equal(weft__region_init(&region, "source", NULL, LARGE), WEFT_OK);
    assert_int_equal(weft__region_init(&into, "receiver", NULL, LARGE), WEFT_OK);
    memset(region.base, 's', LARGE);
    if (far_address != NULL)
        expect_named_refusal(source_lane, &region);
    assert_int_equal(weft__image_build(&(struct weft_image_desc){.region = &region}, &image),
                     WEFT_OK);
    assert_int_equal(weft__image_share(image, source_lane), WEFT_OK);
    struct weft_image *decoded = received(image);
    const char *address = weft__lane_address(source_lane);
    if (far_address != NULL) { /* the receiver's buffers are locked, too */
        limit_to(locked_kib() * 1024 + (64 << 10));
        int err = pull_over(lane, address, decoded, &into);
        assert_int_not_equal(err, WEFT_OK);
        assert_non_null(strstr(weft_fail_text(err), "ulimit -l"));
        limit_to(RLIM_INFINITY);
    }
    assert_int_equal(pull_over(lane, address, decoded, &into), WEFT_OK);
    assert_memory_equal(into.base, region.base, LARGE);
    weft__image_free(decoded);
    weft__image_free(image);
    assert_int_equal(registrations(source_lane), 0);
    weft__data_close(receiver);
    weft__data_close(source);
    weft__region_fini(&region);
    weft__region_fini(&into);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_low_limit_of_locked_memory_is_no_obstacle_or_a_named_one),
    };
    if (argc > 1)
        host_scheme = argv[1];
    if (argc > 3) {
        host_address = argv[2];
        far_address = argv[3];
    }
    if (!become_ordinary() || !host_scheme_is_here())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
