/* Machines without cells: a program for them is refused when it is to be loaded. */
#include "cell/executor.h"

#include "weft/error.h"

static int none_load(struct weft__rank *rank)
{
    (void)rank;
    return weft_fail(WEFT_ENOTSUP, "cells are for x86-64 only" WEFT__CELL_ELSE);
}

static int none_run(struct weft__rank *rank, bool resumed)
{
    (void)rank;
    (void)resumed;
    return 127;
}

static int none_move(struct weft__rank *rank, struct weft__move *move)
{
    (void)move;
    return none_load(rank);
}

static int none_prepare(struct weft__rank *rank, const struct weft__move *move)
{
    (void)move;
    return none_load(rank);
}

static void none_unload(struct weft__rank *rank)
{
    (void)rank;
}

const struct weft__executor weft__executor_cell = {
    .name = "cell",
    .number = 2,
    .load = none_load,
    .run = none_run,
    .describe = none_move,
    .prepare = none_prepare,
    .unload = none_unload,
};
