/* Rank 1 waits until it is moved; then it exposes memory for the first time, which rank 0 pulls and
 * checks. */
#include "common.h"

enum { WORDS = 4096 };

struct offer {
    uint64_t id;
};

static int offer(void *argument)
{
    struct weft_cell *cell = weft_cell_self();
    uint64_t *words = argument;
    struct offer offer;
    for (uint64_t i = 0; i < WORDS; i++)
        words[i] = mix(i);
    if (cell->calls->expose(cell, words, WORDS * sizeof(*words), &offer.id) != 0 ||
        send_packet(cell, 0, &offer, sizeof(offer)) != 0)
        return 41;
    weft_cell_consume(cell, next_packet(cell));
    cell->calls->unexpose(cell, offer.id);
    return 0;
}

static int wait_for_move(struct weft_cell *cell)
{
    uint64_t *words = weft_alloc(WORDS * sizeof(*words));
    int err = WEFT_OK;
    while (err == WEFT_OK || err == WEFT_ETIMEDOUT) {
        uint32_t seen = atomic_load(&cell->bell);
        weft_migration_point(offer, words);
        err = cell->calls->wait(cell, seen, cell->calls->now(cell) + 1000000);
    }
    return 42;
}

static int pull(struct weft_cell *cell)
{
    struct offer offer;
    uint64_t *words = weft_alloc(WORDS * sizeof(*words));
    const struct weft_packet *packet = next_packet(cell);
    memcpy(&offer, packet->payload, sizeof(offer));
    weft_cell_consume(cell, packet);
    struct weft_cell_get op = {
        .source = 1, .expose_id = offer.id, .into = words, .len_bytes = WORDS * sizeof(*words)};
    if (get_all(cell, &op) != 0)
        return 43;
    for (uint64_t i = 0; i < WORDS; i++)
        if (words[i] != mix(i))
            return 44;
    return send_packet(cell, 1, &offer, sizeof(offer)) ? 45 : 0;
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    (void)argc;
    (void)argv;
    return cell->rank == 1 ? wait_for_move(cell) : pull(cell);
}
