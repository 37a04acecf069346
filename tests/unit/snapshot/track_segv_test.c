/* What only the tracker by SIGSEGV has: a bound on mappings, and other handlers. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
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
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "ranges.h"
#include "snapshot/track.h"
#include "weft/error.h"

#if defined(WEFT_TSAN) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static void more_scattered_pages_than_the_kernel_maps_apart_are_counted_in_blocks(void **state)
{
    long bound = 65530;
    (void)state;
    if (!works("segv"))
        skip();
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    if (file && fscanf(file, "%ld", &bound) != 1)
        bound = 65530;
    if (file)
        fclose(file);
    if (bound > 200000) {
        print_message("skipped: vm.max_map_count is %ld, which takes too long to reach\n", bound);
        skip();
    }
    size_t pages = (size_t)bound + 4096;
    struct range range = range_make(SHARED, pages * PAGE);
    struct weft_track *track = track_make("segv", &range);
    struct weft_extents found = {0};
    struct weft_track_counts counts;
    for (size_t page = 0; page < pages; page += 2)
        range.base[page * PAGE] = 1;
    assert_int_equal(weft__track_collect(track, &found), 0);
    assert_true(found.total_bytes >= (pages + 1) / 2 * PAGE);
    weft__track_counts(track, &counts);
    assert_true(counts.coarse_pages > 0);
    assert_true(counts.faults > (uint64_t)bound / 8);
    range.base[8 * PAGE] = 2; /* page by page again */
    assert_int_equal(weft__track_collect(track, &found), 0);
    assert_int_equal(found.n, 1);
    assert_int_equal(found.at[0].offset, 8 * PAGE);
    assert_int_equal(found.at[0].len_bytes, PAGE);
    weft__extents_fini(&found);
    weft__track_stop(track);
    range_drop(&range);
}

static sigjmp_buf back;
static char *_Atomic elsewhere; /* the address that the handler before was given */

static void before_us(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    elsewhere = info->si_addr;
    siglongjmp(back, 1);
}

static void faults_of_others_go_to_the_handler_before(void **state)
{
    struct sigaction mine = {.sa_sigaction = before_us, .sa_flags = SA_SIGINFO}, old, now;
    struct range range = range_make(ANONYMOUS, 4 * PAGE), other = range_make(ANONYMOUS, PAGE);
    const bool first[4] = {true, false, false, false};
    (void)state;
    if (!works("segv"))
        skip();
    assert_int_equal(mprotect(other.base, PAGE, PROT_READ), 0);
    sigemptyset(&mine.sa_mask);
    assert_int_equal(sigaction(SIGSEGV, &mine, &old), 0);
    struct weft_track *track = track_make("segv", &range);
    for (int i = 0; i < 3; i++) {
        elsewhere = NULL;
        if (sigsetjmp(back, 1) == 0)
            *(volatile char *)(other.base + 5) = 1;
        assert_ptr_equal(elsewhere, other.base + 5);
        range.base[0] = 1;
        collect_exactly("segv", track, first, 4);
    }
    weft__track_stop(track);
    assert_int_equal(sigaction(SIGSEGV, &old, &now), 0); /* as it was */
    assert_ptr_equal(now.sa_sigaction, before_us);
    range_drop(&range);
    range_drop(&other);
}

static void a_program_that_takes_over_sigsegv_is_named(void **state)
{
    struct sigaction mine = {.sa_sigaction = before_us, .sa_flags = SA_SIGINFO}, old;
    struct range range = range_make(ANONYMOUS, 4 * PAGE), other = range_make(ANONYMOUS, PAGE);
    struct weft_track *track, *second = NULL;
    (void)state;
    if (!works("segv"))
        skip();
    track = track_make("segv", &range);
    sigemptyset(&mine.sa_mask);
    assert_int_equal(sigaction(SIGSEGV, &mine, &old), 0);
    const struct weft_track_desc desc = {
        .tracker = "segv", .base = other.base, .len_bytes = PAGE, .fd = -1};
    assert_int_equal(weft__track_start(&desc, &second), WEFT_EBUSY);
    assert_non_null(strstr(weft_fail_text(WEFT_EBUSY), "SIGSEGV"));
    assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
    weft__track_stop(track);
    range_drop(&range);
    range_drop(&other);
}

static ucontext_t main_context, tracked_context;

static void on_tracked_stack(void)
{
    volatile char deep[2 * WEFT_REGION_PAGE];
    deep[0] = 1;
    deep[sizeof(deep) - 1] = 1;
}

static void a_stack_can_be_tracked_where_there_is_another_for_signals(void **state)
{
    struct range range = range_make(ANONYMOUS, 16 * PAGE);
    struct weft_extents found = {0};
    (void)state;
    if (SANITIZED) {
        print_message("skipped: sanitizers do not know a stack that is switched to\n");
        skip();
    }
    if (!works("segv"))
        skip();
    stack_t own = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16}, old;
    assert_int_equal(sigaltstack(&own, &old), 0);
    struct weft_track *track = track_make("segv", &range);
    assert_int_equal(getcontext(&tracked_context), 0);
    tracked_context.uc_stack.ss_sp = range.base;
    tracked_context.uc_stack.ss_size = range.len;
    tracked_context.uc_link = &main_context;
    makecontext(&tracked_context, on_tracked_stack, 0);
    assert_int_equal(swapcontext(&main_context, &tracked_context), 0);
    assert_int_equal(weft__track_collect(track, &found), 0);
    assert_true(found.total_bytes >= 2 * PAGE);
    assert_int_equal(found.at[found.n - 1].offset + found.at[found.n - 1].len_bytes, range.len);
    weft__extents_fini(&found);
    weft__track_stop(track);
    assert_int_equal(sigaltstack(&old, NULL), 0);
    free(own.ss_sp);
    range_drop(&range);
}

/* ---- what is no write to a tracked page still ends the process ---- */

enum crash { NOWHERE, READ_ONLY, NO_ACCESS, NOT_CODE, SENT, CRASHES };

static void crash(enum crash how, char *tracked)
{
    struct range other = range_make(ANONYMOUS, PAGE);
    void (*code)(void) = NULL;
    switch (how) {
    case NOWHERE:
        munmap(other.base, PAGE);
        *(volatile char *)other.base = 1;
        break;
    case READ_ONLY:
        mprotect(other.base, PAGE, PROT_READ);
        *(volatile char *)other.base = 1;
        break;
    case NO_ACCESS:
        mprotect(other.base, PAGE, PROT_NONE);
        code = (void (*)(void))(uintptr_t) * (volatile char *)other.base;
        break;
    case NOT_CODE:
        *tracked = (char)0xc3;
        memcpy(&code, &tracked, sizeof(code));
        code();
        break;
    default:
        kill(getpid(), SIGSEGV);
    }
}

static void other_faults_end_the_process_as_ever(void **state)
{
    (void)state;
    if (SANITIZED) {
        print_message("skipped: sanitizers end the process in their own way\n");
        skip();
    }
    if (!works("segv"))
        skip();
    for (enum crash how = NOWHERE; how < CRASHES; how++) {
        int status = 0;
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            const struct rlimit none = {0};
            struct range range = range_make(ANONYMOUS, 4 * PAGE);
            signal(SIGSEGV, SIG_DFL); /* the test library's own */
            setrlimit(RLIMIT_CORE, &none);
            alarm(60); /* not for ever */
            track_make("segv", &range);
            range.base[0] = 1;
            crash(how, range.base);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSEGV);
    }
}

/* ---- signals that write ---- */

static char *_Atomic scratch;
static atomic_uint handled;

static void write_to_scratch(int number)
{
    (void)number;
    unsigned n = atomic_fetch_add(&handled, 1);
    scratch[n % 64 * PAGE] = (char)(n + 1);
}

struct sender {
    pthread_t to;
    atomic_bool over;
};

static void *send_signals(void *user)
{
    struct sender *sender = user;
    while (!atomic_load(&sender->over)) {
        pthread_kill(sender->to, SIGUSR1);
        sched_yield();
    }
    return NULL;
}

static void write_by_signals(void)
{
    struct sigaction writing = {.sa_handler = write_to_scratch}, old;
    struct range range = range_make(ANONYMOUS, 64 * PAGE);
    struct sender sender = {.to = pthread_self()};
    struct weft_extents found = {0};
    pthread_t thread;
    char *copy = calloc(64, PAGE);
    scratch = range.base;
    atomic_store(&handled, 0);
    assert_int_equal(sigaction(SIGUSR1, &writing, &old), 0);
    struct weft_track *track = track_make("segv", &range);
    assert_int_equal(pthread_create(&thread, NULL, send_signals, &sender), 0);
    for (bool last = false;;) {
        assert_int_equal(weft__track_collect(track, &found), 0);
        for (size_t i = 0; i < found.n; i++)
            memcpy(copy + found.at[i].offset, range.base + found.at[i].offset,
                   found.at[i].len_bytes);
        if (last)
            break;
        range.base[17 * PAGE + 1]++;
        if (atomic_load(&handled) < 500)
            continue;
        atomic_store(&sender.over, true);
        pthread_join(thread, NULL);
        assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
        last = true;
    }
    assert_memory_equal(copy, range.base, range.len);
    weft__track_stop(track);
    weft__extents_fini(&found);
    free(copy);
    range_drop(&range);
}

static void a_signal_handler_may_write_at_any_time(void **state)
{
    (void)state;
#ifdef WEFT_TSAN
    print_message("skipped: ThreadSanitizer calls handlers with SIGSEGV blocked\n");
    const bool possible = false;
#else
    const bool possible = works("segv");
#endif
    if (!possible)
        skip();
    write_by_signals();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_scattered_pages_than_the_kernel_maps_apart_are_counted_in_blocks),
        cmocka_unit_test(faults_of_others_go_to_the_handler_before),
        cmocka_unit_test(a_program_that_takes_over_sigsegv_is_named),
        cmocka_unit_test(a_stack_can_be_tracked_where_there_is_another_for_signals),
        cmocka_unit_test(other_faults_end_the_process_as_ever),
        cmocka_unit_test(a_signal_handler_may_write_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
