/* What the parts of bench-data share: placement, names, goals. */
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "data.h"

#define WEIGHT "-20"

enum { TURNS = 3000, TURN_US = 100000 };

static cpu_set_t usable; /* as it was before anybody was pinned */

void data_pin(unsigned side)
{
    if (CPU_COUNT(&usable) == 0 && sched_getaffinity(0, sizeof(usable), &usable) != 0)
        return;
    cpu_set_t one;
    unsigned wanted = side % (unsigned)CPU_COUNT(&usable);
    CPU_ZERO(&one);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &usable) && wanted-- == 0)
            CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof(one), &one);
}

void data_unpin(void)
{
    if (CPU_COUNT(&usable))
        sched_setaffinity(0, sizeof(usable), &usable);
}

/* Two comparisons that both went first would meet each other: one waits for the end of the other,
 * whose name nobody else can have for so long. It ends with the process and its children. */
static void take_turn(void)
{
    static const char name[] = "weft-bench";
    struct sockaddr_un turn = {.sun_family = AF_UNIX}; /* an abstract one: no file */
    memcpy(turn.sun_path + 1, name, sizeof(name) - 1);
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (unsigned i = 0; fd >= 0 && i < TURNS; i++) {
        if (bind(fd, (struct sockaddr *)&turn, len) == 0)
            return; /* the socket stays open */
        if (i == 0)
            fprintf(stderr, "bench: waits for another comparison to end\n");
        usleep(TURN_US);
    }
    fprintf(stderr, "bench: another comparison still runs beside this one\n");
    if (fd >= 0)
        close(fd);
}

/* Linux weighs sessions against each other (autogroups), and processes within a session. */
bool data_go_first(void)
{
    const char *weight = getenv("BENCH_WEIGHT");
    if (weight && strcmp(weight, "0") == 0)
        return false;
    setsid();
    setenv("BENCH_WEIGHT", WEIGHT, 1);
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    bool first = fd < 0 || write(fd, WEIGHT, strlen(WEIGHT)) == (ssize_t)strlen(WEIGHT);
    if (fd >= 0)
        close(fd);
    first = setpriority(PRIO_PROCESS, 0, atoi(WEIGHT)) == 0 && first;
    if (first)
        take_turn();
    return first;
}

void data_rest(bool first, uint64_t since_ns)
{
    if (first)
        usleep((useconds_t)((weft__now_ns() - since_ns) / WEFT_NS_PER_US / 4));
}

void data_label(struct bench_series *series, const struct data_label *label)
{
    snprintf(series->id, sizeof(series->id), "%s", label->id);
    snprintf(series->what, sizeof(series->what), "%s", label->what);
    snprintf(series->subject, sizeof(series->subject), "%s", label->subject);
    snprintf(series->unit, sizeof(series->unit), "%s", label->unit);
    snprintf(series->config, sizeof(series->config), "%s", label->config);
}

void data_ratio_goal(const struct bench *bench, struct bench_goal goal,
                     const struct bench_series *weft, const struct bench_series *peer)
{
    char reason[160];
    goal.unit = "ratio";
    goal.unknown = weft->n == 0 || peer->n == 0;
    if (goal.unknown) {
        const struct bench_series *missing = weft->n == 0 ? weft : peer;
        snprintf(reason, sizeof(reason), "%s has no figures in this run", missing->id);
        goal.reason = reason;
    } else {
        goal.measured = bench_ratio(weft, peer);
        goal.from[0] = weft->id;
        goal.from[1] = peer->id;
    }
    bench_print_goal(bench, &goal);
}

const struct bench_series *data_better(const struct bench_series *a, const struct bench_series *b)
{
    struct bench_series first = *a, second = *b; /* medians sort */
    return bench_median(&first) > bench_median(&second) ? a : b;
}
