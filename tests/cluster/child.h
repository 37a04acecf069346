/* Processes that a test starts: their output goes to files, every wait has a deadline. */
#ifndef WEFT_TESTS_CLUSTER_CHILD_H
#define WEFT_TESTS_CLUSTER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    bool over;
    int code; /* when over: the exit code, or 128 + the signal */
    bool expect_signal;
    char out[160], err[160]; /* the files */
};

uint64_t child_now_ms(void);
void child_nap(void); /* between two looks at something that is awaited */

/* A deadline that counts only time in which we run ourselves: what holds a whole machine up for
 * seconds is no failure of what is tested. */
struct child_patience {
    uint64_t left_ms, seen_ms;
};
struct child_patience child_patience(uint64_t timeout_ms);
bool child_patience_over(struct child_patience *patience);

/* Starts argv[0] with stdout and stderr in files folder/NUMBER.out and .err. fd: stays open in the
 * child; -1: none. The child dies with us. */
bool child_start(struct child *child, const char *folder, char *const *argv, int fd);
/* The network namespace that children are started in from now on, as an open file; -1: our own. */
void child_set_net(int net_fd);
/* The same for the time namespace. */
void child_set_time(int time_fd);
/* The standard input of children from now on; -1: there is none. Stays the caller's. */
void child_set_input(int fd);
/* Whether it has ended; reaps it. */
bool child_over(struct child *child);
/* Its exit code; -1: it still runs after timeout_ms. */
int child_wait(struct child *child, unsigned timeout_ms);
/* Sends a signal, if it still runs. */
void child_signal(const struct child *child, int number);

/* The whole file with a NUL; free(). Never NULL. */
char *child_read(const char *path);
/* Whether it has printed this so far, to stdout or stderr. */
bool child_said(const struct child *child, const char *text);
bool child_complained(const struct child *child, const char *text); /* to stderr */
void child_print(const struct child *child, const char *title);     /* for a failure's reader */

#endif
