/* CPUID, and what of it the kernel supports: registers that it does not save are not there. */
#include <cpuid.h>
#include <stdbool.h>

#include "base/cpu.h"
#include "base/cpu_features.h"

struct row {
    unsigned leaf, reg, bit, state;
};
#define ROW(name, libc, needs, leaf, reg, bit, state) {leaf, reg, bit, state},
static const struct row rows[] = {WEFT__CPU_FEATURES(ROW)};

static const struct {
    unsigned leaf, part;
} leaves[] = {
    [CPU_LEAF_1] = {1, 0},
    [CPU_LEAF_7] = {7, 0},
    [CPU_LEAF_7_1] = {7, 1},
    [CPU_LEAF_D_1] = {0xd, 1},
    [CPU_LEAF_AMD] = {0x80000001, 0},
    [CPU_LEAF_LAYOUT] = {0xd, 5},
};
enum { LEAVES = sizeof(leaves) / sizeof(leaves[0]), OSXSAVE = 27 };

/* XCR0; 0 where there is none. */
static uint64_t kernel_state(const unsigned leaf_1[4])
{
    uint32_t low, high;
    if (!(leaf_1[CPU_ECX] >> OSXSAVE & 1u))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

uint64_t weft__cpu_probe(void)
{
    unsigned regs[LEAVES][4] = {{0}};
    for (unsigned i = 0; i < LEAVES; i++)
        (void)__get_cpuid_count(leaves[i].leaf, leaves[i].part, &regs[i][CPU_EAX],
                                &regs[i][CPU_EBX], &regs[i][CPU_ECX], &regs[i][CPU_EDX]);
    uint64_t state = kernel_state(regs[CPU_LEAF_1]), set = 0;
    for (unsigned i = 0; i < CPU_FEATURES_N; i++) {
        unsigned value = regs[rows[i].leaf][rows[i].reg];
        bool has = rows[i].leaf == CPU_LEAF_LAYOUT ? value == rows[i].bit
                                                   : (value >> rows[i].bit & 1u) != 0;
        if (has && (state & rows[i].state) == rows[i].state)
            set |= UINT64_C(1) << i;
    }
    return set;
}
