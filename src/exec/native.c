/* The native executor: a rank is a private copy of the program and a thread.
 *
 * The thread is made with the rank and waits for orders in a futex word: main, entry, thaw, leave.
 * It ends by returning from its function or by a jump back to its own first frame: exit, abort,
 * departure and closing all leave the program's frames where they are. Only the region moves, so
 * nothing on that stack is needed any more. Rejected: pthread_cancel and pthread_exit, whose
 * unwinding runs handlers of a program that has stopped being one.
 *
 * A program that calls libc's exit() ends the app's process: a thread cannot stop that. libmpi's
 * way out is calls->exit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/wake.h"
#include "exec/impl.h"
#include "exec/move.h"
#include "weft/error.h"

#define STACK_DEFAULT (8u << 20)
#define STACK_MAX (256u << 20)

enum order { ORDER_NONE, ORDER_MAIN, ORDER_ENTRY, ORDER_THAW, ORDER_LEAVE };

static void give_order(struct weft__rank *rank, enum order order)
{
    atomic_store(&rank->native.order, (uint32_t)order);
    weft__futex_wake(&rank->native.order);
}

static enum order take_order(struct weft__rank *rank)
{
    uint32_t order;
    while ((order = atomic_load(&rank->native.order)) == ORDER_NONE)
        weft__futex_wait(&rank->native.order, ORDER_NONE, WEFT_NEVER);
    atomic_compare_exchange_strong(&rank->native.order, &order, ORDER_NONE);
    return (enum order)order;
}

static int count(char *const *strings)
{
    int n = 0;
    while (strings[n])
        n++;
    return n;
}

static void free_strings(char **strings)
{
    for (char **at = strings; at && *at; at++)
        free(*at);
    free((void *)strings);
}

static char **copy_strings(char *const *strings)
{
    int n = count(strings);
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

/* Runs the program's part until it returns or jumps home. */
static void call_program(struct weft__rank *rank, enum order order)
{
    struct weft__native *native = &rank->native;
    native->is_exit = true;
    if (_setjmp(native->home) != 0)
        return;
    if (order == ORDER_MAIN)
        native->code = native->copy.main(count(native->argv), native->argv, native->envp);
    else
        native->code = native->entry(native->argument);
}

static void *run(void *arg)
{
    struct weft__rank *rank = arg;
    enum order order = take_order(rank);
    if (order == ORDER_MAIN || order == ORDER_ENTRY) {
        weft__self_set(rank->cell);
        call_program(rank, order);
        if (rank->native.is_exit)
            weft__rank_finish(rank, rank->native.code);
        weft__self_set(NULL);
    }
    atomic_fetch_sub(&rank->exec->threads, 1);
    weft__futex_wake(&rank->exec->threads);
    return NULL;
}

static size_t stack_bytes(void)
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
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes());
    atomic_store(&rank->native.order, ORDER_NONE);
    atomic_fetch_add(&rank->exec->threads, 1);
    int error = pthread_create(&rank->native.thread, &attributes, run, rank);
    pthread_attr_destroy(&attributes);
    if (error) {
        atomic_fetch_sub(&rank->exec->threads, 1);
        return weft_fail(-error, "cannot make a thread for rank %d: %s", (int)rank->number,
                         strerrordesc_np(error));
    }
    rank->native.thread_runs = true;
    char name[16];
    snprintf(name, sizeof(name), "rank %d", (int)rank->number);
    pthread_setname_np(rank->native.thread, name);
    return WEFT_OK;
}

static void free_parts(struct weft__rank *rank)
{
    struct weft__native *native = &rank->native;
    weft__program_unload(&native->copy);
    free_strings(native->argv);
    free_strings(native->envp);
    native->argv = NULL;
    native->envp = NULL;
}

static int native_create(struct weft__rank *rank)
{
    struct weft__native *native = &rank->native;
    int err = weft__program_load(&rank->exec->program, &native->copy);
    if (err)
        return err;
    native->argv = copy_strings(rank->exec->argv);
    native->envp = copy_strings(rank->exec->envp);
    if (!native->argv || !native->envp)
        err = weft_fail(WEFT_ENOMEM, "no memory for the arguments of rank %d", (int)rank->number);
    if (!err)
        err = start_thread(rank);
    if (err)
        free_parts(rank);
    return err;
}

static void native_start(struct weft__rank *rank)
{
    give_order(rank, ORDER_MAIN);
}

static int native_describe(struct weft__rank *rank, struct weft__move *move)
{
    const struct weft_program *program = &rank->exec->program;
    int err = weft__program_offset_of(&rank->native.copy, (uintptr_t)rank->native.entry,
                                      &move->entry_offset);
    if (err)
        return err;
    move->argument = (uint64_t)(uintptr_t)rank->native.argument;
    memcpy(move->build_id, program->build_id, program->build_id_len);
    move->build_id_len = program->build_id_len;
    return WEFT_OK;
}

__attribute__((noreturn)) static void native_quit(struct weft__rank *rank, int code, bool is_exit)
{
    rank->native.code = code;
    rank->native.is_exit = is_exit;
    _longjmp(rank->native.home, 1);
}

static void native_stand(struct weft__rank *rank)
{
    if (take_order(rank) == ORDER_LEAVE)
        native_quit(rank, 0, false);
}

static void native_thaw(struct weft__rank *rank)
{
    give_order(rank, ORDER_THAW);
}

static void native_leave(struct weft__rank *rank)
{
    give_order(rank, ORDER_LEAVE);
}

static int native_prepare(struct weft__rank *rank, const struct weft__move *move)
{
    const struct weft_program *program = &rank->exec->program;
    if (move->build_id_len != program->build_id_len ||
        memcmp(move->build_id, program->build_id, program->build_id_len) != 0)
        return weft_fail(WEFT_ENOEXEC,
                         "%s on host %s is another build than where rank %d comes from",
                         program->path, rank->exec->host, (int)rank->number);
    uintptr_t entry = weft__program_at(&rank->native.copy, move->entry_offset);
    if (!entry)
        return weft_fail(WEFT_EPROTO, "rank %d wants to go on at 0x%llx, which is no code of %s",
                         (int)rank->number, (unsigned long long)move->entry_offset, program->path);
    rank->native.entry = (weft_entry *)entry;
    rank->native.argument = (void *)(uintptr_t)move->argument;
    return WEFT_OK;
}

static void native_resume(struct weft__rank *rank)
{
    give_order(rank, ORDER_ENTRY);
}

static void native_discard(struct weft__rank *rank)
{
    if (rank->native.thread_runs) {
        native_leave(rank);
        pthread_join(rank->native.thread, NULL);
        rank->native.thread_runs = false;
    }
    free_parts(rank);
}

const struct weft__executor weft__executor_native = {
    .name = "native",
    .number = 1,
    .create = native_create,
    .start = native_start,
    .describe = native_describe,
    .stand = native_stand,
    .thaw = native_thaw,
    .leave = native_leave,
    .prepare = native_prepare,
    .resume = native_resume,
    .discard = native_discard,
    .quit = native_quit,
};
