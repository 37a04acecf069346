/* What libfabric and the libraries below it are told by the environment, which they read when they
 * are loaded or first used. Set before main, and so before the first thread; what the user has set
 * stays.
 *
 * rxm makes its completion queue (128 + 128) * FI_UNIVERSE_SIZE entries long, 65,536 by default.
 * RDMA in software (soft-RoCE) allows 32,767 and refuses to enable an endpoint, so there the number
 * is made to fit; it bounds the peers that one such device connects to. The sign of a device in
 * software is that no hardware stands above it in sysfs.
 *
 * Machines without RDMA are told apart by sysfs too: to ask libfabric takes some 90 ms of the
 * processor (fi_info -l), 40 of them because it reads the kernel's table of symbols.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "transport/ofi/impl.h"

#define DEVICES "/sys/class/infiniband"
#define SOFTWARE_PEERS "127" /* 256 * 127 is the most below 32,767 */

static bool in_software(const char *device)
{
    char path[320], target[512];
    snprintf(path, sizeof(path), DEVICES "/%s", device);
    ssize_t len = readlink(path, target, sizeof(target) - 1);
    if (len <= 0)
        return false;
    target[len] = '\0';
    return strstr(target, "/virtual/") != NULL;
}

static bool any(bool (*is_meant)(const char *device))
{
    bool found = false;
    DIR *dir = opendir(DEVICES);
    struct dirent *entry;
    while (dir && !found && (entry = readdir(dir)))
        found = entry->d_name[0] != '.' && is_meant(entry->d_name);
    if (dir)
        closedir(dir);
    return found;
}

static bool in_any_way(const char *device)
{
    (void)device;
    return true;
}

bool weft__ofi_lacks_device(const char *provider)
{
    bool needs = strncasecmp(provider, "verbs", 5) == 0 || strcasecmp(provider, "efa") == 0;
    return needs && !any(in_any_way);
}

void weft__ofi_environment(void)
{
    setenv("IPATH_NO_BACKTRACE", "1", 0);
    setenv("HFI_NO_BACKTRACE", "1", 0);
    setenv("FI_MR_CACHE_MONITOR", "disabled", 0);
    if (any(in_software))
        setenv("FI_UNIVERSE_SIZE", SOFTWARE_PEERS, 0);
}
