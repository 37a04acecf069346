/* The dice: which letter meets what.
 *
 * A letter takes the same number of throws whatever a spec asks for, and each way has dice of its
 * own. So a fault that is added to a spec, or a letter that comes in earlier, leaves the others
 * where they were. splitmix64: one word of state, every seed is a good one.
 */
#include "transport/fault/dice.h"

#define HOLD_CALLS 8

static uint64_t next(struct weft_fault_dice *dice)
{
    uint64_t z = dice->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool hit(struct weft_fault_dice *dice, uint32_t share)
{
    return next(dice) % WEFT_FAULT_ONE < share;
}

void weft__fault_dice_init(struct weft_fault_dice *dice, const struct weft_fault_plan *plan,
                           enum weft_fault_way way)
{
    dice->state = plan->seed * 2 + (way == WEFT_FAULT_IN);
    dice->letters = 0;
    dice->state = next(dice);
}

struct weft_fault_fate weft__fault_throw(struct weft_fault_dice *dice,
                                         const struct weft_fault_plan *plan,
                                         enum weft_fault_way way, enum weft_fault_kind kind)
{
    struct weft_fault_fate none = {false}, fate = {false};
    if (!plan->way[way] || !(plan->kinds & kind))
        return none;
    uint64_t nth = ++dice->letters;
    fate.drop = hit(dice, plan->drop);
    fate.dup = hit(dice, plan->dup);
    fate.cut = hit(dice, plan->cut);
    fate.fail = hit(dice, plan->fail) || nth == plan->fail_nth;
    fate.overtaken = hit(dice, plan->reorder);
    bool late = hit(dice, plan->late);
    uint64_t most = plan->delay ? plan->delay : HOLD_CALLS;
    uint64_t drawn = 1 + next(dice) % most;
    if (fate.overtaken || (plan->delay && late))
        fate.hold = drawn;
    return nth <= plan->after || nth - plan->after > plan->count ? none : fate;
}
