/* LD_LIBRARY_PATH comes before the folders that a program names itself (RUNPATH) and those of the
 * system, but what it already holds is kept behind ours. Older programs have an RPATH, which comes
 * before all: there the name of the library decides, see system_files.c. Rejected: LD_PRELOAD,
 * which a program would have even if it never calls MPI.
 *
 * Functions are bound when an object is loaded. The dynamic linker that binds one at its first call
 * saves the processor's state there, in as many bytes of the stack as the processor needs that the
 * rank has started on; another one, where it is by then, may write more. */
#include "cell/environment.h"

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATHS "LD_LIBRARY_PATH="
#define BINDING "LD_BIND_NOW="
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

static size_t find_name(char *const *list, const char *name)
{
    size_t at = 0;
    while (list[at] && strncmp(list[at], name, strlen(name)) != 0)
        at++;
    return at;
}

static char *paths_new(char *const *from, const char *folder)
{
    const char *before = from[find_name(from, PATHS)];
    const char *had = before ? before + sizeof(PATHS) - 1 : "";
    size_t len = sizeof(PATHS) + strlen(folder) + 1 + strlen(had);
    char *own = malloc(len);
    if (own)
        snprintf(own, len, PATHS "%s%s%s", folder, had[0] ? ":" : "", had);
    return own;
}

char **weft__environment_new(char *const *from, const char *folder, char **own_out)
{
    static char now[] = BINDING "1";
    size_t n = 0;
    while (from[n])
        n++;
    char **list = (char **)calloc(n + 3, sizeof(*list));
    char *own = folder ? paths_new(from, folder) : NULL;
    if (!list || (folder && !own)) {
        free((void *)list);
        free(own);
        return NULL;
    }
    memcpy((void *)list, (const void *)from, n * sizeof(*list));
    list[find_name(list, BINDING)] = now;
    if (own)
        list[find_name(list, PATHS)] = own;
    *own_out = own;
    return list;
}
