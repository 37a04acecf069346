/* The executor of ranks that are processes of their own: for programs with threads, child processes
 * or anything else that a rank in this process cannot have, for debuggers, and for kernels that
 * cannot trap system calls. They are not moved.
 *
 * The rank's thread starts the program, whose range is the same memory at the same address, and
 * then makes the calls that the program asks for over its line (weft/line.h). It spins for a
 * moment, then sleeps, and looks after the process a few times a second: its end is the rank's. The
 * process ends with that thread, and so with this process, whatever it does.
 *
 * Rejected: the program in this process with its traps off. Two C libraries in one process share
 * the break, signal handlers, a thread's id and its exit, and each believes that they are its own.
 */
#include "exec/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "exec/apart_input.h"
#include "exec/impl.h"
#include "weft/error.h"
#include "weft/line.h"

enum { SPINS = 400, TICK_MS = 100, RANGE_FD = 3, SPAWN_STACK = 128 << 10 };
#define TICK_NS (TICK_MS * WEFT_NS_PER_MS)

struct apart {
    pid_t pid; /* 0: it is over, or was never there */
    int status;
    struct weft_line *line; /* in the range */
    struct weft__apart_input *input;
};

static struct apart *apart_of(const struct weft__rank *rank)
{
    return rank->stay.own;
}

/* ---- the process ---- */

static size_t count(char *const *strings)
{
    size_t n = 0;
    while (strings[n])
        n++;
    return n;
}

/* Whether it has ended, now or before. */
static bool is_over(struct apart *own)
{
    if (own->pid && waitpid(own->pid, &own->status, WNOHANG) == own->pid)
        own->pid = 0;
    return own->pid == 0;
}

/* What a child does before it is the program. */
struct birth {
    const char *path;
    char **argv, **envp;
    int range;
    int input; /* its standard input; -1: as ours */
    pid_t parent;
    int error; /* why it is not */
};

/* Standard output stays as it is; no signal is blocked or ignored. */
static int prepare_child(const struct birth *birth)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        (void)sigaction(i, &usual, NULL); /* but for those that cannot be ignored either */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != birth->parent)
        return ECHILD;
    if (birth->input >= 0 && dup2(birth->input, STDIN_FILENO) != STDIN_FILENO)
        return errno;
    if (birth->range == RANGE_FD ? fcntl(RANGE_FD, F_SETFD, 0) != 0
                                 : dup2(birth->range, RANGE_FD) != RANGE_FD)
        return errno;
    if (close_range(RANGE_FD + 1, ~0u, 0) != 0)
        return errno;
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0 ? 0 : errno;
}

/* In this process's memory, until it is the program: it makes system calls only. */
static int be_born(void *arg)
{
    struct birth *birth = arg;
    birth->error = prepare_child(birth);
    if (birth->error == 0) {
        (void)execve(birth->path, birth->argv, birth->envp);
        birth->error = errno;
    }
    return 127;
}

/* As posix_spawn does it, which cannot say that the child ends with the thread that has started it:
 * that is the rank's, and ends no sooner than the rank. */
static int spawn(struct birth *birth, pid_t *pid_out)
{
    sigset_t all, before;
    unsigned char *stack = malloc(SPAWN_STACK);
    if (!stack)
        return weft_fail(WEFT_ENOMEM, "no memory to start %s", birth->path);
    birth->parent = getpid();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* no handler of ours runs in the child */
    pid_t pid = clone(be_born, stack + SPAWN_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, birth);
    int error = pid < 0 ? errno : birth->error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(stack);
    if (pid > 0 && error)
        (void)waitpid(pid, NULL, 0);
    if (error)
        return weft_fail(-error, "cannot start %s: %s", birth->path, strerrordesc_np(error));
    *pid_out = pid;
    return WEFT_OK;
}

/* A shared object is run by a program that loads it: "weft rank PROGRAM ARGUMENTS". */
static int start(struct weft__rank *rank)
{
    const struct weft_exec *exec = rank->exec;
    struct apart *own = apart_of(rank);
    const char *loader = weft__program_is_executable(&exec->program) ? NULL : exec->starter;
    size_t args = count(rank->stay.argv), envs = count(rank->stay.envp);
    const char *verb = "rank";
    char where[160];
    char **argv = (char **)calloc(args + 3, sizeof(*argv));
    char **envp = (char **)calloc(envs + 2, sizeof(*envp));
    int err = argv && envp ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory to start a rank");
    if (!err) {
        const char *const front[] = {loader, verb};
        size_t front_n = loader ? 2 : 0;
        memcpy((void *)argv, (const void *)front, front_n * sizeof(*argv));
        memcpy((void *)(argv + front_n), (void *)rank->stay.argv, args * sizeof(*argv));
        memcpy((void *)envp, (void *)rank->stay.envp, envs * sizeof(*envp));
        snprintf(where, sizeof(where), WEFT_LINE_ENV "=%d %llx %llx %llx %d", RANGE_FD,
                 (unsigned long long)(uintptr_t)rank->region.base,
                 (unsigned long long)rank->region.len_bytes,
                 (unsigned long long)((uintptr_t)own->line - (uintptr_t)rank->region.base),
                 (int)getpid());
        envp[envs] = where;
        struct birth birth = {.path = loader ? loader : exec->program.path,
                              .argv = argv,
                              .envp = envp,
                              .range = rank->region.fd,
                              .input = weft__apart_input_fd(own->input)};
        err = spawn(&birth, &own->pid);
        weft__apart_input_given(own->input);
    }
    free((void *)argv);
    free((void *)envp);
    return err;
}

/* ---- its calls ---- */

static void futex_wait_tick(_Atomic uint32_t *word, uint32_t seen)
{
    const struct timespec tick = {.tv_nsec = TICK_NS};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &tick, NULL, 0);
}

/* What does not come from the program: the end of everything, a wish that it moves. */
static void look_around(struct weft__rank *rank)
{
    if (atomic_load_explicit(&rank->exec->closing, memory_order_acquire))
        weft__stay_quit(rank, 0, false);
    if (atomic_load_explicit(&rank->cell->move_pending, memory_order_relaxed))
        (void)weft__move_point(rank, NULL, NULL); /* it is pinned: that is the answer */
}

/* Waits until the program asks for something; false: it has ended. */
static bool next_call(struct weft__rank *rank)
{
    struct apart *own = apart_of(rank);
    struct weft_line *line = own->line;
    for (;;) {
        for (int i = 0; i < SPINS; i++)
            if (atomic_load_explicit(&line->turn, memory_order_acquire) == WEFT_LINE_RUNTIME)
                return true;
        atomic_store(&line->runtime_sleeps, 1);
        if (atomic_load(&line->turn) == WEFT_LINE_RANK)
            futex_wait_tick(&line->turn, WEFT_LINE_RANK);
        atomic_store(&line->runtime_sleeps, 0);
        look_around(rank);
        if (atomic_load(&line->turn) == WEFT_LINE_RANK && is_over(own))
            return false;
    }
}

static void give_turn(struct weft_line *line, int result)
{
    line->result = result;
    atomic_store(&line->turn, WEFT_LINE_RANK);
    if (atomic_load(&line->rank_sleeps))
        syscall(SYS_futex, &line->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* In pieces, since the process may end meanwhile without a word. */
static int wait_for(struct weft__rank *rank, uint32_t seen, uint64_t deadline_ns)
{
    for (;;) {
        uint64_t tick_ns = weft__rank_now(rank->cell) + TICK_NS;
        bool last = deadline_ns <= tick_ns;
        int err = weft__cell_calls.wait(rank->cell, seen, last ? deadline_ns : tick_ns);
        if (err != WEFT_ETIMEDOUT || last)
            return err;
        look_around(rank);
        if (is_over(apart_of(rank)))
            return WEFT_ETIMEDOUT; /* nobody hears it */
    }
}

static int info(struct weft__rank *rank, struct weft_line *line)
{
    size_t room = line->args[1] < sizeof(line->bytes) ? line->args[1] : sizeof(line->bytes);
    line->len_bytes = (uint32_t)room;
    return weft__cell_calls.info(rank->cell, (enum weft_cell_info)line->args[0], line->bytes, room);
}

static void abort_app(const struct weft__rank *rank, int code, const char *reason)
{
    const struct weft_exec_callbacks *callbacks = &rank->exec->callbacks;
    if (callbacks->app_abort)
        callbacks->app_abort(callbacks->ctx, rank->number, code, reason);
}

/* Whether a part of memory is the rank's: what it says may be anything. */
static bool is_own(const struct weft__rank *rank, const void *addr, size_t len_bytes)
{
    uintptr_t base = (uintptr_t)rank->region.base, at = (uintptr_t)addr;
    size_t len = rank->region.len_bytes;
    return at >= base && at - base <= len && len_bytes <= len - (at - base);
}

static int expose(struct weft__rank *rank, const void *addr, size_t len_bytes, uint64_t *id_out)
{
    if (!is_own(rank, addr, len_bytes))
        return WEFT_EINVAL;
    return weft__cell_calls.expose(rank->cell, addr, len_bytes, id_out);
}

/* The program may change it meanwhile: what counts is read once. */
static int get(struct weft__rank *rank, struct weft_cell_get *op)
{
    const volatile struct weft_cell_get *theirs = op;
    if (!is_own(rank, op, sizeof(*op)) || (uintptr_t)op % _Alignof(struct weft_cell_get) != 0)
        return WEFT_EINVAL;
    const struct weft_cell_get what = {.source = theirs->source,
                                       .expose_id = theirs->expose_id,
                                       .offset = theirs->offset,
                                       .into = theirs->into,
                                       .len_bytes = theirs->len_bytes};
    return is_own(rank, what.into, what.len_bytes) ? weft__get_start(rank, &what, op) : WEFT_EINVAL;
}

static int do_call(struct weft__rank *rank, struct weft_line *line)
{
    struct weft_cell *cell = rank->cell;
    const volatile struct weft_line *theirs = line;
    const uint64_t args[2] = {theirs->args[0], theirs->args[1]};
    const uint32_t len = theirs->len_bytes;
    const struct iovec packet = {.iov_base = line->bytes, .iov_len = len};
    void *at = (void *)(uintptr_t)args[0];
    line->bytes[sizeof(line->bytes) - 1] = '\0';
    switch (theirs->what) {
    case WEFT_LINE_SEND:
        return len <= sizeof(line->bytes)
                   ? weft__cell_calls.send(cell, (int32_t)args[0], &packet, len ? 1 : 0)
                   : WEFT_EMSGSIZE;
    case WEFT_LINE_EXPOSE:
        return expose(rank, at, args[1], &line->args[0]);
    case WEFT_LINE_UNEXPOSE:
        weft__cell_calls.unexpose(cell, args[0]);
        return WEFT_OK;
    case WEFT_LINE_GET:
        return get(rank, at);
    case WEFT_LINE_WAIT:
        return wait_for(rank, (uint32_t)args[0], args[1]);
    case WEFT_LINE_INFO:
        return info(rank, line);
    case WEFT_LINE_LOG:
        weft__cell_calls.log(cell, (int)args[0], (const char *)line->bytes);
        return WEFT_OK;
    case WEFT_LINE_ABORT:
        abort_app(rank, (int)args[0], (const char *)line->bytes);
        return WEFT_OK;
    default:
        return WEFT_EINVAL;
    }
}

/* ---- the table ---- */

static int exit_code(const struct weft__rank *rank)
{
    const struct apart *own = apart_of(rank);
    char reason[160];
    if (!WIFSIGNALED(own->status))
        return WEXITSTATUS(own->status);
    int number = WTERMSIG(own->status);
    snprintf(reason, sizeof(reason), "rank %d: its process was ended by signal %d (%s)",
             (int)rank->number, number, sigdescr_np(number));
    abort_app(rank, 128 + number, reason);
    return 128 + number;
}

static int apart_run(struct weft__rank *rank, bool resumed)
{
    struct apart *own = apart_of(rank);
    struct weft_cell *cell = rank->cell;
    (void)resumed;
    cell->pins = 1;
    snprintf(cell->pin_reason, sizeof(cell->pin_reason), WEFT__APART_WHY);
    own->line = weft__heap_calloc(cell->heap, 1, sizeof(*own->line));
    int err = own->line ? WEFT_OK : weft_fail(WEFT_ENOMEM, "the rank's region is full");
    if (!err) {
        own->line->version = WEFT_LINE_VERSION;
        err = weft__apart_input_start(rank, &own->input);
    }
    if (!err)
        err = start(rank);
    if (err) {
        char reason[256];
        snprintf(reason, sizeof(reason), "rank %d: %s", (int)rank->number, weft_fail_text(err));
        abort_app(rank, 127, reason);
        return 127;
    }
    while (next_call(rank))
        give_turn(own->line, do_call(rank, own->line));
    return exit_code(rank);
}

/* Left by a jump, it may run still. */
static void apart_ended(struct weft__rank *rank)
{
    struct apart *own = apart_of(rank);
    weft__apart_input_stop(own->input);
    own->input = NULL;
    if (is_over(own))
        return;
    (void)kill(own->pid, SIGKILL);
    (void)waitpid(own->pid, &own->status, 0);
    own->pid = 0;
}

static int apart_load(struct weft__rank *rank)
{
    rank->stay.own = calloc(1, sizeof(struct apart));
    return rank->stay.own ? WEFT_OK
                          : weft_fail(WEFT_ENOMEM, "no memory for rank %d", (int)rank->number);
}

static void apart_unload(struct weft__rank *rank)
{
    free(rank->stay.own);
    rank->stay.own = NULL;
}

static bool apart_stays(const struct weft__rank *rank, char reason_out[100])
{
    (void)rank;
    snprintf(reason_out, 100, WEFT__APART_WHY);
    return true;
}

static int apart_describe(struct weft__rank *rank, struct weft__move *move)
{
    (void)move;
    return weft_fail(WEFT_EINVAL, "rank %d cannot move: " WEFT__APART_WHY, (int)rank->number);
}

static int apart_prepare(struct weft__rank *rank, const struct weft__move *move)
{
    (void)move;
    return weft_fail(WEFT_ENOTSUP, "rank %d cannot come: here it runs as a process of its own",
                     (int)rank->number);
}

const struct weft__executor weft__executor_apart = {
    .name = "apart",
    .number = 3,
    .calls = &weft__cell_calls, /* the program puts its own in their place */
    .load = apart_load,
    .run = apart_run,
    .ended = apart_ended,
    .stays = apart_stays,
    .describe = apart_describe,
    .prepare = apart_prepare,
    .unload = apart_unload,
};
