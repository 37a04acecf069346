/* Hosts on this machine, each a weftd with a loopback address of its own, and apps on them. */
#ifndef WEFT_BENCH_HOSTS_H
#define WEFT_BENCH_HOSTS_H

#include <sys/types.h>

#include <jansson.h>

#define BENCH_HOSTS 3
extern const char *const bench_host_names[BENCH_HOSTS]; /* "home", "a", "b" */

struct bench_hosts {
    char net[16]; /* "127.x.y": addresses are net.1 and so on; home is the first and the head */
    pid_t pids[BENCH_HOSTS]; /* 0: there is no such host */
    char state[32];          /* folder of the head's log */
};

/* A weft run in the background, whose output is read. */
struct bench_app {
    pid_t pid;
    int out;
    char id_file[64], id[24];
    char err_file[64]; /* what it wrote to stderr; shown when it fails */
};

void bench_hosts_start(struct bench_hosts *hosts, const char *slots);
/* A net of loopback that no other benchmark has. */
void bench_hosts_net(char net[16]);

/* Hosts on a net that is there already: addresses net.1 and so on, each with slots of its own and
 * in a network namespace (its file; NULL: this process's). */
struct bench_host_desc {
    const char *slots, *space;
    unsigned core; /* 1 + the usable one that it has for itself; 0: all, like everybody */
};
void bench_hosts_start_on(struct bench_hosts *hosts, const char *net,
                          const struct bench_host_desc *descs, unsigned n);
void bench_hosts_stop(struct bench_hosts *hosts);
/* weft run --at home with these further arguments. */
void bench_app_start(const struct bench_hosts *hosts, struct bench_app *app,
                     const char *const argv[]);
/* Waits for the first line of its output, which must be this one; then its id is known. */
void bench_app_await(struct bench_app *app, const char *line);
/* Reads what is left of its output, and ends this process if it has failed. */
void bench_app_end(struct bench_app *app);
void bench_app_kill(const struct bench_hosts *hosts, struct bench_app *app);
/* weft COMMAND with these arguments; its exit code. */
int bench_command(const struct bench_hosts *hosts, const char *command, const char *const argv[]);
/* What weft COMMAND --json - prints; the caller's to free. */
json_t *bench_weft(const struct bench_hosts *hosts, const char *command, const char *const argv[]);

#endif
