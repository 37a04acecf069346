/* A holder, a process that sleeps, keeps the namespace of each host: so a host that was killed
 * finds its address again. Its end of the veth pair is called eth0 and has the host's address.
 */
#include "lab.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NET "10.77.0"

enum { NETS_MAX = 3 };
static const char *const nets[NETS_MAX] = {NET, "10.78.0", "10.79.0"};

struct room {
    pid_t holder; /* 0: not made yet */
    int net_fd;
};

static struct room rooms[CLUSTER_HOSTS_MAX];
static unsigned nets_n = 1;

/* The exit code of a command of the shell, in the namespace of net_fd (-1: ours). */
static int run(int net_fd, const char *command)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (net_fd >= 0 && setns(net_fd, CLONE_NEWNET) != 0)
            _exit(126);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

bool lab_enter(void)
{
    if (unshare(CLONE_NEWNET) != 0) {
        printf("skipped: no network namespace of our own: needs root (CAP_SYS_ADMIN)\n");
        return false;
    }
    if (run(-1, "command -v nft >/dev/null && nft add table inet probe && nft delete table inet "
                "probe") != 0) {
        printf("skipped: nft is not there, or this kernel has no nf_tables\n");
        return false;
    }
    int code = run(-1, "ip link set lo up");
    for (unsigned net = 0; net < NETS_MAX && code == 0; net++) {
        char command[256];
        snprintf(command, sizeof(command),
                 "ip link add lab%u type bridge forward_delay 0 && "
                 "ip addr add %s.254/24 dev lab%u && ip link set lab%u up",
                 net, nets[net], net, net);
        code = run(-1, command);
    }
    if (code != 0)
        printf("skipped: no bridge can be made here\n");
    return code == 0;
}

static _Noreturn void hold(int ready_fd)
{
    char yes = 1;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || unshare(CLONE_NEWNET) != 0 ||
        write(ready_fd, &yes, 1) != 1)
        _exit(1);
    for (int i = 0; i < 256; i++)
        (void)close(i);
    for (;;)
        (void)pause();
}

/* One end of a pair to the bridge of a net, the other one, ethN, to the host. */
static int plug_in(const struct room *room, unsigned host, unsigned net)
{
    char command[512];
    snprintf(command, sizeof(command),
             "ip link add v%u-%u type veth peer name eth%u netns %d && "
             "ip link set v%u-%u master lab%u up",
             host, net, net, (int)room->holder, host, net, net);
    if (run(-1, command) != 0)
        return -1;
    snprintf(command, sizeof(command),
             "ip link set lo up && ip addr add %s.%u/24 dev eth%u && ip link set eth%u up",
             nets[net], host + 1, net, net);
    return run(room->net_fd, command);
}

static int make_room(struct room *room, unsigned host)
{
    char path[64], yes;
    int ready[2];
    if (pipe2(ready, O_CLOEXEC) != 0)
        return -1;
    room->holder = fork();
    if (room->holder == 0)
        hold(ready[1]);
    close(ready[1]);
    bool held = room->holder > 0 && read(ready[0], &yes, 1) == 1;
    close(ready[0]);
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)room->holder);
    room->net_fd = held ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    int rc = room->net_fd < 0 ? -1 : 0;
    for (unsigned net = 0; net < nets_n && rc == 0; net++)
        rc = plug_in(room, host, net);
    return rc;
}

static int net_of(unsigned host)
{
    struct room *room = &rooms[host];
    if (room->holder == 0 && make_room(room, host) != 0)
        fail_msg("no namespace for host %u", host);
    return room->net_fd;
}

int lab_open(void **state)
{
    int rc = cluster_open(state);
    if (rc == 0) {
        struct cluster *cluster = *state;
        snprintf(cluster->net, sizeof(cluster->net), NET);
        cluster->net_of = net_of;
        (void)setenv("WEFT_SECURITY", "none", 1); /* nobody else is on this net */
    }
    return rc;
}

int lab_open_with_nets(void **state, unsigned n)
{
    nets_n = n;
    return lab_open(state);
}

int lab_open_with_data_net(void **state)
{
    return lab_open_with_nets(state, 2);
}

/* What listens in the namespaces when all hosts are gone. */
static unsigned ports_left(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CLUSTER_HOSTS_MAX; i++)
        if (rooms[i].holder > 0 && run(rooms[i].net_fd, "ss -Hltn | grep . >&2") == 0)
            n++;
    return n;
}

/* Whether somebody is left in the namespace, which lives on with him. */
static bool leave_room(const struct room *room)
{
    struct stat own, other;
    char path[64];
    bool left = false;
    (void)kill(room->holder, SIGKILL);
    (void)waitpid(room->holder, NULL, 0);
    DIR *proc = fstat(room->net_fd, &own) == 0 ? opendir("/proc") : NULL;
    const struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
            continue;
        snprintf(path, sizeof(path), "/proc/%.20s/ns/net", entry->d_name);
        if (stat(path, &other) != 0 || other.st_ino != own.st_ino || other.st_dev != own.st_dev)
            continue;
        fprintf(stderr, "left: a namespace, with process %s\n", entry->d_name);
        left = true;
    }
    if (proc != NULL)
        closedir(proc);
    close(room->net_fd);
    return left;
}

int lab_close(void **state)
{
    int rc = cluster_close(state);
    if (ports_left() > 0) {
        fprintf(stderr, "left: ports in the namespaces of hosts\n");
        rc = -1;
    }
    for (unsigned i = 0; i < CLUSTER_HOSTS_MAX; i++)
        if (rooms[i].holder > 0 && leave_room(&rooms[i]))
            rc = -1;
    memset(rooms, 0, sizeof(rooms));
    nets_n = 1;
    /* The pairs go with the namespaces, but not at once. */
    (void)run(-1, "for v in $(ip -br link show type veth | sed 's/[@ ].*//'); do ip link del $v; "
                  "done 2>/dev/null");
    return rc;
}

void lab_in(const struct cluster *cluster, const struct cluster_host *host, const char *command)
{
    int code = run(rooms[host - cluster->hosts].net_fd, command);
    if (code != 0)
        fail_msg("in the namespace of host %s: %s: exit code %d", host->name, command, code);
}

void lab_drop(const struct cluster *cluster, const struct cluster_host *host, const char *hook,
              const char *match)
{
    char command[512];
    snprintf(command, sizeof(command),
             "nft 'add table inet lab; add chain inet lab %s { type filter hook %s priority 0; }; "
             "add rule inet lab %s %s drop'",
             hook, hook, hook, match);
    lab_in(cluster, host, command);
}

void lab_heal(const struct cluster *cluster, const struct cluster_host *host)
{
    lab_in(cluster, host, "nft delete table inet lab");
}
