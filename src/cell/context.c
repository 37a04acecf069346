/* The kernel leaves general registers in the context, and points from there to the others: an area
 * of FXSAVE, 512 bytes, of which the last 48 say how much of XSAVE follows it. The general ones are
 * copied but for the segments. Of the others what says how long they are stays the kernel's own,
 * and parts that this processor does not have are left out. Where registers come from a processor
 * that has more or fewer parts, those that both have lie at the same place: hosts where a program's
 * parts would not are none that it is moved to (base/cpu_features.h). */
#include "cell/context.h"

#include <cpuid.h>
#include <signal.h>
#include <string.h>

enum {
    LEGACY = 512,            /* bytes of FXSAVE */
    SOFTWARE = 464,          /* of them, where struct _fpx_sw_bytes is */
    HEADER = 64,             /* behind it: which parts there are */
    MODES = 24,              /* MXCSR, and the bits of it that exist */
    FIRST = 3,               /* x87 and SSE: in the legacy part */
    MODES_KNOWN = 0xffbf,    /* where the processor does not say which exist */
    FLAGS_KEPT = 0x00050dd5, /* of the flags register: those that a program sets */
};
#define PROTECTION_KEYS (UINT64_C(1) << 9)

static unsigned char *area(const ucontext_t *context)
{
    return (unsigned char *)context->uc_mcontext.fpregs;
}

static struct _fpx_sw_bytes software_of(const void *from, size_t len)
{
    struct _fpx_sw_bytes software = {0};
    if (len >= LEGACY)
        memcpy(&software, (const unsigned char *)from + SOFTWARE, sizeof(software));
    if (software.magic1 != FP_XSTATE_MAGIC1 || software.xstate_size < LEGACY + HEADER)
        memset(&software, 0, sizeof(software));
    return software;
}

size_t weft__context_floating_len(const ucontext_t *from)
{
    if (!area(from))
        return 0;
    struct _fpx_sw_bytes software = software_of(area(from), LEGACY);
    size_t len = software.magic1 ? software.extended_size : LEGACY;
    return len <= WEFT__CONTEXT_FLOATING_MAX ? len : LEGACY;
}

void weft__context_save(struct weft__context *into, const ucontext_t *from)
{
    memcpy(into->general, from->uc_mcontext.gregs, sizeof(into->general));
    into->floating_len = weft__context_floating_len(from);
    if (into->floating_len)
        memcpy(into->floating, area(from), into->floating_len);
}

void weft__context_load(ucontext_t *into, const struct weft__context *from)
{
    weft__context_load_general(into, from->general);
    weft__context_load_floating(
        into, from->floating,
        from->floating_len <= WEFT__CONTEXT_FLOATING_MAX ? from->floating_len : 0);
}

void weft__context_load_general(ucontext_t *into, const gregset_t from)
{
    greg_t *regs = into->uc_mcontext.gregs;
    greg_t flags = regs[REG_EFL];
    for (int i = REG_R8; i <= REG_RIP; i++)
        regs[i] = from[i];
    regs[REG_EFL] = (flags & ~(greg_t)FLAGS_KEPT) | (from[REG_EFL] & FLAGS_KEPT);
}

static void load_modes(unsigned char *into, const unsigned char *from)
{
    uint32_t modes, exist;
    memcpy(&modes, from + MODES, sizeof(modes));
    memcpy(&exist, into + MODES + sizeof(modes), sizeof(exist));
    modes &= exist ? exist : MODES_KNOWN;
    memcpy(into + MODES, &modes, sizeof(modes));
}

/* Part by part, as far as the shorter of the two areas goes; returns those that are there. */
static uint64_t load_parts(unsigned char *to, const unsigned char *from, uint64_t parts, size_t end)
{
    for (unsigned i = 2; i < 63; i++) {
        unsigned len, at, c, d;
        if (!(parts & UINT64_C(1) << i))
            continue;
        if (__get_cpuid_count(0xd, i, &len, &at, &c, &d) && at >= LEGACY + HEADER && at <= end &&
            len <= end - at)
            memcpy(to + at, from + at, len);
        else
            parts &= ~(UINT64_C(1) << i);
    }
    return parts;
}

void weft__context_load_floating(ucontext_t *into, const void *from, size_t len)
{
    unsigned char *to = area(into);
    if (!to || len < LEGACY)
        return;
    memcpy(to, from, MODES);
    load_modes(to, from);
    memcpy(to + MODES + 8, (const unsigned char *)from + MODES + 8, SOFTWARE - MODES - 8);
    struct _fpx_sw_bytes here = software_of(to, LEGACY), there = software_of(from, len);
    if (!here.magic1)
        return;
    uint64_t parts = FIRST;
    if (there.magic1 && len >= there.xstate_size &&
        here.extended_size <= WEFT__CONTEXT_FLOATING_MAX) {
        memcpy(&parts, (const unsigned char *)from + LEGACY, sizeof(parts));
        parts &= here.xstate_bv & there.xstate_bv & ~PROTECTION_KEYS;
        if (there.xstate_size == here.xstate_size)
            memcpy(to + LEGACY + HEADER, (const unsigned char *)from + LEGACY + HEADER,
                   here.xstate_size - LEGACY - HEADER);
        else
            parts = load_parts(to, from, parts,
                               there.xstate_size < here.xstate_size ? there.xstate_size
                                                                    : here.xstate_size);
    }
    memcpy(to + LEGACY, &parts, sizeof(parts));
}
