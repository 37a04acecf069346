/* A benchmark program made of parts: its command line, and each part in a process of its own, so
 * that no part meets the threads and endpoints of another, and one that fails does not silence the
 * rest. */
#ifndef WEFT_BENCH_PARTS_H
#define WEFT_BENCH_PARTS_H

#include <stddef.h>

#include "bench.h"

struct bench_part {
    const char *name;
    int (*run)(const struct bench *bench); /* its exit code */
    const char *what;
};

struct bench_program {
    const char *name;
    unsigned rounds; /* where --rounds says nothing */
    const struct bench_part *parts;
    size_t parts_n;
};

/* The program's main: all parts, or those that are named; its exit code. */
int bench_main(const struct bench_program *program, int argc, char **argv);

#endif
