/* stray STEPS SEED NAP_US: in every step each rank sends up to three messages of any length, with
 * any tag, to any ranks, itself included; who receives knows neither source nor tag nor length,
 * only how many of each step there are. Even ranks keep receives posted, over steps and moves; odd
 * ones probe. Ranks run ahead of each other by up to 16 steps. A message that overtakes another one
 * of its sender ends the app. Rank 0 prints a digest over all ranks. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mpi.h>

#include "weft/memory.h"
#include "weft/migrate.h"
#include "work.h"

enum { POSTED = 6, SENDING = 8, WINDOW = 2 * WORK_TOGETHER };

struct buffer {
    MPI_Request request;
    uint64_t words[WORK_WORDS_MAX];
};

struct stray {
    int rank, size;
    unsigned nap_us;
    uint64_t steps, wanted, seed, value;
    uint64_t posted_n, sent_n; /* so far: the oldest one's place in its ring */
    uint64_t sums[WINDOW];     /* of what has come for a step */
    unsigned come[WINDOW];     /* messages */
    uint64_t numbers_out[WORK_RANKS_MAX], numbers_in[WORK_RANKS_MAX];
    struct buffer posted[POSTED], sending[SENDING];
};

static void give_up(const struct stray *stray, const char *what, int from)
{
    fprintf(stderr, "stray: rank %d in step %llu: %s rank %d\n", stray->rank,
            (unsigned long long)stray->steps, what, from);
    MPI_Abort(MPI_COMM_WORLD, 7);
}

static void take(struct stray *stray, const uint64_t *words, const MPI_Status *status)
{
    int words_n, from = status->MPI_SOURCE;
    MPI_Get_count(status, MPI_UINT64_T, &words_n);
    if (words_n < WORK_HEAD_WORDS || words[0] < stray->steps || words[0] >= stray->steps + WINDOW)
        give_up(stray, "a message that cannot be of this step from", from);
    if (words[1] != stray->numbers_in[from]++)
        give_up(stray, "a message is lost, doubled or has overtaken another from", from);
    stray->sums[words[0] % WINDOW] += work_sum(words, words_n, from, status->MPI_TAG);
    stray->come[words[0] % WINDOW]++;
}

static void post(struct stray *stray, struct buffer *buffer)
{
    MPI_Irecv(buffer->words, WORK_WORDS_MAX, MPI_UINT64_T, MPI_ANY_SOURCE, MPI_ANY_TAG,
              MPI_COMM_WORLD, &buffer->request);
    (void)stray;
}

static void receive(struct stray *stray)
{
    MPI_Status status;
    struct buffer *oldest = &stray->posted[stray->posted_n++ % POSTED];
    if (stray->rank % 2 == 0) {
        MPI_Wait(&oldest->request, &status);
        take(stray, oldest->words, &status);
        post(stray, oldest);
        return;
    }
    MPI_Probe(MPI_ANY_SOURCE, MPI_ANY_TAG, MPI_COMM_WORLD, &status);
    MPI_Recv(oldest->words, WORK_WORDS_MAX, MPI_UINT64_T, status.MPI_SOURCE, status.MPI_TAG,
             MPI_COMM_WORLD, &status);
    take(stray, oldest->words, &status);
}

static void send(struct stray *stray, int n)
{
    struct work_send send = work_send(stray->seed, stray->steps, stray->rank, stray->size, n);
    struct buffer *buffer = &stray->sending[stray->sent_n++ % SENDING];
    MPI_Wait(&buffer->request, MPI_STATUS_IGNORE);
    buffer->words[0] = stray->steps;
    buffer->words[1] = stray->numbers_out[send.to]++;
    for (int i = WORK_HEAD_WORDS; i < send.words; i++)
        buffer->words[i] = work_send_word(stray->value, n, i);
    MPI_Isend(buffer->words, send.words, MPI_UINT64_T, send.to, send.tag, MPI_COMM_WORLD,
              &buffer->request);
}

/* Messages of this step for this rank. */
static unsigned expected(const struct stray *stray)
{
    unsigned n = 0;
    for (int from = 0; from < stray->size; from++)
        for (int i = 0; i < work_sends(stray->seed, stray->steps, from); i++)
            n += work_send(stray->seed, stray->steps, from, stray->size, i).to == stray->rank;
    return n;
}

static void step(struct stray *stray)
{
    unsigned *come = &stray->come[stray->steps % WINDOW];
    uint64_t *sum = &stray->sums[stray->steps % WINDOW];
    for (int i = 0; i < work_sends(stray->seed, stray->steps, stray->rank); i++)
        send(stray, i);
    for (unsigned n = expected(stray); *come < n;)
        receive(stray);
    stray->value = work_mix(stray->value, *sum);
    *come = 0;
    *sum = 0;
    stray->steps++;
    if (stray->steps % WORK_TOGETHER == 0)
        MPI_Barrier(MPI_COMM_WORLD);
}

static int finish(struct stray *stray)
{
    uint64_t sum = 0;
    for (int i = 0; i < SENDING; i++)
        MPI_Wait(&stray->sending[i].request, MPI_STATUS_IGNORE);
    for (int i = 0; i < POSTED && stray->rank % 2 == 0; i++) {
        MPI_Cancel(&stray->posted[i].request);
        MPI_Wait(&stray->posted[i].request, MPI_STATUS_IGNORE);
    }
    MPI_Reduce(&stray->value, &sum, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
    if (stray->rank == 0)
        printf("digest %016llx\n", (unsigned long long)sum);
    fflush(stdout);
    MPI_Finalize();
    return 0;
}

static int go_on(void *argument)
{
    struct stray *stray = argument;
    while (stray->steps < stray->wanted) {
        step(stray);
        weft_migration_point(go_on, stray);
        if (stray->nap_us > 0)
            (void)usleep(stray->nap_us);
    }
    return finish(stray);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    struct stray *stray = weft_alloc(sizeof(*stray));
    if (argc != 4 || stray == NULL)
        MPI_Abort(MPI_COMM_WORLD, 2);
    stray->wanted = strtoull(argv[1], NULL, 10);
    stray->seed = strtoull(argv[2], NULL, 10);
    stray->nap_us = (unsigned)strtoul(argv[3], NULL, 10);
    MPI_Comm_rank(MPI_COMM_WORLD, &stray->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &stray->size);
    stray->value = work_begin(stray->seed, stray->rank);
    for (int i = 0; i < SENDING; i++)
        stray->sending[i].request = MPI_REQUEST_NULL;
    for (int i = 0; i < POSTED && stray->rank % 2 == 0; i++)
        post(stray, &stray->posted[i]);
    return go_on(stray);
}
