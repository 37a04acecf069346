/* Looking calls up, and what happens around each: waiting, signals, stopping for a move.
 *
 * A call that goes through is made by the runtime's own code, with the worker's thread pointer, so
 * it is not trapped again. What is not known is refused: what is not known (shared memory,
 * io_uring, ...) is what ties a rank to its host. Pointers are looked up before anything of the
 * runtime touches what they point to; those that only the kernel touches have to lie in the rank's
 * range, so that no call writes into the host or into another rank.
 *
 * A call that waits is made again from its beginning, with the same arguments, until it does not
 * want to wait any more; what it has to remember lies in the range. Rejected: keeping a stack of
 * the runtime per waiting call, which could not move. */
#include "cell/system.h"

#include <asm/prctl.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cell/system_call.h"
#include "cell/user.h"
#include "cell/watch.h"
#include "weft/error.h"

int64_t weft__system_raw(int64_t number, const uint64_t args[6])
{
    int64_t rc = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    return rc == -1 ? -errno : rc;
}

void weft__system_go_through(struct weft__system *system, struct weft__trap_call *call)
{
    (void)system;
    call->result = weft__system_raw(call->number, call->args);
}

uint64_t weft__system_now(const struct weft__system *system)
{
    return weft__now_ns() + (system->cell ? (uint64_t)system->cell->clock_offset_ns : 0);
}

/* ---- memory, and what there is of a process ---- */

void weft__system_on_memory(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__space_host *space = &system->space;
    const uint64_t *args = call->args;
    switch (call->number) {
    case SYS_brk:
        call->result = weft__space_brk(space, args[0]);
        break;
    case SYS_munmap:
        call->result = weft__space_munmap(space, args[0], args[1]);
        break;
    case SYS_mprotect:
        call->result = weft__space_mprotect(space, args[0], args[1], (int)args[2]);
        break;
    case SYS_mremap:
        call->result = weft__space_mremap(space, args);
        break;
    default:
        call->result = weft__space_madvise(space, args[0], args[1], (int)args[2]);
        break;
    }
}

void weft__system_on_thread(struct weft__system *system, struct weft__trap_call *call)
{
    switch (call->number) {
    case SYS_arch_prctl:
        call->result = 0;
        if (call->args[0] == ARCH_SET_FS)
            call->fs = call->args[1];
        else if (call->args[0] == ARCH_GET_FS)
            call->result =
                weft__user_write(&system->space, call->args[1], &call->fs, sizeof(call->fs));
        else
            call->result = -EINVAL;
        break;
    case SYS_getppid:
        call->result = 1;
        break;
    case SYS_set_robust_list:
        call->result = 0;
        break;
    case SYS_rseq:
        call->result = -ENOSYS;
        break;
    default:
        call->result = 2 + system->rank;
        break; /* the same wherever it runs */
    }
}

/* The one that the program sees. */
void weft__system_on_getcpu(struct weft__system *system, struct weft__trap_call *call)
{
    const unsigned first = 0;
    call->result = 0;
    for (int i = 0; i < 2 && !call->result; i++)
        if (call->args[i])
            call->result = weft__user_write(&system->space, call->args[i], &first, sizeof(first));
}

void weft__system_on_exit(struct weft__system *system, struct weft__trap_call *call)
{
    (void)system;
    call->leave = true;
    call->result = (int)(call->args[0] & 0xff);
}

void weft__system_on_affinity(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t one = 1;
    call->result = call->args[1] < sizeof(one)
                       ? -EINVAL
                       : weft__user_write(&system->space, call->args[2], &one, sizeof(one));
    if (!call->result)
        call->result = sizeof(one);
}

/* Advice that may be ignored. */
void weft__system_on_nothing(struct weft__system *system, struct weft__trap_call *call)
{
    (void)system;
    call->result = 0;
}

/* May be asked, not told; of others not even that. */
void weft__system_on_limits(struct weft__system *system, struct weft__trap_call *call)
{
    const struct rlimit descriptors = {WEFT__FDS_MAX, WEFT__FDS_MAX};
    bool old = call->number == SYS_getrlimit;
    bool own = old || call->args[0] == 0 || (int64_t)call->args[0] == 2 + system->rank;
    uint64_t what = call->args[old ? 0 : 1], into = call->args[old ? 1 : 3];
    const uint64_t args[6] = {0, what, 0, into};
    if (!own || (!old && call->args[2]))
        call->result = own ? -EPERM : -ESRCH;
    else if (what == RLIMIT_NOFILE && into)
        call->result = weft__user_write(&system->space, into, &descriptors, sizeof(descriptors));
    else
        call->result = weft__system_raw(SYS_prlimit64, args);
}

/* The C library asks for threads and processes in two ways each, one after the other: they are
 * named by what the program has asked for. */
void weft__system_on_threads_asked(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t flags = call->number == SYS_clone ? call->args[0] : 0;
    if (call->number == SYS_clone3 &&
        weft__user_read(&system->space, &flags, call->args[0], sizeof(flags)) != 0) {
        call->result = -EFAULT;
        return;
    }
    bool asks_thread = flags & CLONE_THREAD;
    bool clones = call->number == SYS_clone || call->number == SYS_clone3;
    if (clones)
        call->number = asks_thread ? SYS_clone : SYS_fork;
    weft__system_refuse(system, call, ENOSYS,
                        asks_thread
                            ? "a rank in a cell has one thread; weft run --process permits more"
                            : "a rank in a cell has no child processes; weft run --process "
                              "permits them");
}

/* ---- refusals ---- */

void weft__system_refuse(struct weft__system *system, struct weft__trap_call *call, int error,
                         const char *why)
{
    char number[32];
    const char *name = weft__system_name(call->number);
    uint64_t at = (uint64_t)call->number < 512 ? (uint64_t)call->number : 511;
    uint64_t bit = UINT64_C(1) << (at % 64);
    call->result = -error;
    if (system->told[at / 64] & bit)
        return;
    system->told[at / 64] |= bit;
    snprintf(number, sizeof(number), "number %lld", (long long)call->number);
    bool helps = error != ENOSYS && !system->space.space->linker;
    weft__warn("rank %d: system call %s is refused (%s): %s%s", (int)system->rank,
               name ? name : number, strerrorname_np(error),
               why ? why : "ranks that can be moved do without it",
               helps ? "; link the program without -static-pie if it needs it" : "");
}

/* ---- waiting ---- */

void weft__system_wait(struct weft__system *system, struct weft__trap_call *call, uint64_t until_ns,
                       int error)
{
    struct weft__signals *signals = &system->state->signals;
    weft__signals_tick(signals, weft__system_now(system));
    system->wait.wanted = weft__signals_next(signals) == 0;
    system->wait.until_ns = until_ns;
    call->result = -error;
}

uint64_t weft__system_deadline(const struct weft__system *system, uint64_t deadline_ns)
{
    uint64_t alarm_ns = system->state->signals.alarm_ns;
    return alarm_ns && alarm_ns < deadline_ns ? alarm_ns : deadline_ns;
}

void weft__system_wait_over(struct weft__system *system)
{
    if (system->wait.armed)
        weft__watch_disarm(system->wait.set);
    system->wait.armed = false;
}

/* When to look at the latest. Descriptors that are ready already are looked at again at once, but
 * not for ever: some are always so, whatever the call finds. */
static uint64_t watch(struct weft__system *system, struct pollfd *fds, size_t n)
{
    const unsigned hasty_max = 8;
    bool comes = weft__system_input_ask(system);
    if (system->watch && comes && poll(fds, n, 0) > 0 && system->wait.hasty++ < hasty_max)
        return 0;
    if (!system->watch || !comes || system->wait.hasty > hasty_max ||
        weft__watch_arm(system->watch, system->rank, fds, n, &system->wait.set) != WEFT_OK)
        return weft__system_now(system) + WEFT__SYSTEM_TICK_NS;
    system->wait.armed = true;
    return UINT64_MAX;
}

void weft__system_wait_for(struct weft__system *system, struct weft__trap_call *call,
                           const struct weft__system_wish *wish)
{
    struct pollfd fds[WEFT__FDS_MAX];
    for (size_t i = 0; i < wish->n; i++)
        fds[i] = (struct pollfd){.fd = weft__fds_host_fd(&system->files, wish->fds[i].fd),
                                 .events = wish->fds[i].events};
    uint64_t until_ns = watch(system, fds, wish->n);
    weft__system_wait(system, call, until_ns < wish->until_ns ? until_ns : wish->until_ns,
                      wish->error);
    if (!system->wait.wanted)
        weft__system_wait_over(system);
}

void weft__system_wait_for_one(struct weft__system *system, struct weft__trap_call *call,
                               short events, int error)
{
    const struct pollfd fd = {.fd = (int)call->args[0], .events = events};
    weft__system_wait_for(
        system, call,
        &(struct weft__system_wish){.fds = &fd, .n = 1, .until_ns = UINT64_MAX, .error = error});
}

/* Without a runtime to wait in: here, a little. */
static void block(const struct weft__system *system)
{
    uint64_t now_ns = weft__system_now(system);
    uint64_t until_ns = weft__system_deadline(system, system->wait.until_ns);
    uint64_t ns = until_ns > now_ns ? until_ns - now_ns : 0;
    ns = ns < WEFT__SYSTEM_TICK_NS ? ns : WEFT__SYSTEM_TICK_NS;
    const struct timespec time = {.tv_nsec = (long)ns};
    (void)nanosleep(&time, NULL);
}

static bool may_touch(const struct weft__system *system, const struct weft__system_entry *entry,
                      const struct weft__trap_call *call)
{
    unsigned span = entry->span;
    for (unsigned i = 0; i < 6; i++)
        if (entry->pointers & 1u << i && call->args[i] &&
            !weft__user_buffer(&system->space, call->args[i], 1))
            return false;
    return !span || weft__user_buffer(&system->space, call->args[span - 1], call->args[span]);
}

static void look(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t number = (uint64_t)call->number;
    const struct weft__system_entry *entry = number < 512 ? &weft__system_entries[number] : NULL;
    system->wait.wanted = false;
    if (system->cell)
        system->wait.seen = atomic_load(&system->cell->bell);
    if (!entry || !entry->what)
        weft__system_refuse(system, call, EPERM, NULL);
    else if (!may_touch(system, entry, call))
        call->result = -EFAULT;
    else
        entry->what(system, call);
}

/* ---- around a call ---- */

/* The registers get the result; then signals are delivered. */
static void settle(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__signals *signals = &system->state->signals;
    greg_t *regs = call->context->uc_mcontext.gregs;
    int number = 0;
    if (signals->alarm_ns)
        weft__signals_tick(signals, weft__system_now(system));
    if (!call->redirected && call->result == -WEFT__SYSTEM_RESTART) {
        if (weft__signals_restarts(signals, weft__signals_next(signals))) {
            regs[REG_RIP] -= 2; /* it is made again */
            call->result = call->number;
        } else {
            call->result = -EINTR;
        }
    }
    if (!call->redirected)
        regs[REG_RAX] = call->result;
    call->redirected = true;
    if ((signals->pending || signals->puts_back) &&
        weft__signals_deliver(signals, &system->space, call->context, &number) ==
            WEFT__SIGNAL_ENDS) {
        if (system->killed)
            system->killed(system->ctx, number);
        call->leave = true;
        call->result = 128 + number;
    }
}

/* The rank is wanted elsewhere: it passes by the runtime before it goes on. */
static void pass_by(struct weft__system *system, struct weft__trap_call *call)
{
    if (call->leave || !system->cell ||
        !atomic_load_explicit(&system->cell->move_pending, memory_order_relaxed))
        return;
    struct weft__wait *wait = &system->state->wait;
    weft__wait_begin(wait, call, system->space.space->code, system->cell);
    wait->number = -1;
    weft__wait_until(call, 0, system->wait.seen);
}

static void put_aside(struct weft__system *system, struct weft__trap_call *call)
{
    if (!system->wait.again)
        weft__wait_begin(&system->state->wait, call, system->space.space->code, system->cell);
    weft__wait_until(call, weft__system_deadline(system, system->wait.until_ns), system->wait.seen);
}

/* A call that has waited is looked at again. */
static void wake(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__wait *wait = &system->state->wait;
    if (!wait->active || !system->cell) {
        call->result = -ENOSYS;
        return;
    }
    call->number = wait->number;
    memcpy(call->args, wait->args, sizeof(call->args));
    system->wait.again = true;
    weft__system_wait_over(system);
    if (call->number >= 0)
        look(system, call);
    if (call->number >= 0 && system->wait.wanted) {
        put_aside(system, call);
        return;
    }
    weft__wait_end(wait, call);
    call->redirected = call->number < 0;
    settle(system, call);
}

void weft__system_call(void *ctx, struct weft__trap_call *call)
{
    struct weft__system *system = ctx;
    system->wait.again = false;
    if (call->number != WEFT__WAIT_WAKE)
        system->wait.hasty = 0;
    if (call->number == WEFT__WAIT_WAKE) {
        wake(system, call);
        return;
    }
    if (call->number == WEFT__WAIT_BACK && system->state->wait.back) {
        weft__wait_back(&system->state->wait, call);
        settle(system, call);
        return;
    }
    look(system, call);
    while (system->wait.wanted && !system->cell) {
        block(system);
        system->wait.again = true;
        look(system, call);
    }
    if (system->wait.wanted) {
        put_aside(system, call);
    } else if (!call->leave) {
        settle(system, call);
        pass_by(system, call);
    }
}

void weft__system_returns(struct weft__system *system, uint64_t sp)
{
    const struct weft__signals *signals = &system->state->signals;
    if (!signals->alarm_ns || weft__system_now(system) < signals->alarm_ns ||
        system->state->wait.active || !weft__user_buffer(&system->space, sp, 64))
        return;
    weft__wait_return_over(&system->state->wait, sp, system->space.space->code);
}

/* ---- beginning and end ---- */

int weft__system_begin(struct weft__system *system, struct weft__system_state *state)
{
    system->state = state;
    weft__clock_begin(&state->clock);
    int err = weft__fds_init(&system->files, &state->files);
    return err ? err : weft__system_input_open(system);
}

int weft__system_arrive(struct weft__system *system, struct weft__system_state *state)
{
    system->state = state;
    int err = weft__fds_arrive(&system->files, &state->files);
    return err ? err : weft__system_input_open(system);
}

void weft__system_fini(struct weft__system *system)
{
    weft__system_wait_over(system);
    weft__system_input_close(system);
    weft__fds_fini(&system->files);
    weft__space_fini(&system->space);
}
