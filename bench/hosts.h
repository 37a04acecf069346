/* Hosts on this machine, each a weftd with a loopback address of its own, and apps on them. */
#ifndef WEFT_BENCH_HOSTS_H
#define WEFT_BENCH_HOSTS_H

#include <sys/types.h>

#include <jansson.h>

#define BENCH_HOSTS 3
extern const char *const bench_host_names[BENCH_HOSTS]; /* "home", "a", "b" */

struct bench_hosts {
    char net[16]; /* "127.x.y": addresses are net.1 and so on; home is the first and the head */
    pid_t pids[BENCH_HOSTS];
};

/* A weft run in the background, whose output is read. */
struct bench_app {
    pid_t pid;
    int out;
    char id_file[64], id[24];
    char err_file[64]; /* what it wrote to stderr; shown when it fails */
};

void bench_hosts_start(struct bench_hosts *hosts, const char *slots);
void bench_hosts_stop(struct bench_hosts *hosts);
/* weft run --at home with these further arguments. */
void bench_app_start(const struct bench_hosts *hosts, struct bench_app *app,
                     const char *const argv[]);
/* Waits for the first line of its output, which must be this one; then its id is known. */
void bench_app_await(struct bench_app *app, const char *line);
/* Reads what is left of its output, and ends this process if it has failed. */
void bench_app_end(struct bench_app *app);
void bench_app_kill(const struct bench_hosts *hosts, struct bench_app *app);
/* What weft COMMAND --json - prints; the caller's to free. */
json_t *bench_weft(const struct bench_hosts *hosts, const char *command, const char *const argv[]);

#endif
