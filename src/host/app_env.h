/* The environment of an app's ranks. */
#ifndef WEFT_HOST_APP_ENV_H
#define WEFT_HOST_APP_ENV_H

#include <stdint.h>

#include "base/cpu.h"

struct weft_app_env {
    char **names; /* NULL: this process's own will do */
    char tunables[sizeof("GLIBC_TUNABLES=") + WEFT_CPU_TUNABLES_MAX];
};

/* That of this process, and in it what keeps the C library of a rank from using processor features
 * that other hosts of the app do not have. cpu: those that they all have; 0: not known.
 * Returns what the ranks get, NULL: this process's; valid until fini. */
char *const *weft__app_env_init(struct weft_app_env *env, uint64_t cpu);
void weft__app_env_fini(struct weft_app_env *env);

#endif
