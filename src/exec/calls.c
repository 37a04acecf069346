/* The runtime-call table of native ranks: arguments checked, then the part that does it. */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

static struct weft__rank *rank_of(struct weft_cell *cell)
{
    return cell->host;
}

static void check_closing(struct weft__rank *rank)
{
    if (atomic_load_explicit(&rank->exec->closing, memory_order_relaxed))
        weft__stay_quit(rank, 0, false);
}

static int call_send(struct weft_cell *cell, int32_t dest, const struct iovec *parts, unsigned n)
{
    struct weft__rank *rank = rank_of(cell);
    check_closing(rank);
    if (dest < 0 || dest >= cell->size)
        return weft_fail(WEFT_EINVAL, "no rank %d in a world of %d", (int)dest, (int)cell->size);
    size_t len = 0;
    for (unsigned i = 0; i < n; i++) {
        if (parts[i].iov_len > WEFT_EXEC_PACKET_MAX - len)
            return weft_fail(WEFT_EMSGSIZE, "a packet to rank %d is larger than %u bytes",
                             (int)dest, WEFT_EXEC_PACKET_MAX);
        len += parts[i].iov_len;
    }
    return weft__outbox_send(rank, dest, parts, n);
}

static int call_expose(struct weft_cell *cell, const void *addr, size_t len_bytes, uint64_t *id_out)
{
    return weft__expose(rank_of(cell), addr, len_bytes, id_out);
}

static void call_unexpose(struct weft_cell *cell, uint64_t id)
{
    weft__unexpose(rank_of(cell), id);
}

static void call_ticket(struct weft_cell *cell, uint64_t id, int32_t dest,
                        struct weft_cell_ticket *ticket_out)
{
    weft__expose_ticket(rank_of(cell), id, dest, ticket_out);
}

static int call_get(struct weft_cell *cell, struct weft_cell_get *op)
{
    check_closing(rank_of(cell));
    return weft__get_start(rank_of(cell), op, op);
}

uint64_t weft__rank_machine_ns(const struct weft_cell *cell, uint64_t deadline_ns)
{
    if (deadline_ns == 0 || deadline_ns == UINT64_MAX)
        return deadline_ns;
    int64_t machine = (int64_t)deadline_ns - cell->clock_offset_ns;
    return machine > 0 ? (uint64_t)machine : 1;
}

static int call_wait(struct weft_cell *cell, uint32_t seen, uint64_t deadline_ns)
{
    return weft__rank_wait(rank_of(cell), seen, weft__rank_machine_ns(cell, deadline_ns));
}

static void call_wake(struct weft_cell *cell)
{
    weft__rank_ring(rank_of(cell));
}

static int call_migration_point(struct weft_cell *cell, weft_entry *entry, void *argument)
{
    struct weft__rank *rank = rank_of(cell);
    rank->range->points++;
    if (!atomic_load_explicit(&cell->move_pending, memory_order_relaxed))
        return 0;
    check_closing(rank);
    return weft__move_point(rank, entry, argument);
}

uint64_t weft__rank_now(const struct weft_cell *cell)
{
    return weft__now_ns() + (uint64_t)cell->clock_offset_ns;
}

static int call_call_next(struct weft_cell *cell, uint64_t deadline_ns,
                          struct weft_executor_call *call_out)
{
    check_closing(rank_of(cell));
    return weft__called_next(rank_of(cell), weft__rank_machine_ns(cell, deadline_ns), call_out);
}

static int call_call_answer(struct weft_cell *cell, uint64_t id, int err, const void *bytes,
                            size_t len_bytes)
{
    return weft__called_answer(rank_of(cell), id, err, bytes, len_bytes);
}

static int call_call_is_cancelled(struct weft_cell *cell, uint64_t id)
{
    return weft__called_is_cancelled(rank_of(cell), id);
}

static uint64_t call_now(struct weft_cell *cell)
{
    return weft__rank_now(cell);
}

static int put_out(void *out, size_t room, const void *value, size_t len)
{
    if (room < len)
        return weft_fail(WEFT_EMSGSIZE, "%zu bytes do not fit into %zu", len, room);
    memcpy(out, value, len);
    return WEFT_OK;
}

static int call_info(struct weft_cell *cell, enum weft_cell_info what, void *out, size_t len_bytes)
{
    const struct weft_exec *exec = rank_of(cell)->exec;
    uint64_t number;
    switch (what) {
    case WEFT_INFO_HOST_NAME:
        return put_out(out, len_bytes, exec->host, strlen(exec->host) + 1);
    case WEFT_INFO_PACKET_MAX:
        number = WEFT_EXEC_PACKET_MAX;
        return put_out(out, len_bytes, &number, sizeof(number));
    case WEFT_INFO_PROCESS_ID:
        number = (uint64_t)getpid();
        return put_out(out, len_bytes, &number, sizeof(number));
    }
    return weft_fail(WEFT_EINVAL, "no information number %d", (int)what);
}

__attribute__((noreturn)) static void call_exit(struct weft_cell *cell, int code)
{
    struct weft__rank *rank = rank_of(cell);
    weft__stay_quit(rank, code, true);
}

static void call_log(struct weft_cell *cell, int level, const char *text)
{
    if (level < WEFT_LOG_ERROR || level > WEFT_LOG_DEBUG)
        level = WEFT_LOG_INFO;
    weft__log((enum weft_log_level)level, "rank %d: %s", (int)cell->rank, text);
}

void weft__rank_abort(struct weft__rank *rank, int code, const char *reason)
{
    const struct weft_exec *exec = rank->exec;
    weft__move_give_up(rank, WEFT_ENOENT, "the rank has ended its app");
    if (exec->callbacks.app_abort)
        exec->callbacks.app_abort(exec->callbacks.ctx, rank->number, code, reason);
}

/* The app ends when its home has heard of it; until then the rank stands here. */
__attribute__((noreturn)) static void call_abort(struct weft_cell *cell, int code,
                                                 const char *reason)
{
    struct weft__rank *rank = rank_of(cell);
    weft__rank_abort(rank, code, reason);
    for (;;) {
        uint32_t seen = atomic_load(&cell->bell);
        weft__rank_wait(rank, seen, WEFT_NEVER);
    }
}

const struct weft_cell_calls weft__cell_calls = {
    .version = WEFT_CELL_VERSION,
    .len_bytes = sizeof(struct weft_cell_calls),
    .send = call_send,
    .expose = call_expose,
    .unexpose = call_unexpose,
    .ticket = call_ticket,
    .get = call_get,
    .wait = call_wait,
    .wake = call_wake,
    .migration_point = call_migration_point,
    .now = call_now,
    .info = call_info,
    .exit = call_exit,
    .log = call_log,
    .abort = call_abort,
    .call_next = call_call_next,
    .call_answer = call_call_answer,
    .call_is_cancelled = call_call_is_cancelled,
};
