/* cycles ADDRESS N: starts and stops a host N times in one process, and prints after each cycle how
 * many file descriptors and threads it has, and how much memory. A helper thread reads the line
 * that says "ready" and sends the signal that stops the host. */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "weft/error.h"
#include "weft/host.h"

static int ready[2];

static void *stopper(void *arg)
{
    char line[128];
    (void)arg;
    while (read(ready[0], line, sizeof(line)) > 0)
        (void)kill(getpid(), SIGTERM);
    return NULL;
}

static unsigned entries(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned n = 0;
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

static unsigned long memory_kib(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file != NULL)
        (void)fclose(file);
    return pages * 4;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    sigset_t set;
    if (argc != 3 || weft__config_load() != WEFT_OK || pipe(ready) != 0)
        return 2;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 ||
        pthread_create(&thread, NULL, stopper, NULL) != 0)
        return 2;
    struct weft_host_options options = {.name = "cycles",
                                        .address = argv[1],
                                        .app_program = CLUSTER_BIN "/weft-app",
                                        .slots = 1,
                                        .ready_fd = ready[1]};
    long n = strtol(argv[2], NULL, 10);
    for (long i = 0; i < n; i++) {
        int err = weft_host_run(&options);
        if (err != WEFT_OK) {
            fprintf(stderr, "cycle %ld: %s\n", i, weft_fail_text(err));
            return 1;
        }
        printf("cycle %ld fds %u threads %u memory %lu\n", i, entries("/proc/self/fd"),
               entries("/proc/self/task"), memory_kib());
        fflush(stdout);
    }
    close(ready[1]);
    (void)pthread_join(thread, NULL);
    close(ready[0]);
    return 0;
}
