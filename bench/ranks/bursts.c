/* A rank that sends bursts of packets of 8 bytes to itself and takes them out again, when it is
 * told to, and says how long that took: what a message costs a rank's thread, without another
 * core's luck. It runs in the process of the one who tells it. Usage: bursts
 * ADDRESS-OF-A-struct-bursts */
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#include <mpi.h>

#include "weft/cell.h"
#include "../bursts.h"

int main(int argc, char **argv);

static uint64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* As many as are in flight in the benchmark of the lanes. */
static int burst(struct weft_cell *cell)
{
    uint64_t number = 0;
    struct iovec part = {&number, sizeof(number)};
    for (int i = 0; i < BURSTS_WINDOW; i++)
        if (cell->calls->send(cell, cell->rank, &part, 1) != 0)
            return 1;
    for (int i = 0; i < BURSTS_WINDOW; i++) {
        const struct weft_packet *packet = weft_cell_peek(cell);
        if (packet == NULL)
            return 1;
        weft_cell_consume(cell, packet);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    struct bursts *bursts =
        argc > 1 ? (struct bursts *)(uintptr_t)strtoull(argv[1], NULL, 16) : NULL;
    const struct timespec nap = {.tv_nsec = 20000};
    if (cell == NULL || bursts == NULL)
        return 2;
    for (uint32_t done = 0;;) {
        uint32_t wanted = atomic_load(&bursts->wanted);
        if (wanted == BURSTS_END)
            return 0;
        if (wanted == done) {
            nanosleep(&nap, NULL);
            continue;
        }
        uint64_t began = thread_ns();
        for (int i = 0; i < BURSTS_EACH; i++)
            if (burst(cell) != 0)
                return 3;
        atomic_store(&bursts->took_ns, thread_ns() - began);
        done = wanted;
        atomic_store(&bursts->done, done);
    }
}
