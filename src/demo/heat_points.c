/* The same solver as a shared object, for hosts and builds without cells: its memory is the rank's
 * region, and it can be moved where it says so: weft_migration_point() stands at the head of each
 * step, and a rank that is moved goes on in go_on() on the other host. */
#include <stdlib.h>

#include "demo/heat.h"
#include "weft/memory.h"
#include "weft/migrate.h"

void *heat_alloc(size_t len_bytes)
{
    return weft_alloc(len_bytes);
}

void heat_free(void *memory)
{
    weft_free(memory);
}

static int go_on(void *argument);

static int run(struct heat *heat)
{
    while (heat->steps < heat->options.steps) {
        weft_migration_point(go_on, heat);
        heat_step(heat);
    }
    heat_end(heat);
    MPI_Finalize();
    return EXIT_SUCCESS;
}

/* Where a moved rank continues. */
static int go_on(void *argument)
{
    struct heat *heat = argument;
    heat->moves++;
    return run(heat);
}

int main(int argc, char **argv)
{
    struct heat_options options;
    int size;
    heat_read_options(&options, argc, argv);
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    if (heat_is_to_run(&options, size))
        return run(heat_begin(&options));
    int code = heat_decline(&options);
    MPI_Finalize();
    return code;
}
