/* Dirty trackers: the same questions to each, over each kind of memory. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "memory.h"
#include "ranges.h"
#include "snapshot/kernel.h"
#include "snapshot/region.h"
#include "snapshot/track.h"
#include "weft/error.h"

#define PAGES 1500
#define THREADS 4

/* Divides how often things are done: "quick", for machines on which a fault takes milliseconds. */
static int haste = 1;
enum { QUICK = 100 };

static const char *const trackers[] = {"pagemap_scan", "segv", "none"};

static size_t random_below(uint64_t *seed, size_t n)
{
    return (size_t)(random_next(seed) % n);
}

/* Calls a test for every tracker that works here, with every kind of memory. */
static void with_all(void (*test)(const char *tracker, enum memory memory))
{
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++)
        for (enum memory memory = ANONYMOUS; memory < MEMORIES; memory++)
            if (works(trackers[i]))
                test(trackers[i], memory);
}

/* ---- the property: whoever writes ---- */

static void land_by_read(char *at, const unsigned char *bytes, size_t len)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], bytes, len), len);
    weft__region_will_write(at, len);
    assert_int_equal(read(ends[0], at, len), len);
    weft__region_written(at, len);
    close(ends[0]);
    close(ends[1]);
}

static void land_by_recv(char *at, const unsigned char *bytes, size_t len)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(send(ends[1], bytes, len, 0), len);
    weft__region_will_write(at, len);
    assert_int_equal(recv(ends[0], at, len, MSG_WAITALL), len);
    weft__region_written(at, len);
    close(ends[0]);
    close(ends[1]);
}

static void land_by_process(char *at, const unsigned char *bytes, size_t len)
{
    const struct iovec from = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    const struct iovec to = {.iov_base = at, .iov_len = len};
    weft__region_will_write(at, len);
    assert_int_equal(process_vm_writev(getpid(), &from, 1, &to, 1, 0), len);
    weft__region_written(at, len);
}

/* As a network adapter does: past the page tables of this mapping. */
static void land_in_file(const struct range *range, size_t offset, const unsigned char *bytes,
                         size_t len)
{
    weft__region_will_write(range->base + offset, len);
    assert_int_equal(pwrite(range->fd, bytes, len, (off_t)offset), len);
    weft__region_written(range->base + offset, len);
}

struct writer {
    struct range range;
    unsigned char *model;
    bool *written;
    size_t first, pages; /* of its own */
    uint64_t seed;
    enum memory memory;
};

static void write_once(struct writer *w)
{
    unsigned char bytes[3 * WEFT_REGION_PAGE];
    size_t len = random_below(&w->seed, 8) ? 1 + random_below(&w->seed, 200)
                                           : 1 + random_below(&w->seed, sizeof(bytes));
    size_t at = w->first * PAGE + random_below(&w->seed, w->pages * PAGE - len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)random_next(&w->seed);
    switch (random_below(&w->seed, 8)) {
    case 0:
        land_by_read(w->range.base + at, bytes, len);
        break;
    case 1:
        land_by_recv(w->range.base + at, bytes, len);
        break;
    case 2:
        land_by_process(w->range.base + at, bytes, len);
        break;
    case 3:
        if (w->memory == SHARED) {
            land_in_file(&w->range, at, bytes, len);
            break;
        } /* fall through */
    default:
        memcpy(w->range.base + at, bytes, len);
    }
    memcpy(w->model + at, bytes, len);
    for (size_t page = at / PAGE; page <= (at + len - 1) / PAGE; page++)
        w->written[page] = true;
}

static void *writer_run(void *user)
{
    struct writer *w = user;
    for (size_t n = random_below(&w->seed, 40); n; n--)
        write_once(w);
    return NULL;
}

static void write_by_threads(struct writer *writers)
{
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, writer_run, &writers[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* Reading is not writing; what of a shared file was never touched is not read here. */
static void read_some(const struct range *range, enum memory memory, uint64_t *seed)
{
    unsigned sum = 0;
    for (size_t n = 0; n < 50; n++) {
        size_t page = random_below(seed, memory == SHARED ? PAGES / 3 : PAGES);
        sum += *(volatile unsigned char *)(range->base + page * PAGE);
    }
    (void)sum;
}

static void check_writers(const char *tracker, enum memory memory)
{
    struct range range = range_make(memory, PAGES * PAGE);
    unsigned char *model = calloc(PAGES, PAGE);
    bool *written = calloc(PAGES, sizeof(*written));
    struct writer writers[THREADS];
    uint64_t seed = 88172645463325252 + memory;
    for (size_t i = 0; i < PAGES / 3 * PAGE; i += 64) /* touched before it is tracked */
        model[i] = (unsigned char)(i / 64 + 1);
    memcpy(range.base, model, PAGES / 3 * PAGE);
    for (size_t i = 0; i < THREADS; i++)
        writers[i] = (struct writer){.range = range,
                                     .model = model,
                                     .written = written,
                                     .first = i * (PAGES / THREADS),
                                     .pages = PAGES / THREADS,
                                     .seed = random_next(&seed),
                                     .memory = memory};
    struct weft_track *track = track_make(tracker, &range);
    collect_exactly(tracker, track, written, PAGES);
    for (int round = 0; round < 1 + 15 / haste; round++) {
        read_some(&range, memory, &seed);
        write_by_threads(writers);
        collect_exactly(tracker, track, written, PAGES);
        memset(written, 0, PAGES * sizeof(*written));
    }
    collect_exactly(tracker, track, written, PAGES);
    assert_memory_equal(range.base, model, PAGES * PAGE);
    weft__track_stop(track);
    memset(range.base, 1, range.len); /* writable again */
    free(written);
    free(model);
    range_drop(&range);
}

static void what_is_reported_is_what_was_written_whoever_wrote_it(void **state)
{
    (void)state;
    with_all(check_writers);
}

/* ---- a copy that follows while threads write ---- */

struct follower {
    struct range range;
    atomic_bool over;
};

static void *scribble(void *user)
{
    struct follower *f = user;
    uint64_t seed = (uintptr_t)&seed | 1;
    for (int i = 0; i < 20000 / haste; i++) {
        uint64_t *at = (uint64_t *)f->range.base + random_below(&seed, f->range.len / 8);
        __atomic_store_n(at, random_next(&seed), __ATOMIC_RELAXED);
    }
    return NULL;
}

/* Lands words by system calls that the sanitizers do not watch, as the copy reads them meanwhile.
 */
static void *land_words(void *user)
{
    struct follower *f = user;
    uint64_t seed = 4711;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < 2000 / haste; i++) {
        uint64_t word = random_next(&seed);
        char *at = f->range.base + 8 * random_below(&seed, f->range.len / 8);
        weft__region_will_write(at, 8);
        assert_int_equal(syscall(SYS_write, ends[1], &word, 8), 8);
        assert_int_equal(syscall(SYS_read, ends[0], at, 8), 8);
        weft__region_written(at, 8);
    }
    close(ends[0]);
    close(ends[1]);
    return NULL;
}

static void follow(struct weft_track *track, const struct range *range, uint64_t *copy)
{
    struct weft_extents found = {0};
    assert_int_equal(weft__track_collect(track, &found), 0);
    for (size_t i = 0; i < found.n; i++)
        for (size_t at = found.at[i].offset / 8, n = found.at[i].len_bytes / 8; n; n--, at++)
            copy[at] = __atomic_load_n((uint64_t *)range->base + at, __ATOMIC_RELAXED);
    weft__extents_fini(&found);
}

static void *follow_run(void *user)
{
    void **args = user;
    struct follower *f = args[0];
    while (!atomic_load(&f->over))
        follow(args[1], &f->range, args[2]);
    return NULL;
}

static void check_follower(const char *tracker, enum memory memory)
{
    struct follower f = {.range = range_make(memory, 300 * PAGE)};
    uint64_t *copy = calloc(300, PAGE);
    pthread_t writers[3], lander, following;
    struct weft_track *track = track_make(tracker, &f.range);
    void *args[] = {&f, track, copy};
    assert_int_equal(pthread_create(&following, NULL, follow_run, args), 0);
    assert_int_equal(pthread_create(&lander, NULL, land_words, &f), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&writers[i], NULL, scribble, &f), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(writers[i], NULL);
    pthread_join(lander, NULL);
    atomic_store(&f.over, true);
    pthread_join(following, NULL);
    follow(track, &f.range, copy);
    assert_memory_equal(copy, f.range.base, f.range.len);
    struct weft_track_counts counts;
    weft__track_counts(track, &counts);
    assert_int_equal(counts.landings, 0);
    weft__track_stop(track);
    free(copy);
    range_drop(&f.range);
}

static void a_copy_that_follows_the_collects_misses_no_write_of_running_threads(void **state)
{
    (void)state;
    with_all(check_follower);
}

/* ---- landings ---- */

static void check_landing(const char *tracker, enum memory memory)
{
    struct range range = range_make(memory, 8 * PAGE);
    bool landing[8] = {[2] = true, [3] = true}, more[8] = {[2] = true, [3] = true, [5] = true};
    const bool none[8] = {0};
    int ends[2];
    struct weft_track *track = track_make(tracker, &range);
    assert_int_equal(pipe(ends), 0);
    weft__region_will_write(range.base + 3 * PAGE - 1, 2);
    collect_exactly(tracker, track, landing, 8);
    range.base[5 * PAGE] = 1;
    collect_exactly(tracker, track, more, 8);
    collect_exactly(tracker, track, landing, 8);
    assert_int_equal(write(ends[1], "ab", 2), 2);
    assert_int_equal(read(ends[0], range.base + 3 * PAGE - 1, 2), 2); /* it was let in all along */
    weft__region_written(range.base + 3 * PAGE - 1, 2);
    collect_exactly(tracker, track, landing, 8);
    collect_exactly(tracker, track, none, 8);
    range.base[2 * PAGE] = range.base[3 * PAGE] = 1; /* and they count again */
    collect_exactly(tracker, track, landing, 8);
    close(ends[0]);
    close(ends[1]);
    weft__track_stop(track);
    range_drop(&range);
}

static void a_landing_under_way_is_in_every_list_until_it_is_over(void **state)
{
    (void)state;
    with_all(check_landing);
}

static void landings_where_nothing_is_tracked_are_fine(void **state)
{
    struct range range = range_make(ANONYMOUS, 8 * PAGE);
    const struct range inner = {.base = range.base + 2 * PAGE, .len = 2 * PAGE, .fd = -1};
    const bool first[2] = {true, false}, last[2] = {false, true}, both[2] = {true, true};
    (void)state;
    weft__region_will_write(range.base, range.len);
    weft__region_written(range.base, range.len);
    struct weft_track *track = track_make("none", &inner);
    weft__track_stop(track);
    if (works("segv")) {
        track = track_make("segv", &inner);
        weft__region_will_write(range.base, 2 * PAGE); /* ends where the range begins */
        weft__region_will_write(range.base + 4 * PAGE, PAGE);
        weft__region_will_write(range.base + 3 * PAGE, 0);
        weft__region_will_write(range.base, 2 * PAGE + 1);
        weft__region_written(range.base, 2 * PAGE + 1);
        collect_exactly("segv", track, first, 2);
        weft__region_will_write(range.base + 4 * PAGE - 1, PAGE);
        weft__region_written(range.base + 4 * PAGE - 1, PAGE);
        collect_exactly("segv", track, last, 2);
        weft__region_will_write(range.base, range.len);
        weft__region_written(range.base, range.len);
        collect_exactly("segv", track, both, 2);
        weft__region_written(range.base + 2 * PAGE, 1); /* begun before it was tracked */
        collect_exactly("segv", track, first, 2);
        weft__track_stop(track);
    }
    range_drop(&range);
}

static void what_is_written_into_a_region_by_its_file_is_reported(void **state)
{
    struct weft_region region;
    const bool two[8] = {false, false, false, true, true, false, false, false};
    (void)state;
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++) {
        if (!works(trackers[i]))
            continue;
        assert_int_equal(weft__region_init(&region, "r", NULL, 8 * PAGE), 0);
        const struct range range = {.base = region.base, .len = 8 * PAGE, .fd = region.fd};
        struct weft_track *track = track_make(trackers[i], &range);
        assert_int_equal(weft__region_write(&region, 4 * PAGE - 3, "abcdef", 6), 0);
        collect_exactly(trackers[i], track, two, 8);
        assert_int_equal(weft__region_write(&region, 8 * PAGE - 3, "abcdef", 6), WEFT_ERANGE);
        assert_memory_equal(range.base + 4 * PAGE - 3, "abcdef", 6);
        weft__track_stop(track);
        weft__region_fini(&region);
    }
}

static void the_kernel_sees_system_calls_and_segv_has_them_fail_unless_announced(void **state)
{
    int ends[2];
    const bool second[4] = {false, true, false, false}, none[4] = {0};
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    for (enum memory memory = ANONYMOUS; memory < MEMORIES; memory++) {
        struct range range = range_make(memory, 4 * PAGE);
        if (works("pagemap_scan")) {
            struct weft_track *track = track_make("pagemap_scan", &range);
            assert_int_equal(read(ends[0], range.base + PAGE, 1), 1);
            collect_exactly("pagemap_scan", track, second, 4);
            weft__track_stop(track);
            assert_int_equal(write(ends[1], "x", 1), 1);
        }
        if (works("segv")) {
            struct weft_track *track = track_make("segv", &range);
            assert_int_equal(syscall(SYS_read, ends[0], range.base + PAGE, 1), -1);
            assert_int_equal(errno, EFAULT);
            collect_exactly("segv", track, none, 4);
            weft__track_stop(track);
        }
        range_drop(&range);
    }
    close(ends[0]);
    close(ends[1]);
}

/* ---- size ---- */

/* Fresh huge pages may count as a whole; once all is touched, each page counts for itself. */
static void check_huge_pages(const char *tracker)
{
    const size_t huge = (size_t)2 << 20, pages = 4 * huge / PAGE;
    struct range range = range_make(ANONYMOUS, 4 * huge);
    bool *written = calloc(pages, sizeof(*written));
    uint64_t seed = 5;
    madvise(range.base, range.len, MADV_HUGEPAGE);
    memset(range.base, 1, 2 * huge); /* two of them before */
    struct weft_track *track = track_make(tracker, &range);
    struct weft_extents found = {0};
    memset(range.base + 2 * huge, 1, 2 * huge);
    assert_int_equal(weft__track_collect(track, &found), 0);
    for (int round = 0; round < 5; round++) {
        for (int n = 0; n < 1 + 100 / haste; n++) {
            size_t page = random_below(&seed, pages);
            range.base[page * PAGE + page % PAGE] = (char)round;
            written[page] = true;
        }
        collect_exactly(tracker, track, written, pages);
        memset(written, 0, pages * sizeof(*written));
    }
    weft__extents_fini(&found);
    weft__track_stop(track);
    free(written);
    range_drop(&range);
}

static void huge_pages_do_not_hide_writes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(trackers) / sizeof(trackers[0]); i++)
        if (works(trackers[i]))
            check_huge_pages(trackers[i]);
}

static void check_huge(const char *tracker, enum memory memory)
{
    struct range range = range_make(memory, HUGE_BYTES);
    struct weft_track *track = track_make(tracker, &range);
    struct weft_extents found = {0};
    const size_t n = 2560 / (size_t)haste, apart = range.len / n; /* 10 MiB */
    for (size_t i = 0; i < n; i++)
        range.base[i * apart / PAGE * PAGE + 17] = 1;
    range.base[range.len - 1] = 1;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(weft__track_collect(track, &found), 0);
        assert_int_equal(found.n, n + 1);
        assert_int_equal(found.total_bytes, (n + 1) * PAGE);
        assert_int_equal(found.at[n].offset, range.len - PAGE);
        assert_int_equal(found.at[n / 2].offset, n / 2 * apart / PAGE * PAGE);
        for (size_t i = 0; i < found.n; i++)
            range.base[found.at[i].offset + 1] = 2;
    }
    weft__extents_fini(&found);
    weft__track_stop(track);
    range_drop(&range);
}

static void a_huge_range_costs_what_is_touched_in_it(void **state)
{
    (void)state;
    with_all(check_huge);
}

/* ---- bad ranges ---- */

static void refused(const struct weft_track_desc *desc, int err, const char *part)
{
    struct weft_track *track = NULL;
    assert_int_equal(weft__track_start(desc, &track), err);
    assert_null(track);
    if (!strstr(weft_fail_text(err), part))
        print_message("not \"%s\" in: %s\n", part, weft_fail_text(err));
    assert_non_null(strstr(weft_fail_text(err), part));
}

static void ranges_that_cannot_be_tracked_whole_are_refused_with_the_reason(void **state)
{
    struct range range = range_make(ANONYMOUS, 8 * PAGE), file = range_make(SHARED, 4 * PAGE);
    struct weft_track_desc desc = {
        .tracker = "none", .base = range.base, .len_bytes = 8 * PAGE, .fd = -1};
    struct weft_track *track;
    (void)state;
    desc.len_bytes = PAGE + 1;
    refused(&desc, WEFT_EINVAL, "whole pages");
    desc.len_bytes = 0;
    refused(&desc, WEFT_EINVAL, "whole pages");
    desc.len_bytes = 8 * PAGE;
    desc.tracker = "softpte";
    refused(&desc, WEFT_EINVAL, "softpte");
    desc.tracker = "none";
    assert_int_equal(mprotect(range.base + 3 * PAGE, PAGE, PROT_READ), 0);
    refused(&desc, WEFT_EINVAL, "r--p");
    assert_int_equal(munmap(range.base + 3 * PAGE, PAGE), 0);
    refused(&desc, WEFT_EINVAL, "nothing is mapped");
    assert_true(mmap(range.base + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                     file.fd, 0) != MAP_FAILED);
    refused(&desc, WEFT_EINVAL, "another kind");
    desc.base = file.base;
    desc.len_bytes = 4 * PAGE;
    refused(&desc, WEFT_EINVAL, "not its file");
    desc.fd = file.fd;
    assert_int_equal(weft__track_start(&desc, &track), 0);
    desc.base = file.base + PAGE;
    desc.len_bytes = PAGE;
    refused(&desc, WEFT_EBUSY, "tracked already");
    weft__track_stop(track);
    weft__track_stop(NULL);
    range_drop(&range);
    range_drop(&file);
}

/* ---- older kernels ---- */

/* From now on the process's kernel knows neither PAGEMAP_SCAN nor userfaultfd. */
static bool forget_new_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)PAGEMAP_SCAN, 2, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOTTY)};
    const struct sock_fprog program = {.len = sizeof(rules) / sizeof(rules[0]), .filter = rules};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Whether a tracker reports the pages that were touched: the last one, and the 700th. */
static bool finds_touched(const char *tracker, const char *expected, enum memory memory)
{
    struct range range = range_make(memory, PAGES * PAGE);
    const struct weft_track_desc desc = {
        .tracker = tracker, .base = range.base, .len_bytes = range.len, .fd = range.fd};
    struct weft_track *track;
    struct weft_extents found = {0};
    if (weft__track_start(&desc, &track) || strcmp(weft__track_name(track), expected) != 0)
        return false;
    range.base[700 * PAGE] = range.base[range.len - 1] = 1;
    bool right = weft__track_collect(track, &found) == 0 && found.n == 2 &&
                 found.at[0].offset == 700 * PAGE && found.at[1].offset == range.len - PAGE &&
                 found.total_bytes == 2 * PAGE;
    weft__track_stop(track);
    weft__extents_fini(&found);
    range_drop(&range);
    return right;
}

/* Returns which step failed, 77 where the process may not forget. */
static int on_older_kernel(void)
{
    if (!forget_new_calls())
        return 77;
    if (weft__track_probe("pagemap_scan") != WEFT_ENOTSUP ||
        !strstr(weft_fail_text(WEFT_ENOTSUP), "userfaultfd"))
        return 1;
    for (enum memory memory = ANONYMOUS; memory < MEMORIES; memory++)
        if (!finds_touched("none", "none", memory))
            return 2;
    for (enum memory memory = ANONYMOUS; memory < MEMORIES; memory++)
        if (!finds_touched("auto", "segv", memory))
            return 3;
    return 0;
}

static void older_kernels_are_told_apart_and_tracked_by_segv(void **state)
{
    int status = 0;
    (void)state;
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(on_older_kernel());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: no seccomp filters here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_best_tracker_that_works_is_chosen(void **state)
{
    struct range range = range_make(SHARED, 4 * PAGE);
    const struct weft_track_desc desc = {
        .base = range.base, .len_bytes = range.len, .fd = range.fd};
    struct weft_track *track;
    (void)state;
    assert_int_equal(weft__track_start(&desc, &track), 0);
    print_message("auto is %s\n", weft__track_name(track));
    if (works("pagemap_scan"))
        assert_string_equal(weft__track_name(track), "pagemap_scan");
    else if (works("segv"))
        assert_string_equal(weft__track_name(track), "segv");
    assert_int_equal(weft__track_probe("auto"), 0);
    assert_int_equal(weft__track_probe("none"), 0);
    weft__track_stop(track);
    range_drop(&range);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "quick") == 0)
        haste = QUICK;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_reported_is_what_was_written_whoever_wrote_it),
        cmocka_unit_test(a_copy_that_follows_the_collects_misses_no_write_of_running_threads),
        cmocka_unit_test(a_landing_under_way_is_in_every_list_until_it_is_over),
        cmocka_unit_test(landings_where_nothing_is_tracked_are_fine),
        cmocka_unit_test(what_is_written_into_a_region_by_its_file_is_reported),
        cmocka_unit_test(the_kernel_sees_system_calls_and_segv_has_them_fail_unless_announced),
        cmocka_unit_test(huge_pages_do_not_hide_writes),
        cmocka_unit_test(a_huge_range_costs_what_is_touched_in_it),
        cmocka_unit_test(ranges_that_cannot_be_tracked_whole_are_refused_with_the_reason),
        cmocka_unit_test(older_kernels_are_told_apart_and_tracked_by_segv),
        cmocka_unit_test(the_best_tracker_that_works_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
