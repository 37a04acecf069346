/* Opening and closing the runtime of an app process, and its counters.
 *
 * Order of closing: ranks first (they use everything), then pulls, then the keeper, then what is
 * registered, then the lane, then memory. A rank that computes and makes no runtime call cannot be
 * ended from outside; close says so, frees nothing, and may be called again.
 */
#include "exec/exec.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/wake.h"
#include "exec/apart.h"
#include "exec/impl.h"
#include "weft/error.h"

#define MAILBOX_DEFAULT (1u << 20)
#define MAILBOX_MIN (64u << 10)
#define CALLS_MAX_DEFAULT 1024u
#define ADDRESS_END (1ull << 47)

static bool is_power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

static int check_desc(const struct weft_exec_desc *desc)
{
    if (desc->size < 1 || !desc->program || !desc->argv || !desc->host)
        return weft_fail(WEFT_EINVAL,
                         "an app needs a program, arguments, a host and at least one rank");
    if (desc->process >= WEFT_EXEC_PROCESSES_MAX)
        return weft_fail(WEFT_EINVAL, "process number %u is over %u", desc->process,
                         WEFT_EXEC_PROCESSES_MAX - 1);
    if (!is_power_of_two(desc->stride) || desc->stride < WEFT_EXEC_STRIDE_MIN)
        return weft_fail(WEFT_EINVAL, "%llu bytes per rank are no power of two of at least %llu",
                         (unsigned long long)desc->stride, WEFT_EXEC_STRIDE_MIN);
    if (desc->mailbox_bytes &&
        (!is_power_of_two(desc->mailbox_bytes) || desc->mailbox_bytes < MAILBOX_MIN))
        return weft_fail(WEFT_EINVAL, "a mailbox of %zu bytes is no power of two of at least %u",
                         desc->mailbox_bytes, MAILBOX_MIN);
    return WEFT_OK;
}

static uint64_t default_base(void)
{
#ifdef WEFT_TSAN
    return WEFT_EXEC_BASE_TSAN;
#else
    return WEFT_EXEC_BASE_DEFAULT;
#endif
}

static void free_strings(char **strings)
{
    for (char **at = strings; at && *at; at++)
        free(*at);
    free((void *)strings);
}

static char **copy_strings(char *const *strings)
{
    size_t n = 0;
    while (strings[n])
        n++;
    char **copy = (char **)calloc(n + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = strdup(strings[i]);
    return copy;
}

static int init_tables(struct weft_exec *exec, const struct weft_exec_desc *desc)
{
    size_t size = (size_t)desc->size;
    exec->host = strdup(desc->host);
    exec->argv = copy_strings(desc->argv);
    exec->envp = copy_strings(desc->envp ? desc->envp : environ);
    exec->home = strdup(desc->home ? desc->home : "");
    exec->starter = desc->starter ? strdup(desc->starter) : NULL;
    exec->ranks = calloc(size, sizeof(*exec->ranks));
    exec->routes = calloc(size, sizeof(*exec->routes));
    exec->processes = calloc(WEFT_EXEC_PROCESSES_MAX, sizeof(*exec->processes));
    if (!exec->host || !exec->argv || !exec->envp || !exec->home ||
        (desc->starter && !exec->starter) || !exec->ranks || !exec->routes || !exec->processes)
        return weft_fail(WEFT_ENOMEM, "no memory for an app of %d ranks", (int)desc->size);
    for (size_t i = 0; i < size; i++)
        atomic_init(&exec->routes[i], (uint64_t)WEFT_PROCESS_NONE << 32);
    return weft__world_init(&exec->world, desc->size);
}

static int open_lane(struct weft_exec *exec, const struct weft_exec_desc *desc)
{
    struct weft_lane_desc lane = desc->lane;
    lane.msg_max_bytes = WEFT_PACKET_HEADER_BYTES + WEFT_EXEC_PACKET_MAX;
    lane.message = weft__arrive_message;
    lane.peer_lost = weft__arrive_lost;
    lane.ctx = exec;
    const char *progress = lane.progress ? lane.progress : weft__config_text("WEFT_PROGRESS");
    exec->drives_itself = strcmp(progress, "worker") != 0;
    int err = weft__lanes_open(&lane, 0, &exec->lanes);
    exec->lane = exec->lanes.lane[0];
    return err;
}

static void free_tables(struct weft_exec *exec)
{
    for (int32_t i = 0; exec->ranks && i < exec->size; i++)
        if (weft__rank_find(exec, i))
            weft__rank_slot_free(weft__rank_find(exec, i));
    uint32_t end = atomic_load(&exec->processes_end);
    for (uint32_t i = 0; exec->processes && i < end; i++) {
        struct weft__process *process = weft__process_find(exec, i);
        if (!process)
            continue;
        free(process->host);
        free(process->lane);
        free(process);
    }
    weft__world_fini(&exec->world);
    weft__program_close(&exec->program);
    free_strings(exec->argv);
    free_strings(exec->envp);
    free((void *)exec->ranks);
    free((void *)exec->routes);
    free((void *)exec->processes);
    free(exec->host);
    free(exec->home);
    free(exec->starter);
    pthread_mutex_destroy(&exec->crews_lock);
    pthread_mutex_destroy(&exec->slots_lock);
    pthread_mutex_destroy(&exec->world_lock);
    pthread_mutex_destroy(&exec->clear_lock);
    free(exec);
}

static struct weft_exec *make(const struct weft_exec_desc *desc)
{
    struct weft_exec *exec = calloc(1, sizeof(*exec));
    if (!exec)
        return NULL;
    *exec = (struct weft_exec){
        .app = desc->app,
        .size = desc->size,
        .base = desc->base ? desc->base : default_base(),
        .stride = desc->stride,
        .mailbox_bytes = desc->mailbox_bytes ? desc->mailbox_bytes : MAILBOX_DEFAULT,
        .process = desc->process,
        .uncounted = desc->uncounted,
        .trace_n = desc->trace_n,
        .torture_move = desc->torture_move,
        .torture_seed = desc->torture_seed,
        .workers_max = desc->workers,
        .precopy_above = desc->precopy_above,
        .input_rank = desc->callbacks.input ? desc->input_rank : -1,
        .callbacks = desc->callbacks,
        .executor = &weft__executor_native,
        .limits = WEFT_CHANNEL_LIMITS_DEFAULT,
        .calls_max = desc->calls_max ? desc->calls_max : CALLS_MAX_DEFAULT,
        .client = desc->client,
        .token = desc->token,
    };
    pthread_mutex_init(&exec->crews_lock, NULL);
    pthread_mutex_init(&exec->slots_lock, NULL);
    pthread_mutex_init(&exec->world_lock, NULL);
    pthread_mutex_init(&exec->clear_lock, NULL);
    return exec;
}

static int choose_executor(struct weft_exec *exec, const struct weft_exec_desc *desc)
{
    if (desc->apart) {
        if (!weft__program_is_executable(&exec->program) && !desc->starter)
            return weft_fail(WEFT_ENOTSUP,
                             "%s is a shared object, and nothing here can run one as "
                             "a process of its own",
                             desc->program);
        exec->executor = &weft__executor_apart;
        return WEFT_OK;
    }
    if (!exec->program.elf.executable)
        return WEFT_OK;
    if (!desc->cells)
        return weft_fail(WEFT_ENOTSUP, "%s is an executable, and there are no cells here",
                         desc->program);
    exec->executor = desc->cells;
    return WEFT_OK;
}

int weft__exec_open(const struct weft_exec_desc *desc, struct weft_exec **exec_out)
{
    int err = check_desc(desc);
    if (err)
        return err;
    struct weft_exec *exec = make(desc);
    if (!exec)
        return weft_fail(WEFT_ENOMEM, "no memory for an app");
    if (exec->base >= ADDRESS_END ||
        (ADDRESS_END - exec->base) / exec->stride < (uint64_t)exec->size)
        err = weft_fail(
            WEFT_EINVAL,
            "%d ranks of %llu bytes do not fit into the address space; lower --rank-memory",
            (int)exec->size, (unsigned long long)exec->stride);
    if (!err)
        err = desc->apart ? weft__program_open_apart(desc->program, &exec->program)
                          : weft__program_open(desc->program, &exec->program);
    if (!err)
        err = choose_executor(exec, desc);
    if (!err)
        err = init_tables(exec, desc);
    if (!err)
        err = open_lane(exec, desc);
    if (!err)
        err = weft__process_add(
            exec, &(struct weft_exec_process){exec->process, exec->host, exec->lanes.address});
    if (!err)
        err = weft__keeper_start(exec);
    if (!err && exec->executor->turns && (err = exec->executor->turns->open(exec)))
        weft__keeper_stop(exec);
    if (err) {
        weft__lanes_close(&exec->lanes);
        free_tables(exec);
        return err;
    }
    *exec_out = exec;
    return WEFT_OK;
}

/* Tells every thread to leave. */
static void end_ranks(struct weft_exec *exec)
{
    weft__crews_cancel(exec);
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (!rank)
            continue;
        pthread_mutex_lock(&rank->lock);
        if (rank->cell) {
            atomic_store_explicit(&rank->cell->move_pending, 1, memory_order_relaxed);
            weft__rank_ring(rank);
        }
        bool has_thread = rank->stay.thread_runs;
        pthread_mutex_unlock(&rank->lock);
        if (has_thread)
            weft__stay_leave(rank);
    }
}

static int wait_for_threads(struct weft_exec *exec, uint64_t deadline_ns)
{
    uint32_t left;
    while ((left = atomic_load(&exec->threads))) {
        if (weft__now_ns() >= deadline_ns)
            return weft_fail(WEFT_ETIMEDOUT,
                             "%u ranks compute without calling the runtime and cannot be ended",
                             left);
        end_ranks(exec);
        weft__futex_wait(&exec->threads, left, weft__now_ns() + 10 * WEFT_NS_PER_MS);
    }
    return WEFT_OK;
}

/* Frees what a rank has here. */
static void clear(struct weft__rank *rank)
{
    pthread_mutex_lock(&rank->lock);
    if (rank->state != WEFT_RANK_ABSENT && rank->state != WEFT_RANK_DEPARTED)
        rank->leaving = true;
    rank->state = WEFT_RANK_ABSENT;
    weft__rank_set_door(rank);
    pthread_mutex_unlock(&rank->lock);
    weft__called_end(rank);
    weft__rank_clear(rank);
}

int weft__exec_close(struct weft_exec *exec, unsigned timeout_ms)
{
    atomic_store(&exec->closing, true);
    uint64_t deadline_ns = weft__now_ns() + timeout_ms * WEFT_NS_PER_MS;
    int err = wait_for_threads(exec, deadline_ns);
    if (!err)
        err = weft__crews_end(exec, deadline_ns);
    if (!err)
        err = wait_for_threads(exec,
                               deadline_ns); /* the last ones of a crew that was just starting */
    if (err)
        return err;
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (rank) {
            weft__forks_free(rank);
            weft__move_cancel_pull(rank);
            weft__precopy_stop(rank);
            weft__gets_end(rank);
        }
    }
    while (atomic_load(&exec->asks))
        sched_yield();
    weft__crews_free(exec);
    if (exec->executor->turns)
        exec->executor->turns->close(exec);
    weft__keeper_stop(exec);
    for (int32_t i = 0; i < exec->size; i++)
        if (weft__rank_find(exec, i))
            clear(weft__rank_find(exec, i));
    weft__lanes_close(&exec->lanes);
    free_tables(exec);
    return WEFT_OK;
}

bool weft__exec_has_cells(const struct weft_exec *exec)
{
    return exec->executor != &weft__executor_native && exec->executor != &weft__executor_apart;
}

const char *weft__exec_lane_address(const struct weft_exec *exec)
{
    return exec->lanes.address;
}

const struct weft_lanes *weft__exec_lanes(const struct weft_exec *exec)
{
    return &exec->lanes;
}

static uint64_t direct_packets(struct weft_exec *exec)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < exec->size; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (!rank)
            continue;
        pthread_mutex_lock(&rank->lock);
        sum += rank->direct + atomic_load_explicit(&rank->near, memory_order_relaxed);
        pthread_mutex_unlock(&rank->lock);
    }
    return sum;
}

void weft__exec_stats(struct weft_exec *exec, struct weft_exec_stats *stats_out)
{
    *stats_out = (struct weft_exec_stats){
        .sent = weft__counter_get(&exec->count.sent),
        .received = weft__counter_get(&exec->count.received),
        .direct = direct_packets(exec),
        .forwarded = weft__counter_get(&exec->count.forwarded),
        .nacked = weft__counter_get(&exec->count.nacked),
        .duplicates = weft__counter_get(&exec->count.duplicates),
        .held = weft__counter_get(&exec->count.held),
        .dropped = weft__counter_get(&exec->count.dropped),
        .retransmitted = weft__counter_get(&exec->count.retransmitted),
        .acks = weft__counter_get(&exec->count.acks),
        .gets = weft__counter_get(&exec->count.gets),
        .gets_asked = weft__counter_get(&exec->count.gets_asked),
        .gets_restarted = weft__counter_get(&exec->count.gets_restarted),
        .malformed = weft__counter_get(&exec->count.malformed),
        .calls = weft__counter_get(&exec->count.calls),
        .calls_answered = weft__counter_get(&exec->count.calls_answered),
        .calls_refused = weft__counter_get(&exec->count.calls_refused),
        .calls_returned = weft__counter_get(&exec->count.calls_returned),
    };
}
