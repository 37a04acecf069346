/* Reads the clocks in every way that there is. Ends with the number of the first thing that is
 * wrong. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

static long long ns(clockid_t id)
{
    struct timespec time = {-1, -1};
    if (clock_gettime(id, &time) != 0 || time.tv_nsec < 0 || time.tv_nsec > 999999999)
        return -1;
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static const clockid_t clocks[] = {
    CLOCK_REALTIME,           CLOCK_MONOTONIC,         CLOCK_MONOTONIC_RAW,
    CLOCK_MONOTONIC_COARSE,   CLOCK_REALTIME_COARSE,   CLOCK_BOOTTIME,
    CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI,
};

int main(void)
{
    struct timeval day;
    struct timezone zone = {5, 5};
    struct timespec span;
    for (unsigned i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        long long before = ns(clocks[i]);
        if (before < 0)
            return 1;
        for (int turn = 0; turn < 1000 && clocks[i] != CLOCK_TAI; turn++) {
            long long now = ns(clocks[i]);
            if (now < before && clocks[i] != CLOCK_REALTIME && clocks[i] != CLOCK_REALTIME_COARSE)
                return 2;
            before = now;
        }
    }
    time_t seconds = 0, got;
    if (gettimeofday(&day, &zone) != 0 || day.tv_usec < 0 || day.tv_usec > 999999 ||
        zone.tz_minuteswest != 0 || gettimeofday(&day, NULL) != 0)
        return 3;
    got = time(&seconds);
    if (got != seconds || got < day.tv_sec - 600 || got > day.tv_sec + 600)
        return 4;
    if (clock_getres(CLOCK_MONOTONIC, &span) != 0 || span.tv_sec != 0 || span.tv_nsec <= 0)
        return 5;
    if (clock_gettime(99, &span) != -1 || errno != EINVAL)
        return 6;
    if (sched_getcpu() != 0)
        return 7;
    printf("%lld %lld %lld\n", ns(CLOCK_MONOTONIC) / 1000000000,
           ns(CLOCK_MONOTONIC_RAW) / 1000000000, ns(CLOCK_BOOTTIME) / 1000000000);
    return 0;
}
