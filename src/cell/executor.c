/* A rank in a cell: workers run it in turns (turn.c); this is how its program begins, what it is
 * stopped with, and how it ends.
 *
 * The part of the range that is the program's begins where the rank's heap ends:
 *
 *   state of its system calls | address space (space.h)
 */
#include "cell/executor.h"

#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>

#include "cell/clock.h"
#include "cell/environment.h"
#include "cell/gate.h"
#include "cell/impl.h"
#include "cell/stack.h"
#include "cell/system.h"
#include "cell/trap.h"
#include "exec/impl.h"
#include "exec/move.h"
#include "exec/symbol.h"
#include "weft/error.h"

#define PAGE UINT64_C(4096)
#define HEAP_SHARE (UINT64_C(64) << 20)
#define WHERE_MAX 128
#define COLOURS 64u /* places in a cache and in the address translation, see exec/range.c */
#define LINE UINT64_C(64)

static uint64_t pages(uint64_t len_bytes)
{
    return (len_bytes + PAGE - 1) & ~(PAGE - 1);
}

static uint64_t colour(const struct weft__rank *rank)
{
    return (uint64_t)rank->number % COLOURS * PAGE;
}

/* Of the range: where the program's part begins. */
static uint64_t part_begin(const struct weft__rank *rank)
{
    const struct weft_cell *cell = rank->region.base;
    const struct weft__range *range = cell->runtime;
    return (uint64_t)(uintptr_t)cell + range->program_offset;
}

static uint64_t part_end(const struct weft__rank *rank)
{
    return (uint64_t)(uintptr_t)rank->region.base + rank->region.len_bytes - colour(rank);
}

/* ---- the ends of a program ---- */

static void on_killed(void *ctx, int signal)
{
    struct weft__cell *own = ctx;
    snprintf(own->end, sizeof(own->end), "it has ended itself with signal %d (%s)", signal,
             sigdescr_np(signal));
}

/* Where in the program an address lies, if it does: "program+0x12ab (function+0x1b)". */
static void say_where(const struct weft__cell *own, uint64_t pc, char out[WHERE_MAX])
{
    uint64_t offset = pc;
    int fd;
    const char *file = weft__space_name(&own->system.space, pc, &offset, &fd);
    char name[WHERE_MAX - 64] = "";
    bool named = file && weft__symbol_at(fd, offset, name, sizeof(name));
    snprintf(out, WHERE_MAX, "%.32s%s0x%llx%s%s%s", file ? file : "", file ? "+" : "",
             (unsigned long long)offset, named ? " (" : "", name, named ? ")" : "");
}

static void on_fault(void *ctx, struct weft__trap_fault *fault)
{
    const struct weft__worker *worker = ctx;
    struct weft__cell *own = weft__cell_of(worker->now);
    const struct weft__space *space = own->system.space.space;
    char where[WHERE_MAX];
    if (weft__signals_fault(&own->system.state->signals, &own->system.space, fault))
        return;
    say_where(own, fault->pc, where);
    bool overflow = fault->address < space->stack_begin &&
                    fault->address >= space->stack_begin - WEFT__SPACE_GUARD;
    snprintf(own->end, sizeof(own->end), "%s at %s, address 0x%llx%s", sigdescr_np(fault->signal),
             where, (unsigned long long)fault->address,
             overflow ? ": its stack is full (raise ulimit -s)" : "");
    fault->result = 128 + fault->signal;
}

int weft__cell_end(struct weft__cell *own, int code)
{
    const struct weft__rank *rank = own->rank;
    const struct weft_exec *exec = rank->exec;
    char reason[sizeof(own->end) + 32];
    if (!own->end[0])
        return code;
    snprintf(reason, sizeof(reason), "rank %d: %s", (int)rank->number, own->end);
    if (exec->callbacks.app_abort)
        exec->callbacks.app_abort(exec->callbacks.ctx, rank->number, code, reason);
    return code;
}

int weft__cell_fail(struct weft__cell *own, int err)
{
    snprintf(own->end, sizeof(own->end), "%s", weft_fail_text(err));
    return weft__cell_end(own, 127);
}

/* ---- running ---- */

static int first_stack(struct weft__rank *rank, char *const *envp, uint64_t *sp_out)
{
    const struct weft__elf *elf = &rank->exec->program.elf;
    const struct weft__space *space = weft__cell_of(rank)->system.space.space;
    unsigned char random[16];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return weft_fail(-errno, "no random bytes: %s", strerrordesc_np(errno));
    const struct weft__stack_aux aux[] = {
        {AT_PHDR, elf->headers ? space->origin + elf->headers : 0},
        {AT_PHNUM, elf->headers_n},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PAGESZ, PAGE},
        {AT_BASE, space->linker},
        {AT_ENTRY, space->origin + elf->entry},
        {AT_HWCAP, getauxval(AT_HWCAP)},
        {AT_HWCAP2, getauxval(AT_HWCAP2)},
        {AT_SECURE, 0},
        {AT_SYSINFO_EHDR, space->vdso},
        {WEFT_CELL_AUX, (uint64_t)(uintptr_t)rank->cell},
    };
    const struct weft__stack_desc desc = {
        .bottom = (void *)(uintptr_t)space->stack_begin,
        .top = (void *)(uintptr_t)(space->stack_end - (uint64_t)rank->number % COLOURS * LINE),
        .argv = rank->stay.argv,
        .envp = envp,
        .aux = aux,
        .aux_n = sizeof(aux) / sizeof(aux[0]),
        .path = rank->exec->program.path,
        .random = random};
    uint64_t *sp;
    int err = weft__stack_build(&desc, &sp);
    if (!err)
        *sp_out = (uint64_t)(uintptr_t)sp;
    return err;
}

/* A program with libraries finds weft's own before others, and binds all functions at once. */
static int first_stack_of(struct weft__rank *rank, uint64_t *sp_out)
{
    const char *folder = weft__environment_libraries();
    char *own = NULL;
    if (!rank->exec->program.elf.interpreter[0])
        return first_stack(rank, rank->stay.envp, sp_out);
    char **envp = weft__environment_new(rank->stay.envp, folder, &own);
    if (!envp)
        return weft_fail(WEFT_ENOMEM, "no memory for the environment of rank %d",
                         (int)rank->number);
    int err = first_stack(rank, envp, sp_out);
    free((void *)envp);
    free(own);
    return err;
}

static uint64_t space_begin(const struct weft__rank *rank)
{
    return part_begin(rank) + pages(sizeof(struct weft__system_state));
}

static struct weft__system_state *state_of(const struct weft__rank *rank)
{
    return (struct weft__system_state *)(uintptr_t)part_begin(rank);
}

static int begin(struct weft__cell *own)
{
    struct weft__rank *rank = own->rank;
    const struct weft__elf *elf = &rank->exec->program.elf;
    const struct weft__space_desc desc = {.begin = space_begin(rank),
                                          .end = part_end(rank),
                                          .stack_bytes = weft__stay_stack_bytes(),
                                          .clock = (uint64_t)(uintptr_t)&state_of(rank)->clock,
                                          .colour = colour(rank),
                                          .linker = elf->interpreter[0] ? elf->interpreter : NULL};
    int err = weft__space_init(&own->system.space, &desc, elf);
    if (!err)
        err = weft__system_begin(&own->system, state_of(rank));
    if (err)
        return err;
    own->system.cell = rank->cell;
    return first_stack_of(rank, &own->entry_sp);
}

static int go_on(struct weft__cell *own)
{
    int err = weft__space_restore(&own->system.space, space_begin(own->rank), part_end(own->rank));
    own->system.cell = own->rank->cell;
    if (!err)
        weft__clock_arrive(&state_of(own->rank)->clock, own->rank->cell->clock_offset_ns);
    return err;
}

int weft__cell_begin(struct weft__cell *own, bool resumed)
{
    return resumed ? go_on(own) : begin(own);
}

enum weft__stop weft__cell_stop(struct weft__cell *own)
{
    struct weft_cell *cell = own->rank->cell;
    char reason[sizeof(cell->pin_reason)];
    cell->glances = 0;
    cell->others = NULL;
    weft__clock_stop(&own->system.state->clock);
    bool stays = !weft__fds_leave(&own->system.files, reason);
    if (stays) {
        if (cell->pins == 0)
            memcpy(cell->pin_reason, reason, sizeof(reason));
        cell->pins++;
    }
    enum weft__stop stop = weft__move_stop(own->rank, NULL, NULL);
    cell->pins -= stays ? 1 : 0;
    return stop;
}

static void on_call(void *ctx, struct weft__trap_call *call)
{
    const struct weft__worker *worker = ctx;
    weft__system_call(&weft__cell_of(worker->now)->system, call);
}

const struct weft__trap_desc weft__cell_trap = {.call = on_call, .fault = on_fault};

/* ---- the table ---- */

static int cell_load(struct weft__rank *rank)
{
    const struct weft__workers *workers = rank->exec->workers;
    struct weft__cell *own = calloc(1, sizeof(*own));
    if (!own)
        return weft_fail(WEFT_ENOMEM, "no memory for rank %d", (int)rank->number);
    own->rank = rank;
    own->system = (struct weft__system){
        .space = {.region = &rank->region, .program = rank->exec->program.fd},
        .rank = rank->number,
        .watch = workers->watch,
        .input = {.ask =
                      rank->number == rank->exec->input_rank ? rank->exec->callbacks.input : NULL,
                  .ctx = rank->exec->callbacks.ctx},
        .killed = on_killed,
        .ctx = own};
    rank->stay.own = own;
    weft__workers_assign(rank);
    weft__turn_init(own);
    return WEFT_OK;
}

static void cell_unload(struct weft__rank *rank)
{
    struct weft__cell *own = rank->stay.own;
    if (own && atomic_load(&rank->stay.turn) != WEFT__TURN_OVER) /* the stay has not begun */
        weft__workers_release(rank);
    if (own)
        weft__system_fini(&own->system);
    free(own);
    rank->stay.own = NULL;
    rank->gate = NULL;
}

static bool cell_stays(const struct weft__rank *rank, char reason_out[100])
{
    return weft__fds_stay(&weft__cell_of(rank)->system.files, reason_out);
}

static int cell_describe(struct weft__rank *rank, struct weft__move *move)
{
    const struct weft__elf *elf = &rank->exec->program.elf;
    memcpy(move->build_id, elf->build_id, elf->build_id_len);
    move->build_id_len = elf->build_id_len;
    return WEFT_OK;
}

static int cell_reveal(struct weft__rank *rank, bool all)
{
    return weft__space_reveal(&weft__cell_of(rank)->system.space, all);
}

/* Below the program's part lies the rank's heap, which is as it was mapped. */
static bool cell_holds(const struct weft__rank *rank, const void *addr, size_t len_bytes)
{
    uint64_t begin = (uint64_t)(uintptr_t)addr, end = begin + len_bytes, part = part_begin(rank);
    if (begin >= (uint64_t)(uintptr_t)rank->region.base && begin <= end && end <= part)
        return true;
    return begin <= end && weft__space_holds(&weft__cell_of(rank)->system.space, begin, end);
}

static int cell_prepare(struct weft__rank *rank, const struct weft__move *move)
{
    return weft__move_same_build(rank, move);
}

static int cell_arrived(const struct weft__rank *rank)
{
    struct weft__system *system = &weft__cell_of(rank)->system;
    int err = weft__space_arrive(&system->space, space_begin(rank), part_end(rank));
    return err ? err : weft__system_arrive(system, state_of(rank));
}

const struct weft__executor weft__executor_cell = {
    .name = "cell",
    .number = 2,
    .heap_share = HEAP_SHARE,
    .calls = &weft__gate_calls,
    .load = cell_load,
    .turns = &weft__workers_turns,
    .stays = cell_stays,
    .describe = cell_describe,
    .reveal = cell_reveal,
    .holds = cell_holds,
    .prepare = cell_prepare,
    .arrived = cell_arrived,
    .unload = cell_unload,
};
