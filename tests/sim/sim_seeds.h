/* Seeds that once found a defect, each with its story. They are run by every test. */
#ifndef WEFT_SIM_SEEDS_H
#define WEFT_SIM_SEEDS_H

#include <stdint.h>

static const struct {
    uint64_t seed;
    const char *story;
} sim_seeds[] = {
    {1, "an ordinary run"},
};

#endif
