/* fork: a rank that forks its memory over the cluster (fork_test.c). The first argument says what
 * it does; what is not as it should be is printed, and makes its code 1. */
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "weft/cell.h"
#include "weft/error.h"
#include "weft/fork.h"
#include "weft/memory.h"
#include "weft/migrate.h"

enum { JOIN_MS = 60000, PAGE = 4096 };

static int failures;

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            failures++;                                                                            \
            printf("line %d: not %s: ", __LINE__, #condition);                                     \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static void nap(void)
{
    const struct timespec time = {.tv_nsec = 2000000};
    (void)nanosleep(&time, NULL);
}

static struct weft_fork *open_fork(const struct weft_fork_options *options)
{
    struct weft_fork *fork = NULL;
    int err = weft_fork_open(options, &fork);
    if (err) {
        printf("cannot open: %s\n", weft_fail_text(err));
        exit(1);
    }
    return fork;
}

static void run(struct weft_fork *fork, weft_fork_function *function)
{
    int err = weft_fork_start(fork, function, NULL, 0);
    if (!err)
        err = weft_fork_join(fork, JOIN_MS, NULL);
    CHECK(err == 0, "%s", weft_fail_text(err));
}

/* ---- typed: every operation, over all hosts, twice ---- */

struct typed {
    int32_t first; /* the first thread of a host; ignored */
    int32_t pad;
    int32_t sum, subtract, product, max, min;
    int32_t pad2;
    int64_t sum64;
    float fsum;
    float pad3;
    double dsum, dproduct, dmax, dmin;
    uint8_t is;
    uint8_t bits;
    uint8_t pad4[6];
    struct typed *itself; /* pointers hold on every host */
    char gap[2 * PAGE];
    char raw[64]; /* a byte per thread */
};

static int change_typed(const struct weft_fork_thread *thread)
{
    struct typed *typed = thread->base;
    typed->raw[thread->index] = (char)('a' + thread->index);
    if (typed->itself != typed)
        return -1;
    if (__atomic_exchange_n(&typed->first, 1, __ATOMIC_ACQ_REL))
        return (int)thread->index; /* the rest once per host */
    typed->sum += 50;
    typed->subtract -= 50;
    typed->product *= 3;
    typed->max = 11 + (int)thread->index;
    typed->min = 999 - (int)thread->index;
    typed->sum64 += INT64_C(1) << 40;
    typed->fsum += 0.5f;
    typed->dsum += 432;
    typed->dproduct *= 2;
    typed->dmax = 601 + thread->index;
    typed->dmin = -1.0 - thread->index;
    typed->is = 1;
    typed->bits ^= (uint8_t)(1u << (thread->index % 8));
    return (int)thread->index;
}

#define REGION(field, type, op)                                                                    \
    {                                                                                              \
        offsetof(struct typed, field), sizeof(((struct typed *)0)->field), WEFT_FORK_##type,       \
            WEFT_FORK_##op                                                                         \
    }

static const struct weft_fork_region typed_regions[] = {
    REGION(first, INT32, IGNORE),      REGION(sum, INT32, SUM),   REGION(subtract, INT32, SUBTRACT),
    REGION(product, INT32, PRODUCT),   REGION(max, INT32, MAX),   REGION(min, INT32, MIN),
    REGION(sum64, INT64, SUM),         REGION(fsum, FLOAT, SUM),  REGION(dsum, DOUBLE, SUM),
    REGION(dproduct, DOUBLE, PRODUCT), REGION(dmax, DOUBLE, MAX), REGION(dmin, DOUBLE, MIN),
    REGION(is, BOOL, OVERWRITE),       REGION(bits, RAW, XOR),
};

/* First threads of hosts, as far as the placement tells. */
static void typed_expect(const struct weft_fork *fork, const struct typed *typed, int rounds)
{
    struct weft_fork_counts counts;
    uint32_t threads = weft_fork_threads(fork);
    weft_fork_count(fork, &counts);
    int hosts = (int)counts.hosts, all = hosts * rounds;
    int product = 3;
    double dproduct = 1;
    for (int i = 0; i < all; i++) {
        product *= i < 9 ? 3 : 1;
        dproduct *= 2;
    }
    CHECK(typed->first == 0, "%d", typed->first);
    CHECK(typed->sum == 100 + 50 * all, "%d", typed->sum);
    CHECK(typed->subtract == 150 - 50 * all, "%d", typed->subtract);
    CHECK(all > 9 || typed->product == product, "%d", typed->product);
    CHECK(typed->max > 10 && typed->max <= 10 + (int)threads, "%d", typed->max);
    CHECK(typed->min < 1000 && typed->min >= 1000 - (int)threads, "%d", typed->min);
    CHECK(typed->sum64 == 7 + all * (INT64_C(1) << 40), "%lld", (long long)typed->sum64);
    CHECK(fabsf(typed->fsum - 0.5f * (float)all) < 1e-6f, "%g", (double)typed->fsum);
    CHECK(fabs(typed->dsum - (513 + 432.0 * all)) < 1e-9, "%g", typed->dsum);
    CHECK(fabs(typed->dproduct - dproduct) < 1e-9, "%g", typed->dproduct);
    CHECK(typed->dmax > 600 && typed->dmax <= 600 + threads, "%g", typed->dmax);
    CHECK(typed->dmin < 0 && typed->dmin >= -1.0 * threads, "%g", typed->dmin);
    CHECK(typed->is == 1, "%d", typed->is);
    CHECK(rounds % 2 ? __builtin_popcount(typed->bits) == hosts : 1, "%x", typed->bits);
    for (uint32_t i = 0; i < threads; i++)
        CHECK(typed->raw[i] == (char)('a' + i), "raw[%u] = %d", i, typed->raw[i]);
}

static int run_typed(const char *hosts_wanted)
{
    struct typed *typed = weft_alloc(sizeof(*typed));
    *typed = (struct typed){.sum = 100,
                            .subtract = 150,
                            .product = 3,
                            .max = 10,
                            .min = 1000,
                            .sum64 = 7,
                            .dsum = 513,
                            .dproduct = 1,
                            .dmax = 600,
                            .itself = typed};
    struct weft_fork *fork = open_fork(
        &(struct weft_fork_options){.base = typed,
                                    .len_bytes = sizeof(*typed),
                                    .regions = typed_regions,
                                    .regions_n = sizeof(typed_regions) / sizeof(typed_regions[0])});
    struct weft_fork_counts counts;
    weft_fork_count(fork, &counts);
    CHECK(counts.hosts == (uint32_t)atoi(hosts_wanted), "%u hosts", counts.hosts);
    int values[64];
    for (int round = 1; round <= 2; round++) {
        int err = weft_fork_start(fork, change_typed, NULL, 0);
        if (!err)
            err = weft_fork_join(fork, JOIN_MS, values);
        CHECK(err == 0, "%s", weft_fail_text(err));
        typed_expect(fork, typed, round);
        for (uint32_t i = 0; i < weft_fork_threads(fork); i++)
            CHECK(values[i] == (int)i, "thread %u on %s returned %d", i, weft_fork_host(fork, i),
                  values[i]);
    }
    CHECK(weft_fork_host(fork, weft_fork_threads(fork)) == NULL, "a host for no thread");
    printf("%u threads on %u hosts\n", weft_fork_threads(fork), counts.hosts);
    weft_fork_close(fork);
    weft_free(typed);
    return 0;
}

/* The same by rank 1, while rank 0 holds its slot. */
static void run_second(const char *hosts_wanted, const char *file)
{
    if (weft_cell_self()->rank != 1) {
        while (access(file, F_OK) != 0)
            nap();
        return;
    }
    run_typed(hosts_wanted);
    FILE *made = fopen(file, "we");
    if (made)
        (void)fclose(made);
}

/* ---- again: only what has changed travels ---- */

enum { AGAIN_PAGES = 2048 };

static int sum_bytes(const struct weft_fork_thread *thread)
{
    const unsigned char *at = thread->base;
    unsigned sum = 0;
    for (size_t i = 0; i < thread->len_bytes; i++)
        sum += at[i];
    return (int)(sum % 1000003);
}

static void sums_expect(struct weft_fork *fork, unsigned char *memory)
{
    int values[64], expected;
    struct weft_fork_thread here = {.base = memory, .len_bytes = AGAIN_PAGES * PAGE};
    expected = sum_bytes(&here);
    int err = weft_fork_start(fork, sum_bytes, NULL, 0);
    if (!err)
        err = weft_fork_join(fork, JOIN_MS, values);
    CHECK(err == 0, "%s", weft_fail_text(err));
    for (uint32_t i = 0; !err && i < weft_fork_threads(fork); i++)
        CHECK(values[i] == expected, "thread %u on %s sees %d, not %d", i, weft_fork_host(fork, i),
              values[i], expected);
}

static uint64_t sent(const struct weft_fork *fork)
{
    struct weft_fork_counts counts;
    weft_fork_count(fork, &counts);
    return counts.sent_bytes;
}

static int run_again(void)
{
    unsigned char *memory = weft_alloc(AGAIN_PAGES * PAGE);
    struct weft_fork *fork =
        open_fork(&(struct weft_fork_options){.base = memory, .len_bytes = AGAIN_PAGES * PAGE});
    struct weft_fork_counts counts;
    weft_fork_count(fork, &counts);
    for (size_t i = 0; i < AGAIN_PAGES * PAGE; i++)
        memory[i] = (unsigned char)(i * 31 + i / PAGE);
    sums_expect(fork, memory);
    uint64_t first = sent(fork);
    CHECK(first >= (uint64_t)counts.hosts_remote * AGAIN_PAGES * PAGE, "%llu",
          (unsigned long long)first);
    sums_expect(fork, memory);
    CHECK(sent(fork) == first, "%llu bytes more of what has not changed",
          (unsigned long long)(sent(fork) - first));
    for (size_t page = 0; page < AGAIN_PAGES; page += 64)
        memory[page * PAGE + 77]++;
    sums_expect(fork, memory);
    uint64_t third = sent(fork) - first, dirty = (uint64_t)AGAIN_PAGES / 64 * PAGE;
    CHECK(third >= counts.hosts_remote * dirty && third <= counts.hosts_remote * (dirty + 2 * PAGE),
          "%llu for %llu dirtied", (unsigned long long)third, (unsigned long long)dirty);
    printf("sent %llu then %llu\n", (unsigned long long)first, (unsigned long long)third);
    weft_fork_close(fork);
    return 0;
}

/* ---- much: differences too many for a message ---- */

enum { MUCH_BYTES = 8 << 20 };

static int fill_share(const struct weft_fork_thread *thread)
{
    uint32_t *words = thread->base;
    size_t n = thread->len_bytes / sizeof(*words);
    for (size_t i = thread->index; i < n; i += thread->threads)
        words[i] = (uint32_t)(i * 2654435761u);
    return 0;
}

static int run_much(void)
{
    uint32_t *words = weft_alloc(MUCH_BYTES);
    size_t n = MUCH_BYTES / sizeof(*words), wrong = 0;
    const struct weft_fork_region all = {.type = WEFT_FORK_RAW, .op = WEFT_FORK_XOR};
    struct weft_fork *fork = open_fork(&(struct weft_fork_options){
        .base = words, .len_bytes = MUCH_BYTES, .regions = &all, .regions_n = 1});
    run(fork, fill_share);
    for (size_t i = 0; i < n; i++)
        wrong += words[i] != (uint32_t)(i * 2654435761u);
    CHECK(wrong == 0, "%zu words of %zu", wrong, n);
    struct weft_fork_counts counts;
    weft_fork_count(fork, &counts);
    CHECK(counts.returned_bytes > MUCH_BYTES / 2, "%llu",
          (unsigned long long)counts.returned_bytes);
    weft_fork_close(fork);
    return 0;
}

/* ---- waiting, dying ---- */

struct wait {
    uint64_t count;
    uint64_t here; /* threads that have begun, on this host */
    char file[256];
    char host[64]; /* where it goes wrong */
};

static int wait_for_file(const struct weft_fork_thread *thread)
{
    struct wait *wait = thread->base;
    __atomic_add_fetch(&wait->count, 1, __ATOMIC_RELAXED);
    while (access(wait->file, F_OK) != 0 && !weft_fork_is_cancelled(thread))
        nap();
    return weft_fork_is_cancelled(thread) ? -1 : 7;
}

static const struct weft_fork_region count_region = {offsetof(struct wait, count), sizeof(uint64_t),
                                                     WEFT_FORK_INT64, WEFT_FORK_SUM};

static struct wait *wait_new(const char *file)
{
    struct wait *wait = weft_alloc(sizeof(*wait));
    snprintf(wait->file, sizeof(wait->file), "%s", file);
    return wait;
}

static struct weft_fork_options wait_options(struct wait *wait)
{
    return (struct weft_fork_options){
        .base = wait, .len_bytes = sizeof(*wait), .regions = &count_region, .regions_n = 1};
}

/* Runs while a host is killed, then once more on those that are left. */
static int run_killed(const char *file)
{
    struct wait *wait = wait_new(file);
    struct weft_fork_options options = wait_options(wait);
    struct weft_fork *fork = open_fork(&options);
    int err = weft_fork_start(fork, wait_for_file, NULL, 0);
    CHECK(err == 0, "%s", weft_fail_text(err));
    printf("running on %s\n", weft_fork_host(fork, weft_fork_threads(fork) - 1));
    fflush(stdout);
    err = weft_fork_join(fork, JOIN_MS, NULL);
    printf("joined: %s: %s\n", weft_error_name(err), weft_fail_text(err));
    CHECK(weft_error_damage(err) == WEFT_DAMAGE_PEER, "%d", err);
    CHECK(wait->count == 0, "%llu", (unsigned long long)wait->count);
    CHECK(weft_fork_start(fork, wait_for_file, NULL, 0) == err, "it starts again");
    weft_fork_close(fork);
    printf("closed\n");
    fflush(stdout);
    options.threads = 1;
    fork = open_fork(&options);
    run(fork, wait_for_file);
    CHECK(wait->count == 1, "%llu", (unsigned long long)wait->count);
    weft_fork_close(fork);
    return 0;
}

static int crash_there(const struct weft_fork_thread *thread)
{
    struct wait *wait = thread->base;
    __atomic_add_fetch(&wait->count, 1, __ATOMIC_RELAXED);
    if (strcmp(thread->host, wait->host) == 0)
        (void)raise(SIGKILL); /* as a crash ends the process, and without a sanitizer's report */
    return 0;
}

static int run_crash(const char *host)
{
    struct wait *wait = wait_new("/");
    struct weft_fork_options options = wait_options(wait);
    struct weft_fork *fork = open_fork(&options);
    snprintf(wait->host, sizeof(wait->host), "%s", host);
    int err = weft_fork_start(fork, crash_there, NULL, 0);
    if (!err)
        err = weft_fork_join(fork, JOIN_MS, NULL);
    printf("joined: %s: %s\n", weft_error_name(err), weft_fail_text(err));
    CHECK(weft_error_damage(err) == WEFT_DAMAGE_PEER, "%d", err);
    CHECK(wait->count == 0, "%llu", (unsigned long long)wait->count);
    weft_fork_close(fork);
    fork = open_fork(&options); /* all slots, the host's too */
    run(fork, wait_for_file);
    CHECK(wait->count == weft_fork_threads(fork), "%llu", (unsigned long long)wait->count);
    weft_fork_close(fork);
    return 0;
}

/* A join that does not wait long enough, and a close that does not wait at all. */
static int run_late(const char *file)
{
    struct wait *wait = wait_new(file);
    struct weft_fork_options options = wait_options(wait);
    struct weft_fork *fork = open_fork(&options);
    int values[64] = {0};
    int err = weft_fork_start(fork, wait_for_file, NULL, 0);
    CHECK(err == 0, "%s", weft_fail_text(err));
    CHECK(weft_fork_start(fork, wait_for_file, NULL, 0) == WEFT_EBUSY, "twice");
    CHECK(weft_fork_join(fork, 20, values) == WEFT_ETIMEDOUT, "early");
    FILE *made = fopen(file, "we");
    if (made)
        (void)fclose(made);
    err = weft_fork_join(fork, JOIN_MS, values);
    CHECK(err == 0, "%s", weft_fail_text(err));
    CHECK(values[0] == 7 && wait->count == weft_fork_threads(fork), "%d %llu", values[0],
          (unsigned long long)wait->count);
    (void)unlink(file);
    err = weft_fork_start(fork, wait_for_file, NULL, 0);
    CHECK(err == 0, "%s", weft_fail_text(err));
    uint64_t before = weft_fork_threads(fork);
    weft_fork_close(fork); /* its threads look whether they are cancelled */
    CHECK(wait->count == before, "%llu", (unsigned long long)wait->count);
    fork = open_fork(&options);
    CHECK(weft_fork_threads(fork) == before, "%u threads", weft_fork_threads(fork));
    weft_fork_close(fork);
    return 0;
}

/* Closed before its threads have begun: they must not begin afterwards. */
static int run_hasty(const char *rounds)
{
    struct wait *wait = wait_new("/");
    struct weft_fork_options options = wait_options(wait);
    for (int i = atoi(rounds); i > 0; i--) {
        struct weft_fork *fork = open_fork(&options);
        int err = weft_fork_start(fork, wait_for_file, NULL, 0);
        CHECK(err == 0, "%s", weft_fail_text(err));
        weft_fork_close(fork);
        for (int k = 0; k < 5; k++)
            nap();
        CHECK(wait->count == 0, "%llu", (unsigned long long)wait->count);
    }
    return 0;
}

static int never_end_elsewhere(const struct weft_fork_thread *thread)
{
    const struct wait *wait = thread->base;
    while (strcmp(thread->host, wait->host) != 0)
        nap();
    return 0;
}

/* Threads that do not listen are ended with their process, and their slots are free. */
static int run_deaf(const char *host)
{
    struct wait *wait = wait_new("/");
    struct weft_fork_options options = wait_options(wait);
    snprintf(wait->host, sizeof(wait->host), "%s", host);
    struct weft_fork *fork = open_fork(&options);
    uint32_t before = weft_fork_threads(fork);
    int err = weft_fork_start(fork, never_end_elsewhere, NULL, 0);
    CHECK(err == 0, "%s", weft_fail_text(err));
    CHECK(weft_fork_join(fork, 20, NULL) == WEFT_ETIMEDOUT, "early");
    weft_fork_close(fork);
    for (int tries = 0; tries < 1000; tries++) {
        fork = open_fork(&options);
        if (weft_fork_threads(fork) == before)
            break;
        weft_fork_close(fork);
        fork = NULL;
        nap();
    }
    CHECK(fork != NULL, "slots are missing");
    snprintf(wait->file, sizeof(wait->file), "/");
    if (fork != NULL)
        run(fork, wait_for_file);
    weft_fork_close(fork);
    return 0;
}

/* ---- bad: errors name what is wrong ---- */

static void refused(const struct weft_fork_options *options, int wanted, const char *text)
{
    struct weft_fork *fork = NULL;
    int err = weft_fork_open(options, &fork);
    CHECK(err == wanted, "%s, not %s: %s", weft_error_name(err), weft_error_name(wanted),
          weft_fail_text(err));
    CHECK(err == 0 || strstr(weft_fail_text(err), text) != NULL, "\"%s\" has no \"%s\"",
          weft_fail_text(err), text);
    weft_fork_close(fork);
}

static int run_bad(void)
{
    struct wait *wait = wait_new("/");
    struct weft_fork_options options = wait_options(wait), bad = options;
    char on_the_stack[64];
    struct weft_fork_region overlapping[] = {{0, 8, WEFT_FORK_INT64, WEFT_FORK_SUM},
                                             {4, 8, WEFT_FORK_INT32, WEFT_FORK_MAX}};
    struct weft_fork_region outside = {sizeof(*wait) - 4, 8, WEFT_FORK_RAW, WEFT_FORK_OVERWRITE};
    struct weft_fork_region odd = {0, 6, WEFT_FORK_INT32, WEFT_FORK_SUM};
    struct weft_fork_region none = {0, 4, WEFT_FORK_RAW, WEFT_FORK_SUM};
    bad.base = on_the_stack;
    bad.len_bytes = sizeof(on_the_stack);
    refused(&bad, WEFT_ERANGE, "not memory of rank 0");
    bad = options;
    bad.len_bytes = (size_t)1 << 40;
    refused(&bad, WEFT_ERANGE, "not memory of rank 0");
    bad = options;
    bad.regions = overlapping;
    bad.regions_n = 2;
    refused(&bad, WEFT_EEXIST, "overlap");
    bad.regions = &outside;
    bad.regions_n = 1;
    refused(&bad, WEFT_ERANGE, "shared");
    bad.regions = &odd;
    refused(&bad, WEFT_EINVAL, "int32");
    bad.regions = &none;
    refused(&bad, WEFT_EINVAL, "sum");
    bad.base = wait; /* not at the beginning of a page: texts count from here all the same */
    refused(&bad, WEFT_EINVAL, "at 0x0 ");
    bad.regions = NULL;
    refused(&bad, WEFT_EINVAL, "no list");
    bad = options;
    bad.rest = WEFT_FORK_SUM;
    refused(&bad, WEFT_EINVAL, "raw bytes");
    bad = options;
    bad.threads = 4000;
    refused(&bad, WEFT_ENOSLOTS, "slots");

    struct weft_fork *fork = open_fork(&options);
    static char argument[70000];
    CHECK(weft_fork_join(fork, 1, NULL) == WEFT_EINVAL, "not started");
    CHECK(weft_fork_start(fork, (weft_fork_function *)(void (*)(void))nanosleep, NULL, 0) ==
              WEFT_EINVAL,
          "a function of somebody else's");
    CHECK(strstr(weft_fail_text(WEFT_EINVAL), "fork") != NULL, "%s", weft_fail_text(WEFT_EINVAL));
    CHECK(weft_fork_start(fork, wait_for_file, NULL, 8) == WEFT_EINVAL, "no argument");
    CHECK(weft_fork_start(fork, wait_for_file, argument, sizeof(argument)) == WEFT_EMSGSIZE,
          "a long argument");
    run(fork, wait_for_file);
    weft_fork_close(fork);
    return 0;
}

/* ---- memory: more than a host's WEFT_FORK_MEMORY ---- */

static int run_memory(void)
{
    char *memory = weft_alloc(4 << 20);
    memset(memory, 1, 4 << 20);
    struct weft_fork *fork =
        open_fork(&(struct weft_fork_options){.base = memory, .len_bytes = 4 << 20});
    int err = weft_fork_start(fork, sum_bytes, NULL, 0);
    if (!err)
        err = weft_fork_join(fork, JOIN_MS, NULL);
    printf("joined: %s: %s\n", weft_error_name(err), weft_fail_text(err));
    CHECK(err == WEFT_ENOSPC, "%d", err);
    weft_fork_close(fork);
    return 0;
}

/* ---- pinned: passes migration points with a fork open, then without ---- */

static int arrived(void *file)
{
    printf("moved\n");
    while (access(file, F_OK) == 0)
        nap();
    printf("good\n");
    return 0;
}

static int run_pinned(const char *word)
{
    struct wait *wait = wait_new(word);
    struct weft_fork_options options = wait_options(wait);
    options.threads = 1;
    struct weft_fork *fork = open_fork(&options);
    printf("open\n");
    fflush(stdout);
    while (access(wait->file, F_OK) != 0) {
        (void)weft_migration_point(arrived, wait->file); /* stays: it has a fork open */
        nap();
    }
    weft_fork_close(fork);
    printf("closed\n");
    fflush(stdout);
    while (access(wait->file, F_OK) == 0) {
        (void)weft_migration_point(arrived, wait->file);
        nap();
    }
    return 0;
}

/* ---- left: a rank that ends with its fork open ---- */

static int run_left(void)
{
    struct wait *wait = wait_new("/");
    struct weft_fork_options options = wait_options(wait);
    struct weft_fork *fork = open_fork(&options);
    int err = weft_fork_start(fork, wait_for_file, NULL, 0);
    CHECK(err == 0, "%s", weft_fail_text(err));
    return 0;
}

/* ---- held: all slots are taken until the file is there; then closed, until it is not ---- */

static int run_held(const char *file)
{
    struct wait *wait = wait_new(file);
    struct weft_fork_options options = wait_options(wait);
    struct weft_fork *fork = open_fork(&options), *more = NULL;
    int err = weft_fork_start(fork, wait_for_file, NULL, 0);
    CHECK(err == 0, "%s", weft_fail_text(err));
    CHECK(weft_fork_open(&options, &more) == WEFT_ENOSLOTS, "slots are given twice");
    options.threads = 1;
    CHECK(weft_fork_open(&options, &more) == WEFT_ENOSLOTS, "a slot is given twice");
    printf("held\n");
    fflush(stdout);
    err = weft_fork_join(fork, JOIN_MS, NULL);
    CHECK(err == 0, "%s", weft_fail_text(err));
    weft_fork_close(fork);
    printf("closed\n");
    fflush(stdout);
    while (access(file, F_OK) == 0)
        nap();
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *word = argc > 2 ? argv[2] : "";
    if (strcmp(what, "second") == 0) {
        run_second(word, argc > 3 ? argv[3] : "");
    } else if (strcmp(what, "typed") == 0)
        run_typed(word);
    else if (strcmp(what, "again") == 0)
        run_again();
    else if (strcmp(what, "much") == 0)
        run_much();
    else if (strcmp(what, "killed") == 0)
        run_killed(word);
    else if (strcmp(what, "crash") == 0)
        run_crash(word);
    else if (strcmp(what, "late") == 0)
        run_late(word);
    else if (strcmp(what, "hasty") == 0)
        run_hasty(word);
    else if (strcmp(what, "deaf") == 0)
        run_deaf(word);
    else if (strcmp(what, "bad") == 0)
        run_bad();
    else if (strcmp(what, "memory") == 0)
        run_memory();
    else if (strcmp(what, "held") == 0)
        run_held(word);
    else if (strcmp(what, "pinned") == 0)
        run_pinned(word);
    else if (strcmp(what, "left") == 0)
        run_left();
    else
        return 2;
    printf(failures ? "failed\n" : "good\n");
    fflush(stdout);
    return failures ? 1 : 0;
}
