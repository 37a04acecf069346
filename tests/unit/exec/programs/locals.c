/* Every rank has globals of its own, its own arguments and environment, zero-filled memory, and a
 * clock that never goes backwards; send refuses what it should. */
#include "common.h"

#include <stdlib.h>

static int mine = -1;
extern char **environ;

static int memory(void)
{
    unsigned char *blocks[64];
    for (int i = 0; i < 64; i++) {
        blocks[i] = weft_alloc(1000);
        if (!blocks[i] || !weft_cell_holds(weft_cell_self(), blocks[i], 1000))
            return 1;
        for (int k = 0; k < 1000; k++)
            if (blocks[i][k])
                return 2;
        memset(blocks[i], 0xff, 1000);
        if (i % 2)
            weft_free(blocks[i]);
    }
    return weft_alloc((size_t)1 << 40) == NULL ? 0 : 3;
}

static int refusals(struct weft_cell *cell)
{
    static char large[20000];
    struct iovec part = {large, sizeof(large)};
    if (cell->calls->send(cell, cell->rank, &part, 1) != WEFT_EMSGSIZE)
        return 10;
    part.iov_len = 1;
    if (cell->calls->send(cell, cell->size, &part, 1) != WEFT_EINVAL)
        return 11;
    if (cell->calls->wait(cell, atomic_load(&cell->bell), 0) != WEFT_ETIMEDOUT)
        return 12;
    char name[2];
    if (cell->calls->info(cell, WEFT_INFO_HOST_NAME, name, 1) != WEFT_EMSGSIZE)
        return 13;
    return 0;
}

/* A rank may send itself more than its mailbox takes. */
static int to_myself(struct weft_cell *cell)
{
    static unsigned char bytes[4000];
    uint32_t sent = 0, read = 0;
    while (read < 2000) {
        uint32_t seen = atomic_load(&cell->bell);
        struct iovec parts[] = {{&sent, sizeof(sent)}, {bytes, sizeof(bytes)}};
        int err = sent < 2000 ? cell->calls->send(cell, cell->rank, parts, 2) : WEFT_EAGAIN;
        sent += err == 0;
        if (err == 0)
            continue;
        const struct weft_packet *packet;
        int any = 0;
        while ((packet = weft_cell_peek(cell))) {
            uint32_t number;
            memcpy(&number, packet->payload, sizeof(number));
            if (number != read++ || packet->len_bytes != sizeof(number) + sizeof(bytes))
                return 20;
            weft_cell_consume(cell, packet);
            any = 1;
        }
        if (!any)
            cell->calls->wait(cell, seen, UINT64_MAX);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    if (mine != -1 || argc != 3 || strcmp(argv[2], "two words") != 0)
        return 30;
    mine = cell->rank;
    argv[2][0] = (char)('a' + cell->rank);
    uint64_t before = cell->calls->now(cell);
    int err = memory();
    err = err ? err : refusals(cell);
    err = err ? err : to_myself(cell);
    if (cell->calls->now(cell) < before || argv[2][0] != (char)('a' + cell->rank))
        return 31;
    return err ? err : mine;
}
