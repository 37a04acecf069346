/* serve: ranks that answer calls (call_test.c). The count of each rank lies in its region and moves
 * with it. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "weft/cell.h"
#include "weft/error.h"
#include "weft/executor.h"
#include "weft/memory.h"

enum { ECHO = 1, COUNT, WAIT_FOR_FILE, END, DIE };

struct state {
    uint64_t count;
};

static int echo(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    return weft_executor_reply(call, call->body, call->body_bytes);
}

/* Counts up and tells the count, rank and process. */
static int count(void *ctx, const struct weft_executor_call *call)
{
    struct state *state = ctx;
    char text[64];
    int len = snprintf(text, sizeof(text), "%llu %d %d", (unsigned long long)++state->count,
                       (int)weft_cell_self()->rank, (int)getpid());
    return weft_executor_reply(call, text, (size_t)len);
}

/* Keeps its rank busy until the file that the body names is there. */
static int wait_for_file(void *ctx, const struct weft_executor_call *call)
{
    char path[256] = "";
    const struct timespec nap = {.tv_nsec = 2000000};
    (void)ctx;
    if (call->body_bytes >= sizeof(path))
        return weft_executor_fail(call, WEFT_EINVAL, "too long a path");
    memcpy(path, call->body, call->body_bytes);
    while (access(path, F_OK) != 0)
        (void)nanosleep(&nap, NULL);
    return weft_executor_reply(call, NULL, 0);
}

static int end(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    weft_executor_reply(call, NULL, 0);
    return 1;
}

__attribute__((noreturn)) static int die(void *ctx, const struct weft_executor_call *call)
{
    (void)ctx;
    (void)call;
    _exit(9);
}

static int serve(void *argument)
{
    static const struct weft_executor_entry entries[] = {
        {ECHO, echo}, {COUNT, count}, {WAIT_FOR_FILE, wait_for_file}, {END, end}, {DIE, die}};
    const struct weft_executor_desc desc = {.entries = entries,
                                            .entries_n = sizeof(entries) / sizeof(entries[0]),
                                            .ctx = argument,
                                            .resume = serve,
                                            .argument = argument};
    return weft_executor_serve(&desc) == 1 ? 0 : 1;
}

int main(int argc, char **argv);
int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return serve(weft_alloc(sizeof(struct state)));
}
