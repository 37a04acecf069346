/* Ranks in one process, and in two runtimes of one process that talk over inproc: programs,
 * packets, rendezvous, freezing without leaving, refusals, closing. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "exec/exec.h"
#include "transport/inproc/inproc.h"
#include "weft/error.h"

#define SIZE 4
#define EXECS_MAX 3
#define STRIDE (64ull << 20)
#define PATIENCE_S 60

struct app {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct weft_exec *exec[EXECS_MAX];
    bool exited[SIZE];
    int code[SIZE];
    int wanted[SIZE]; /* how often the route was asked for */
    int aborts, abort_code;
    char abort_reason[64];
    int frozen, frozen_err; /* how many answers, and the last */
    char frozen_text[128];
};

static void app_init(struct app *app)
{
    memset(app, 0, sizeof(*app));
    pthread_mutex_init(&app->lock, NULL);
    pthread_cond_init(&app->changed, NULL);
}

static void on_exit_of_rank(void *ctx, int32_t rank, uint32_t incarnation, int code,
                            const char *reason)
{
    struct app *app = ctx;
    (void)incarnation;
    (void)reason;
    pthread_mutex_lock(&app->lock);
    app->exited[rank] = true;
    app->code[rank] = code;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static void on_abort(void *ctx, int32_t rank, int code, const char *reason)
{
    struct app *app = ctx;
    (void)rank;
    pthread_mutex_lock(&app->lock);
    app->aborts++;
    app->abort_code = code;
    snprintf(app->abort_reason, sizeof(app->abort_reason), "%s", reason);
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static void on_wanted(void *ctx, int32_t rank)
{
    struct app *app = ctx;
    pthread_mutex_lock(&app->lock);
    app->wanted[rank]++;
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static void on_frozen(void *ctx, int err, const char *text, const void *descriptor,
                      size_t len_bytes)
{
    struct app *app = ctx;
    assert_true((err == 0) == (descriptor != NULL && len_bytes > 0));
    pthread_mutex_lock(&app->lock);
    app->frozen++;
    app->frozen_err = err;
    snprintf(app->frozen_text, sizeof(app->frozen_text), "%s", text ? text : "");
    pthread_cond_broadcast(&app->changed);
    pthread_mutex_unlock(&app->lock);
}

static void wait_for(struct app *app, bool (*is_so)(const struct app *app, int n), int n)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int error = 0;
    pthread_mutex_lock(&app->lock);
    while (!is_so(app, n) && error == 0)
        error = pthread_cond_timedwait(&app->changed, &app->lock, &until);
    pthread_mutex_unlock(&app->lock);
    assert_int_equal(error, 0);
}

static bool all_exited(const struct app *app, int n)
{
    for (int i = 0; i < n; i++)
        if (!app->exited[i])
            return false;
    return true;
}

static bool was_answered(const struct app *app, int n)
{
    return app->frozen >= n;
}

static bool was_aborted(const struct app *app, int n)
{
    return app->aborts >= n;
}

static const char *progress = "thread";
static const struct weft_transport *const transports[] = {&weft__tp_inproc};

static struct weft_exec_desc describe(struct app *app, const char *program, char *const *argv)
{
    return (struct weft_exec_desc){
        .app = 77,
        .size = SIZE,
        .stride = STRIDE,
        .mailbox_bytes = 64u << 10,
        .host = "here",
        .program = program,
        .argv = argv,
        .lane = {.transports = transports,
                 .transports_n = 1,
                 .scheme = "inproc",
                 .progress = progress,
                 .bind = "exec-test",
                 .token = 99},
        .callbacks = {.rank_exited = on_exit_of_rank,
                      .app_abort = on_abort,
                      .route_wanted = on_wanted,
                      .ctx = app},
    };
}

static void open_exec(struct app *app, const char *program, const char *first, const char *second)
{
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)first, (char *)(uintptr_t)second,
                    NULL};
    char path[4096];
    snprintf(path, sizeof(path), PROGRAMS "/%s.so", program);
    struct weft_exec_desc desc = describe(app, path, argv);
    app_init(app);
    assert_int_equal(weft__exec_open(&desc, &app->exec[0]), 0);
}

static void start_ranks(struct weft_exec *exec, int32_t first, int32_t n)
{
    int32_t ranks[SIZE];
    for (int32_t i = 0; i < n; i++)
        ranks[i] = first + i;
    assert_int_equal(weft__exec_add_ranks(exec, ranks, (size_t)n, 1), 0);
    assert_int_equal(weft__exec_start(exec, ranks, (size_t)n), 0);
}

static void close_app(struct app *app)
{
    for (int i = 0; i < EXECS_MAX; i++)
        if (app->exec[i])
            assert_int_equal(weft__exec_close(app->exec[i], PATIENCE_S * 1000), 0);
}

/* Runtimes as if they were processes, which know of each other. */
static void open_several(struct app *app, int n, const char *program, const char *argument)
{
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)argument, NULL};
    static const char *const names[] = {"exec-test-a", "exec-test-b", "exec-test-c"};
    struct weft_exec_process processes[EXECS_MAX];
    char path[4096];
    snprintf(path, sizeof(path), PROGRAMS "/%s.so", program);
    struct weft_exec_desc desc = describe(app, path, argv);
    app_init(app);
    for (uint32_t i = 0; i < (uint32_t)n; i++) {
        desc.process = i;
        desc.lane.bind = names[i];
        assert_int_equal(weft__exec_open(&desc, &app->exec[i]), 0);
        processes[i] = (struct weft_exec_process){i, "here", weft__exec_lane_address(app->exec[i])};
    }
    for (int i = 0; i < n; i++)
        assert_int_equal(weft__exec_routes(app->exec[i], processes, (size_t)n, NULL, 0), 0);
}

static void tell(struct weft_exec *exec, int32_t rank, uint32_t process, uint32_t incarnation)
{
    struct weft_exec_route route = {rank, process, incarnation};
    assert_int_equal(weft__exec_routes(exec, NULL, 0, &route, 1), 0);
}

/* Ranks 0 and 1 in one, the others in the other. */
static void open_two(struct app *app, const char *program, const char *argument)
{
    open_several(app, 2, program, argument);
    for (int i = 0; i < 2; i++)
        for (int32_t rank = 0; rank < SIZE; rank++)
            tell(app->exec[i], rank, rank < 2 ? 0 : 1, 1);
    start_ranks(app->exec[0], 0, 2);
    start_ranks(app->exec[1], 2, 2);
}

static void ranks_of_one_process_pass_packets_of_every_size_round(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "ring", "500", NULL);
    start_ranks(app.exec[0], 0, SIZE);
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 10 + i);
    struct weft_exec_stats stats;
    weft__exec_stats(app.exec[0], &stats);
    assert_int_equal(stats.sent, 0);
    assert_true(stats.direct >= 4 * 500);
    close_app(&app);
}

static void ranks_of_two_processes_pass_packets_of_every_size_round(void **state)
{
    (void)state;
    struct app app;
    open_two(&app, "ring", "200");
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 10 + i);
    struct weft_exec_stats stats;
    weft__exec_stats(app.exec[1], &stats);
    assert_true(stats.received >= 200);
    close_app(&app);
}

static struct weft_exec_traffic traffic_with(struct weft_exec *exec, int32_t rank, int32_t peer)
{
    struct weft_exec_traffic news[SIZE], found = {.peer = peer};
    size_t n = weft__exec_traffic(exec, rank, news);
    for (size_t i = 0; i < n; i++)
        if (news[i].peer == peer)
            found = news[i];
    return found;
}

static void packets_are_counted_by_pair_wherever_the_peer_is(void **state)
{
    static const uint64_t lens[] = {0, 1, 15, 16, 17, 100, 1000, 4096, WEFT_EXEC_PACKET_MAX};
    (void)state;
    struct app app;
    uint64_t bytes = 0;
    for (int i = 0; i < 9; i++)
        bytes += 100 * lens[i];
    open_two(&app, "ring", "900");
    wait_for(&app, all_exited, SIZE);
    for (int32_t rank = 0; rank < SIZE; rank++) {
        struct weft_exec *exec = app.exec[rank / 2];
        struct weft_exec_traffic next = traffic_with(exec, rank, (rank + 1) % SIZE);
        assert_int_equal(next.sent, 900);
        assert_int_equal(next.sent_bytes, bytes);
        assert_int_equal(next.got, 0);
        /* and each thing once */
        assert_int_equal(traffic_with(exec, rank, (rank + 1) % SIZE).sent, 0);
    }
    assert_int_equal(weft__exec_traffic(app.exec[0], 3, NULL), 0);
    assert_int_equal(weft__exec_traffic(app.exec[0], SIZE, NULL), 0);
    close_app(&app);
}

static void gets_are_counted_where_they_are_made(void **state)
{
    (void)state;
    struct app app;
    open_two(&app, "gets", "300000");
    wait_for(&app, all_exited, SIZE);
    for (int32_t rank = 0; rank < SIZE - 1; rank++) {
        struct weft_exec_traffic from = traffic_with(app.exec[rank / 2], rank, SIZE - 1);
        uint64_t bytes = 0;
        for (uint64_t n = 0; n < from.got; n++)
            bytes += 300000 - n % 7 * 8; /* as the program pulls; gets that fail do not count */
        assert_true(from.got >= 10);
        assert_int_equal(from.got_bytes, bytes);
    }
    assert_int_equal(traffic_with(app.exec[1], SIZE - 1, 0).got, 0);
    close_app(&app);
}

static void each_rank_has_globals_arguments_and_memory_of_its_own(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "locals", "1", "two words");
    start_ranks(app.exec[0], 0, SIZE);
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], i);
    close_app(&app);
}

static void exposed_memory_is_pulled_within_a_process(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "gets", "300000", "20");
    start_ranks(app.exec[0], 0, SIZE);
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 0);
    close_app(&app);
}

static void exposed_memory_is_pulled_from_another_process(void **state)
{
    (void)state;
    struct app app;
    open_two(&app, "gets", "300000");
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 0);
    struct weft_exec_stats stats;
    weft__exec_stats(app.exec[0], &stats);
    assert_true(stats.gets_asked > 0);
    /* Of its two ranks' 10 pulls 4 had a ticket that held. */
    assert_true(stats.gets_asked + 2 * 4 <= stats.gets);
    close_app(&app);
}

static void a_flood_through_a_small_mailbox_arrives_once_and_in_order(void **state)
{
    (void)state;
    struct app app;
    open_two(&app, "flood", "0");
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 0);
    close_app(&app);
}

static void without_a_progress_thread_the_ranks_drive_the_lane(void **state)
{
    if (weft__config_u64("WEFT_LANES") > 1) {
        print_message("ranks drive one lane at most\n");
        skip();
    }
    progress = "worker";
    ranks_of_two_processes_pass_packets_of_every_size_round(state);
    exposed_memory_is_pulled_from_another_process(state);
    progress = "thread";
}

static bool was_wanted(const struct app *app, int rank)
{
    return app->wanted[rank] > 0;
}

static void packets_for_a_rank_that_is_not_known_wait_and_its_route_is_asked_for(void **state)
{
    (void)state;
    struct app app;
    open_several(&app, 2, "ring", "50");
    for (int32_t rank = 0; rank < SIZE; rank++) {
        tell(app.exec[0], rank, rank < 3 ? 0 : 1, 1);
        if (rank < 3)
            tell(app.exec[1], rank, 0, 1);
    }
    start_ranks(app.exec[0], 0, 3);
    wait_for(&app, was_wanted, 3);
    start_ranks(app.exec[1], 3, 1);
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 10 + i);
    close_app(&app);
}

static void a_route_that_was_never_told_is_asked_for(void **state)
{
    (void)state;
    struct app app;
    open_several(&app, 2, "ring", "50");
    for (int32_t rank = 0; rank < 3; rank++) {
        tell(app.exec[0], rank, 0, 1);
        tell(app.exec[1], rank, 0, 1);
    }
    tell(app.exec[1], 3, 1, 1);
    start_ranks(app.exec[0], 0, 3);
    start_ranks(app.exec[1], 3, 1);
    wait_for(&app, was_wanted, 3);
    tell(app.exec[0], 3, 1, 1);
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 10 + i);
    close_app(&app);
}

static bool has_nacked(struct weft_exec *exec)
{
    struct weft_exec_stats stats;
    weft__exec_stats(exec, &stats);
    return stats.nacked > 0;
}

static void a_sender_with_an_old_route_is_told_the_new_one_and_loses_nothing(void **state)
{
    (void)state;
    struct app app;
    open_several(&app, 3, "flood", "0");
    for (int i = 0; i < 3; i++)
        for (int32_t rank = 0; rank < SIZE - 1; rank++)
            tell(app.exec[i], rank, rank < 2 ? 0 : 1, 1);
    tell(app.exec[0], 3, 1, 1); /* it was there once */
    tell(app.exec[1], 3, 2, 2);
    static const int32_t last = 3;
    assert_int_equal(weft__exec_add_ranks(app.exec[2], &last, 1, 2), 0);
    start_ranks(app.exec[0], 0, 2);
    start_ranks(app.exec[1], 2, 1);
    /* It tells others where it is as soon as it runs: before that they have to send. */
    for (uint64_t until = weft__now_ns() + PATIENCE_S * WEFT_NS_PER_S; !has_nacked(app.exec[1]);) {
        assert_true(weft__now_ns() < until);
        sched_yield();
    }
    assert_int_equal(weft__exec_start(app.exec[2], &last, 1), 0);
    wait_for(&app, all_exited, SIZE);
    for (int i = 0; i < SIZE; i++)
        assert_int_equal(app.code[i], 0);
    close_app(&app);
}

static void exit_ends_a_rank_from_any_depth(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "exits", "exit", NULL);
    start_ranks(app.exec[0], 1, 2);
    app.exited[0] = true;
    wait_for(&app, all_exited, 3);
    assert_int_equal(app.code[1], 33);
    struct weft_exec_rank rank;
    assert_int_equal(weft__exec_rank(app.exec[0], 1, &rank), 0);
    assert_int_equal(rank.state, WEFT_RANK_EXITED);
    assert_int_equal(rank.code, 33);
    close_app(&app);
}

static void abort_tells_code_and_reason_and_the_rank_goes_nowhere(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "exits", "abort", NULL);
    start_ranks(app.exec[0], 0, 1);
    wait_for(&app, was_aborted, 1);
    assert_int_equal(app.abort_code, 5);
    assert_string_equal(app.abort_reason, "no more");
    close_app(&app);
    assert_false(app.exited[0]);
}

static void a_frozen_rank_that_is_thawed_goes_on(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "idle", "3", NULL);
    start_ranks(app.exec[0], 0, 1);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(weft__exec_freeze(app.exec[0], 0, on_frozen, &app), 0);
        assert_int_equal(weft__exec_freeze(app.exec[0], 0, on_frozen, &app), WEFT_EBUSY);
        wait_for(&app, was_answered, i);
        assert_int_equal(app.frozen_err, 0);
        assert_int_equal(weft__exec_freeze_cancel(app.exec[0], 0), WEFT_EBUSY);
        assert_int_equal(weft__exec_thaw(app.exec[0], 0, 1), 0);
        assert_int_equal(weft__exec_thaw(app.exec[0], 0, 1), WEFT_EBUSY);
    }
    wait_for(&app, all_exited, 1);
    assert_int_equal(app.code[0], 3);
    assert_int_equal(weft__exec_freeze(app.exec[0], 0, on_frozen, &app), WEFT_ENOENT);
    close_app(&app);
}

static void a_wish_to_freeze_can_be_withdrawn_or_comes_too_late(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "idle", "0", NULL);
    start_ranks(app.exec[0], 0, 1);
    int too_late = 0, withdrawn = 0;
    for (int i = 1; i <= 50; i++) {
        assert_int_equal(weft__exec_freeze(app.exec[0], 0, on_frozen, &app), 0);
        int err = weft__exec_freeze_cancel(app.exec[0], 0);
        if (err == WEFT_EBUSY)
            assert_int_equal(weft__exec_thaw(app.exec[0], 0, 1), 0);
        wait_for(&app, was_answered, i);
        assert_true(app.frozen_err == WEFT_ECANCELED || (err == WEFT_EBUSY && app.frozen_err == 0));
        too_late += err == WEFT_EBUSY;
        withdrawn += err == 0;
    }
    assert_int_equal(too_late + withdrawn, 50);
    close_app(&app);
}

static void expect_pinned(const char *how, int err, const char *words)
{
    struct app app;
    open_exec(&app, "pinned", how, NULL);
    start_ranks(app.exec[0], 0, 1);
    assert_int_equal(weft__exec_freeze(app.exec[0], 0, on_frozen, &app), 0);
    wait_for(&app, was_answered, 1);
    assert_int_equal(app.frozen_err, err);
    assert_non_null(strstr(app.frozen_text, words));
    wait_for(&app, all_exited, 1);
    assert_int_equal(app.code[0], 1);
    close_app(&app);
}

static void a_rank_that_cannot_move_says_why(void **state)
{
    (void)state;
    expect_pinned("pins", WEFT_EPINNED, "a socket is open");
    expect_pinned("foreign", WEFT_EPINNED, "outside its region");
    expect_pinned("entry", WEFT_EINVAL, "not a function of the program");
}

static void a_wish_to_freeze_a_rank_that_ends_is_answered(void **state)
{
    (void)state;
    struct app app;
    atomic_int words[2] = {0};
    char address[32];
    snprintf(address, sizeof(address), "%p", (void *)words);
    open_exec(&app, "spins", address, NULL);
    start_ranks(app.exec[0], 0, 1);
    assert_int_equal(weft__exec_freeze(app.exec[0], 0, on_frozen, &app), 0);
    atomic_store(&words[0], 1);
    wait_for(&app, was_answered, 1);
    assert_int_equal(app.frozen_err, WEFT_ENOENT);
    wait_for(&app, all_exited, 1);
    close_app(&app);
}

static void closing_names_a_rank_that_computes_and_works_when_it_is_done(void **state)
{
    (void)state;
    struct app app;
    atomic_int words[2] = {0};
    char address[32];
    snprintf(address, sizeof(address), "%p", (void *)words);
    open_exec(&app, "spins", address, NULL);
    start_ranks(app.exec[0], 0, 1);
    while (!atomic_load(&words[1]))
        sched_yield();
    assert_int_equal(weft__exec_close(app.exec[0], 20), WEFT_ETIMEDOUT);
    assert_non_null(strstr(weft_fail_text(WEFT_ETIMEDOUT), "cannot be ended"));
    atomic_store(&words[0], 1);
    close_app(&app);
}

static void closing_ends_ranks_that_wait_and_ranks_that_never_started(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "ring", "1000000000", NULL);
    start_ranks(app.exec[0], 0, 3); /* the fourth is missing: they wait for ever */
    static const int32_t last = 3;
    assert_int_equal(weft__exec_add_ranks(app.exec[0], &last, 1, 1), 0);
    close_app(&app);
}

static void an_address_that_is_taken_is_named(void **state)
{
    (void)state;
    struct app app;
    open_exec(&app, "idle", "0", NULL);
#ifdef WEFT_TSAN
    uint64_t base = WEFT_EXEC_BASE_TSAN;
#else
    uint64_t base = WEFT_EXEC_BASE_DEFAULT;
#endif
    void *at = (void *)(uintptr_t)(base + 2 * STRIDE + 4096);
    assert_ptr_equal(
        mmap(at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), at);
    static const int32_t ranks[] = {0, 1, 2};
    assert_int_equal(weft__exec_add_ranks(app.exec[0], ranks, 3, 1), WEFT_EADDRINUSE);
    assert_non_null(strstr(weft_fail_text(WEFT_EADDRINUSE), "rank 2"));
    munmap(at, 4096);
    assert_int_equal(weft__exec_add_ranks(app.exec[0], ranks, 3, 1), 0);
    assert_int_equal(weft__exec_add_ranks(app.exec[0], ranks, 1, 1), WEFT_EEXIST);
    close_app(&app);
}

static void descriptions_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct app app;
    struct weft_exec *exec;
    char *argv[] = {NULL};
    struct weft_exec_desc desc = describe(&app, PROGRAMS "/ring.so", argv);
    desc.size = 0;
    assert_int_equal(weft__exec_open(&desc, &exec), WEFT_EINVAL);
    desc.size = SIZE;
    desc.stride = 3u << 20;
    assert_int_equal(weft__exec_open(&desc, &exec), WEFT_EINVAL);
    desc.stride = 1ull << 46;
    assert_int_equal(weft__exec_open(&desc, &exec), WEFT_EINVAL);
    desc.stride = STRIDE;
    desc.mailbox_bytes = 100;
    assert_int_equal(weft__exec_open(&desc, &exec), WEFT_EINVAL);
    desc.mailbox_bytes = 0;
    desc.program = "/nowhere";
    assert_int_equal(weft__exec_open(&desc, &exec), WEFT_ENOENT);
    desc.program = PROGRAMS "/ring.so";
    desc.lane.scheme = "carrier-pigeon";
    assert_true(weft__exec_open(&desc, &exec) < 0);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 512; fd++)
        n += lseek(fd, 0, SEEK_CUR) >= 0 || errno == ESPIPE;
    return n;
}

static void opening_and_closing_leaves_nothing_behind(void **state)
{
    (void)state;
    struct app app;
    int before = 0;
    for (int i = 0; i < 5; i++) {
        open_exec(&app, "ring", "3", NULL);
        start_ranks(app.exec[0], 0, SIZE);
        wait_for(&app, all_exited, SIZE);
        close_app(&app);
        if (i == 0)
            before = open_files();
    }
    assert_int_equal(open_files(), before);
}

/* An argument is the number of lanes. */
int main(int argc, char **argv)
{
    if (argc > 1)
        assert_int_equal(weft__config_set("WEFT_LANES", argv[1]), WEFT_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_of_one_process_pass_packets_of_every_size_round),
        cmocka_unit_test(ranks_of_two_processes_pass_packets_of_every_size_round),
        cmocka_unit_test(packets_are_counted_by_pair_wherever_the_peer_is),
        cmocka_unit_test(gets_are_counted_where_they_are_made),
        cmocka_unit_test(each_rank_has_globals_arguments_and_memory_of_its_own),
        cmocka_unit_test(exposed_memory_is_pulled_within_a_process),
        cmocka_unit_test(exposed_memory_is_pulled_from_another_process),
        cmocka_unit_test(a_flood_through_a_small_mailbox_arrives_once_and_in_order),
        cmocka_unit_test(without_a_progress_thread_the_ranks_drive_the_lane),
        cmocka_unit_test(packets_for_a_rank_that_is_not_known_wait_and_its_route_is_asked_for),
        cmocka_unit_test(a_route_that_was_never_told_is_asked_for),
        cmocka_unit_test(a_sender_with_an_old_route_is_told_the_new_one_and_loses_nothing),
        cmocka_unit_test(exit_ends_a_rank_from_any_depth),
        cmocka_unit_test(abort_tells_code_and_reason_and_the_rank_goes_nowhere),
        cmocka_unit_test(a_frozen_rank_that_is_thawed_goes_on),
        cmocka_unit_test(a_wish_to_freeze_can_be_withdrawn_or_comes_too_late),
        cmocka_unit_test(a_rank_that_cannot_move_says_why),
        cmocka_unit_test(a_wish_to_freeze_a_rank_that_ends_is_answered),
        cmocka_unit_test(closing_names_a_rank_that_computes_and_works_when_it_is_done),
        cmocka_unit_test(closing_ends_ranks_that_wait_and_ranks_that_never_started),
        cmocka_unit_test(an_address_that_is_taken_is_named),
        cmocka_unit_test(descriptions_that_make_no_sense_are_refused),
        cmocka_unit_test(opening_and_closing_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
