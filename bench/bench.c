/* Samples, lines of output, second processes. */
#include "bench.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/config.h"
#include "weft/error.h"

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned n)
{
    if (n == 0)
        return 0;
    qsort(values, n, sizeof(double), by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void bench_sample(struct bench_samples *samples, double value)
{
    if (samples->n < BENCH_SAMPLES_MAX)
        samples->values[samples->n++] = value;
}

double bench_typical(struct bench_samples *samples)
{
    return median(samples->values, samples->n);
}

void bench_add(struct bench_series *series, double value)
{
    if (series->n < BENCH_ROUNDS_MAX)
        series->values[series->n++] = value;
}

double bench_median(struct bench_series *series)
{
    return median(series->values, series->n);
}

double bench_ratio(const struct bench_series *over, const struct bench_series *under)
{
    struct bench_series ratios = {0};
    for (unsigned i = 0; i < over->n && i < under->n; i++)
        bench_add(&ratios, over->values[i] / under->values[i]);
    return bench_median(&ratios);
}

void bench_print(const struct bench *bench, struct bench_series *series)
{
    if (series->n == 0)
        return;
    double value = bench_median(series);
    double min = series->values[0], max = series->values[series->n - 1];
    if (bench->json)
        printf("{\"id\":\"%s\",\"case\":\"%s\",\"subject\":\"%s\",\"value\":%.5g,\"unit\":\"%s\","
               "\"min\":%.5g,\"max\":%.5g,\"n\":%u,\"config\":\"%s\"}\n",
               series->id, series->what, series->subject, value, series->unit, min, max, series->n,
               series->config);
    else
        printf("%-46s %-14s %10.4g %-6s %.4g to %.4g, n %u\n", series->what, series->subject, value,
               series->unit, min, max, series->n);
    fflush(stdout);
}

static void print_goal_json(const struct bench_goal *goal, bool met)
{
    printf("{\"goal\":\"%s\",", goal->id);
    if (goal->unknown)
        printf("\"measured\":null,");
    else
        printf("\"measured\":%.5g,", goal->measured);
    printf("\"wanted\":%.5g,\"op\":\"%s\",\"unit\":\"%s\",\"met\":%s,\"from\":[", goal->wanted,
           goal->at_least ? ">=" : "<=", goal->unit,
           goal->unknown ? "null"
           : met         ? "true"
                         : "false");
    for (size_t i = 0; i < 3 && goal->from[i]; i++)
        printf("%s\"%s\"", i ? "," : "", goal->from[i]);
    printf("],\"reason\":\"%s\"}\n", goal->reason);
}

void bench_print_goal(const struct bench *bench, const struct bench_goal *goal)
{
    bool met = !goal->unknown && isfinite(goal->measured) &&
               (goal->at_least ? goal->measured >= goal->wanted : goal->measured <= goal->wanted);
    if (bench->json)
        print_goal_json(goal, met);
    else if (goal->unknown)
        printf("goal %-24s not measured, wanted %s %.3g %s: %s\n", goal->id,
               goal->at_least ? ">=" : "<=", goal->wanted, goal->unit, goal->reason);
    else
        printf("goal %-24s %.3g, wanted %s %.3g %s: %s%s%s\n", goal->id, goal->measured,
               goal->at_least ? ">=" : "<=", goal->wanted, goal->unit, met ? "met" : "NOT MET",
               *goal->reason ? "; " : "", goal->reason);
    fflush(stdout);
}

_Noreturn void bench_die(const char *what, int err)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, weft_fail_text(err));
    exit(1);
}

void bench_check(const char *what, int err)
{
    if (err)
        bench_die(what, err);
}

unsigned bench_number(const char *text, unsigned max)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || end == text || value == 0 || value > max) {
        fprintf(stderr, "%s: %s is not a number from 1 to %u\n", program_invocation_short_name,
                text, max);
        exit(2);
    }
    return (unsigned)value;
}

void bench_send(int fd, const void *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            bench_die("write to the other process", -errno);
        data = (const char *)data + n;
        len -= (size_t)n;
    }
}

bool bench_receive(int fd, void *data, size_t len)
{
    while (len) {
        ssize_t n = read(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data = (char *)data + n;
        len -= (size_t)n;
    }
    return true;
}

pid_t bench_fork(int (*run)(void *ctx, int fd), void *ctx, int *fd_out)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        bench_die("socketpair", -errno);
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        bench_die("fork", -errno);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        bench_check("read the settings", weft__config_load());
        exit(run(ctx, pair[1]));
    }
    close(pair[1]);
    *fd_out = pair[0];
    return pid;
}

int bench_join(pid_t pid, int fd)
{
    int status;
    shutdown(fd, SHUT_RDWR); /* other children may have a copy of it */
    close(fd);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 1;
    return WEXITSTATUS(status);
}
