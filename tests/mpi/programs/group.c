/* Groups: sets of ranks kept while everything else goes on. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEPT = 6, ROUNDS = 20, RANKS_MAX = 64 };

static unsigned long digest = 1469598103934665603ul;

static void add(long value)
{
    digest = (digest ^ (unsigned long)value) * 1099511628211ul;
}

static void add_group(MPI_Group world, MPI_Group group)
{
    int size, rank, numbers[RANKS_MAX], world_ranks[RANKS_MAX];
    MPI_Group_size(group, &size);
    MPI_Group_rank(group, &rank);
    for (int i = 0; i < size; i++)
        numbers[i] = i;
    MPI_Group_translate_ranks(group, size, numbers, world, world_ranks);
    add(size);
    add(rank == MPI_UNDEFINED ? -1 : rank);
    for (int i = 0; i < size; i++)
        add(world_ranks[i]);
}

/* Replaces one of the kept groups by a set of two others. */
static void combine(MPI_Group *kept, int round)
{
    MPI_Group made, *old = &kept[round % KEPT];
    MPI_Group a = kept[(round * 3 + 1) % KEPT], b = kept[(round * 5 + 2) % KEPT];
    int result;
    MPI_Group_compare(a, b, &result);
    add(result);
    if (round % 3 == 0)
        MPI_Group_union(a, b, &made);
    else if (round % 3 == 1)
        MPI_Group_intersection(a, b, &made);
    else
        MPI_Group_difference(a, b, &made);
    if (*old != MPI_GROUP_EMPTY)
        MPI_Group_free(old);
    *old = made;
}

int main(int argc, char **argv)
{
    int rank, size;
    MPI_Group world, kept[KEPT];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    for (int i = 0; i < KEPT; i++) {
        int up[1][3] = {{i % size, size - 1, 1 + i % 2}}, down[1][3] = {{size - 1, 0, -1 - i % 3}};
        if (i % 2 == 0)
            MPI_Group_range_incl(world, 1, up, &kept[i]);
        else
            MPI_Group_range_excl(world, 1, down, &kept[i]);
        add_group(world, kept[i]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        MPI_Group all;
        MPI_Comm comm;
        combine(kept, round);
        MPI_Barrier(MPI_COMM_WORLD);
        for (int i = 0; i < KEPT; i++)
            add_group(world, kept[i]);
        MPI_Comm_create(MPI_COMM_WORLD, kept[round % KEPT], &comm);
        if (comm != MPI_COMM_NULL) {
            int sum, result;
            MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, comm);
            MPI_Comm_group(comm, &all);
            MPI_Comm_free(&comm);
            MPI_Group_compare(all, kept[round % KEPT], &result);
            MPI_Group_free(&all);
            add(sum);
            add(result);
        }
        printf("rank %d, round %d: %016lx\n", rank, round, digest);
    }
    for (int i = 0; i < KEPT; i++)
        if (kept[i] != MPI_GROUP_EMPTY)
            MPI_Group_free(&kept[i]);
    MPI_Group_free(&world);
    MPI_Finalize();
    return 0;
}
