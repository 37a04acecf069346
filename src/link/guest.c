/* A thread that sleeps on the lane in the progress thread's place, because it waits for something
 * that the lane will bring: what arrives wakes it alone, and no wake-up is passed from thread to
 * thread. There is one such guest at a time; what it waits for is a word that somebody counts up.
 *
 * No change of the word is missed: the guest says that it sleeps (asleep, or wants_turn) before it
 * looks at the word for the last time, and who changes the word looks at that afterwards.
 */
#include <limits.h>

#include "base/check.h"
#include "base/clock.h"
#include "link/impl.h"
#include "weft/error.h"

/* Milliseconds until the deadline, at most so many; -1: no limit. */
static int limit_ms(int ms, uint64_t deadline_ns)
{
    if (deadline_ns == WEFT_NEVER)
        return ms;
    uint64_t now_ns = weft__now_ns();
    uint64_t left_ms = deadline_ns <= now_ns ? 0 : (deadline_ns - now_ns) / WEFT_NS_PER_MS + 1;
    if (left_ms > INT_MAX)
        left_ms = INT_MAX;
    return ms >= 0 && (uint64_t)ms < left_ms ? ms : (int)left_ms;
}

/* Drives once. Returns how long to sleep; 0: not at all. */
static int drive(struct weft_lane *lane)
{
    int ms = 0;
    if (!weft__lane_round(lane)) {
        atomic_store(&lane->guest.asleep, true);
        ms = weft__sleeper_nap_ms(lane);
    }
    if (ms == 0) {
        atomic_store(&lane->guest.asleep, false);
        weft__lane_release(lane);
    } else {
        weft__lane_release_armed(lane);
    }
    return ms;
}

static void rest(struct weft_lane *lane, bool in_turn, int ms)
{
    if (in_turn)
        weft__sleeper_sleep(&lane->guest, ms);
    else
        weft__sleeper_await(&lane->guest, ms);
}

int weft__lane_wait(struct weft_lane *lane, const _Atomic uint32_t *word, uint32_t seen,
                    uint64_t deadline_ns)
{
    uintptr_t nobody = 0;
    int err = WEFT_OK;
    weft__check(!weft__lane_mine(lane));
    if (!atomic_compare_exchange_strong(&lane->guest_word, &nobody, (uintptr_t)word))
        return WEFT_EBUSY;
    weft__lane_visit(lane);
    bool in_turn = weft__sleeper_turn(lane, &lane->guest);
    int ms = in_turn ? drive(lane) : -1;
    if (ms != 0 && atomic_load(word) == seen) {
        ms = limit_ms(ms, deadline_ns);
        if (ms == 0)
            err = WEFT_ETIMEDOUT;
        else
            rest(lane, in_turn, ms);
    }
    atomic_store(&lane->guest.asleep, false);
    atomic_store(&lane->guest.wants_turn, false);
    atomic_store(&lane->guest_word, 0);
    if (atomic_load(&lane->parked))
        weft__wakefd_set(&lane->host.wake);
    return err;
}

bool weft__lane_is_waited(const struct weft_lane *lane)
{
    return atomic_load(&lane->guest_word) != 0;
}

void weft__lane_kick(struct weft_lane *lane, const _Atomic uint32_t *word)
{
    if (atomic_load(&lane->guest_word) != (uintptr_t)word)
        return;
    if (atomic_load(&lane->guest.asleep) || atomic_load(&lane->guest.wants_turn))
        weft__wakefd_set(&lane->guest.wake);
}
