/* Servers under test, each in a process of its own, so that its processor time and its system calls
 * can be told. */
#ifndef WEFT_BENCH_CONTROL_SERVER_H
#define WEFT_BENCH_CONTROL_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct control_server {
    bool reference;   /* else weft's */
    unsigned workers; /* or BENCH_ECHO_INLINE */
    pid_t pid;
    int fd;
    uint16_t port;
};

/* Starts the process; reference and workers are set. */
void control_server_start(struct control_server *server);
void control_server_stop(struct control_server *server);
/* Processor time of all its threads so far. */
uint64_t control_server_cpu_ns(const struct control_server *server);
/* System calls of all its threads are counted from here to the next count. */
void control_server_count(const struct control_server *server);
/* Their number; false: this system does not let us count. */
bool control_server_counted(const struct control_server *server, uint64_t *n_out);

#endif
