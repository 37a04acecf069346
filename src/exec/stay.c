/* Stays: the thread of a rank, or its place among the ranks that workers run.
 *
 * The thread is made with the rank and waits for orders in a futex word: main, resume, thaw, leave.
 * It ends by returning from its function or by a jump back to its own first frame: exit, abort,
 * departure and closing all leave the program's frames where they are. Only the region moves, so
 * nothing on that stack is needed any more. Rejected: pthread_cancel and pthread_exit, whose
 * unwinding runs handlers of a program that has stopped being one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "weft/error.h"

#define STACK_DEFAULT (8u << 20)
#define STACK_MAX (256u << 20)

static void give_order(struct weft__rank *rank, enum weft__order order)
{
    const struct weft__executor_turns *turns = rank->exec->executor->turns;
    atomic_store(&rank->stay.order, (uint32_t)order);
    if (turns)
        turns->wake(rank);
    else
        weft__futex_wake(&rank->stay.order);
}

static enum weft__order take_order(struct weft__rank *rank)
{
    uint32_t order;
    while ((order = atomic_load(&rank->stay.order)) == WEFT__ORDER_NONE)
        weft__futex_wait(&rank->stay.order, WEFT__ORDER_NONE, WEFT_NEVER);
    atomic_compare_exchange_strong(&rank->stay.order, &order, WEFT__ORDER_NONE);
    return (enum weft__order)order;
}

enum weft__order weft__stay_order(struct weft__rank *rank)
{
    return (enum weft__order)atomic_exchange(&rank->stay.order, WEFT__ORDER_NONE);
}

static void free_strings(char **strings)
{
    for (char **at = strings; at && *at; at++)
        free(*at);
    free((void *)strings);
}

static char **copy_strings(char *const *strings)
{
    int n = 0;
    while (strings[n])
        n++;
    char **copy = (char **)calloc((size_t)n + 1, sizeof(*copy));
    for (int i = 0; copy && i < n; i++) {
        copy[i] = strdup(strings[i]);
        if (!copy[i]) {
            free_strings(copy);
            return NULL;
        }
    }
    return copy;
}

void weft__stay_count(struct weft__rank *rank, int n)
{
    atomic_fetch_add(&rank->exec->threads, (uint32_t)n);
    if (n < 0)
        weft__futex_wake(&rank->exec->threads);
}

/* Runs the program until it ends or jumps home. */
static void run_program(struct weft__rank *rank, enum weft__order order)
{
    struct weft__stay *stay = &rank->stay;
    stay->is_exit = true;
    if (_setjmp(stay->home) == 0)
        stay->code = rank->exec->executor->run(rank, order == WEFT__ORDER_RESUME);
    if (rank->exec->executor->ended)
        rank->exec->executor->ended(rank);
}

static void *run(void *arg)
{
    struct weft__rank *rank = arg;
    enum weft__order order = take_order(rank);
    if (order == WEFT__ORDER_MAIN || order == WEFT__ORDER_RESUME) {
        weft__self_set(rank->cell);
        run_program(rank, order);
        if (rank->stay.is_exit)
            weft__rank_finish(rank, rank->stay.code);
        weft__self_set(NULL);
    }
    weft__stay_count(rank, -1);
    return NULL;
}

size_t weft__stay_stack_bytes(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur > STACK_MAX)
        return limit.rlim_cur == RLIM_INFINITY ? STACK_DEFAULT : STACK_MAX;
    return limit.rlim_cur < STACK_DEFAULT ? STACK_DEFAULT : (size_t)limit.rlim_cur;
}

static int start_thread(struct weft__rank *rank)
{
    pthread_attr_t attributes;
    atomic_store(&rank->stay.order, WEFT__ORDER_NONE);
    weft__stay_count(rank, 1);
    if (rank->exec->executor->turns) {
        rank->stay.thread_runs = true;
        return WEFT_OK;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, weft__stay_stack_bytes());
    int error = pthread_create(&rank->stay.thread, &attributes, run, rank);
    pthread_attr_destroy(&attributes);
    if (error) {
        weft__stay_count(rank, -1);
        return weft_fail(-error, "cannot make a thread for rank %d: %s", (int)rank->number,
                         strerrordesc_np(error));
    }
    rank->stay.thread_runs = true;
    char name[16];
    snprintf(name, sizeof(name), "rank %d", (int)rank->number);
    pthread_setname_np(rank->stay.thread, name);
    return WEFT_OK;
}

static void free_parts(struct weft__rank *rank)
{
    struct weft__stay *stay = &rank->stay;
    rank->exec->executor->unload(rank);
    free_strings(stay->argv);
    free_strings(stay->envp);
    stay->argv = NULL;
    stay->envp = NULL;
}

int weft__stay_open(struct weft__rank *rank)
{
    struct weft__stay *stay = &rank->stay;
    int err = rank->exec->executor->load(rank);
    if (err)
        return err;
    stay->argv = copy_strings(rank->exec->argv);
    stay->envp = copy_strings(rank->exec->envp);
    if (!stay->argv || !stay->envp)
        err = weft_fail(WEFT_ENOMEM, "no memory for the arguments of rank %d", (int)rank->number);
    if (!err)
        err = start_thread(rank);
    if (err)
        free_parts(rank);
    return err;
}

void weft__stay_start(struct weft__rank *rank)
{
    give_order(rank, WEFT__ORDER_MAIN);
}

void weft__stay_quit(struct weft__rank *rank, int code, bool is_exit)
{
    rank->stay.code = code;
    rank->stay.is_exit = is_exit;
    if (rank->exec->executor->turns)
        rank->exec->executor->turns->quit(rank);
    _longjmp(rank->stay.home, 1);
}

void weft__stay_stand(struct weft__rank *rank)
{
    if (take_order(rank) == WEFT__ORDER_LEAVE)
        weft__stay_quit(rank, 0, false);
}

void weft__stay_thaw(struct weft__rank *rank)
{
    give_order(rank, WEFT__ORDER_THAW);
}

void weft__stay_leave(struct weft__rank *rank)
{
    give_order(rank, WEFT__ORDER_LEAVE);
}

void weft__stay_resume(struct weft__rank *rank)
{
    give_order(rank, WEFT__ORDER_RESUME);
}

void weft__stay_close(struct weft__rank *rank)
{
    if (rank->stay.thread_runs) {
        weft__stay_leave(rank);
        if (rank->exec->executor->turns)
            rank->exec->executor->turns->join(rank);
        else
            pthread_join(rank->stay.thread, NULL);
        rank->stay.thread_runs = false;
    }
    free_parts(rank);
}
