/* One function per family of calls; a table from the number to it. What is not in the table goes
 * to the kernel unchanged if it is in the list of those that are harmless, else it is refused.
 *
 * A call that goes through is made by the runtime's own code, with the worker's thread pointer, so
 * it is not trapped again. Rejected: letting everything through that is not known to be bad, since
 * what is not known (shared memory, io_uring, ...) is what ties a rank to its host. */
#include "cell/system.h"

#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define SIGNALS_BYTES 8u /* of the kernel's signal sets */

#define SECOND INT64_C(1000000000)

typedef void system_call(struct weft__system *system, struct weft__trap_call *call);

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static void go_through(struct weft__system *system, struct weft__trap_call *call)
{
    (void)system;
    int64_t rc = syscall(call->number, call->args[0], call->args[1], call->args[2], call->args[3],
                         call->args[4], call->args[5]);
    call->result = rc == -1 ? -errno : rc;
}

/* Whether a descriptor is the program's to use: the runtime has its own. */
static bool is_own(const struct weft__system *system, int64_t fd)
{
    return fd >= 0 && fd < (int64_t)sizeof(system->state->files) * 8 &&
           (fd < 3 || system->state->files[fd / 64] & UINT64_C(1) << (fd % 64));
}

/* ---- memory ---- */

static int64_t map(struct weft__system *system, const uint64_t args[6])
{
    if (!(args[3] & MAP_ANONYMOUS) && !is_own(system, (int)args[4]))
        return -EBADF;
    return weft__space_mmap(&system->space, args);
}

static void on_memory(struct weft__system *system, struct weft__trap_call *call)
{
    struct weft__space_host *space = &system->space;
    const uint64_t *args = call->args;
    switch (call->number) {
    case SYS_brk:
        call->result = weft__space_brk(space, args[0]);
        break;
    case SYS_mmap:
        call->result = map(system, args);
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

/* ---- the thread ---- */

static void on_thread(struct weft__system *system, struct weft__trap_call *call)
{
    switch (call->number) {
    case SYS_arch_prctl:
        call->result = 0;
        if (call->args[0] == ARCH_SET_FS)
            call->fs = call->args[1];
        else if (call->args[0] == ARCH_GET_FS)
            memcpy(at(call->args[1]), &call->fs, sizeof(call->fs));
        else
            call->result = -EINVAL;
        break;
    case SYS_set_tid_address:
    case SYS_gettid:
    case SYS_getpid:
        call->result = 2 + system->rank;
        break; /* the same wherever it runs */
    case SYS_getppid:
        call->result = 1;
        break;
    case SYS_set_robust_list:
        call->result = 0;
        break;
    default:
        call->result = -ENOSYS;
        break; /* rseq */
    }
}

static void on_exit_call(struct weft__system *system, struct weft__trap_call *call)
{
    (void)system;
    call->leave = true;
    call->result = (int)(call->args[0] & 0xff);
}

static void on_affinity(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t one = 1;
    (void)system;
    call->result = -EINVAL;
    if (call->args[1] >= sizeof(one)) {
        memset(at(call->args[2]), 0, call->args[1]);
        memcpy(at(call->args[2]), &one, sizeof(one));
        call->result = sizeof(one);
    }
}

/* Nobody else is there to be woken. */
static void on_futex(struct weft__system *system, struct weft__trap_call *call)
{
    int what = (int)call->args[1] & FUTEX_CMD_MASK;
    if (what == FUTEX_WAIT || what == FUTEX_WAIT_BITSET)
        go_through(system, call);
    else
        call->result = what == FUTEX_WAKE || what == FUTEX_WAKE_BITSET ? 0 : -ENOSYS;
}

/* Advice that may be ignored. */
static void on_nothing(struct weft__system *system, struct weft__trap_call *call)
{
    (void)system;
    call->result = 0;
}

/* May be asked, not told. */
static void on_prlimit(struct weft__system *system, struct weft__trap_call *call)
{
    if (call->args[2])
        call->result = -EPERM;
    else
        go_through(system, call);
}

/* ---- signals ---- */

static void on_sigaction(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t number = call->args[0];
    call->result = -EINVAL;
    if (number == 0 || number >= WEFT__SYSTEM_SIGNALS || call->args[3] != SIGNALS_BYTES ||
        (call->args[1] && (number == SIGKILL || number == SIGSTOP)))
        return;
    __typeof__(system->state->actions[0]) action;
    if (call->args[1])
        memcpy(&action, at(call->args[1]), sizeof(action));
    if (call->args[2])
        memcpy(at(call->args[2]), &system->state->actions[number], sizeof(action));
    if (call->args[1])
        system->state->actions[number] = action;
    call->result = 0;
}

static void on_sigprocmask(struct weft__system *system, struct weft__trap_call *call)
{
    uint64_t set = 0, *mask = &system->state->mask;
    uint64_t before = *mask;
    call->result = -EINVAL;
    if (call->args[3] != SIGNALS_BYTES || (call->args[1] && call->args[0] > SIG_SETMASK))
        return;
    if (call->args[1]) {
        memcpy(&set, at(call->args[1]), sizeof(set));
        *mask = call->args[0] == SIG_BLOCK     ? before | set
                : call->args[0] == SIG_UNBLOCK ? before & ~set
                                               : set;
    }
    if (call->args[2])
        memcpy(at(call->args[2]), &before, sizeof(before));
    call->result = 0;
}

static bool ends_by_default(int number)
{
    return number != SIGCHLD && number != SIGCONT && number != SIGURG && number != SIGWINCH;
}

static void refuse(struct weft__system *system, struct weft__trap_call *call);

/* A signal that the program sends to itself: raise(), abort(). Its handlers are not run. */
static void on_kill(struct weft__system *system, struct weft__trap_call *call)
{
    bool thread = call->number == SYS_tgkill;
    int64_t pid = (int64_t)call->args[0];
    int number = (int)(thread ? call->args[2] : call->args[1]);
    if (pid != 2 + system->rank && pid != 0) {
        call->result = -ESRCH;
        return;
    }
    call->result = number < 0 || number >= WEFT__SYSTEM_SIGNALS ? -EINVAL : 0;
    if (call->result || number == 0)
        return;
    uint64_t handler = system->state->actions[number].handler;
    if (handler == (uint64_t)(uintptr_t)SIG_IGN || (handler == 0 && !ends_by_default(number)))
        return;
    if (handler != 0) {
        refuse(system, call);
        return;
    }
    if (system->killed)
        system->killed(system->ctx, number);
    call->leave = true;
    call->result = 128 + number;
}

/* ---- time ---- */

/* Clocks that count from a start of the machine: a rank's go on from host to host. */
static int64_t offset_of(const struct weft__system *system, uint64_t clock)
{
    bool counts = clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_RAW ||
                  clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_BOOTTIME;
    return counts && system->cell ? system->cell->clock_offset_ns : 0;
}

static void add(struct timespec *time, int64_t ns)
{
    int64_t all = time->tv_nsec + ns % SECOND;
    time->tv_sec += ns / SECOND + (all >= SECOND) - (all < 0);
    time->tv_nsec = all >= SECOND ? all - SECOND : all < 0 ? all + SECOND : all;
}

static void on_clock_gettime(struct weft__system *system, struct weft__trap_call *call)
{
    go_through(system, call);
    if (call->result == 0)
        add(at(call->args[1]), offset_of(system, call->args[0]));
}

static void on_clock_nanosleep(struct weft__system *system, struct weft__trap_call *call)
{
    struct timespec until;
    if (call->args[1] & TIMER_ABSTIME && call->args[2]) {
        memcpy(&until, at(call->args[2]), sizeof(until));
        add(&until, -offset_of(system, call->args[0]));
        call->args[2] = (uint64_t)(uintptr_t)&until;
    }
    go_through(system, call);
}

/* ---- files ---- */

static void note(struct weft__system *system, int64_t fd, bool open)
{
    uint64_t *words = system->state->files;
    if (fd < 3 || fd >= (int64_t)sizeof(system->state->files) * 8)
        return;
    uint64_t bit = UINT64_C(1) << (fd % 64);
    words[fd / 64] = open ? words[fd / 64] | bit : words[fd / 64] & ~bit;
}

/* Those that are beyond the table are given back at once. */
static void on_open(struct weft__system *system, struct weft__trap_call *call)
{
    go_through(system, call);
    if (call->result >= (int64_t)sizeof(system->state->files) * 8) {
        close((int)call->result);
        call->result = -EMFILE;
    }
    note(system, call->result, true);
}

/* The first three belong to all ranks of the process. */
static void on_close(struct weft__system *system, struct weft__trap_call *call)
{
    int64_t fd = (int)call->args[0];
    if (!is_own(system, fd)) {
        call->result = -EBADF;
    } else if (fd < 3) {
        call->result = 0;
    } else {
        go_through(system, call);
        note(system, fd, false);
    }
}

/* Calls whose first argument is a descriptor. */
static void on_file(struct weft__system *system, struct weft__trap_call *call)
{
    if (is_own(system, (int)call->args[0]))
        go_through(system, call);
    else
        call->result = -EBADF;
}

static void on_dup(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = -EBADF;
    if (is_own(system, (int)call->args[0]))
        on_open(system, call);
}

/* dup2() and dup3() would close what has the number; where that is not the program's, it is taken
 * only while nobody has it. */
static void on_dup_to(struct weft__system *system, struct weft__trap_call *call)
{
    int from = (int)call->args[0], into = (int)call->args[1];
    call->result = -EBADF;
    if (!is_own(system, from) || into < 3 || into >= (int)sizeof(system->state->files) * 8)
        return;
    if (is_own(system, into)) {
        go_through(system, call);
        return;
    }
    bool cloexec = call->number == SYS_dup3 && call->args[2] & O_CLOEXEC;
    int got = fcntl(from, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, into);
    call->result = got < 0 ? -errno : got;
    if (got >= 0 && got != into) {
        close(got);
        call->result = -EBUSY;
    }
    note(system, call->result, true);
}

static void on_fcntl(struct weft__system *system, struct weft__trap_call *call)
{
    call->result = -EBADF;
    if (!is_own(system, (int)call->args[0]))
        return;
    if (call->args[1] == F_DUPFD || call->args[1] == F_DUPFD_CLOEXEC)
        on_open(system, call);
    else
        go_through(system, call);
}

unsigned weft__system_open_files(const struct weft__system_state *state)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sizeof(state->files) / sizeof(state->files[0]); i++)
        n += (unsigned)__builtin_popcountll(state->files[i]);
    return n;
}

/* ---- all ---- */

static const struct {
    system_call *what;
    bool known;
} calls[512] = {
#define ON(number, function) [SYS_##number] = {function, true}
    ON(brk, on_memory),
    ON(mmap, on_memory),
    ON(munmap, on_memory),
    ON(mprotect, on_memory),
    ON(mremap, on_memory),
    ON(madvise, on_memory),
    ON(arch_prctl, on_thread),
    ON(set_tid_address, on_thread),
    ON(gettid, on_thread),
    ON(getpid, on_thread),
    ON(getppid, on_thread),
    ON(set_robust_list, on_thread),
    ON(rseq, on_thread),
    ON(futex, on_futex),
    ON(sigaltstack, on_nothing),
    ON(mlock, on_nothing),
    ON(munlock, on_nothing),
    ON(msync, on_nothing),
    ON(sched_setaffinity, on_nothing),
    ON(exit, on_exit_call),
    ON(exit_group, on_exit_call),
    ON(sched_getaffinity, on_affinity),
    ON(rt_sigaction, on_sigaction),
    ON(rt_sigprocmask, on_sigprocmask),
    ON(kill, on_kill),
    ON(tgkill, on_kill),
    ON(open, on_open),
    ON(openat, on_open),
    ON(creat, on_open),
    ON(close, on_close),
    ON(dup, on_dup),
    ON(dup2, on_dup_to),
    ON(dup3, on_dup_to),
    ON(fcntl, on_fcntl),
    ON(read, on_file),
    ON(readv, on_file),
    ON(pread64, on_file),
    ON(preadv, on_file),
    ON(write, on_file),
    ON(writev, on_file),
    ON(pwrite64, on_file),
    ON(pwritev, on_file),
    ON(lseek, on_file),
    ON(fstat, on_file),
    ON(ftruncate, on_file),
    ON(fsync, on_file),
    ON(fdatasync, on_file),
    ON(fallocate, on_file),
    ON(flock, on_file),
    ON(getdents64, on_file),
    ON(ioctl, on_file),
    ON(newfstatat, go_through),
    ON(statx, go_through),
    ON(stat, go_through),
    ON(lstat, go_through),
    ON(access, go_through),
    ON(faccessat, go_through),
    ON(readlink, go_through),
    ON(readlinkat, go_through),
    ON(getcwd, go_through),
    ON(mkdir, go_through),
    ON(mkdirat, go_through),
    ON(rmdir, go_through),
    ON(unlink, go_through),
    ON(unlinkat, go_through),
    ON(rename, go_through),
    ON(renameat, go_through),
    ON(renameat2, go_through),
    ON(symlink, go_through),
    ON(link, go_through),
    ON(chmod, go_through),
    ON(statfs, go_through),
    ON(fstatfs, on_file),
    ON(uname, go_through),
    ON(sysinfo, go_through),
    ON(getrandom, go_through),
    ON(getuid, go_through),
    ON(geteuid, go_through),
    ON(getgid, go_through),
    ON(getegid, go_through),
    ON(getrusage, go_through),
    ON(getrlimit, go_through),
    ON(prlimit64, on_prlimit),
    ON(times, go_through),
    ON(time, go_through),
    ON(gettimeofday, go_through),
    ON(clock_gettime, on_clock_gettime),
    ON(clock_getres, go_through),
    ON(nanosleep, go_through),
    ON(clock_nanosleep, on_clock_nanosleep),
    ON(sched_yield, go_through),
    ON(poll, go_through),
    ON(ppoll, go_through),
    ON(select, go_through),
    ON(pselect6, go_through),
    ON(utimensat, go_through),
#undef ON
};

/* What people run into, by name. */
static const struct {
    int64_t number;
    int error;
    const char *what;
} refused[] = {
    {SYS_clone, ENOSYS, "clone (a thread or a child process)"},
    {SYS_clone3, ENOSYS, "clone3 (a thread or a child process)"},
    {SYS_fork, ENOSYS, "fork"},
    {SYS_vfork, ENOSYS, "vfork"},
    {SYS_execve, ENOSYS, "execve"},
    {SYS_socket, EPERM, "socket"},
    {SYS_socketpair, EPERM, "socketpair"},
    {SYS_pipe, EPERM, "pipe"},
    {SYS_pipe2, EPERM, "pipe2"},
    {SYS_shmget, ENOSYS, "shmget (shared memory)"},
    {SYS_memfd_create, EPERM, "memfd_create"},
    {SYS_chdir, EPERM, "chdir (ranks of a process share a folder)"},
    {SYS_setitimer, ENOSYS, "setitimer (no signals are sent to ranks)"},
    {SYS_timer_create, ENOSYS, "timer_create (no signals are sent to ranks)"},
    {SYS_alarm, ENOSYS, "alarm (no signals are sent to ranks)"},
    {SYS_kill, ENOSYS, "kill with a signal that has a handler"},
    {SYS_tgkill, ENOSYS, "raise of a signal that has a handler"},
};

static void refuse(struct weft__system *system, struct weft__trap_call *call)
{
    char number[32];
    const char *what = number;
    snprintf(number, sizeof(number), "number %lld", (long long)call->number);
    call->result = -EPERM;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (refused[i].number == call->number) {
            what = refused[i].what;
            call->result = -refused[i].error;
        }
    if (system->told)
        return;
    system->told = true;
    weft__warn("rank %d: system call %s is refused: ranks that can be moved do without it; link "
               "the program without -static-pie if it needs it",
               (int)system->rank, what);
}

void weft__system_call(void *ctx, struct weft__trap_call *call)
{
    struct weft__system *system = ctx;
    uint64_t number = (uint64_t)call->number;
    if (number < sizeof(calls) / sizeof(calls[0]) && calls[number].known)
        calls[number].what(system, call);
    else
        refuse(system, call);
}
