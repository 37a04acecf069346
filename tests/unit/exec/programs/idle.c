/* Offers a migration point every millisecond. Rank 0 ends when the number of tries and moves is
 * argv[1] (0: never); the others end with it. Returns moves * 16 + refused tries. */
#include "common.h"

#include <stdlib.h>

struct state {
    struct weft_cell *cell;
    int moves, refused, wanted;
    uint64_t clock;
    int from_main;
};

static int go_on(struct state *state)
{
    struct weft_cell *cell = weft_cell_self();
    if (cell->calls->now(cell) < state->clock)
        return 255;
    while (state->wanted == 0 || state->moves + state->refused < state->wanted) {
        uint32_t seen = atomic_load(&cell->bell);
        state->clock = cell->calls->now(cell);
        extern int resume_idle(void *argument);
        if (weft_migration_point(resume_idle, state) == 1)
            state->refused++;
        cell->calls->wait(cell, seen, cell->calls->now(cell) + 1000000);
    }
    return state->moves * 16 + state->refused;
}

int resume_idle(void *argument);
int resume_idle(void *argument)
{
    struct state *state = argument;
    state->moves++;
    return go_on(state);
}

int main(int argc, char **argv)
{
    struct state *state = weft_alloc(sizeof(*state));
    state->cell = weft_cell_self();
    state->wanted = argc > 1 ? atoi(argv[1]) : 0;
    return go_on(state);
}
