/* What wait.S assumes, and the change of registers around it. */
#include "cell/wait.h"

#include <stddef.h>
#include <string.h>

#define RED_ZONE 128
#define FLAG_DIRECTION 0x400
#define GATE_SAVED 48 /* bytes that gate.S keeps below the return address */

_Static_assert(offsetof(struct weft_cell, calls) == 40, "CELL_CALLS");
_Static_assert(offsetof(struct weft_cell_calls, wait) == 56, "CALLS_WAIT");

void weft__wait_begin(struct weft__wait *wait, struct weft__trap_call *call, uint64_t code,
                      struct weft_cell *cell)
{
    greg_t *regs = call->context->uc_mcontext.gregs;
    weft__context_save(&wait->context, call->context);
    wait->active = 1;
    wait->number = call->number;
    memcpy(wait->args, call->args, sizeof(wait->args));
    regs[REG_RIP] = (greg_t)code;
    regs[REG_RSP] = (regs[REG_RSP] - RED_ZONE) & ~(greg_t)15;
    regs[REG_RBX] = (greg_t)(uintptr_t)cell;
    regs[REG_RBP] = 0;
    regs[REG_EFL] &= ~(greg_t)FLAG_DIRECTION;
    call->redirected = true;
}

void weft__wait_until(struct weft__trap_call *call, uint64_t until_ns, uint32_t seen)
{
    call->context->uc_mcontext.gregs[REG_R12] = (greg_t)until_ns;
    call->context->uc_mcontext.gregs[REG_R13] = (greg_t)seen;
    call->redirected = true;
}

void weft__wait_end(struct weft__wait *wait, struct weft__trap_call *call)
{
    weft__context_load(call->context, &wait->context);
    wait->active = 0;
}

void weft__wait_return_over(struct weft__wait *wait, uint64_t sp, uint64_t code)
{
    uint64_t *back = (uint64_t *)(uintptr_t)(sp + GATE_SAVED);
    wait->back = *back;
    *back = code + (uint64_t)(weft__wait_code_back - weft__wait_code);
}

void weft__wait_back(struct weft__wait *wait, struct weft__trap_call *call)
{
    greg_t *regs = call->context->uc_mcontext.gregs;
    regs[REG_RIP] = (greg_t)wait->back;
    regs[REG_RAX] = regs[REG_RDX];
    wait->back = 0;
    call->redirected = true;
}
