/* Seeds of runs that break a rule when a defect that the simulation once found is put back; each
 * with its story. A change of the simulation gives seeds other meanings: find them anew then. The
 * unit tests of the machines have a case for each as well. */
#ifndef WEFT_SIM_SEEDS_H
#define WEFT_SIM_SEEDS_H

#include <stdint.h>

static const struct {
    uint64_t seed;
    const char *story;
} sim_seeds[] = {
    {3466, "the weftd of a dead source answered FREEZE with REFUSED: home believed that the rank "
           "went on"},
    {1666261,
     "a FREEZE was refused, and accepted when it was repeated, since the rank had come by then; "
     "home gave the slot back on the first answer, and the rank moved into it on the second"},
    {9,
     "a move that took the place of a prepared one was refused and left its deadline behind: the "
     "destination woke up for ever"},
    {143506,
     "a rank that had ended counted as not there: a late ABORT was answered with GONE, and home "
     "ended the app because nobody knew where the rank was"},
    {11271,
     "a rank that only receives never asks for routes: its acknowledgements went to a dead process "
     "for ever, until routes were learnt from arriving packets"},
};

#endif
