/* Messages of many sizes go round the ranks and are checked at each stop; each rank returns 10 +
 * its rank. */
#include "common.h"

#include <stdlib.h>

static int visits; /* private to each rank */

static void fill(unsigned char *bytes, size_t len, uint64_t seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)mix(seed + i);
}

static int check(const struct weft_packet *packet, size_t len, uint64_t seed)
{
    if (packet->len_bytes != len)
        return 1;
    for (size_t i = 0; i < len; i++)
        if (packet->payload[i] != (unsigned char)mix(seed + i))
            return 1;
    return 0;
}

static size_t len_of(int round, uint64_t max)
{
    static const size_t lens[] = {0, 1, 15, 16, 17, 100, 1000, 4096};
    return round % 9 == 8 ? (size_t)max : lens[round % 9 % 8];
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    int rounds = argc > 1 ? atoi(argv[1]) : 100;
    uint64_t max;
    if (!cell || cell->calls->info(cell, WEFT_INFO_PACKET_MAX, &max, sizeof(max)) != 0)
        return 1;
    int32_t next = (cell->rank + 1) % cell->size,
            before = (cell->rank + cell->size - 1) % cell->size;
    unsigned char *bytes = weft_alloc(max);
    for (int round = 0; round < rounds; round++) {
        size_t len = len_of(round, max);
        fill(bytes, len, (uint64_t)round);
        if (cell->rank == 0 && send_packet(cell, next, bytes, len) != 0)
            return 2;
        const struct weft_packet *packet = next_packet(cell);
        if (packet->source != before || check(packet, len, (uint64_t)round) != 0)
            return 3;
        weft_cell_consume(cell, packet);
        if (cell->rank != 0 && send_packet(cell, next, bytes, len) != 0)
            return 4;
        visits++;
    }
    weft_free(bytes);
    return visits == rounds ? 10 + cell->rank : 5;
}
