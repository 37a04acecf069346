/* Folders named weft-<user>-<process> under TMPDIR: one whose process is gone belongs to nobody and
 * is removed by the next head. */
#include "host/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "weft/error.h"

static const char *tmp_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir != NULL && dir[0] == '/' ? dir : "/tmp";
}

void weft__state_dir_remove(const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL)
        return;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    (void)rmdir(path);
}

static void remove_stale(void)
{
    char prefix[48], path[512];
    int prefix_len = snprintf(prefix, sizeof(prefix), "weft-%u-", (unsigned)getuid());
    DIR *dir = opendir(tmp_dir());
    if (dir == NULL)
        return;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        uint64_t pid;
        struct stat about;
        if (strncmp(entry->d_name, prefix, (size_t)prefix_len) != 0 ||
            weft__parse_u64(entry->d_name + prefix_len, 1, INT32_MAX, &pid) != WEFT_OK)
            continue;
        snprintf(path, sizeof(path), "%s/%s", tmp_dir(), entry->d_name);
        if (kill((pid_t)pid, 0) != 0 && errno == ESRCH && lstat(path, &about) == 0 &&
            S_ISDIR(about.st_mode) && about.st_uid == getuid())
            weft__state_dir_remove(path);
    }
    closedir(dir);
    weft_fail_clear();
}

int weft__state_dir_open(char *path, size_t len_bytes, bool *ours_out)
{
    bool ours = path[0] == '\0';
    if (ours) {
        remove_stale();
        snprintf(path, len_bytes, "%s/weft-%u-%d", tmp_dir(), (unsigned)getuid(), (int)getpid());
    }
    if (mkdir(path, 0700) != 0 && (errno != EEXIST || ours)) {
        int err = -errno;
        return weft_fail(err, "cannot make the folder %s for the registry's log: %s", path,
                         strerror(-err));
    }
    *ours_out = ours;
    return WEFT_OK;
}

int weft__beside_us(const char *program, char *path_out, size_t len_bytes)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n < 0)
        return weft_fail(-errno, "cannot read the path of the running program");
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    int wanted = slash != NULL
                     ? snprintf(path_out, len_bytes, "%.*s/%s", (int)(slash - path), path, program)
                     : -1;
    if (wanted < 0 || (size_t)wanted >= len_bytes)
        return weft_fail(WEFT_ERANGE, "the path of %s is too long", program);
    return WEFT_OK;
}

int weft__host_url(const char *text, uint16_t default_port, char *url_out, size_t len_bytes)
{
    int n;
    if (text[0] == '\0' || strpbrk(text, " \t/") == text)
        return weft_fail(WEFT_EINVAL, "\"%s\" is no address of a host", text);
    if (strncmp(text, "tcp://", 6) == 0)
        n = snprintf(url_out, len_bytes, "%s", text);
    else if (strchr(text, ':') != NULL)
        n = snprintf(url_out, len_bytes, "tcp://%s", text);
    else
        n = snprintf(url_out, len_bytes, "tcp://%s:%u", text, default_port);
    const char *colon = n > 0 && (size_t)n < len_bytes ? strrchr(url_out, ':') : NULL;
    uint64_t port;
    if (colon == NULL || weft__parse_u64(colon + 1, 1, 65535, &port) != WEFT_OK)
        return weft_fail(WEFT_EINVAL,
                         "\"%s\" is no address of a host; write 192.0.2.1 or 192.0.2.1:8100", text);
    return WEFT_OK;
}
