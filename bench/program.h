/* Other programs, and what they print. */
#ifndef WEFT_BENCH_PROGRAM_H
#define WEFT_BENCH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Path of what was built beside this program: "bin/weft", "lib/bench/point.so". */
const char *bench_path(const char *what, char out[4096]);
/* Starts a program with its stdout to be read, and its stderr into a file (NULL: ours); it ends
 * with this process. argv ends with NULL. */
pid_t bench_spawn(const char *const argv[], const char *err_file, int *out_fd);
/* One line without its newline; false: the other end has closed. */
bool bench_line(int fd, char *line, size_t len);
/* The same for programs that may hang; false also when no line comes for so long. */
bool bench_line_within(int fd, char *line, size_t len, unsigned ms);
/* Its exit status. */
int bench_wait(pid_t pid);
/* The same; it is told to end when it does not end by itself in so long, and killed after that
 * time again. */
int bench_wait_within(pid_t pid, unsigned ms);

#endif
