/* What a process has open, as the kernel shows it: taken when it is at rest, compared later. */
#ifndef WEFT_TESTS_CLUSTER_OPENED_H
#define WEFT_TESTS_CLUSTER_OPENED_H

#include <stdbool.h>
#include <stdint.h>

enum { OPENED_MAX = 256, OPENED_NAME_MAX = 80 };

struct opened_fd {
    int number;
    char name[OPENED_NAME_MAX]; /* where /proc/PID/fd/NUMBER points to */
};

struct opened {
    uint64_t pid;
    const char *who; /* for the reader of a failure; stays the caller's */
    unsigned n;      /* may be more than OPENED_MAX: those beyond have no name here */
    struct opened_fd fds[OPENED_MAX];
};

void opened_of(struct opened *opened, const char *who, uint64_t pid);
bool opened_is_more(const struct opened *now, const struct opened *before);
/* Whether it has connected to a port, and the connection was accepted there. */
bool opened_connects(uint64_t pid, const char *address, uint16_t port);
/* How many there were and are, and those of `now` that `before` has not; a TCP socket with its
 * addresses, its state and who has the other end. */
void opened_print(const struct opened *now, const struct opened *before);

#endif
