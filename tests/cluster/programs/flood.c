/* flood BOARD: ranks 0 and 1 send numbered messages of mixed sizes to rank 2 as fast as they can,
 * until the board says stop. Rank 2 receives from anybody, keeps several receives posted across its
 * moves, and checks that of each sender every message arrives once, in order and whole. The senders
 * may move as well, with several sends under way.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mpi.h>

#include "rank_board.h"
#include "weft/memory.h"

enum { SENDERS = 2, SINK = 2, RING = 4, TAG = 5, TAG_DRAIN = 6, WORDS_MAX = 32768 };
enum { KIND_DATA, KIND_LAST, KIND_DRAIN };

/* The first words of a message; numbers follow to its end. */
enum { AT_SOURCE, AT_NUMBER, AT_WORDS, AT_KIND, HEAD_WORDS };

struct flood {
    char board[BOARD_PATH];
    int rank;
    MPI_Request requests[RING];
    uint64_t *buffers[RING];
    unsigned next; /* of the ring */
    uint64_t sent;
    uint64_t expected[SENDERS];
    unsigned ended, posted;
    uint64_t bytes, moves;
};

static _Noreturn void wrong(const struct flood *flood, const char *what, uint64_t is, uint64_t want)
{
    fprintf(stderr, "flood: rank %d: %s is %llu, not %llu\n", flood->rank, what,
            (unsigned long long)is, (unsigned long long)want);
    MPI_Abort(MPI_COMM_WORLD, 4);
    abort();
}

static size_t words_of(uint64_t number)
{
    static const size_t words[] = {4, 5, 100, 900, 1024, 1025, 1100, 5000, 16, 25000};
    uint64_t x = number * 0x9e3779b97f4a7c15u;
    return words[(x >> 33) % (sizeof(words) / sizeof(words[0]))];
}

static uint64_t word_at(uint64_t source, uint64_t number, size_t i)
{
    return (number * 1000003u + source) ^ (uint64_t)i << 40;
}

/* ---- senders ---- */

static void send_one(struct flood *flood, uint64_t kind)
{
    unsigned slot = flood->next++ % RING;
    uint64_t *words = flood->buffers[slot];
    MPI_Wait(&flood->requests[slot], MPI_STATUS_IGNORE);
    size_t n = kind == KIND_DATA ? words_of(flood->sent) : HEAD_WORDS;
    words[AT_SOURCE] = (uint64_t)flood->rank;
    words[AT_NUMBER] = flood->sent;
    words[AT_WORDS] = n;
    words[AT_KIND] = kind;
    for (size_t i = HEAD_WORDS; i < n; i++)
        words[i] = word_at((uint64_t)flood->rank, flood->sent, i);
    MPI_Isend(words, (int)n, MPI_UINT64_T, SINK, TAG, MPI_COMM_WORLD, &flood->requests[slot]);
    flood->sent++;
}

static int send_on(void *argument)
{
    struct flood *flood = argument;
    struct board *board = board_enter(flood->board, flood->rank);
    uint64_t last_ns = 0, drains = 0;
    flood->moves++;
    while (atomic_load(&board->stop) == 0) {
        send_one(flood, KIND_DATA);
        board_step(board, flood->rank, &last_ns);
        board_point(board, flood->rank, send_on, flood);
    }
    send_one(flood, KIND_LAST);
    if (flood->rank == 0) { /* fills the receives that are still posted */
        MPI_Recv(&drains, 1, MPI_UINT64_T, SINK, TAG_DRAIN, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        while (drains-- > 0)
            send_one(flood, KIND_DRAIN);
    }
    MPI_Waitall(RING, flood->requests, MPI_STATUSES_IGNORE);
    printf("flood sender %d sent %llu entered %llu\n", flood->rank, (unsigned long long)flood->sent,
           (unsigned long long)flood->moves);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}

/* ---- the receiver ---- */

static void post(struct flood *flood, unsigned slot)
{
    MPI_Irecv(flood->buffers[slot], WORDS_MAX, MPI_UINT64_T, MPI_ANY_SOURCE, TAG, MPI_COMM_WORLD,
              &flood->requests[slot]);
    flood->posted++;
}

static void check(struct flood *flood, const uint64_t *words, const MPI_Status *status)
{
    int count;
    uint64_t source = (uint64_t)status->MPI_SOURCE;
    MPI_Get_count(status, MPI_UINT64_T, &count);
    if (source >= SENDERS || words[AT_SOURCE] != source)
        wrong(flood, "the source", words[AT_SOURCE], source);
    if (words[AT_NUMBER] != flood->expected[source])
        wrong(flood, source == 0 ? "the number from 0" : "the number from 1", words[AT_NUMBER],
              flood->expected[source]);
    if ((uint64_t)count != words[AT_WORDS])
        wrong(flood, "the length", (uint64_t)count, words[AT_WORDS]);
    for (size_t i = HEAD_WORDS; i < words[AT_WORDS]; i++)
        if (words[i] != word_at(source, words[AT_NUMBER], i))
            wrong(flood, "a word", words[i], word_at(source, words[AT_NUMBER], i));
    flood->expected[source]++;
    flood->bytes += words[AT_WORDS] * sizeof(uint64_t);
}

static void drain(struct flood *flood)
{
    uint64_t n = flood->posted;
    MPI_Send(&n, 1, MPI_UINT64_T, 0, TAG_DRAIN, MPI_COMM_WORLD);
}

static int receive_on(void *argument)
{
    struct flood *flood = argument;
    struct board *board = board_enter(flood->board, flood->rank);
    struct board_rank *mine = &board->ranks[flood->rank];
    uint64_t last_ns = 0;
    flood->moves++;
    while (flood->posted > 0) {
        unsigned slot = flood->next % RING;
        MPI_Status status;
        MPI_Wait(&flood->requests[slot], &status);
        flood->next++;
        flood->posted--;
        check(flood, flood->buffers[slot], &status);
        bool was_open = flood->ended < SENDERS;
        flood->ended += flood->buffers[slot][AT_KIND] == KIND_LAST;
        if (flood->ended < SENDERS)
            post(flood, slot);
        else if (was_open)
            drain(flood);
        atomic_store(&mine->received, flood->expected[0] + flood->expected[1]);
        board_step(board, flood->rank, &last_ns);
        board_point(board, flood->rank, receive_on, flood);
    }
    printf("flood sink received %llu and %llu, %llu bytes, entered %llu\n",
           (unsigned long long)flood->expected[0], (unsigned long long)flood->expected[1],
           (unsigned long long)flood->bytes, (unsigned long long)flood->moves);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct flood *flood = weft_alloc(sizeof(*flood));
    if (argc != 2 || flood == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    MPI_Comm_rank(MPI_COMM_WORLD, &flood->rank);
    snprintf(flood->board, sizeof(flood->board), "%s", argv[1]);
    for (unsigned i = 0; i < RING; i++) {
        flood->requests[i] = MPI_REQUEST_NULL;
        if ((flood->buffers[i] = weft_alloc(WORDS_MAX * sizeof(uint64_t))) == NULL)
            MPI_Abort(MPI_COMM_WORLD, 2);
        if (flood->rank == SINK)
            post(flood, i);
    }
    return flood->rank == SINK ? receive_on(flood) : send_on(flood);
}
