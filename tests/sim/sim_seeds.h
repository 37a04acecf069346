/* Seeds of runs that break a rule when a defect that the simulation once found is put back; each
 * with its story. A change of the simulation gives seeds other meanings: find them anew then. The
 * unit tests of the machines have a case for each as well. */
#ifndef WEFT_SIM_SEEDS_H
#define WEFT_SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

static const struct {
    uint64_t seed;
    bool uncopied; /* no rank is copied before it is frozen */
    const char *story;
} sim_seeds[] = {
    {1, true,
     "a move that took the place of a prepared one was refused and left its deadline behind: the "
     "destination woke up for ever"},
    {20420, true,
     "a rank that only receives never asks for routes: its acknowledgements went to a dead process "
     "for ever, until routes were learnt from arriving packets"},
    {24136, true,
     "a destination gave its slot back while its ask to hold it was under way; a late ask for the "
     "lease came between the two, and the slot was held for ever"},
};

#endif
