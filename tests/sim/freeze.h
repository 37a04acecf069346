/* One run of the simulation of freezes and thaws. */
#ifndef WEFT_TESTS_SIM_FREEZE_H
#define WEFT_TESTS_SIM_FREEZE_H

#include <stdbool.h>
#include <stdint.h>

struct freeze_how {
    const char *mutant; /* the rule that is broken; "": none */
    bool talks;         /* what the homes do is printed */
};

struct freeze_counts {
    uint64_t frozen, thawed, stayed, kept, lost, taken;
};

/* What was found to be broken; NULL: nothing.  counts: grow. */
const char *freeze_run(uint64_t seed, const struct freeze_how *how, struct freeze_counts *counts);

#endif
