/* Starting a program: with these descriptors and no others, its own process group, no signal
 * blocked or ignored. */
#ifndef WEFT_HOST_SPAWN_H
#define WEFT_HOST_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

struct weft_spawn {
    char *const *argv; /* argv[0]: its path */
    char *const *env;
    const int *fds; /* fds[i] becomes its descriptor i; -1: nothing to read (/dev/null) */
    size_t fds_n;   /* at least 3 */
};

/* Errors: what posix_spawn(3) says, naming the program.  Thread: any.  Blocks: no. */
int weft__spawn(const struct weft_spawn *spawn, pid_t *pid_out);

#endif
