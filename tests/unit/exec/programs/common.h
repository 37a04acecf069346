/* Small things that the test programs share. */
#ifndef PROGRAMS_COMMON_H
#define PROGRAMS_COMMON_H

#include <stdint.h>
#include <string.h>

#include "weft/cell.h"
#include "weft/error.h"
#include "weft/memory.h"
#include "weft/migrate.h"

int main(int argc, char **argv);

/* Sends, waiting for credit as long as it takes. */
static inline int send_packet(struct weft_cell *cell, int32_t dest, const void *data, size_t len)
{
    struct iovec part = {(void *)(uintptr_t)data, len};
    for (;;) {
        uint32_t seen = atomic_load(&cell->bell);
        int err = cell->calls->send(cell, dest, &part, 1);
        if (err != WEFT_EAGAIN)
            return err;
        cell->calls->wait(cell, seen, UINT64_MAX);
    }
}

/* The next packet; consume it. */
static inline const struct weft_packet *next_packet(struct weft_cell *cell)
{
    for (;;) {
        uint32_t seen = atomic_load(&cell->bell);
        const struct weft_packet *packet = weft_cell_peek(cell);
        if (packet)
            return packet;
        cell->calls->wait(cell, seen, UINT64_MAX);
    }
}

static inline int get_all(struct weft_cell *cell, struct weft_cell_get *op)
{
    int err;
    while ((err = cell->calls->get(cell, op)) == WEFT_EAGAIN)
        cell->calls->wait(cell, atomic_load(&cell->bell), 0);
    if (err)
        return err;
    for (;;) {
        uint32_t seen = atomic_load(&cell->bell);
        int state = atomic_load(&op->state);
        if (state <= 0)
            return state;
        cell->calls->wait(cell, seen, UINT64_MAX);
    }
}

static inline uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    return x ^ x >> 29;
}

#endif
