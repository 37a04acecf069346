/* Functions that tests/unit/exec/crew_test.c runs as a fork's threads. */
#include "common.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "weft/fork.h"

weft_fork_function add_index, wait_for_cancel;

/* 10, 11, ... at the thread's own place, and what was there before is returned. */
int add_index(const struct weft_fork_thread *thread)
{
    int32_t *numbers = thread->base;
    int before = numbers[thread->index];
    numbers[thread->index] = before + 10 + (int)thread->index;
    return before;
}

/* The argument: the address of a number in the test, which runs in this process. */
int wait_for_cancel(const struct weft_fork_thread *thread)
{
    const struct timespec nap = {.tv_nsec = 1000000};
    _Atomic uint32_t *begun;
    memcpy(&begun, thread->argument, sizeof(begun));
    atomic_fetch_add(begun, 1);
    while (!weft_fork_is_cancelled(thread))
        (void)nanosleep(&nap, NULL);
    return 5;
}

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return 0;
}
