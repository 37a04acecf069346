/* A cluster on loopback: 127.x.y.1, .2, ... with x.y from the process id, so that several runs do
 * not meet; taken ports mean another x.y. Each weftd gets this process's death as SIGTERM's
 * stand-in: the kernel sends it when we die, so nothing is left behind: all are temporary.
 */
#include "cli/cluster.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/config.h"
#include "cli/cli.h"
#include "host/state_dir.h"

#define PATIENCE "WEFT_DEAD_MS"
#define PATIENCE_MS "30000"

enum { READY_MS = 30000, STOP_MS = 8000, TRIES = 3, POLL_US = 10000, REFUSE_LOOKS = 50 };

static _Noreturn void become_weftd(char *const *argv, pid_t parent)
{
    (void)setpgid(0,
                  0); /* an interrupt at the terminal is ours: the app ends first, then the hosts */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent)
        _exit(127);
    execv(argv[0], argv);
    _exit(127);
}

/* Reads the line that weftd writes when it serves. */
static int wait_ready(int fd, char *url, size_t len)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    ssize_t n = poll(&ready, 1, READY_MS) == 1 ? read(fd, url, len - 1) : -1;
    if (n <= 0)
        return WEFT_EIO;
    url[n] = '\0';
    url[strcspn(url, "\n")] = '\0';
    return WEFT_OK;
}

/* Whether a weftd that does not serve has refused what it was told: no other address helps. */
static bool has_refused(pid_t pid)
{
    for (unsigned looks = 0; looks < REFUSE_LOOKS; looks++) {
        siginfo_t end = {.si_pid = 0};
        if (waitid(P_PID, (id_t)pid, &end, WEXITED | WNOHANG | WNOWAIT) != 0)
            return false;
        if (end.si_pid == pid)
            return end.si_code == CLD_EXITED && end.si_status == CLI_USAGE;
        (void)usleep(POLL_US);
    }
    return false;
}

static int start_one(struct cli_cluster *cluster, char *address, uint32_t slots)
{
    char path[4096], name[16], fd_text[16], slots_text[16], url[64];
    int ready[2];
    if (weft__beside_us("weftd", path, sizeof(path)) != WEFT_OK || pipe(ready) != 0)
        return WEFT_EIO;
    if (cluster->n < 26)
        snprintf(name, sizeof(name), "%c", 'a' + (int)cluster->n);
    else
        snprintf(name, sizeof(name), "h%u", cluster->n);
    snprintf(fd_text, sizeof(fd_text), "%d", ready[1]);
    snprintf(slots_text, sizeof(slots_text), "%u", slots);
    char *argv[16] = {path,    "--name",     name,    "--address",
                      address, "--ready-fd", fd_text, "--temporary"};
    size_t n = 8;
    if (slots != UINT32_MAX) {
        argv[n++] = "--slots";
        argv[n++] = slots_text;
    }
    if (cluster->n > 0) {
        argv[n++] = "--head";
        argv[n++] = cluster->head + strlen("tcp://");
    }
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        close(ready[0]);
        become_weftd(argv, self);
    }
    close(ready[1]);
    int err = pid > 0 ? wait_ready(ready[0], url, sizeof(url)) : WEFT_EIO;
    close(ready[0]);
    if (pid > 0)
        cluster->pids[cluster->n++] = pid;
    if (err == WEFT_OK && cluster->n == 1)
        snprintf(cluster->head, sizeof(cluster->head), "%s", url);
    return err != WEFT_OK && pid > 0 && has_refused(pid) ? WEFT_EINVAL : err;
}

/* From first on; all of them at once. */
static void stop_from(struct cli_cluster *cluster, unsigned first)
{
    for (unsigned i = cluster->n; i-- > first;)
        (void)kill(cluster->pids[i], SIGTERM);
    for (unsigned i = first; i < cluster->n; i++) {
        int waited_us = 0;
        while (waitpid(cluster->pids[i], NULL, WNOHANG) == 0) {
            if (waited_us >= STOP_MS * 1000)
                (void)kill(cluster->pids[i], SIGKILL);
            (void)usleep(POLL_US);
            waited_us += POLL_US;
        }
    }
    cluster->n = first < cluster->n ? first : cluster->n;
}

void cli_cluster_stop(struct cli_cluster *cluster)
{
    stop_from(cluster, 1); /* the head last: the others take their leave of it */
    stop_from(cluster, 0);
}

/* One machine that stands still for some seconds has not lost a host: where nobody has said
 * otherwise, hosts are given longer than on a network. */
static int be_patient(void)
{
    if (strcmp(weft__config_source(PATIENCE), "default") != 0)
        return WEFT_OK;
    int err = weft__config_set(PATIENCE, PATIENCE_MS); /* ours, and of those that we start: */
    return err == WEFT_OK && setenv(PATIENCE, PATIENCE_MS, 1) != 0 ? WEFT_ENOMEM : err;
}

int cli_cluster_start(struct cli_cluster *cluster, unsigned n, uint32_t slots)
{
    memset(cluster, 0, sizeof(*cluster));
    int err = be_patient();
    if (err != WEFT_OK)
        return cli_exit_code(err);
    for (unsigned try = 0; try < TRIES && err != WEFT_EINVAL; try++) {
        unsigned seed = (unsigned)getpid() + try * 7919u;
        while (cluster->n < n) {
            char address[48];
            snprintf(address, sizeof(address), "127.%u.%u.%u", 1 + seed % 253, 1 + seed / 253 % 253,
                     cluster->n + 1);
            err = start_one(cluster, address, slots);
            if (err != WEFT_OK)
                break;
        }
        if (cluster->n == n)
            return CLI_OK;
        cli_cluster_stop(cluster);
    }
    fprintf(stderr, "weft run: cannot start %u hosts on this machine; weftd has said why\n", n);
    return err == WEFT_EINVAL ? CLI_USAGE : CLI_NETWORK;
}
