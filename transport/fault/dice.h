/* Inside of transport/fault: what a spec asks for, and which letter meets what. */
#ifndef WEFT_TRANSPORT_FAULT_DICE_H
#define WEFT_TRANSPORT_FAULT_DICE_H

#include <stdbool.h>
#include <stdint.h>

#define WEFT_FAULT_ONE 1000000u /* a share of 100 % */

enum weft_fault_kind {
    WEFT_FAULT_REQUEST = 1,
    WEFT_FAULT_PUSH = 2,
    WEFT_FAULT_REPLY = 4,
    WEFT_FAULT_MESSAGE = 8,
    WEFT_FAULT_RMA = 16
};
#define WEFT_FAULT_KINDS 31u

enum weft_fault_way { WEFT_FAULT_OUT, WEFT_FAULT_IN, WEFT_FAULT_WAYS };

struct weft_fault_plan {
    uint64_t seed;
    uint32_t drop, dup, late, reorder, cut, fail; /* of WEFT_FAULT_ONE */
    uint64_t fail_nth;                            /* 0: none */
    uint64_t delay; /* at most: nanoseconds, or calls to progress(); 0: none */
    bool clock;     /* delay is in nanoseconds */
    bool way[WEFT_FAULT_WAYS];
    uint32_t kinds;
    uint64_t after, count;
};

/* Errors: WEFT_EINVAL, naming the word. */
int weft__fault_plan(const char *spec, struct weft_fault_plan *plan_out);

/* One way's dice; copied to take a throw back. */
struct weft_fault_dice {
    uint64_t state;
    uint64_t letters;
};

/* What a letter meets. */
struct weft_fault_fate {
    bool drop, dup, cut, fail, overtaken;
    uint64_t hold; /* 0: goes at once */
};

void weft__fault_dice_init(struct weft_fault_dice *dice, const struct weft_fault_plan *plan,
                           enum weft_fault_way way);
/* The fate of the next letter of this way. */
struct weft_fault_fate weft__fault_throw(struct weft_fault_dice *dice,
                                         const struct weft_fault_plan *plan,
                                         enum weft_fault_way way, enum weft_fault_kind kind);

#endif
