/* Cartesian topologies: heat on a torus, its rows and columns summed in parts of the grid. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 8, STEPS = 30, UP = 0, DOWN = 1, LEFT = 2, RIGHT = 3 };

static double grid[N + 2][N + 2], next[N + 2][N + 2];

static void exchange(MPI_Comm cart, const int neighbour[4])
{
    double out[4][N], in[4][N] = {{0}};
    MPI_Request requests[8];
    static const int opposite[4] = {DOWN, UP, RIGHT, LEFT};
    for (int i = 0; i < N; i++) {
        out[UP][i] = grid[1][i + 1];
        out[DOWN][i] = grid[N][i + 1];
        out[LEFT][i] = grid[i + 1][1];
        out[RIGHT][i] = grid[i + 1][N];
    }
    for (int side = 0; side < 4; side++) {
        MPI_Irecv(in[side], N, MPI_DOUBLE, neighbour[side], opposite[side], cart, &requests[side]);
        MPI_Isend(out[side], N, MPI_DOUBLE, neighbour[side], side, cart, &requests[4 + side]);
    }
    MPI_Waitall(8, requests, MPI_STATUSES_IGNORE);
    for (int i = 0; i < N; i++) {
        grid[0][i + 1] = in[UP][i];
        grid[N + 1][i + 1] = in[DOWN][i];
        grid[i + 1][0] = in[LEFT][i];
        grid[i + 1][N + 1] = in[RIGHT][i];
    }
}

static double step(void)
{
    double sum = 0;
    for (int y = 1; y <= N; y++)
        for (int x = 1; x <= N; x++) {
            next[y][x] = 0.5 * grid[y][x] + 0.125 * (grid[y - 1][x] + grid[y + 1][x] +
                                                     grid[y][x - 1] + grid[y][x + 1]);
            sum += next[y][x];
        }
    for (int y = 1; y <= N; y++)
        for (int x = 1; x <= N; x++)
            grid[y][x] = next[y][x];
    return sum;
}

int main(int argc, char **argv)
{
    int size, rank, dims[2] = {0, 0}, periods[2] = {1, 0}, coords[2], neighbour[4];
    int keep_row[2] = {0, 1}, keep_column[2] = {1, 0};
    MPI_Comm cart, row, column, dup;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Dims_create(size, 2, dims);
    MPI_Cart_create(MPI_COMM_WORLD, 2, dims, periods, 1, &cart);
    MPI_Comm_rank(cart, &rank);
    MPI_Cart_sub(cart, keep_row, &row);
    MPI_Cart_sub(cart, keep_column, &column);
    MPI_Comm_dup(cart, &dup);
    MPI_Comm_free(&cart);
    for (int y = 1; y <= N; y++)
        for (int x = 1; x <= N; x++)
            grid[y][x] = (rank * 37 + y * 11 + x * 5) % 101;
    for (int i = 0; i < STEPS; i++) {
        double mine, in_row, in_column, in_all;
        MPI_Cart_shift(dup, 0, 1, &neighbour[UP], &neighbour[DOWN]);
        MPI_Cart_shift(dup, 1, 1, &neighbour[LEFT], &neighbour[RIGHT]);
        exchange(dup, neighbour);
        mine = step();
        MPI_Allreduce(&mine, &in_row, 1, MPI_DOUBLE, MPI_SUM, row);
        MPI_Allreduce(&mine, &in_column, 1, MPI_DOUBLE, MPI_SUM, column);
        MPI_Allreduce(&mine, &in_all, 1, MPI_DOUBLE, MPI_SUM, dup);
        MPI_Cart_get(dup, 2, dims, periods, coords);
        printf("step %d, (%d, %d) of %d x %d: %a %a %a\n", i, coords[0], coords[1], dims[0],
               dims[1], in_row, in_column, in_all);
    }
    MPI_Comm_free(&row);
    MPI_Comm_free(&column);
    MPI_Comm_free(&dup);
    MPI_Finalize();
    return 0;
}
