/* Only ranks are told to do with less: the process itself stays where it is. */
#include "host/app_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/must.h"

#define NAME "GLIBC_TUNABLES="

char *const *weft__app_env_init(struct weft_app_env *env, uint64_t cpu)
{
    char text[WEFT_CPU_TUNABLES_MAX];
    size_t n = 0, m = 0;
    env->names = NULL;
    weft__cpu_tunables(weft__cpu_lacks(weft__cpu_here(), cpu), getenv("GLIBC_TUNABLES"), text);
    if (text[0] == '\0')
        return NULL;
    snprintf(env->tunables, sizeof(env->tunables), NAME "%s", text);
    while (environ[n] != NULL)
        n++;
    env->names = weft__must_alloc(n + 2, sizeof(*env->names));
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], NAME, strlen(NAME)) != 0)
            env->names[m++] = environ[i];
    env->names[m] = env->tunables;
    return env->names;
}

void weft__app_env_fini(struct weft_app_env *env)
{
    free(env->names);
}
