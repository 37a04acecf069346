/* A descriptor is the same one as before when its number and what it points to are the same: the
 * number alone is given again at once, and the names of memory files and event descriptors are all
 * alike. Names are read only for a reader: what is compared is how many there are, since a
 * connection that was made anew is no leak.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"
#include "opened.h"

enum { TCP_MAX = 4096 };

void opened_of(struct opened *opened, const char *who, uint64_t pid)
{
    char path[64];
    memset(opened, 0, sizeof(*opened));
    opened->pid = pid;
    opened->who = who;
    snprintf(path, sizeof(path), "/proc/%llu/fd", (unsigned long long)pid);
    DIR *folder = opendir(path);
    const struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        struct opened_fd *fd = &opened->fds[opened->n];
        if (entry->d_name[0] == '.' || opened->n++ >= OPENED_MAX)
            continue;
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, fd->name, sizeof(fd->name) - 1);
        fd->number = atoi(entry->d_name);
        fd->name[len > 0 ? len : 0] = '\0';
    }
    if (folder != NULL)
        closedir(folder);
}

bool opened_is_more(const struct opened *now, const struct opened *before)
{
    return now->n > before->n;
}

static unsigned named(const struct opened *opened)
{
    return opened->n < OPENED_MAX ? opened->n : OPENED_MAX;
}

static bool has(const struct opened *opened, const struct opened_fd *fd)
{
    for (unsigned i = 0; i < named(opened); i++)
        if (opened->fds[i].number == fd->number && strcmp(opened->fds[i].name, fd->name) == 0)
            return true;
    return false;
}

/* ---- sockets ---- */

/* A line of /proc/PID/net/tcp; addresses as there: "HOST:PORT", hexadecimal, the host's bytes in
 * the network's order as one number. */
struct tcp {
    char local[24], remote[24];
    unsigned state;
    unsigned long inode;
};

struct tcp_list {
    unsigned n;
    struct tcp at[TCP_MAX];
};

/* " 0: LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS USER TIMEOUT INODE" */
static void tcp_list_of(struct tcp_list *list, uint64_t pid)
{
    char path[64], line[512];
    list->n = 0;
    snprintf(path, sizeof(path), "/proc/%llu/net/tcp", (unsigned long long)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && list->n < TCP_MAX && fgets(line, sizeof(line), file) != NULL) {
        struct tcp *tcp = &list->at[list->n];
        if (sscanf(line, " %*u: %23s %23s %x %*s %*s %*s %*u %*u %lu", tcp->local, tcp->remote,
                   &tcp->state, &tcp->inode) == 4)
            list->n++;
    }
    if (file != NULL)
        (void)fclose(file);
}

static const struct tcp *tcp_named(const struct tcp_list *list, const char *name)
{
    unsigned long inode = 0;
    if (sscanf(name, "socket:[%lu]", &inode) != 1)
        return NULL;
    for (unsigned i = 0; i < list->n; i++)
        if (list->at[i].inode == inode)
            return &list->at[i];
    return NULL;
}

/* The name of the socket at the other end; false: it is not on this machine, or closed. */
static bool other_end(const struct tcp_list *list, const struct tcp *tcp,
                      char name_out[OPENED_NAME_MAX])
{
    for (unsigned i = 0; i < list->n; i++) {
        const struct tcp *other = &list->at[i];
        if (other->inode == 0 || strcmp(other->local, tcp->remote) != 0 ||
            strcmp(other->remote, tcp->local) != 0)
            continue;
        snprintf(name_out, OPENED_NAME_MAX, "socket:[%lu]", other->inode);
        return true;
    }
    return false;
}

static bool has_name(const struct opened *opened, const char *name)
{
    for (unsigned i = 0; i < named(opened); i++)
        if (strcmp(opened->fds[i].name, name) == 0)
            return true;
    return false;
}

bool opened_connects(uint64_t pid, const char *address, uint16_t port)
{
    static struct opened opened;
    static struct tcp_list list;
    unsigned char host[4];
    char wanted[24], name[OPENED_NAME_MAX];
    if (sscanf(address, "%hhu.%hhu.%hhu.%hhu", &host[0], &host[1], &host[2], &host[3]) != 4)
        return false;
    snprintf(wanted, sizeof(wanted), "%02X%02X%02X%02X:%04X", host[3], host[2], host[1], host[0],
             port);
    opened_of(&opened, NULL, pid);
    tcp_list_of(&list, pid);
    for (unsigned i = 0; i < named(&opened); i++) {
        const struct tcp *tcp = tcp_named(&list, opened.fds[i].name);
        if (tcp != NULL && strcmp(tcp->remote, wanted) == 0 && other_end(&list, tcp, name))
            return true;
    }
    return false;
}

/* The process that has this open; 0: none. */
static uint64_t holder_of(const char *name)
{
    static struct opened opened;
    uint64_t found = 0;
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    while (proc != NULL && found == 0 && (entry = readdir(proc)) != NULL) {
        uint64_t pid = strtoull(entry->d_name, NULL, 10);
        if (pid != 0)
            opened_of(&opened, NULL, pid);
        if (pid != 0 && has_name(&opened, name))
            found = pid;
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}

static void print_address(const char *text)
{
    char *rest;
    unsigned long host = strtoul(text, &rest, 16);
    unsigned long port = *rest == ':' ? strtoul(rest + 1, NULL, 16) : 0;
    fprintf(stderr, " %lu.%lu.%lu.%lu:%lu", host & 255, host >> 8 & 255, host >> 16 & 255,
            host >> 24 & 255, port);
}

static void print_socket(uint64_t pid, const char *name)
{
    static const char *const states[] = {"?",          "established", "syn-sent",  "syn-received",
                                         "fin-wait1",  "fin-wait2",   "time-wait", "closed",
                                         "close-wait", "last-ack",    "listens",   "closing"};
    static struct tcp_list list;
    char socket[OPENED_NAME_MAX], path[64];
    tcp_list_of(&list, pid);
    const struct tcp *tcp = tcp_named(&list, name);
    if (tcp == NULL)
        return;
    print_address(tcp->local);
    print_address(tcp->remote);
    fprintf(stderr, " %s",
            tcp->state < sizeof(states) / sizeof(states[0]) ? states[tcp->state] : "?");
    if (!other_end(&list, tcp, socket))
        return;
    uint64_t holder = holder_of(socket);
    snprintf(path, sizeof(path), "/proc/%llu/cmdline", (unsigned long long)holder);
    char *command = child_read(path);
    fprintf(stderr, ", with process %llu, %s", (unsigned long long)holder, command);
    free(command);
}

void opened_print(const struct opened *now, const struct opened *before)
{
    fprintf(stderr, "open in %s, process %llu: %u, and %u before%s\n", now->who,
            (unsigned long long)now->pid, now->n, before->n,
            now->pid != before->pid ? " in another process" : "");
    for (unsigned i = 0; i < named(now); i++) {
        if (has(before, &now->fds[i]))
            continue;
        fprintf(stderr, "  new: %d %s", now->fds[i].number, now->fds[i].name);
        print_socket(now->pid, now->fds[i].name);
        fprintf(stderr, "\n");
    }
    for (unsigned i = 0; i < named(before); i++)
        if (!has(now, &before->fds[i]))
            fprintf(stderr, "  gone: %d %s\n", before->fds[i].number, before->fds[i].name);
}
