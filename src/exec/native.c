/* The native executor: a rank is a private copy of the program, run on the rank's thread.
 *
 * It goes on at a destination by being called again at the entry that it gave to its migration
 * point. A program that calls libc's exit() ends the app's process: a thread cannot stop that.
 * libmpi's way out is calls->exit.
 */
#include <string.h>

#include "exec/impl.h"
#include "exec/move.h"
#include "weft/error.h"

static int count(char *const *strings)
{
    int n = 0;
    while (strings[n])
        n++;
    return n;
}

static int native_load(struct weft__rank *rank)
{
    return weft__program_load(&rank->exec->program, &rank->stay.copy);
}

static int native_run(struct weft__rank *rank, bool resumed)
{
    struct weft__stay *stay = &rank->stay;
    return resumed ? stay->entry(stay->argument)
                   : stay->copy.main(count(stay->argv), stay->argv, stay->envp);
}

static int native_describe(struct weft__rank *rank, struct weft__move *move)
{
    const struct weft_program *program = &rank->exec->program;
    int err =
        weft__program_offset_of(&rank->stay.copy, (uintptr_t)rank->stay.entry, &move->entry_offset);
    if (err)
        return err;
    move->argument = (uint64_t)(uintptr_t)rank->stay.argument;
    memcpy(move->build_id, program->elf.build_id, program->elf.build_id_len);
    move->build_id_len = program->elf.build_id_len;
    return WEFT_OK;
}

static int native_prepare(struct weft__rank *rank, const struct weft__move *move)
{
    const struct weft_program *program = &rank->exec->program;
    int err = weft__move_same_build(rank, move);
    if (err)
        return err;
    uintptr_t entry = weft__program_at(&rank->stay.copy, move->entry_offset);
    if (!entry)
        return weft_fail(WEFT_EPROTO, "rank %d wants to go on at 0x%llx, which is no code of %s",
                         (int)rank->number, (unsigned long long)move->entry_offset, program->path);
    rank->stay.entry = (weft_entry *)entry;
    rank->stay.argument = (void *)(uintptr_t)move->argument;
    return WEFT_OK;
}

static void native_unload(struct weft__rank *rank)
{
    weft__program_unload(&rank->stay.copy);
}

const struct weft__executor weft__executor_native = {
    .name = "native",
    .number = 1,
    .calls = &weft__cell_calls,
    .load = native_load,
    .run = native_run,
    .describe = native_describe,
    .prepare = native_prepare,
    .unload = native_unload,
};
