/* Communicators: trees of splits, duplicates under way together, groups that overlap, messages that
 * are ahead of their communicator. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { DEPTH = 4, PARENTS = 4, ROUNDS = 5 };

static int world_rank, world_size;
static unsigned long digest = 1469598103934665603ul;

static void add(long value)
{
    digest = (digest ^ (unsigned long)value) * 1099511628211ul;
}

static void fail(const char *what)
{
    fprintf(stderr, "rank %d: %s\n", world_rank, what);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

/* Who is in it, as all its ranks see it. */
static void add_members(MPI_Comm comm)
{
    int rank, size, first = world_rank, left, sum;
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Bcast(&first, 1, MPI_INT, 0, comm);
    MPI_Allreduce(&world_rank, &sum, 1, MPI_INT, MPI_SUM, comm);
    MPI_Sendrecv(&world_rank, 1, MPI_INT, (rank + 1) % size, 9, &left, 1, MPI_INT,
                 (rank + size - 1) % size, 9, comm, MPI_STATUS_IGNORE);
    add(rank);
    add(size);
    add(first);
    add(sum);
    add(left);
}

static void splits(MPI_Comm comm, int depth, int seed)
{
    MPI_Comm part;
    int color = (world_rank * 7 + seed) % 5, key = (world_rank * 3 + seed) % 4 - 2;
    if (depth == 0)
        return;
    MPI_Comm_split(comm, color == 4 ? MPI_UNDEFINED : color / 2, key, &part);
    if (part == MPI_COMM_NULL)
        return;
    add_members(part);
    splits(part, depth - 1, seed * 5 + color / 2 + 1);
    MPI_Comm_free(&part);
}

/* Each rank starts them in another order. */
static void duplicates(void)
{
    MPI_Comm parents[PARENTS], made[PARENTS], between;
    MPI_Request requests[PARENTS];
    for (int i = 0; i < PARENTS; i++)
        MPI_Comm_split(MPI_COMM_WORLD, world_rank % (i + 1), -world_rank, &parents[i]);
    for (int i = 0; i < PARENTS; i++) {
        int which = (i + world_rank) % PARENTS;
        MPI_Comm_idup(parents[which], &made[which], &requests[which]);
    }
    MPI_Comm_dup(MPI_COMM_WORLD, &between);
    MPI_Waitall(PARENTS, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < PARENTS; i++) {
        int result;
        MPI_Comm_compare(parents[i], made[i], &result);
        add(result);
        MPI_Comm_free(&parents[i]);
        add_members(made[i]);
        MPI_Comm_free(&made[i]);
    }
    add_members(between);
    MPI_Comm_disconnect(&between);
}

/* Only the members call, and no two groups are the same. */
static void groups(void)
{
    MPI_Group world;
    MPI_Comm_group(MPI_COMM_WORLD, &world);
    for (int i = 0; i < world_size; i++) {
        MPI_Group some;
        MPI_Comm comm;
        int me, without[1] = {i};
        MPI_Group_excl(world, 1, without, &some);
        MPI_Group_rank(some, &me);
        if (me != MPI_UNDEFINED) {
            MPI_Comm_create_group(MPI_COMM_WORLD, some, i, &comm);
            add_members(comm);
            MPI_Comm_free(&comm);
        }
        MPI_Comm_create(MPI_COMM_WORLD, some, &comm);
        if (comm != MPI_COMM_NULL) {
            add_members(comm);
            MPI_Comm_free(&comm);
        }
        if (some != MPI_GROUP_EMPTY)
            MPI_Group_free(&some);
    }
    MPI_Group_free(&world);
}

/* Rank 0 has sent before the others look for the communicator, and frees it before they receive. */
static void early(int round)
{
    MPI_Comm comm;
    int value = 0;
    MPI_Comm_dup(MPI_COMM_WORLD, &comm);
    if (world_rank == 0) {
        for (int to = 1; to < world_size; to++) {
            value = round * 100 + to;
            MPI_Send(&value, 1, MPI_INT, to, 1, comm);
        }
    } else {
        MPI_Request request;
        MPI_Irecv(&value, 1, MPI_INT, 0, 1, comm, &request);
        MPI_Comm_free(&comm);
        MPI_Wait(&request, MPI_STATUS_IGNORE);
        add(value);
    }
    if (world_rank == 0)
        MPI_Comm_free(&comm);
}

/* Which ranks share a host depends on where they are at this moment; that they agree does not. */
static void by_host(void)
{
    MPI_Comm host;
    int size, sum, one = 1;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Comm_size(host, &size);
    MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, host);
    if (sum != size)
        fail("the ranks of a host do not agree");
    MPI_Comm_free(&host);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    for (int round = 0; round < ROUNDS; round++) {
        splits(MPI_COMM_WORLD, DEPTH, round);
        duplicates();
        groups();
        early(round);
        by_host();
        printf("rank %d of %d, round %d: %016lx\n", world_rank, world_size, round, digest);
    }
    MPI_Finalize();
    return 0;
}
