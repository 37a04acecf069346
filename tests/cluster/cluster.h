/* A real cluster for a test: weftd processes on loopback addresses of their own, weft commands as
 * child processes, and calls over the control client.
 *
 * cluster_open and cluster_close are a test's setup and teardown. cluster_close ends everything and
 * fails the test when something is left: a process, a port, a shared-memory file, a folder, a
 * sanitizer's report. Thread: the test's, everywhere.
 */
#ifndef WEFT_TESTS_CLUSTER_CLUSTER_H
#define WEFT_TESTS_CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "child.h"

enum {
    CLUSTER_HOSTS_MAX = 8,
    CLUSTER_CHILDREN_MAX = 1024,
    CLUSTER_RANKS_MAX = 16,
    CLUSTER_MS = 20000 /* for what has to happen soon; generous: machines are loaded */
};

struct cluster_names; /* a sorted list of file names */
struct weft_client;

struct cluster_host {
    char name[16];
    char address[24];
    char url[40]; /* of its sync port */
    unsigned slots;
    struct child *weftd;
    bool killed;  /* kill -9: it could not tidy up */
    int ready_fd; /* it starts: says there that it serves; -1: it does not start */
};

struct cluster {
    char work[96];                /* a folder for this test's files */
    char net[16];                 /* "127.x.y" */
    int (*net_of)(unsigned host); /* the network namespace of a host, by its number; NULL: ours */
    char mark[48];                /* in the environment of everything that is started */
    struct cluster_host hosts[CLUSTER_HOSTS_MAX];
    unsigned hosts_n;
    struct child children[CLUSTER_CHILDREN_MAX];
    unsigned children_n;
    unsigned files_n;
    struct weft_client *client;
    struct cluster_names *shm_before;
    unsigned gone_ms; /* how long cluster_left waits for things to go */
};

/* cmocka's setup and teardown; *state is the cluster. */
int cluster_open(void **state);
int cluster_close(void **state);

/* Prints what every process has said, then fails the test. */
_Noreturn void cluster_fail(struct cluster *cluster, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#define cluster_check(cluster, condition)                                                          \
    ((condition) ? (void)0                                                                         \
                 : cluster_fail(cluster, "%s:%d: not true: %s", __FILE__, __LINE__, #condition))
/* Looks at condition until it is true. Fails after timeout_ms, and when `hope` is false. */
#define cluster_await_while(cluster, timeout_ms, condition, hope)                                  \
    do {                                                                                           \
        struct child_patience patience_ = child_patience((uint64_t)(timeout_ms));                  \
        while (!(condition)) {                                                                     \
            if (!(hope) && !(condition))                                                           \
                cluster_fail(cluster, "%s:%d: will never be: %s", __FILE__, __LINE__, #condition); \
            if (child_patience_over(&patience_))                                                   \
                cluster_fail(cluster, "%s:%d: not within %u ms: %s", __FILE__, __LINE__,           \
                             (unsigned)(timeout_ms), #condition);                                  \
            child_nap();                                                                           \
        }                                                                                          \
    } while (0)
#define cluster_await(cluster, timeout_ms, condition)                                              \
    cluster_await_while(cluster, timeout_ms, condition, true)

/* Starts a weftd and waits until it serves; the first one is the head. */
struct cluster_host *cluster_host(struct cluster *cluster, const char *name, unsigned slots);
/* home, a, b with as many slots each. */
void cluster_three(struct cluster *cluster, unsigned slots);
/* The same host once more, after its end. */
void cluster_host_again(struct cluster *cluster, struct cluster_host *host);
/* The same without waiting; true, later: it serves. */
void cluster_host_begin(struct cluster *cluster, struct cluster_host *host);
bool cluster_host_serves(struct cluster_host *host);
/* SIGTERM; it must end in peace. */
void cluster_host_stop(struct cluster *cluster, struct cluster_host *host);
/* kill -9 */
void cluster_host_kill(struct cluster_host *host);

unsigned cluster_host_fds(const struct cluster_host *host); /* that its weftd has open */

/* Paths. The texts live as long as the cluster, or for ever. */
const char *cluster_bin(const char *program);                          /* weft, weftd */
const char *cluster_program(const char *program);                      /* a program for ranks */
const char *cluster_file(struct cluster *cluster, const char *suffix); /* a new one in work */

/* Starts a program of ours, or with a path, with these arguments, the last one NULL. */
struct child *cluster_start(struct cluster *cluster, const char *program, ...)
    __attribute__((sentinel));
struct child *cluster_start_list(struct cluster *cluster, const char *program,
                                 const char *const *args);
/* Runs weft with these arguments to its end. */
struct child *cluster_weft(struct cluster *cluster, ...) __attribute__((sentinel));

/* An app that weft run has started. */
struct cluster_app {
    struct cluster_host *home;
    struct child *run;
    uint64_t id;
    char hex[24];
};
/* weft run --at home --id-file ... args; returns when the app has been started. */
struct cluster_app cluster_run(struct cluster *cluster, struct cluster_host *home, ...)
    __attribute__((sentinel));

/* left.c: what a test may leave: nothing. */
struct cluster_names *cluster_names_of(const char *folder);
void cluster_names_free(struct cluster_names *names);
/* Prints and counts what is left of the cluster, after waiting for it to go. */
unsigned cluster_left(struct cluster *cluster);
/* Counts processes with our mark; kills them when asked to. */
unsigned cluster_marked(const struct cluster *cluster, bool kill_them);
bool cluster_is_marked(const struct cluster *cluster, uint64_t pid);
/* Ports in state LISTEN on addresses of our net; to: where the first max go, as port numbers of
 * address. */
unsigned cluster_ports(const struct cluster *cluster, const char *address, uint16_t *to,
                       unsigned max);
void cluster_remove(const char *folder);

#endif
