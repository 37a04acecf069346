/* The heat equation of src/demo/heat.c in the plainest way: one process, no library. Prints the
 * checksum. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: heat_serial NX NY STEPS SEED\n");
        return 2;
    }
    long nx = atol(argv[1]), ny = atol(argv[2]), steps = atol(argv[3]), seed = atol(argv[4]);
    long width = nx + 2;
    double *now = calloc((size_t)((ny + 2) * width), sizeof(double));
    double *next = calloc((size_t)((ny + 2) * width), sizeof(double));
    if (!now || !next)
        return 1;
    for (long j = 0; j < nx; j++)
        now[j + 1] = next[j + 1] = (double)((j * 7 + seed) % 101);
    for (long step = 0; step < steps; step++) {
        for (long i = 1; i <= ny; i++)
            for (long j = 1; j <= nx; j++) {
                double up = now[(i - 1) * width + j], down = now[(i + 1) * width + j];
                double left = now[i * width + j - 1], right = now[i * width + j + 1];
                next[i * width + j] = 0.25 * (((up + down) + left) + right);
            }
        double *swap = now;
        now = next;
        next = swap;
    }
    XXH3_state_t *hash = XXH3_createState();
    XXH3_64bits_reset(hash);
    for (long i = 1; i <= ny; i++)
        XXH3_64bits_update(hash, &now[i * width + 1], (size_t)nx * sizeof(double));
    printf("%016" PRIx64 "\n", (uint64_t)XXH3_64bits_digest(hash));
    XXH3_freeState(hash);
    free(now);
    free(next);
    return 0;
}
