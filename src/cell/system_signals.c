/* Calls on signals and time: what they change is the rank's own, and those that wait do so as ranks
 * do. A program's timer and its sleeps are on the rank's clock, which goes on over a move. */
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "cell/system_call.h"
#include "cell/user.h"

#define SECOND UINT64_C(1000000000)
#define AGES (UINT64_MAX / 4) /* ns; longer is for ever */

/* ---- signals ---- */

void weft__system_on_signal_action(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = weft__signals_action(&system->state->signals, &system->space, call->args);
}

void weft__system_on_signal_mask(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = weft__signals_mask(&system->state->signals, &system->space, call->args);
}

void weft__system_on_signal_stack(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = weft__signals_stack(&system->state->signals, &system->space, call->args,
                                       (uint64_t)call->context->uc_mcontext.gregs[REG_RSP]);
}

/* Where there is no frame to return to, there is nowhere to go on. */
void weft__system_on_signal_return(struct weft__system *system, struct weft__trap_call *call)
{
    call->redirected = true;
    if (weft__signals_return(&system->state->signals, &system->space, call->context) == 0)
        return;
    if (system->killed)
        system->killed(system->ctx, SIGSEGV);
    call->leave = true;
    call->result = 128 + SIGSEGV;
}

void weft__system_on_signal_pending(struct weft__system *system, struct weft__trap_call *call)
{
    const struct weft__signals *signals = &system->state->signals;
    uint64_t blocked = signals->pending & signals->mask;
    call->result = call->args[1] > sizeof(blocked)
                       ? -EINVAL
                       : weft__user_write(&system->space, call->args[0], &blocked, call->args[1]);
}

int weft__system_mask_for_now(struct weft__system *system, uint64_t set, uint64_t len_bytes)
{
    struct weft__signals *signals = &system->state->signals;
    uint64_t mask;
    if (len_bytes != WEFT__SIGNALS_SET_BYTES)
        return -EINVAL;
    int rc = weft__user_read(&system->space, &mask, set, sizeof(mask));
    if (rc)
        return rc;
    signals->before = signals->mask;
    signals->puts_back = 1;
    signals->mask = mask;
    return 0;
}

void weft__system_on_signal_suspend(struct weft__system *system, struct weft__trap_call *call)
{
    call->result =
        system->wait.again ? 0 : weft__system_mask_for_now(system, call->args[0], call->args[1]);
    if (!call->result)
        weft__system_wait(system, call, UINT64_MAX, EINTR);
}

void weft__system_on_pause(struct weft__system *system, struct weft__trap_call *call)
{
    weft__system_wait(system, call, UINT64_MAX, EINTR);
}

/* sigwait() and its like: takes a pending one, without a handler. */
void weft__system_on_signal_wait(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__signals *signals = &system->state->signals;
    uint64_t set, deadline_ns;
    call->result = call->args[3] != WEFT__SIGNALS_SET_BYTES
                       ? -EINVAL
                       : weft__user_read(&system->space, &set, call->args[0], sizeof(set));
    if (!call->result)
        call->result = weft__system_timeout(system, call->args[2], &deadline_ns);
    if (call->result)
        return;
    weft__signals_tick(signals, weft__system_now(system));
    uint64_t ready = signals->pending & set;
    if (!ready && weft__system_now(system) >= deadline_ns) {
        call->result = -EAGAIN;
    } else if (!ready) {
        weft__system_wait(system, call, deadline_ns, EINTR);
    } else {
        int number = __builtin_ctzll(ready) + 1;
        siginfo_t info = {.si_signo = number};
        if (number < WEFT__SIGNALS)
            info.si_code = signals->codes[number];
        signals->pending &= ~weft__signal_bit(number);
        call->result = number;
        if (call->args[1] &&
            weft__user_write(&system->space, call->args[1], &info, sizeof(info)) != 0)
            call->result = -EFAULT;
    }
}

/* A program is alone: it sends signals to itself. */
void weft__system_on_kill(struct weft__system *system, struct weft__trap_call *call)
{
    bool group = call->number == SYS_tgkill, queued = call->number == SYS_rt_sigqueueinfo;
    int pid = (int)call->args[0];
    int number = (int)(group ? call->args[2] : call->args[1]), own = 2 + system->rank;
    bool is_self = pid == own || ((pid == 0 || pid == -own) && call->number == SYS_kill);
    call->result = !is_self || (group && (int)call->args[1] != own) ? -ESRCH
                   : number < 0 || number >= WEFT__SIGNALS          ? -EINVAL
                                                                    : 0;
    if (call->result == 0 && number > 0)
        weft__signals_raise(&system->state->signals, number,
                            group    ? SI_TKILL
                            : queued ? SI_QUEUE
                                     : SI_USER);
}

/* ---- timers ---- */

static uint64_t left_of(const struct weft__system *system)
{
    uint64_t now_ns = weft__system_now(system), alarm_ns = system->state->signals.alarm_ns;
    return alarm_ns == 0 ? 0 : alarm_ns > now_ns ? alarm_ns - now_ns : 1;
}

static void set_timer(struct weft__system *system, uint64_t in_ns, uint64_t every_ns)
{
    struct weft__signals *signals = &system->state->signals;
    in_ns = in_ns < AGES ? in_ns : AGES;
    signals->alarm_ns = in_ns ? weft__system_now(system) + in_ns : 0;
    signals->every_ns = in_ns ? every_ns : 0;
}

void weft__system_on_alarm(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = (int64_t)((left_of(system) + SECOND - 1) / SECOND);
    set_timer(system, (call->args[0] & UINT32_MAX) * SECOND, 0);
}

static uint64_t ns_of(const struct timeval *time)
{
    return (uint64_t)time->tv_sec > AGES / SECOND
               ? AGES
               : (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_usec * 1000;
}

static struct timeval time_of(uint64_t ns)
{
    return (struct timeval){.tv_sec = (time_t)(ns / SECOND),
                            .tv_usec = (suseconds_t)(ns % SECOND / 1000)};
}

static int64_t tell_timer(const struct weft__system *system, uint64_t address)
{
    const struct itimerval now = {.it_interval = time_of(system->state->signals.every_ns),
                                  .it_value = time_of(left_of(system))};
    return weft__user_write(&system->space, address, &now, sizeof(now));
}

void weft__system_on_timer_get(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = call->args[0] != ITIMER_REAL ? -EINVAL : tell_timer(system, call->args[1]);
}

void weft__system_on_timer(struct weft__system *system, struct weft__trap_call *call)
{
    struct itimerval timer = {0};
    if (call->args[0] != ITIMER_REAL) {
        weft__system_refuse(system, call, EINVAL, "of timers ITIMER_REAL is served");
        return;
    }
    call->result =
        call->args[1] ? weft__user_read(&system->space, &timer, call->args[1], sizeof(timer)) : 0;
    if (!call->result && ((uint64_t)timer.it_value.tv_usec >= 1000000 ||
                          (uint64_t)timer.it_interval.tv_usec >= 1000000 ||
                          timer.it_value.tv_sec < 0 || timer.it_interval.tv_sec < 0))
        call->result = -EINVAL;
    if (!call->result && call->args[2])
        call->result = tell_timer(system, call->args[2]);
    if (!call->result)
        set_timer(system, ns_of(&timer.it_value), ns_of(&timer.it_interval));
}

/* ---- time ---- */

void weft__system_on_clock(struct weft__system *system, struct weft__trap_call *call)
{
    struct timespec time;
    uint64_t clock = weft__clock_of_host(call->args[0]);
    call->result = clock_gettime((clockid_t)clock, &time) == 0 ? 0 : -errno;
    if (call->result)
        return;
    weft__clock_to_rank(&system->state->clock, clock, &time);
    call->result = weft__user_write(&system->space, call->args[1], &time, sizeof(time));
}

static uint64_t span_of(const struct timespec *time)
{
    return (uint64_t)time->tv_sec > AGES / SECOND
               ? AGES
               : (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_nsec;
}

static int read_time(const struct weft__system *system, uint64_t address, struct timespec *time)
{
    int rc = weft__user_read(&system->space, time, address, sizeof(*time));
    if (rc)
        return rc;
    return time->tv_sec < 0 || (uint64_t)time->tv_nsec >= SECOND ? -EINVAL : 0;
}

int weft__system_timeout(struct weft__system *system, uint64_t address, uint64_t *deadline_out)
{
    struct weft__wait *wait = &system->state->wait;
    struct timespec time;
    if (!system->wait.again) {
        int rc = address ? read_time(system, address, &time) : 0;
        if (rc)
            return rc;
        wait->deadline_ns = address ? weft__system_now(system) + span_of(&time) : UINT64_MAX;
    }
    *deadline_out = wait->deadline_ns;
    return 0;
}

/* From now on until a time of some clock. */
static uint64_t span_until(const struct weft__system *system, uint64_t clock,
                           const struct timespec *until)
{
    struct timespec now;
    if (clock_gettime((clockid_t)clock, &now) != 0)
        return 0;
    weft__clock_to_rank(&system->state->clock, clock, &now);
    uint64_t at_ns = span_of(until), now_ns = span_of(&now);
    return at_ns > now_ns ? at_ns - now_ns : 0;
}

/* nanosleep() and clock_nanosleep(). */
void weft__system_on_sleep(struct weft__system *system, struct weft__trap_call *call)
{
    bool by_clock = call->number == SYS_clock_nanosleep;
    uint64_t clock = by_clock ? call->args[0] : CLOCK_MONOTONIC;
    bool absolute = by_clock && call->args[1] & TIMER_ABSTIME;
    uint64_t left_at = absolute ? 0 : call->args[by_clock ? 3 : 1];
    struct weft__wait *wait = &system->state->wait;
    struct timespec time;
    if (!system->wait.again) {
        call->result = clock_getres((clockid_t)clock, &time) != 0
                           ? -EINVAL
                           : read_time(system, call->args[by_clock ? 2 : 0], &time);
        if (call->result)
            return;
        wait->deadline_ns = weft__system_now(system) +
                            (absolute ? span_until(system, clock, &time) : span_of(&time));
    }
    uint64_t now_ns = weft__system_now(system);
    call->result = 0;
    if (now_ns >= wait->deadline_ns)
        return;
    weft__system_wait(system, call, wait->deadline_ns, EINTR);
    if (system->wait.wanted || !left_at)
        return;
    uint64_t left_ns = wait->deadline_ns - now_ns;
    time = (struct timespec){(time_t)(left_ns / SECOND), (long)(left_ns % SECOND)};
    if (weft__user_write(&system->space, left_at, &time, sizeof(time)) != 0)
        call->result = -EFAULT;
}

void weft__system_on_yield(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = 0;
    (void)sched_yield();
    if (system->cell && !system->wait.again)
        weft__system_wait(system, call, 0, EINTR);
    if (!system->wait.wanted)
        call->result = 0;
}

/* Nobody else is there to change the word, or to be woken. */
void weft__system_on_futex(struct weft__system *system, struct weft__trap_call *call)
{
    int what = (int)call->args[1] & FUTEX_CMD_MASK;
    struct weft__wait *wait = &system->state->wait;
    uint32_t word;
    struct timespec until;
    if (what != FUTEX_WAIT && what != FUTEX_WAIT_BITSET) {
        call->result = what == FUTEX_WAKE || what == FUTEX_WAKE_BITSET ? 0 : -ENOSYS;
        return;
    }
    call->result = weft__user_read(&system->space, &word, call->args[0], sizeof(word));
    if (!call->result && word != (uint32_t)call->args[2])
        call->result = -EAGAIN;
    if (!call->result && !system->wait.again) {
        wait->deadline_ns = UINT64_MAX;
        if (call->args[3])
            call->result = read_time(system, call->args[3], &until);
        if (call->args[3] && !call->result)
            wait->deadline_ns =
                weft__system_now(system) +
                (what == FUTEX_WAIT
                     ? span_of(&until)
                     : span_until(system,
                                  call->args[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME
                                                                       : CLOCK_MONOTONIC,
                                  &until));
    }
    if (call->result)
        return;
    if (weft__system_now(system) >= wait->deadline_ns)
        call->result = -ETIMEDOUT;
    else
        weft__system_wait(system, call, wait->deadline_ns, EINTR);
}
