/* posix_spawn(3) with a fixed attitude.
 *
 * posix_spawn and not fork: a daemon with threads must not run its own code between fork and exec.
 * Its own process group, so that a signal at the terminal is the parent's to pass on, and so that
 * all that the program starts can be ended with it.
 */
#include "host/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>

#include "weft/error.h"

static void describe_fds(posix_spawn_file_actions_t *actions, const struct weft_spawn *spawn)
{
    for (size_t i = 0; i < spawn->fds_n; i++)
        if (spawn->fds[i] >= 0)
            posix_spawn_file_actions_adddup2(actions, spawn->fds[i], (int)i);
        else
            posix_spawn_file_actions_addopen(actions, (int)i, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(actions, (int)spawn->fds_n);
}

int weft__spawn(const struct weft_spawn *spawn, pid_t *pid_out)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none, all;
    pid_t pid;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    describe_fds(&actions, spawn);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                        POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setpgroup(&attr, 0);
    int rc = posix_spawn(&pid, spawn->argv[0], &actions, &attr, spawn->argv, spawn->env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0)
        return weft_fail(-rc, "cannot start %s: %s", spawn->argv[0], strerror(rc));
    *pid_out = pid;
    return WEFT_OK;
}
