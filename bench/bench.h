/* What the benchmark programs share: samples and what is printed of them, and second processes.
 *
 * Output: one line per series and per goal; with --json one JSON object per line and nothing else
 * on stdout. Ids, cases and configurations contain no character that JSON would escape. */
#ifndef WEFT_BENCH_H
#define WEFT_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_ROUNDS_MAX 101

struct bench {
    bool json;
    bool quick; /* tiny: whether it works, not how fast it is */
    unsigned rounds;
};

/* One measured quantity: a value per round. */
struct bench_series {
    char id[72];
    char what[96];    /* the case in words */
    char subject[32]; /* weft, or the peer's name */
    char unit[16];
    char config[160];
    double values[BENCH_ROUNDS_MAX];
    unsigned n;
};

/* Many short measurements of one quantity, of which the median is the result: one that was
 * interrupted does not move it. Zero it first. */
#define BENCH_SAMPLES_MAX 8192 /* further ones are not kept */
struct bench_samples {
    double values[BENCH_SAMPLES_MAX];
    unsigned n;
};

struct bench_goal {
    const char *id;
    double measured, wanted;
    bool at_least; /* else at most */
    bool unknown;  /* could not be measured: reason says why */
    const char *unit;
    const char *from[3]; /* ids of series */
    const char *reason;  /* "" where there is nothing to say */
};

void bench_sample(struct bench_samples *samples, double value);
/* The median; sorts the values. 0 where there are none. */
double bench_typical(struct bench_samples *samples);

void bench_add(struct bench_series *series, double value);
/* Sorts the values. 0 where there are none. */
double bench_median(struct bench_series *series);
/* The median of the ratios of single rounds, while the values are in the order of the rounds. 0
 * where there are none. */
double bench_ratio(const struct bench_series *over, const struct bench_series *under);
/* Nothing where there are no values. */
void bench_print(const struct bench *bench, struct bench_series *series);
void bench_print_goal(const struct bench *bench, const struct bench_goal *goal);

/* Ends the process with a message. */
_Noreturn void bench_die(const char *what, int err);
void bench_check(const char *what, int err);
/* A number of an option from 1 to max, or the end of the program. */
unsigned bench_number(const char *text, unsigned max);

/* Whole messages over a socket.  receive: false where the other end has closed. */
void bench_send(int fd, const void *data, size_t len);
bool bench_receive(int fd, void *data, size_t len);

/* A second process that runs run(ctx, fd) and ends with its result; it dies with this one. fd is
 * one end of a socket pair, fd_out the other. */
pid_t bench_fork(int (*run)(void *ctx, int fd), void *ctx, int *fd_out);
/* Closes the socket, which is the child's sign to end; its exit status. */
int bench_join(pid_t pid, int fd);

#endif
