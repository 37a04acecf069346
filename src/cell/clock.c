/* At each stop what the clocks say is noted, and at the arrival each is set so that it goes on from
 * there: counting clocks by the time that has passed meanwhile, as CLOCK_MONOTONIC has it, for
 * which the runtime vouches; processor time as if none had passed. The world's time is the host's.
 * Processor time is that of the whole process: a rank's thread is one of several that run it.
 *
 * A coarse clock lags behind its fine one by a tick of the host, which differs from host to host,
 * so it is held to what it has said already. */
#include "cell/clock.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#define SECOND UINT64_C(1000000000)

_Static_assert(offsetof(struct weft__clock, host) == 0, "CLOCK_HOST");
_Static_assert(offsetof(struct weft__clock, shifts) == 8, "CLOCK_SHIFTS");
_Static_assert(sizeof(struct weft__clock_shift) == 16, "clock_gettime");
_Static_assert(WEFT__CLOCKS == 12, "CLOCKS");
_Static_assert(offsetof(struct timespec, tv_nsec) == 8, "clock_gettime");

enum kind { WORLD, COUNTS, COUNTS_COARSE, COUNTS_ALONE, PROCESSOR };

static const enum kind kinds[WEFT__CLOCKS] = {
    [CLOCK_MONOTONIC] = COUNTS,
    [CLOCK_MONOTONIC_COARSE] = COUNTS_COARSE,
    [CLOCK_MONOTONIC_RAW] = COUNTS_ALONE,
    [CLOCK_BOOTTIME] = COUNTS_ALONE,
    [CLOCK_BOOTTIME_ALARM] = COUNTS_ALONE,
    [CLOCK_PROCESS_CPUTIME_ID] = PROCESSOR,
};

static uint64_t function;

/* Of this process's own image; it is never unloaded. */
static void look_up(void)
{
    void *image = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_LOCAL | RTLD_NOLOAD);
    function = image ? (uint64_t)(uintptr_t)dlsym(image, "__vdso_clock_gettime") : 0;
}

static uint64_t host_function(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look_up);
    return function;
}

static uint64_t host_ns(int id)
{
    struct timespec time;
    return clock_gettime(id, &time) == 0 ? (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec
                                         : 0;
}

static int64_t shift_ns(const struct weft__clock *clock, int id)
{
    const struct weft__clock_shift *shift = &clock->shifts[id];
    return (int64_t)((uint64_t)shift->s * SECOND + shift->ns);
}

static void set_shift(struct weft__clock *clock, int id, int64_t ns)
{
    int64_t s = ns / (int64_t)SECOND, rest = ns % (int64_t)SECOND;
    clock->shifts[id] = rest < 0 ? (struct weft__clock_shift){s - 1, (uint64_t)rest + SECOND}
                                 : (struct weft__clock_shift){s, (uint64_t)rest};
}

void weft__clock_begin(struct weft__clock *clock)
{
    clock->host = host_function();
}

void weft__clock_stop(struct weft__clock *clock)
{
    for (int id = 0; id < WEFT__CLOCKS; id++)
        clock->stopped_ns[id] = host_ns(id) + (uint64_t)shift_ns(clock, id);
}

void weft__clock_arrive(struct weft__clock *clock, int64_t ahead_ns)
{
    uint64_t now_ns = host_ns(CLOCK_MONOTONIC) + (uint64_t)ahead_ns;
    uint64_t passed_ns = now_ns - clock->stopped_ns[CLOCK_MONOTONIC];
    clock->host = host_function();
    for (int id = 0; id < WEFT__CLOCKS; id++) {
        int64_t ns = (int64_t)(clock->stopped_ns[id] - host_ns(id));
        if (kinds[id] == WORLD)
            ns = 0;
        else if (kinds[id] == COUNTS || (kinds[id] == COUNTS_COARSE && ns < ahead_ns))
            ns = ahead_ns;
        else if (kinds[id] == COUNTS_ALONE)
            ns = (int64_t)((uint64_t)ns + passed_ns);
        set_shift(clock, id, ns);
    }
}

uint64_t weft__clock_of_host(uint64_t id)
{
    return id == CLOCK_THREAD_CPUTIME_ID ? CLOCK_PROCESS_CPUTIME_ID : id;
}

void weft__clock_to_rank(const struct weft__clock *clock, uint64_t id, struct timespec *time)
{
    if (id >= WEFT__CLOCKS)
        return;
    const struct weft__clock_shift *shift = &clock->shifts[id];
    uint64_t ns = (uint64_t)time->tv_nsec + shift->ns;
    time->tv_sec += shift->s + (ns >= SECOND);
    time->tv_nsec = (long)(ns >= SECOND ? ns - SECOND : ns);
}
