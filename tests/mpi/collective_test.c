/* All collectives, drawn at random, in all their forms: see jobs.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cases.h"
#include "jobs.h"
#include "weft/memory.h"

struct draw {
    uint64_t seed;
    int rounds;
    int64_t units; /* most of a block, times 6 words */
    enum job_kind first, last;
    bool no_functions;
};

static struct jobs *begin(const struct draw *draw)
{
    cases_init(NULL, NULL);
    struct jobs *jobs = weft_alloc(sizeof(*jobs));
    jobs_init(jobs, !draw->no_functions);
    return jobs;
}

static void end(struct jobs *jobs)
{
    jobs_fini(jobs);
    weft_free(jobs);
    MPI_Finalize();
}

static int blocking_main(void *argument)
{
    const struct draw *draw = argument;
    struct jobs *jobs = begin(draw);
    uint64_t random = draw->seed * 1000 + (uint64_t)jobs->size;
    for (int round = 0; round < draw->rounds; round++)
        for (enum job_kind kind = draw->first; kind <= draw->last; kind++) {
            struct job *job = job_new(jobs, &random, kind, draw->units);
            job_fill(job, round);
            job_call(job, JOB_BLOCKING);
            job_check(job);
            job_free(job);
        }
    end(jobs);
    return 0;
}

static const struct draw small = {1, 6, 5, JOB_BARRIER, JOB_EXSCAN, false};

static void every_collective_gives_what_it_must_on_1_to_9_and_16_ranks(void **state)
{
    struct draw draw = small;
    (void)state;
    for (int n = 1; n <= 16; n += n == 9 ? 7 : 1)
        for (uint64_t seed = 0; seed < 2; seed++)
            cases_run(&(struct native_options){.ranks = n, .seed = seed}, blocking_main, &draw);
}

static void every_collective_gives_what_it_must_on_many_ranks(void **state)
{
    struct draw draw = small;
    (void)state;
    draw.rounds = 2;
    for (int n = 20; n <= 40; n += n == 20 ? 13 : 7)
        cases_run(&(struct native_options){.ranks = n, .region_bytes = 4u << 20}, blocking_main,
                  &draw);
}

static void
every_collective_gives_what_it_must_with_messages_that_do_not_fit_into_packets(void **state)
{
    struct draw draw = {3, 2, 700, JOB_BCAST, JOB_EXSCAN, false};
    (void)state;
    for (int n = 2; n <= 9; n += n < 5 ? 1 : 4)
        cases_run(&(struct native_options){.ranks = n, .seed = (uint64_t)n}, blocking_main, &draw);
}

static void long_vectors_go_in_segments(void **state)
{
    struct draw draw = {4, 3, 30000, JOB_REDUCE, JOB_EXSCAN, false},
                bcast = {5, 4, 40000, JOB_BCAST, JOB_BCAST, false};
    (void)state;
    for (int n = 2; n <= 5; n++) {
        const struct native_options options = {.ranks = n, .seed = 1, .region_bytes = 64u << 20};
        cases_run(&options, blocking_main, &draw);
        cases_run(&options, blocking_main, &bcast);
    }
}

static void sums_of_a_crowd_are_what_they_are_elsewhere(void **state)
{
    struct draw draw = {11, 6, 9000, JOB_ALLREDUCE, JOB_ALLREDUCE, false};
    (void)state;
    for (int n = 1; n <= 9; n += n == 5 ? 3 : 1)
        cases_run(
            &(struct native_options){
                .ranks = n, .seed = (uint64_t)n % 3, .share = 2, .region_bytes = 64u << 20},
            blocking_main, &draw);
}

/* ---- many under way ---- */

enum { TOGETHER = 2 * JOB_KINDS };

static int nonblocking_main(void *argument)
{
    const struct draw *draw = argument;
    struct jobs *jobs = begin(draw);
    uint64_t random = draw->seed * 1000 + (uint64_t)jobs->size;
    struct job **all = weft_alloc(TOGETHER * sizeof(struct job *));
    MPI_Request *requests = weft_alloc(TOGETHER * sizeof(MPI_Request));
    for (int round = 0; round < draw->rounds; round++) {
        for (int i = 0; i < TOGETHER; i++) {
            all[i] = job_new(jobs, &random, (enum job_kind)(job_random(&random) % JOB_KINDS),
                             draw->units);
            job_fill(all[i], i);
            job_call(all[i], JOB_NONBLOCKING);
            requests[i] = all[i]->request;
            if (native_random() % 8 == 0)
                native_move_region();
        }
        check(jobs->functions || native_foreign_pointer() == NULL);
        for (int left = TOGETHER, index; left > 0; left--) {
            check(MPI_Waitany(TOGETHER, requests, &index, MPI_STATUS_IGNORE) == MPI_SUCCESS);
            job_check(all[index]);
            job_free(all[index]);
            if (native_random() % 8 == 0)
                native_move_region();
        }
    }
    weft_free(requests);
    weft_free(all);
    end(jobs);
    return 0;
}

static void many_under_way_do_not_mix_and_survive_moves(void **state)
{
    struct draw draw = {7, 1, 5, JOB_BARRIER, JOB_EXSCAN, false};
    (void)state;
    for (int n = 1; n <= 8; n += n < 3 ? 1 : 5) {
        draw.no_functions = n % 2 == 0;
        cases_run(
            &(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = 2u << 20},
            nonblocking_main, &draw);
    }
    draw.units = 90; /* longer than packets */
    cases_run(&(struct native_options){.ranks = 3, .seed = 8, .region_bytes = 10u << 20},
              nonblocking_main, &draw);
    draw = (struct draw){9, 1, 4500, JOB_ALLREDUCE, JOB_ALLREDUCE, false};
    cases_run(
        &(struct native_options){.ranks = 3, .seed = 2, .share = 3, .region_bytes = 128u << 20},
        nonblocking_main, &draw);
}

/* Made once, started again and again with other data, each time in another order. */
static int persistent_main(void *argument)
{
    const struct draw *draw = argument;
    struct jobs *jobs = begin(draw);
    uint64_t random = draw->seed * 1000 + (uint64_t)jobs->size;
    struct job **all = weft_alloc(JOB_KINDS * sizeof(struct job *));
    MPI_Request *requests = weft_alloc(JOB_KINDS * sizeof(MPI_Request));
    for (int i = 0; i < JOB_KINDS; i++) {
        all[i] = job_new(jobs, &random, (enum job_kind)i, draw->units);
        job_call(all[i], JOB_PERSISTENT);
        requests[i] = all[i]->request;
    }
    for (int round = 0; round < draw->rounds; round++) {
        int shift = (int)(native_random() % JOB_KINDS);
        for (int i = 0; i < JOB_KINDS; i++)
            job_fill(all[i], round);
        for (int i = 0; i < JOB_KINDS && round % 2 == 0; i++)
            check(MPI_Start(&requests[(i + shift) % JOB_KINDS]) == MPI_SUCCESS);
        if (round % 2 == 1)
            check(MPI_Startall(JOB_KINDS, requests) == MPI_SUCCESS);
        native_move_region();
        check(MPI_Waitall(JOB_KINDS, requests, MPI_STATUSES_IGNORE) == MPI_SUCCESS);
        for (int i = 0; i < JOB_KINDS; i++)
            job_check(all[i]);
    }
    for (int i = 0; i < JOB_KINDS; i++) {
        check(MPI_Request_free(&requests[i]) == MPI_SUCCESS);
        job_free(all[i]);
    }
    weft_free(requests);
    weft_free(all);
    end(jobs);
    return 0;
}

static void persistent_ones_are_started_again_in_any_order(void **state)
{
    struct draw draw = {11, 5, 20, JOB_BARRIER, JOB_EXSCAN, false};
    (void)state;
    for (int n = 1; n <= 9; n += n < 3 ? 1 : 2)
        cases_run(
            &(struct native_options){.ranks = n, .seed = (uint64_t)n, .region_bytes = 2u << 20},
            persistent_main, &draw);
    draw.rounds = 2;
    draw.units = 6000;
    cases_run(&(struct native_options){.ranks = 2, .region_bytes = 64u << 20}, persistent_main,
              &draw);
}

/* Each alone, moved at every call while it is under way. */
static int moved_main(void *argument)
{
    const struct draw *draw = argument;
    struct jobs *jobs = begin(draw);
    uint64_t random = draw->seed * 1000 + (uint64_t)jobs->size;
    for (enum job_kind kind = draw->first; kind <= draw->last; kind++) {
        struct job *job = job_new(jobs, &random, kind, draw->units);
        int flag = 0;
        job_fill(job, kind);
        job_call(job, JOB_NONBLOCKING);
        for (int i = 0; !flag; i++) {
            if (i < 30 && i % 3 == 0)
                native_move_region();
            check(MPI_Test(&job->request, &flag, MPI_STATUS_IGNORE) == MPI_SUCCESS);
        }
        job_check(job);
        job_free(job);
    }
    end(jobs);
    return 0;
}

static void every_collective_is_moved_in_flight(void **state)
{
    struct draw draw = {9, 1, 100, JOB_BARRIER, JOB_EXSCAN, false};
    (void)state;
    for (int n = 2; n <= 5; n++, draw.seed++)
        cases_run(&(struct native_options){.ranks = n, .seed = 3, .region_bytes = 1u << 20},
                  moved_main, &draw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_collective_gives_what_it_must_on_1_to_9_and_16_ranks),
        cmocka_unit_test(every_collective_gives_what_it_must_on_many_ranks),
        cmocka_unit_test(
            every_collective_gives_what_it_must_with_messages_that_do_not_fit_into_packets),
        cmocka_unit_test(long_vectors_go_in_segments),
        cmocka_unit_test(sums_of_a_crowd_are_what_they_are_elsewhere),
        cmocka_unit_test(many_under_way_do_not_mix_and_survive_moves),
        cmocka_unit_test(persistent_ones_are_started_again_in_any_order),
        cmocka_unit_test(every_collective_is_moved_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
