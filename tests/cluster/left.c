/* What a test has left on the machine, as the kernel shows it: processes by the mark in their
 * environment, listening ports by their address, files by name.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster.h"

/* ---- names ---- */

struct cluster_names {
    size_t n;
    struct dirent **entries;
};

struct cluster_names *cluster_names_of(const char *folder)
{
    struct cluster_names *names = calloc(1, sizeof(*names));
    if (names == NULL)
        abort();
    int n = scandir(folder, &names->entries, NULL, alphasort);
    names->n = n > 0 ? (size_t)n : 0;
    return names;
}

void cluster_names_free(struct cluster_names *names)
{
    if (names == NULL)
        return;
    for (size_t i = 0; i < names->n; i++)
        free(names->entries[i]);
    free(names->entries);
    free(names);
}

static bool has_name(const struct cluster_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->entries[i]->d_name, name) == 0)
            return true;
    return false;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Names in /dev/shm that were not there before. */
static unsigned shm_left(const struct cluster *cluster, bool print)
{
    struct cluster_names *now = cluster_names_of("/dev/shm");
    unsigned n = 0;
    for (size_t i = 0; i < now->n; i++) {
        if (has_name(cluster->shm_before, now->entries[i]->d_name))
            continue;
        n++;
        if (print)
            fprintf(stderr, "left: /dev/shm/%s\n", now->entries[i]->d_name);
    }
    cluster_names_free(now);
    return n;
}

/* ---- processes ---- */

bool cluster_is_marked(const struct cluster *cluster, uint64_t pid)
{
    char path[64], text[1 << 15];
    snprintf(path, sizeof(path), "/proc/%llu/environ", (unsigned long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = 0, n;
    while ((size_t)len < sizeof(text) && (n = read(fd, text + len, sizeof(text) - (size_t)len)) > 0)
        len += n;
    close(fd);
    return len > 0 && memmem(text, (size_t)len, cluster->mark, strlen(cluster->mark)) != NULL;
}

static void print_process(uint64_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%llu/cmdline", (unsigned long long)pid);
    char *text = child_read(path);
    fprintf(stderr, "left: process %llu, %s\n", (unsigned long long)pid, text);
    free(text);
}

unsigned cluster_marked(const struct cluster *cluster, bool kill_them)
{
    DIR *proc = opendir("/proc");
    unsigned n = 0;
    const struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        uint64_t pid = strtoull(entry->d_name, NULL, 10);
        if (pid == 0 || pid == (uint64_t)getpid() || !cluster_is_marked(cluster, pid))
            continue;
        n++;
        if (kill_them) {
            print_process(pid);
            (void)kill((pid_t)pid, SIGKILL);
        }
    }
    if (proc != NULL)
        closedir(proc);
    return n;
}

/* ---- ports ---- */

/* The address of /proc/net/tcp: the bytes of the network order, as one number of this machine. */
static bool on_our_net(const struct cluster *cluster, const char *address, unsigned number)
{
    char text[24], net[24];
    snprintf(text, sizeof(text), "%u.%u.%u.%u", number & 255, number >> 8 & 255, number >> 16 & 255,
             number >> 24);
    if (address != NULL)
        return strcmp(text, address) == 0;
    snprintf(net, sizeof(net), "%s.", cluster->net);
    return strncmp(text, net, strlen(net)) == 0;
}

unsigned cluster_ports(const struct cluster *cluster, const char *address, uint16_t *to,
                       unsigned max)
{
    char line[512];
    unsigned n = 0;
    FILE *file = fopen("/proc/net/tcp", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *at = strchr(line, ':');
        unsigned long host = at != NULL ? strtoul(at + 1, &at, 16) : 0;
        unsigned long port = at != NULL && *at == ':' ? strtoul(at + 1, &at, 16) : 0;
        char *rest = at != NULL ? strchr(at, ':') : NULL;
        unsigned long state = rest != NULL ? strtoul(rest + 5, NULL, 16) : 0;
        if (state != 10 || !on_our_net(cluster, address, (unsigned)host))
            continue;
        if (to != NULL && n < max)
            to[n] = (uint16_t)port;
        n++;
    }
    if (file != NULL)
        (void)fclose(file);
    return n;
}

/* ---- files ---- */

/* Where somebody was killed the head leaves its log: for its next start, or as it takes the dead
 * for alive. */
static bool of_a_head(const struct cluster *cluster, const char *name)
{
    bool killed = false;
    char wanted[64];
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        killed |= cluster->hosts[i].killed;
    snprintf(wanted, sizeof(wanted), "weft-%u-%s-8100", (unsigned)getuid(),
             cluster->hosts[0].address);
    return killed && strcmp(name, wanted) == 0;
}

static unsigned files_left(const struct cluster *cluster)
{
    char folder[160];
    unsigned n = 0;
    snprintf(folder, sizeof(folder), "%s/tmp", cluster->work);
    struct cluster_names *names = cluster_names_of(folder);
    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->entries[i]->d_name;
        if (is_dots(name) || of_a_head(cluster, name))
            continue;
        fprintf(stderr, "left: file %s/%s\n", folder, name);
        n++;
    }
    cluster_names_free(names);
    return n;
}

static unsigned reports(const struct cluster *cluster)
{
    char folder[160], path[512];
    unsigned n = 0;
    snprintf(folder, sizeof(folder), "%s/san", cluster->work);
    struct cluster_names *names = cluster_names_of(folder);
    for (size_t i = 0; i < names->n; i++) {
        if (is_dots(names->entries[i]->d_name))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, names->entries[i]->d_name);
        char *text = child_read(path);
        fprintf(stderr, "a sanitizer reports:\n%.12000s\n", text);
        free(text);
        n++;
    }
    cluster_names_free(names);
    return n;
}

static unsigned reports_in_output(const struct cluster *cluster)
{
    static const char *const words[] = {"ERROR: AddressSanitizer", "LeakSanitizer",
                                        "runtime error:", "WARNING: ThreadSanitizer"};
    unsigned n = 0;
    for (unsigned i = 0; i < cluster->children_n; i++)
        for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++)
            if (child_said(&cluster->children[i], words[w])) {
                fprintf(stderr, "process %d has said \"%s\"\n", (int)cluster->children[i].pid,
                        words[w]);
                n++;
            }
    return n;
}

unsigned cluster_left(struct cluster *cluster)
{
    struct child_patience patience = child_patience(cluster->gone_ms);
    while ((cluster_marked(cluster, false) > 0 || cluster_ports(cluster, NULL, NULL, 0) > 0 ||
            shm_left(cluster, false) > 0) &&
           !child_patience_over(&patience))
        child_nap();
    unsigned ports = cluster_ports(cluster, NULL, NULL, 0);
    if (ports > 0)
        fprintf(stderr, "left: %u ports on %s.*\n", ports, cluster->net);
    unsigned n = ports + cluster_marked(cluster, true) + shm_left(cluster, true);
    return n + files_left(cluster) + reports(cluster) + reports_in_output(cluster);
}

void cluster_remove(const char *folder)
{
    struct cluster_names *names = cluster_names_of(folder);
    for (size_t i = 0; i < names->n; i++) {
        char path[512];
        struct stat about;
        if (is_dots(names->entries[i]->d_name))
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, names->entries[i]->d_name);
        if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode))
            cluster_remove(path);
        else
            (void)unlink(path);
    }
    cluster_names_free(names);
    (void)rmdir(folder);
}
