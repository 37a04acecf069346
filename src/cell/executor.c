/* A rank in a cell: its thread arms the trap and goes in by the gate; what comes out of the gate is
 * a call of the runtime, or the end of the program.
 *
 * Whenever a call is done, and somebody wants the rank to stop, it stops there: the result of the
 * call lies in the frame, and is what the program gets when it goes on, here or elsewhere. So a
 * program needs no migration points, and one that waits is moved while it waits, because the wish
 * rings its bell.
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

#include "cell/gate.h"
#include "cell/stack.h"
#include "cell/system.h"
#include "cell/trap.h"
#include "exec/impl.h"
#include "exec/move.h"
#include "weft/error.h"

#define PAGE UINT64_C(4096)
#define HEAP_SHARE (UINT64_C(64) << 20)
#define COLOURS 64u /* page sets of a second-level cache, roughly */

/* Of one stay. */
struct cell {
    struct weft__gate gate; /* first: see gate.S */
    struct weft__system system;
    struct weft__trap *trap; /* while the thread is armed */
    char end[160];           /* why the program could not go on */
};

static struct cell *cell_of(const struct weft__rank *rank)
{
    return rank->stay.own;
}

static uint64_t pages(uint64_t len_bytes)
{
    return (len_bytes + PAGE - 1) & ~(PAGE - 1);
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
    return (uint64_t)(uintptr_t)rank->region.base + rank->region.len_bytes;
}

/* ---- calls of the runtime ---- */

/* The rank stops here if somebody wants it to. */
static void point(struct weft_cell *cell, int64_t result)
{
    struct weft__rank *rank = cell->host;
    struct cell *own = cell_of(rank);
    if (__builtin_expect(own->system.state->signals.alarm_ns != 0, 0))
        weft__system_returns(&own->system, own->gate.frame->sp);
    weft__torture(rank);
    if (__builtin_expect(!atomic_load_explicit(&cell->move_pending, memory_order_relaxed), 1))
        return;
    char reason[sizeof(cell->pin_reason)];
    own->gate.frame->result = result;
    bool stays = !weft__fds_leave(&own->system.files, reason);
    if (stays) {
        if (cell->pins == 0)
            memcpy(cell->pin_reason, reason, sizeof(reason));
        cell->pins++;
    }
    if (rank->exec->closing)
        weft__stay_quit(rank, 0, false);
    (void)weft__move_point(rank, NULL, NULL);
    cell->pins -= stays ? 1 : 0;
}

static int cell_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    int rc = weft__cell_calls.send(cell, dest, parts, n);
    point(cell, rc);
    return rc;
}

static int cell_expose(struct weft_cell *cell, const void *addr, size_t len_bytes, uint64_t *id_out)
{
    int rc = weft__cell_calls.expose(cell, addr, len_bytes, id_out);
    point(cell, rc);
    return rc;
}

static void cell_unexpose(struct weft_cell *cell, uint64_t id)
{
    weft__cell_calls.unexpose(cell, id);
    point(cell, 0);
}

static int cell_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    int rc = weft__cell_calls.get(cell, op);
    point(cell, rc);
    return rc;
}

static int cell_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    uint64_t until_ns = weft__system_deadline(&cell_of(cell->host)->system, deadline_ns);
    int rc = weft__cell_calls.wait(cell, seen, until_ns);
    if (rc == WEFT_ETIMEDOUT && until_ns != deadline_ns)
        rc = WEFT_OK; /* its timer is due, and nothing else */
    point(cell, rc);
    return rc;
}

static void cell_wake(struct weft_cell *cell)
{
    weft__cell_calls.wake(cell);
    point(cell, 0);
}

/* Going on where it was is all that can be wanted: the entry is for programs that are not moved
 * whole. */
static int cell_migration_point(struct weft_cell *cell, weft_entry *entry, void *argument)
{
    (void)entry;
    (void)argument;
    point(cell, 0);
    return 0;
}

static uint64_t cell_now(struct weft_cell *cell)
{
    uint64_t now_ns = weft__cell_calls.now(cell);
    point(cell, (int64_t)now_ns);
    return now_ns;
}

static int cell_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len_bytes)
{
    return weft__cell_calls.info(cell, what, out, len_bytes);
}

static void cell_exit(struct weft_cell *cell, int code) __attribute__((noreturn));
static void cell_exit(struct weft_cell *cell, int code)
{
    weft__cell_calls.exit(cell, code);
}

static void cell_log(struct weft_cell *cell, int level, const char *text)
{
    weft__cell_calls.log(cell, level, text);
}

static void cell_abort(struct weft_cell *cell, int code, const char *reason)
    __attribute__((noreturn));
static void cell_abort(struct weft_cell *cell, int code, const char *reason)
{
    weft__cell_calls.abort(cell, code, reason);
}

static int cell_call_next(struct weft_cell *cell, uint64_t deadline_ns,
                          struct weft_executor_call *call_out)
{
    int rc = weft__cell_calls.call_next(cell, deadline_ns, call_out);
    point(cell, rc);
    return rc;
}

static int cell_call_answer(struct weft_cell *cell, uint64_t id, int err, const void *bytes,
                            size_t len_bytes)
{
    int rc = weft__cell_calls.call_answer(cell, id, err, bytes, len_bytes);
    point(cell, rc);
    return rc;
}

static int cell_call_is_cancelled(struct weft_cell *cell, uint64_t id)
{
    return weft__cell_calls.call_is_cancelled(cell, id);
}

const struct weft_cell_calls weft__gate_table = {
    .version = WEFT_CELL_VERSION,
    .len_bytes = sizeof(struct weft_cell_calls),
    .send = cell_send,
    .expose = cell_expose,
    .unexpose = cell_unexpose,
    .get = cell_get,
    .wait = cell_wait,
    .wake = cell_wake,
    .migration_point = cell_migration_point,
    .now = cell_now,
    .info = cell_info,
    .exit = cell_exit,
    .log = cell_log,
    .abort = cell_abort,
    .call_next = cell_call_next,
    .call_answer = cell_call_answer,
    .call_is_cancelled = cell_call_is_cancelled,
};

/* ---- the ends of a program ---- */

static void on_killed(void *ctx, int signal)
{
    struct cell *own = ctx;
    snprintf(own->end, sizeof(own->end), "it has ended itself with signal %d (%s)", signal,
             sigdescr_np(signal));
}

/* Where in the program an address lies, if it does. */
static void say_where(const struct cell *own, uint64_t pc, char out[48])
{
    const struct weft__space *space = own->system.space.space;
    snprintf(out, 48, pc >= space->origin && pc < space->break_begin ? "program+0x%llx" : "0x%llx",
             (unsigned long long)(pc >= space->origin && pc < space->break_begin
                                      ? pc - space->origin
                                      : pc));
}

static void on_fault(void *ctx, struct weft__trap_fault *fault)
{
    struct weft__system *system = ctx;
    struct cell *own = system->ctx;
    const struct weft__space *space = system->space.space;
    char where[48];
    if (weft__signals_fault(&system->state->signals, &system->space, fault))
        return;
    say_where(own, fault->pc, where);
    bool overflow = fault->address < space->stack_begin &&
                    fault->address >= space->stack_begin - WEFT__SPACE_GUARD;
    snprintf(own->end, sizeof(own->end), "%s at %s, address 0x%llx%s", sigdescr_np(fault->signal),
             where, (unsigned long long)fault->address,
             overflow ? ": its stack is full (raise ulimit -s)" : "");
    fault->result = 128 + fault->signal;
}

/* A program that could not go on ends its app, which is told why. */
static int end_of(struct weft__rank *rank, int code)
{
    const struct weft_exec *exec = rank->exec;
    const struct cell *own = cell_of(rank);
    char reason[200];
    if (!own->end[0])
        return code;
    snprintf(reason, sizeof(reason), "rank %d: %s", (int)rank->number, own->end);
    if (exec->callbacks.app_abort)
        exec->callbacks.app_abort(exec->callbacks.ctx, rank->number, code, reason);
    return code;
}

static int fail(struct weft__rank *rank, int err)
{
    struct cell *own = cell_of(rank);
    snprintf(own->end, sizeof(own->end), "%s", weft_fail_text(err));
    return end_of(rank, 127);
}

/* ---- running ---- */

static int first_stack(struct weft__rank *rank, uint64_t *sp_out)
{
    const struct weft__elf *elf = &rank->exec->program.elf;
    const struct weft__space *space = cell_of(rank)->system.space.space;
    unsigned char random[16];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return weft_fail(-errno, "no random bytes: %s", strerrordesc_np(errno));
    const struct weft__stack_aux aux[] = {
        {AT_PHDR, elf->headers ? space->origin + elf->headers : 0},
        {AT_PHNUM, elf->headers_n},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PAGESZ, PAGE},
        {AT_ENTRY, space->origin + elf->entry},
        {AT_HWCAP, getauxval(AT_HWCAP)},
        {AT_HWCAP2, getauxval(AT_HWCAP2)},
        {AT_SECURE, 0},
        {WEFT_CELL_AUX, (uint64_t)(uintptr_t)rank->cell},
    };
    const struct weft__stack_desc desc = {.bottom = (void *)(uintptr_t)space->stack_begin,
                                          .top = (void *)(uintptr_t)space->stack_end,
                                          .argv = rank->stay.argv,
                                          .envp = rank->stay.envp,
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

static uint64_t space_begin(const struct weft__rank *rank)
{
    return part_begin(rank) + pages(sizeof(struct weft__system_state));
}

static struct weft__system_state *state_of(const struct weft__rank *rank)
{
    return (struct weft__system_state *)(uintptr_t)part_begin(rank);
}

/* Points what lies outside of the range at what lies in it. */
static void attach(struct weft__rank *rank)
{
    struct cell *own = cell_of(rank);
    own->system.cell = rank->cell;
    own->gate.frame = &own->system.space.space->frame;
}

static int arm(struct weft__rank *rank)
{
    struct cell *own = cell_of(rank);
    const struct weft_exec *exec = rank->exec;
    const struct weft__trap_desc desc = {.gate = &own->gate,
                                         .end = exec->base + (uint64_t)exec->size * exec->stride,
                                         .call = weft__system_call,
                                         .fault = on_fault,
                                         .ctx = &own->system};
    return weft__trap_arm(&desc, &own->trap);
}

static int begin(struct weft__rank *rank, uint64_t *sp_out)
{
    struct cell *own = cell_of(rank);
    const struct weft__space_desc desc = {.begin = space_begin(rank),
                                          .end = part_end(rank),
                                          .stack_bytes = weft__stay_stack_bytes(),
                                          .colour = (uint64_t)rank->number % COLOURS * PAGE};
    int err = weft__space_init(&own->system.space, &desc, &rank->exec->program.elf);
    if (!err)
        err = weft__system_begin(&own->system, state_of(rank));
    if (err)
        return err;
    attach(rank);
    return first_stack(rank, sp_out);
}

static int go_on(struct weft__rank *rank)
{
    int err = weft__space_restore(&cell_of(rank)->system.space, space_begin(rank), part_end(rank));
    if (!err)
        attach(rank);
    return err;
}

static int cell_run(struct weft__rank *rank, bool resumed)
{
    struct cell *own = cell_of(rank);
    uint64_t sp = 0;
    int err = resumed ? go_on(rank) : begin(rank, &sp);
    if (!err)
        err = arm(rank);
    if (err)
        return fail(rank, err);
    const struct weft__space *space = own->system.space.space;
    int64_t code =
        resumed ? weft__gate_resume(&own->gate, space->frame.result)
                : weft__gate_run(&own->gate, sp, space->origin + rank->exec->program.elf.entry);
    return end_of(rank, (int)code);
}

static void cell_ended(struct weft__rank *rank)
{
    struct cell *own = cell_of(rank);
    if (own->trap)
        weft__trap_disarm(own->trap);
    own->trap = NULL;
    weft__system_fini(&own->system);
}

/* ---- the table ---- */

static int cell_load(struct weft__rank *rank)
{
    int err = weft__gate_works();
    if (err)
        return err;
    struct cell *own = calloc(1, sizeof(*own));
    if (!own)
        return weft_fail(WEFT_ENOMEM, "no memory for rank %d", (int)rank->number);
    own->system =
        (struct weft__system){.space = {.region = &rank->region, .program = rank->exec->program.fd},
                              .rank = rank->number,
                              .killed = on_killed,
                              .ctx = own};
    rank->stay.own = own;
    rank->gate = &own->gate;
    return WEFT_OK;
}

static void cell_unload(struct weft__rank *rank)
{
    struct cell *own = rank->stay.own;
    if (own)
        weft__system_fini(&own->system);
    free(own);
    rank->stay.own = NULL;
    rank->gate = NULL;
}

static int cell_describe(struct weft__rank *rank, struct weft__move *move)
{
    const struct weft__elf *elf = &rank->exec->program.elf;
    memcpy(move->build_id, elf->build_id, elf->build_id_len);
    move->build_id_len = elf->build_id_len;
    return WEFT_OK;
}

static int cell_prepare(struct weft__rank *rank, const struct weft__move *move)
{
    return weft__move_same_build(rank, move);
}

static int cell_arrived(const struct weft__rank *rank)
{
    int err = weft__space_check(space_begin(rank), part_end(rank));
    return err ? err : weft__system_arrive(&cell_of(rank)->system, state_of(rank));
}

const struct weft__executor weft__executor_cell = {
    .name = "cell",
    .number = 2,
    .heap_share = HEAP_SHARE,
    .calls = &weft__gate_calls,
    .load = cell_load,
    .run = cell_run,
    .ended = cell_ended,
    .describe = cell_describe,
    .prepare = cell_prepare,
    .arrived = cell_arrived,
    .unload = cell_unload,
};
