/* The machine's clocks.
 *
 * Everything that waits or measures takes a struct weft_clock or weft__now_ns(), which is
 * CLOCK_MONOTONIC: it never goes backwards and is what futexes and poll deadlines of this project
 * are counted in. The wall clock is for people and for comparing hosts only, never for deadlines:
 * it jumps.
 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

#include "base/check.h"

static uint64_t read_clock(clockid_t id)
{
    struct timespec now;
    weft__check(clock_gettime(id, &now) == 0);
    return (uint64_t)now.tv_sec * WEFT_NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t real_now(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

const struct weft_clock *weft__clock_real(void)
{
    static const struct weft_clock clock = {real_now, NULL};
    return &clock;
}

uint64_t weft__now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint32_t weft__left_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = weft__now_ns();
    if (now_ns >= deadline_ns)
        return 0;
    uint64_t left_ms = (deadline_ns - now_ns - 1) / WEFT_NS_PER_MS + 1;
    return left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
}

uint64_t weft__wall_ms(void)
{
    return read_clock(CLOCK_REALTIME) / WEFT_NS_PER_MS;
}

uint64_t weft__wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void weft__clock_compare(struct weft_clock_offset *offset, uint64_t theirs_ns, uint64_t asked_ns,
                         uint64_t answered_ns)
{
    uint64_t within_ns = (answered_ns - asked_ns + 1) / 2;
    if (within_ns >= offset->within_ns)
        return;
    int64_t ns = (int64_t)(theirs_ns - (asked_ns + (answered_ns - asked_ns) / 2));
    uint64_t distance = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    offset->within_ns = within_ns;
    offset->ns = distance <= within_ns ? 0 : ns;
}
