/* Boards, and the small steps that tests of moves are made of. */
#include "stage.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "weft/error.h"

void stage_open(struct stage *stage, struct cluster *cluster)
{
    snprintf(stage->path, sizeof(stage->path), "%s", cluster_file(cluster, "board"));
    int fd = open(stage->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct board)) != 0)
        cluster_fail(cluster, "cannot make %s", stage->path);
    void *at = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        cluster_fail(cluster, "cannot map %s", stage->path);
    stage->board = at;
}

void stage_close(struct stage *stage)
{
    (void)munmap(stage->board, sizeof(*stage->board));
    stage->board = NULL;
}

void stage_runs(struct cluster *cluster, const struct stage *stage, unsigned n, uint64_t more)
{
    uint64_t before[BOARD_RANKS];
    for (unsigned r = 0; r < n; r++)
        before[r] = atomic_load(&stage->board->ranks[r].steps);
    for (unsigned r = 0; r < n; r++)
        cluster_await(cluster, CLUSTER_MS,
                      atomic_load(&stage->board->ranks[r].steps) >= before[r] + more);
}

void stage_finish(struct cluster *cluster, const struct stage *stage, struct cluster_app *app)
{
    atomic_store(&stage->board->hold, 0);
    atomic_store(&stage->board->stop, 1);
    int code = child_wait(app->run, 2 * CLUSTER_MS);
    if (code != 0)
        cluster_fail(cluster, "weft run ends with %d", code);
    cluster_check(cluster, !child_said(app->run, "memory bad"));
}

const char *stage_digest(const struct child *run)
{
    static char text[2][128];
    static unsigned next;
    char *to = text[next++ % 2], *all = child_read(run->out);
    const char *at = strstr(all, "chain steps ");
    snprintf(to, sizeof(text[0]), "%.*s", at != NULL ? (int)strcspn(at, "\n") : 0,
             at != NULL ? at : "");
    free(all);
    return to;
}

void stage_all_free(struct cluster *cluster)
{
    cluster_await(cluster, CLUSTER_MS, ask_all_free(cluster));
}

void stage_move(struct cluster *cluster, struct cluster_app *app, int rank, const char *to)
{
    struct ask_move move = {0};
    int err = ask_migrate(cluster, app, rank, to, &move);
    if (err != WEFT_OK || strcmp(move.outcome, "moved") != 0)
        cluster_fail(cluster, "rank %d does not move to %s: %s, %s (%s)", rank, to,
                     weft_error_name(err), move.outcome, move.reason);
}

struct child *stage_hold_move(struct cluster *cluster, const struct stage *stage,
                              const struct cluster_app *app, int rank, const char *to)
{
    char rank_text[16];
    snprintf(rank_text, sizeof(rank_text), "%d", rank);
    atomic_store(&stage->board->hold, 1);
    struct child *move = cluster_start(cluster, "weft", "migrate", "--at", app->home->address,
                                       app->hex, rank_text, to, NULL);
    cluster_await_while(cluster, CLUSTER_MS, atomic_load(&stage->board->ranks[rank].wanted) != 0,
                        !child_over(move));
    return move;
}

uint64_t stage_parent_of(uint64_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    char *text = child_read(path);
    const char *at = strrchr(text, ')'); /* "PID (NAME) STATE PPID" */
    uint64_t parent = at != NULL && strlen(at) > 4 ? strtoull(at + 4, NULL, 10) : 0;
    free(text);
    return parent;
}

uint64_t stage_process_on(struct cluster *cluster, const struct cluster_host *host)
{
    DIR *proc = opendir("/proc");
    uint64_t found = 0;
    const struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        uint64_t pid = strtoull(entry->d_name, NULL, 10);
        if (pid != 0 && stage_parent_of(pid) == (uint64_t)host->weftd->pid &&
            cluster_is_marked(cluster, pid))
            found = pid;
    }
    if (proc != NULL)
        closedir(proc);
    return found;
}

void stage_signal(struct cluster *cluster, uint64_t pid, int number)
{
    if (pid <= 1 || !cluster_is_marked(cluster, pid))
        cluster_fail(cluster, "process %llu is none of ours", (unsigned long long)pid);
    (void)kill((pid_t)pid, number);
}
