/* LD_LIBRARY_PATH comes before the folders that a program names itself (RUNPATH) and those of the
 * system, but what it already holds is kept behind ours. Older programs have an RPATH, which comes
 * before all: there the name of the library decides, see system_files.c. Rejected: LD_PRELOAD,
 * which a program would have even if it never calls MPI. */
#include "cell/environment.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "LD_LIBRARY_PATH="
#define LIBRARY "libmpi_abi.so.1"

static char found[PATH_MAX];

static void find(void)
{
    static const char *const folders[] = {"../lib/weft/cell", "../" WEFT_LIBDIR "/weft/cell"};
    char here[PATH_MAX], path[2 * PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", here, sizeof(here) - 1);
    here[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(here, '/');
    if (!slash)
        return;
    *slash = '\0';
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && !found[0]; i++) {
        snprintf(path, sizeof(path), "%s/%s", here, folders[i]);
        if (!realpath(path, found) || strlen(found) + sizeof(LIBRARY) + 1 > sizeof(found)) {
            found[0] = '\0';
            continue;
        }
        snprintf(path, sizeof(path), "%s/" LIBRARY, found);
        if (access(path, R_OK) != 0)
            found[0] = '\0';
    }
}

const char *weft__environment_libraries(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return found[0] ? found : NULL;
}

char **weft__environment_new(char *const *from, const char *folder, char **own_out)
{
    size_t n = 0, at = 0;
    while (from[n])
        n++;
    for (at = 0; at < n && strncmp(from[at], NAME, sizeof(NAME) - 1) != 0;)
        at++;
    const char *had = at < n ? from[at] + sizeof(NAME) - 1 : "";
    size_t len = sizeof(NAME) + strlen(folder) + 1 + strlen(had);
    char **list = (char **)calloc(n + 2, sizeof(*list));
    char *own = malloc(len);
    if (!list || !own) {
        free((void *)list);
        free(own);
        return NULL;
    }
    snprintf(own, len, NAME "%s%s%s", folder, had[0] ? ":" : "", had);
    memcpy((void *)list, (const void *)from, n * sizeof(*list));
    list[at] = own;
    *own_out = own;
    return list;
}
