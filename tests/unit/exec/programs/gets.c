/* The last rank exposes memory of its region; the others pull all of it, again and again, and check
 * it, while the owner may be moved: the first time, and every third from then on, with the owner's
 * ticket, which may be out of date, then without one, then with a wrong one. argv[1]: bytes,
 * argv[2]: pulls per rank, argv[3]: go on until the owner has moved so often. The owner returns
 * when all have finished. */
#include "common.h"

#include <stdlib.h>

enum { OFFER = 1, FINISHED, ENOUGH };

struct message {
    uint64_t kind, id, len;
    struct weft_cell_ticket ticket;
};

struct state {
    struct message offer;
    uint64_t *words;
    int32_t finished;
    int moves, wanted;
    int told;
};

static int say_enough(struct state *state)
{
    struct weft_cell *cell = weft_cell_self();
    struct message enough = {.kind = ENOUGH};
    state->told = 1;
    int err = 0;
    for (int32_t i = 0; i < cell->size - 1; i++)
        err |= send_packet(cell, i, &enough, sizeof(enough));
    return err;
}

static int own(void *argument)
{
    struct state *state = argument;
    struct weft_cell *cell = weft_cell_self();
    while (state->finished < cell->size - 1) {
        if (!state->told && state->moves >= state->wanted && say_enough(state) != 0)
            return 48;
        uint32_t seen = atomic_load(&cell->bell);
        const struct weft_packet *packet = weft_cell_peek(cell);
        if (packet) {
            const struct message *message = (const void *)packet->payload;
            state->finished += message->kind == FINISHED;
            weft_cell_consume(cell, packet);
            continue;
        }
        state->moves++; /* counts if this was the last thing done here */
        weft_migration_point(own, state);
        state->moves--;
        cell->calls->wait(cell, seen, cell->calls->now(cell) + 1000000);
    }
    for (uint64_t i = 0; i < state->offer.len / 8; i++)
        if (state->words[i] != mix(i))
            return 40;
    cell->calls->unexpose(cell, state->offer.id);
    return 0;
}

static int offer(struct weft_cell *cell, uint64_t len, int moves)
{
    struct state *state = weft_alloc(sizeof(*state));
    state->words = weft_alloc(len);
    for (uint64_t i = 0; i < len / 8; i++)
        state->words[i] = mix(i);
    state->wanted = moves;
    state->offer.kind = OFFER;
    state->offer.len = len;
    if (cell->calls->expose(cell, state->words, len, &state->offer.id) != 0)
        return 41;
    for (int32_t i = 0; i < cell->size - 1; i++) {
        cell->calls->ticket(cell, state->offer.id, i, &state->offer.ticket);
        if (send_packet(cell, i, &state->offer, sizeof(state->offer)) != 0)
            return 42;
    }
    return own(state);
}

static int pull(struct weft_cell *cell, int times)
{
    const struct weft_packet *packet = next_packet(cell);
    struct message offer;
    memcpy(&offer, packet->payload, sizeof(offer));
    weft_cell_consume(cell, packet);
    uint64_t *words = weft_alloc(offer.len);
    for (int n = 0, enough = 0; n < times || !enough; n++) {
        packet = weft_cell_peek(cell);
        if (packet) {
            enough = 1;
            weft_cell_consume(cell, packet);
        }
        uint64_t skip = (uint64_t)n % 7;
        struct weft_cell_get op = {.source = cell->size - 1,
                                   .expose_id = offer.id,
                                   .offset = skip * 8,
                                   .into = words,
                                   .len_bytes = offer.len - skip * 8};
        if (n % 3 != 1)
            op.ticket = offer.ticket;
        if (n % 3 == 2)
            op.ticket.key += 12345;
        memset(words, 0, offer.len);
        if (get_all(cell, &op) != 0)
            return 43;
        for (uint64_t i = 0; i + skip < offer.len / 8; i++)
            if (words[i] != mix(i + skip))
                return 44;
    }
    struct weft_cell_get wrong = {.source = cell->size - 1,
                                  .expose_id = offer.id + (1u << 20),
                                  .into = words,
                                  .len_bytes = 8};
    if (get_all(cell, &wrong) != WEFT_ENOENT)
        return 45;
    struct weft_cell_get beyond = {.source = cell->size - 1,
                                   .expose_id = offer.id,
                                   .offset = offer.len,
                                   .into = words,
                                   .len_bytes = 8,
                                   .ticket = offer.ticket};
    if (get_all(cell, &beyond) != WEFT_ERANGE)
        return 46;
    struct message finished = {.kind = FINISHED};
    return send_packet(cell, cell->size - 1, &finished, sizeof(finished)) ? 47 : 0;
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    uint64_t len = argc > 1 ? strtoull(argv[1], NULL, 0) : 1u << 20;
    int times = argc > 2 ? atoi(argv[2]) : 10;
    return cell->rank == cell->size - 1 ? offer(cell, len, argc > 3 ? atoi(argv[3]) : 0)
                                        : pull(cell, times);
}
