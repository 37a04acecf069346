/* All ranks flood the last one with numbered packets while it is moved; it checks that nothing is
 * lost, doubled or out of order, and stops the others when it has moved often enough. argv[1]: how
 * often. Sometimes it answers, so that packets flow both ways across a move, and the senders check
 * the answers in the same way. Each rank returns 0, or what went wrong. */
#include "common.h"

#include <stdlib.h>

enum { NUMBER = 1, STOP, LAST, ANSWER };

struct message {
    uint64_t kind;
    uint64_t number;
    unsigned char filler[48];
};

struct state {
    struct weft_cell *cell;
    uint64_t moves, wanted, clock;
    int stopping;
    int finished;
    uint64_t next[64];    /* number expected from each sender */
    uint64_t answers[64]; /* sent to each */
    uint64_t sum;
};

static int answer(struct state *state, int32_t to)
{
    struct message message = {.kind = ANSWER, .number = state->answers[to]++};
    return send_packet(state->cell, to, &message, sizeof(message));
}

static int take(struct state *state, const struct weft_packet *packet)
{
    const struct message *message = (const void *)packet->payload;
    int32_t source = packet->source;
    uint64_t number = message->number;
    if (message->kind == LAST) {
        if (number != state->next[source])
            return 20;
        state->finished++;
        return 0;
    }
    if (message->kind != NUMBER || number != state->next[source])
        return 21;
    state->next[source]++;
    state->sum += mix(number);
    return 0;
}

static int receive(void *argument)
{
    struct state *state = argument;
    struct weft_cell *cell = weft_cell_self();
    if (cell != state->cell || (uintptr_t)cell != (uintptr_t)cell->base)
        return 10;
    uint64_t now = cell->calls->now(cell);
    if (now < state->clock)
        return 11;
    while (state->finished < cell->size - 1) {
        if (state->moves >= state->wanted && !state->stopping) {
            struct message stop = {.kind = STOP};
            state->stopping = 1;
            for (int32_t i = 0; i < cell->size - 1; i++)
                if (send_packet(cell, i, &stop, sizeof(stop)) != 0)
                    return 12;
        }
        const struct weft_packet *packet = next_packet(cell);
        int32_t source = packet->source;
        int err = take(state, packet);
        weft_cell_consume(cell, packet);
        if (err)
            return err;
        if (state->next[source] % 32 == 7 && answer(state, source) != 0)
            return 13;
        state->clock = cell->calls->now(cell);
        state->moves++; /* counts if this was the last thing done here */
        if (weft_migration_point(receive, state) == 1) {
            state->moves--;
            continue;
        }
        state->moves--;
    }
    return 0;
}

/* Reads what is in the mailbox; returns -1 to go on, or the rank's code. */
static int listen_once(struct weft_cell *cell, uint64_t sent, uint64_t *answers)
{
    const struct weft_packet *packet = weft_cell_peek(cell);
    if (!packet)
        return -1;
    const struct message *message = (const void *)packet->payload;
    int code = -1;
    if (message->kind == ANSWER && message->number == *answers) {
        (*answers)++;
    } else if (message->kind == STOP) {
        struct message last = {.kind = LAST, .number = sent};
        code = send_packet(cell, cell->size - 1, &last, sizeof(last)) ? 30 : 0;
    } else {
        code = 31;
    }
    weft_cell_consume(cell, packet);
    return code;
}

static int flood(struct weft_cell *cell)
{
    struct message message = {.kind = NUMBER};
    struct iovec part = {&message, sizeof(message)};
    uint64_t answers = 0;
    for (;;) {
        uint32_t seen = atomic_load(&cell->bell);
        int code = listen_once(cell, message.number, &answers);
        if (code >= 0)
            return code;
        int err = cell->calls->send(cell, cell->size - 1, &part, 1);
        if (err == 0)
            message.number++;
        else if (err != WEFT_EAGAIN)
            return 32;
        cell->calls->wait(cell, seen, err ? UINT64_MAX : 0);
    }
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    if (cell->rank != cell->size - 1)
        return flood(cell);
    struct state *state = weft_alloc(sizeof(*state));
    state->cell = cell;
    state->wanted = argc > 1 ? (uint64_t)atoi(argv[1]) : 0;
    return receive(state);
}
