/* Traps: a signal handler that changes the thread pointer before it does anything else.
 *
 * SIGSYS finds the thread with the thread pointer of the rank, so the handler's first part may use
 * no thread-local storage, and is compiled without what the compiler would add that does. It runs
 * on the worker's signal stack, whose lowest word leads to the trap: nothing else is known at that
 * moment. With the worker's own thread pointer in place the second part is ordinary code.
 *
 * The kernel lets through what comes from one range of addresses, and traps the rest: that is
 * everything above the cells, where executables and libraries of the host lie. So no selector byte
 * is to be written at each way in and out. Rejected: seccomp (SECCOMP_RET_TRAP) for older kernels,
 * which cannot be taken back and stays with the thread.
 */
#include "cell/trap.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h> /* PR_SET_SYSCALL_USER_DISPATCH */
#include <ucontext.h>
#include <unistd.h>

#include "cell/executor.h"
#include "weft/error.h"

enum { STACK = 128 << 10 }; /* a power of two; aligned to itself */

#define PLAIN                                                                                      \
    __attribute__((noinline, no_stack_protector, no_sanitize("address", "thread", "undefined")))

struct weft__trap {
    struct weft__trap_desc desc;
    stack_t before; /* the thread's signal stack */
    void *memory;
};

static const int signals[] = {SIGSYS, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
enum { SIGNALS = sizeof(signals) / sizeof(signals[0]) };
static struct sigaction chained[SIGNALS]; /* what was there before the first trap */
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;
static unsigned armed; /* traps of this process */

static inline uint64_t thread_pointer(void)
{
    uint64_t value;
    __asm__ volatile("rdfsbase %0" : "=r"(value));
    return value;
}

static inline void set_thread_pointer(uint64_t value)
{
    __asm__ volatile("wrfsbase %0" : : "r"(value) : "memory");
}

/* Makes the interrupted thread go out of the cell when the handler returns. */
static void go_out(const struct weft__trap *trap, greg_t *regs, int64_t value)
{
    regs[REG_RIP] = (greg_t)(uintptr_t)weft__gate_out;
    regs[REG_RDI] = (greg_t)(uintptr_t)trap->desc.gate;
    regs[REG_RSI] = value;
}

static void trap_call(const struct weft__trap *trap, ucontext_t *context, uint64_t *fs)
{
    greg_t *regs = context->uc_mcontext.gregs;
    struct weft__trap_call call = {.number = regs[REG_RAX],
                                   .args = {(uint64_t)regs[REG_RDI], (uint64_t)regs[REG_RSI],
                                            (uint64_t)regs[REG_RDX], (uint64_t)regs[REG_R10],
                                            (uint64_t)regs[REG_R8], (uint64_t)regs[REG_R9]},
                                   .context = context,
                                   .fs = *fs,
                                   .result = -ENOSYS};
    trap->desc.call(trap->desc.ctx, &call);
    *fs = call.fs;
    if (call.leave)
        go_out(trap, regs, call.result);
    else if (!call.redirected)
        regs[REG_RAX] = call.result;
}

static void trap_fault(const struct weft__trap *trap, const siginfo_t *info, ucontext_t *context)
{
    greg_t *regs = context->uc_mcontext.gregs;
    struct weft__trap_fault fault = {.signal = info->si_signo,
                                     .code = info->si_code,
                                     .address = (uint64_t)(uintptr_t)info->si_addr,
                                     .pc = (uint64_t)regs[REG_RIP],
                                     .info = info,
                                     .context = context};
    trap->desc.fault(trap->desc.ctx, &fault);
    if (!fault.redirected)
        go_out(trap, regs, fault.result);
}

/* Not from a cell: what would have happened without us. */
static void chain(int number, siginfo_t *info, void *context)
{
    int i = 0;
    while (i < SIGNALS - 1 && signals[i] != number)
        i++;
    if (chained[i].sa_flags & SA_SIGINFO) {
        chained[i].sa_sigaction(number, info, context);
    } else if (chained[i].sa_handler != SIG_DFL && chained[i].sa_handler != SIG_IGN) {
        chained[i].sa_handler(number);
    } else {
        signal(number, SIG_DFL); /* it happens again, and ends the process */
        if (number == SIGSYS)
            raise(number);
    }
}

/* The second part: on the signal stack, with the worker's thread pointer. */
__attribute__((noinline)) static void handle(const struct weft__trap *trap, siginfo_t *info,
                                             ucontext_t *context, uint64_t *fs)
{
    int kept = errno;
    if (info->si_signo == SIGSYS)
        trap_call(trap, context, fs);
    else
        trap_fault(trap, info, context);
    errno = kept;
}

/* Threads without a trap have no signal stack of ours: they never come from a cell. */
PLAIN static void on_signal(int number, siginfo_t *info, void *context)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    ucontext_t *user = context;
    stack_t *stack = &user->uc_stack;
    uintptr_t bottom = here & ~(uintptr_t)(STACK - 1);
    if (stack->ss_flags == SS_DISABLE || (uintptr_t)stack->ss_sp != bottom ||
        stack->ss_size != STACK) {
        chain(number, info, context);
        return;
    }
    const struct weft__trap *trap = *(struct weft__trap *const *)bottom;
    uint64_t rank_fs = thread_pointer();
    if (rank_fs == trap->desc.gate->host_fs) { /* the runtime itself, wherever the code is */
        chain(number, info, context);
        return;
    }
    set_thread_pointer(trap->desc.gate->host_fs);
    handle(trap, info, user, &rank_fs);
    set_thread_pointer(rank_fs);
}

/* The process's handlers are ours while there is a trap. */
static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigfillset(&action.sa_mask);
    pthread_mutex_lock(&installing);
    for (int i = 0; armed == 0 && i < SIGNALS; i++)
        sigaction(signals[i], &action, &chained[i]);
    armed++;
    pthread_mutex_unlock(&installing);
}

static void uninstall(void)
{
    pthread_mutex_lock(&installing);
    armed--;
    for (int i = 0; armed == 0 && i < SIGNALS; i++)
        sigaction(signals[i], &chained[i], NULL);
    pthread_mutex_unlock(&installing);
}

static int set_stack(struct weft__trap *trap)
{
    trap->memory = aligned_alloc(STACK, STACK);
    if (!trap->memory)
        return weft_fail(WEFT_ENOMEM, "no memory for a signal stack");
    *(struct weft__trap **)trap->memory = trap;
    const stack_t stack = {.ss_sp = trap->memory, .ss_size = STACK};
    if (sigaltstack(&stack, &trap->before) != 0)
        return weft_fail(-errno, "cannot set a signal stack: %s", strerrordesc_np(errno));
    return WEFT_OK;
}

static int dispatch(const struct weft__trap_desc *desc)
{
    uint64_t top = UINT64_C(1) << 47;
    if ((uintptr_t)on_signal < desc->end || (uintptr_t)write < desc->end)
        return weft_fail(WEFT_ENOTSUP, "the runtime's own code lies below the cells' end");
    if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, desc->end, top - desc->end, NULL) !=
        0)
        return weft_fail(WEFT_ENOTSUP,
                         "the kernel cannot hand over system calls of cells (Syscall User "
                         "Dispatch, Linux 5.11): %s" WEFT__CELL_ELSE,
                         strerrordesc_np(errno));
    return WEFT_OK;
}

int weft__trap_arm(const struct weft__trap_desc *desc, struct weft__trap **trap_out)
{
    struct weft__trap *trap = calloc(1, sizeof(*trap));
    if (!trap)
        return weft_fail(WEFT_ENOMEM, "no memory for a trap");
    trap->desc = *desc;
    desc->gate->host_fs = thread_pointer();
    install();
    int err = set_stack(trap);
    if (!err)
        err = dispatch(desc);
    if (err) {
        weft__trap_disarm(trap);
        return err;
    }
    *trap_out = trap;
    return WEFT_OK;
}

void weft__trap_disarm(struct weft__trap *trap)
{
    (void)prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    if (trap->memory) {
        if (!(trap->before.ss_flags & SS_DISABLE) && trap->before.ss_sp)
            sigaltstack(&trap->before, NULL);
        else
            sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    }
    uninstall();
    free(trap->memory);
    free(trap);
}
