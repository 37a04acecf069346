/* Folders named weft-<user>-<address>-<port> under TMPDIR: a head that was killed, or restarted,
 * finds its log by its address. One whose log nobody has open, or has written for long, belonged to
 * a cluster that is gone. Rejected: a name by process (the next head would not find it), a folder
 * under the home directory (it is often on NFS, where locks and syncs are slow). */
#include "host/state_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/parse.h"
#include "weft/error.h"

enum { STALE_S = 30 * 24 * 3600 };

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

/* Whether it is a folder of this user whose log nobody uses. */
static bool is_stale(const char *path)
{
    struct stat about;
    char log[512];
    if (lstat(path, &about) != 0 || !S_ISDIR(about.st_mode) || about.st_uid != getuid() ||
        snprintf(log, sizeof(log), "%s/registry.log", path) >= (int)sizeof(log))
        return false;
    int fd = open(log, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)fstat(fd, &about);
    bool stale = about.st_mtime < time(NULL) - STALE_S && (fd < 0 || !flock(fd, LOCK_EX | LOCK_NB));
    if (fd >= 0)
        close(fd);
    return stale;
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
        if (strncmp(entry->d_name, prefix, (size_t)prefix_len) != 0 ||
            snprintf(path, sizeof(path), "%s/%s", tmp_dir(), entry->d_name) >= (int)sizeof(path))
            continue;
        if (is_stale(path))
            weft__state_dir_remove(path);
    }
    closedir(dir);
    weft_fail_clear();
}

static int check_ours(const char *path)
{
    struct stat about;
    if (lstat(path, &about) == 0 && S_ISDIR(about.st_mode) && about.st_uid == getuid())
        return WEFT_OK;
    return weft_fail(WEFT_EACCES,
                     "%s, for the registry's log, belongs to somebody else; name another folder "
                     "(--state-dir, or WEFT_STATE_DIR)",
                     path);
}

int weft__state_dir_open(char *path, size_t len_bytes, const char *address, uint16_t port,
                         bool *ours_out)
{
    bool ours = path[0] == '\0';
    if (ours) {
        remove_stale();
        snprintf(path, len_bytes, "%s/weft-%u-%s-%u", tmp_dir(), (unsigned)getuid(), address, port);
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        int err = -errno;
        return weft_fail(err, "cannot make the folder %s for the registry's log: %s", path,
                         strerror(-err));
    }
    int err = ours ? check_ours(path) : WEFT_OK;
    if (err == WEFT_OK)
        *ours_out = ours;
    return err;
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
