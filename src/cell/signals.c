/* Frames are the kernel's in all that a program can see: a return address, the context, the
 * signal's information, and further up the floating point registers. Debuggers and the unwinder of
 * C++ know them by the first two. */
#include "cell/signals.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "cell/context.h"
#include "cell/user.h"

#define RESTORER UINT64_C(0x04000000) /* the program says where handlers return to */
#define RED_ZONE 128u
#define FLOATING_ALIGN 64u
#define FLAG_DIRECTION 0x400
#define FLAG_TRACE 0x100
#define XSTATE 1u /* in uc_flags: UC_FP_XSTATE */

struct frame {
    uint64_t back;
    ucontext_t context;
    siginfo_t info;
};

static uint64_t always(void)
{
    return weft__signal_bit(SIGKILL) | weft__signal_bit(SIGSTOP);
}

static bool ends_by_default(int number)
{
    switch (number) {
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP: /* nobody would let it go on */
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
        return false;
    default:
        return true;
    }
}

static bool is_ignored(const struct weft__signals *signals, int number)
{
    uint64_t handler = signals->actions[number].handler;
    return handler == (uint64_t)(uintptr_t)SIG_IGN || (handler == 0 && !ends_by_default(number));
}

/* Those that are blocked are kept: their action may change. */
void weft__signals_raise(struct weft__signals *signals, int number, int code)
{
    if (is_ignored(signals, number) && !(signals->mask & weft__signal_bit(number)))
        return;
    signals->pending |= weft__signal_bit(number);
    signals->codes[number] = code;
}

void weft__signals_tick(struct weft__signals *signals, uint64_t now_ns)
{
    if (signals->alarm_ns == 0 || now_ns < signals->alarm_ns)
        return;
    uint64_t every_ns = signals->every_ns;
    signals->alarm_ns =
        every_ns ? signals->alarm_ns + ((now_ns - signals->alarm_ns) / every_ns + 1) * every_ns : 0;
    weft__signals_raise(signals, SIGALRM, SI_KERNEL);
}

int weft__signals_next(const struct weft__signals *signals)
{
    uint64_t ready = signals->pending & ~(signals->mask & ~always());
    return ready ? __builtin_ctzll(ready) + 1 : 0;
}

bool weft__signals_restarts(const struct weft__signals *signals, int number)
{
    return number == 0 || signals->actions[number].handler <= (uint64_t)(uintptr_t)SIG_IGN ||
           signals->actions[number].flags & SA_RESTART;
}

/* ---- frames ---- */

static bool is_on_alt(const struct weft__signals *signals, uint64_t sp)
{
    return sp > signals->alt_begin && sp - signals->alt_begin <= signals->alt_len;
}

static uint64_t top_of(const struct weft__signals *signals,
                       const struct weft__signal_action *action, uint64_t sp)
{
    return action->flags & SA_ONSTACK && signals->alt_len && !is_on_alt(signals, sp)
               ? signals->alt_begin + signals->alt_len
               : sp - RED_ZONE;
}

static int write_frame(const struct weft__space_host *space, struct frame *frame, uint64_t address,
                       uint64_t floating)
{
    const ucontext_t *context = &frame->context;
    size_t len = weft__context_floating_len(context);
    int rc = weft__user_write(space, floating, context->uc_mcontext.fpregs, len);
    frame->context.uc_mcontext.fpregs = len ? (fpregset_t)(uintptr_t)floating : NULL;
    return rc ? rc : weft__user_write(space, address, frame, sizeof(*frame));
}

/* Makes the program go on in its handler.  Errors: -EFAULT no room on its stack. */
static int enter(struct weft__signals *signals, const struct weft__space_host *space,
                 ucontext_t *context, const siginfo_t *info)
{
    int number = info->si_signo;
    struct weft__signal_action *action = &signals->actions[number];
    greg_t *regs = context->uc_mcontext.gregs;
    uint64_t sp = (uint64_t)regs[REG_RSP], top = top_of(signals, action, sp);
    uint64_t floating =
        (top - weft__context_floating_len(context)) & ~(uint64_t)(FLOATING_ALIGN - 1);
    uint64_t address = ((floating - sizeof(struct frame)) & ~UINT64_C(15)) - 8;
    uint64_t context_at = address + offsetof(struct frame, context);
    uint64_t info_at = address + offsetof(struct frame, info);
    struct frame frame = {.back = action->restorer, .info = *info};
    memcpy(&frame.context.uc_mcontext, &context->uc_mcontext, sizeof(context->uc_mcontext));
    frame.context.uc_flags = context->uc_flags & XSTATE;
    frame.context.uc_stack = (stack_t){.ss_sp = (void *)(uintptr_t)signals->alt_begin,
                                       .ss_size = signals->alt_len,
                                       .ss_flags = signals->alt_len ? 0 : SS_DISABLE};
    uint64_t back = signals->puts_back ? signals->before : signals->mask;
    memcpy(&frame.context.uc_sigmask, &back, sizeof(back));
    if (!(action->flags & RESTORER) || write_frame(space, &frame, address, floating) != 0)
        return -EFAULT;
    signals->puts_back = 0;
    signals->mask |= action->mask | (action->flags & SA_NODEFER ? 0 : weft__signal_bit(number));
    regs[REG_RIP] = (greg_t)action->handler;
    regs[REG_RSP] = (greg_t)address;
    regs[REG_RDI] = number;
    regs[REG_RSI] = (greg_t)info_at;
    regs[REG_RDX] = (greg_t)context_at;
    regs[REG_RAX] = 0;
    regs[REG_EFL] &= ~(greg_t)(FLAG_DIRECTION | FLAG_TRACE);
    if (action->flags & (uint64_t)SA_RESETHAND)
        action->handler = 0;
    return 0;
}

enum weft__signal_end weft__signals_deliver(struct weft__signals *signals,
                                            const struct weft__space_host *space,
                                            ucontext_t *context, int *number_out)
{
    enum weft__signal_end end = WEFT__SIGNAL_GOES_ON;
    int number;
    while ((number = weft__signals_next(signals)) != 0) {
        signals->pending &= ~weft__signal_bit(number);
        if (number >= WEFT__SIGNALS || is_ignored(signals, number))
            continue;
        siginfo_t info = {.si_signo = number, .si_code = signals->codes[number]};
        *number_out = number;
        if (signals->actions[number].handler == 0)
            return WEFT__SIGNAL_ENDS;
        if (enter(signals, space, context, &info) != 0) {
            *number_out = SIGSEGV;
            return WEFT__SIGNAL_ENDS;
        }
        end = WEFT__SIGNAL_HANDLED;
    }
    if (signals->puts_back) {
        signals->mask = signals->before;
        signals->puts_back = 0;
    }
    return end;
}

bool weft__signals_fault(struct weft__signals *signals, const struct weft__space_host *space,
                         struct weft__trap_fault *fault)
{
    int number = fault->signal;
    bool takes = number > 0 && number < WEFT__SIGNALS &&
                 signals->actions[number].handler > (uint64_t)(uintptr_t)SIG_IGN &&
                 !(signals->mask & weft__signal_bit(number));
    fault->redirected = takes && enter(signals, space, fault->context, fault->info) == 0;
    return fault->redirected;
}

static void set_stack(struct weft__signals *signals, const stack_t *stack)
{
    bool none = stack->ss_flags & SS_DISABLE;
    signals->alt_begin = none ? 0 : (uint64_t)(uintptr_t)stack->ss_sp;
    signals->alt_len = none ? 0 : stack->ss_size;
}

/* Floating point registers that a frame points to: as many bytes as the kernel gave. */
static void load_floating(const struct weft__space_host *space, ucontext_t *context,
                          uint64_t address)
{
    size_t len = weft__context_floating_len(context);
    if (address && len && weft__user_holds(space, address, len, PROT_READ))
        weft__context_load_floating(context, (const void *)(uintptr_t)address, len);
}

int weft__signals_return(struct weft__signals *signals, const struct weft__space_host *space,
                         ucontext_t *context)
{
    struct frame frame;
    uint64_t address = (uint64_t)context->uc_mcontext.gregs[REG_RSP] - 8;
    int rc = weft__user_read(space, &frame, address, sizeof(frame));
    if (rc)
        return rc;
    memcpy(&signals->mask, &frame.context.uc_sigmask, sizeof(signals->mask));
    set_stack(signals, &frame.context.uc_stack);
    weft__context_load_general(context, frame.context.uc_mcontext.gregs);
    load_floating(space, context, (uint64_t)(uintptr_t)frame.context.uc_mcontext.fpregs);
    return 0;
}

/* ---- calls ---- */

int64_t weft__signals_action(struct weft__signals *signals, const struct weft__space_host *space,
                             const uint64_t args[6])
{
    uint64_t number = args[0];
    if (number == 0 || number >= WEFT__SIGNALS || args[3] != WEFT__SIGNALS_SET_BYTES ||
        (args[1] && (number == SIGKILL || number == SIGSTOP)))
        return -EINVAL;
    struct weft__signal_action action;
    if (args[1] && weft__user_read(space, &action, args[1], sizeof(action)) != 0)
        return -EFAULT;
    if (args[2] && weft__user_write(space, args[2], &signals->actions[number], sizeof(action)) != 0)
        return -EFAULT;
    if (args[1]) {
        signals->actions[number] = action;
        if (is_ignored(signals, (int)number))
            signals->pending &= ~weft__signal_bit((int)number);
    }
    return 0;
}

int64_t weft__signals_mask(struct weft__signals *signals, const struct weft__space_host *space,
                           const uint64_t args[6])
{
    uint64_t set = 0, before = signals->mask;
    if (args[3] != WEFT__SIGNALS_SET_BYTES || (args[1] && args[0] > SIG_SETMASK))
        return -EINVAL;
    if ((args[1] && weft__user_read(space, &set, args[1], sizeof(set)) != 0) ||
        (args[2] && weft__user_write(space, args[2], &before, sizeof(before)) != 0))
        return -EFAULT;
    if (args[1])
        signals->mask = (args[0] == SIG_BLOCK     ? before | set
                         : args[0] == SIG_UNBLOCK ? before & ~set
                                                  : set) &
                        ~always();
    return 0;
}

int64_t weft__signals_stack(struct weft__signals *signals, const struct weft__space_host *space,
                            const uint64_t args[6], uint64_t sp)
{
    bool on = is_on_alt(signals, sp);
    stack_t stack, before = {.ss_sp = (void *)(uintptr_t)signals->alt_begin,
                             .ss_size = signals->alt_len,
                             .ss_flags = on                 ? SS_ONSTACK
                                         : signals->alt_len ? 0
                                                            : SS_DISABLE};
    if (args[0] && weft__user_read(space, &stack, args[0], sizeof(stack)) != 0)
        return -EFAULT;
    if (args[0] && on)
        return -EPERM;
    if (args[0] && stack.ss_flags & ~(SS_DISABLE | SS_ONSTACK))
        return -EINVAL;
    if (args[0] && !(stack.ss_flags & SS_DISABLE) && stack.ss_size < 2048)
        return -ENOMEM;
    if (args[1] && weft__user_write(space, args[1], &before, sizeof(before)) != 0)
        return -EFAULT;
    if (args[0])
        set_stack(signals, &stack);
    return 0;
}
