/* Two namespaces and a veth pair, whose ends are the hosts' only devices beside lo.
 *
 * The rate is limited at both ends by a token bucket whose queue is as long as the link needs for
 * 20 ms: with a longer one TCP would fill it, and a move would wait behind what is queued. */
#include "net.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool shell(const char *command)
{
    fflush(NULL);
    return system(command) == 0; /* constant words and numbers only */
}

static _Noreturn void hold(int ready_fd)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || unshare(CLONE_NEWNET) != 0 ||
        write(ready_fd, "y", 1) != 1)
        _exit(1);
    for (;;)
        (void)pause();
}

static bool start_holder(struct bench_net *net)
{
    int ready[2];
    char yes;
    if (pipe2(ready, 0) != 0)
        return false;
    net->holder = fork();
    if (net->holder == 0)
        hold(ready[1]);
    close(ready[1]);
    bool held = net->holder > 0 && read(ready[0], &yes, 1) == 1;
    close(ready[0]);
    snprintf(net->other, sizeof(net->other), "/proc/%d/ns/net", (int)net->holder);
    return held;
}

static bool join(const struct bench_net *net, const char *rate)
{
    char command[768];
    snprintf(command, sizeof(command),
             "set -e; exec >/dev/null 2>&1; ip link set lo up; "
             "ip link add eth0 type veth peer name eth0 netns %d; "
             "ip addr add " BENCH_NET ".1/24 dev eth0; ip link set eth0 up; "
             "nsenter --net=%s sh -c 'ip link set lo up && ip addr add " BENCH_NET
             ".2/24 dev eth0 && ip link set eth0 up'; "
             "for in in '' 'nsenter --net=%s'; do "
             "$in tc qdisc add dev eth0 root tbf rate %s burst 128kb latency 20ms; done",
             (int)net->holder, net->other, net->other, rate);
    return shell(command);
}

bool bench_net_open(struct bench_net *net, const char *rate, const char **why_out)
{
    memset(net, 0, sizeof(*net));
    if (unshare(CLONE_NEWNET) != 0) {
        *why_out = "no network namespace of our own: needs root (CAP_SYS_ADMIN)";
        return false;
    }
    if (start_holder(net) && join(net, rate))
        return true;
    *why_out = "no limited link: ip, nsenter or tc is missing, or this kernel has no veth or tbf";
    bench_net_close(net);
    return false;
}

void bench_net_close(struct bench_net *net)
{
    if (net->holder > 0) {
        kill(net->holder, SIGKILL);
        waitpid(net->holder, NULL, 0);
    }
    memset(net, 0, sizeof(*net));
}
