/* heat: a 2-D Jacobi solver, an MPI program like any other. Nothing in it is about being moved; it
 * is linked by weftcc -static-pie, runs in cells, and is moved wherever it calls MPI. */
#include <stdlib.h>

#include "demo/heat.h"

void *heat_alloc(size_t len_bytes)
{
    return malloc(len_bytes);
}

void heat_free(void *memory)
{
    free(memory);
}

int main(int argc, char **argv)
{
    struct heat_options options;
    int size, code = EXIT_SUCCESS;
    heat_read_options(&options, argc, argv);
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (heat_is_to_run(&options, size)) {
        struct heat *heat = heat_begin(&options);
        while (heat->steps < options.steps)
            heat_step(heat);
        heat_end(heat);
    } else {
        code = heat_decline(&options);
    }
    MPI_Finalize();
    return code;
}
