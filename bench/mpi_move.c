/* What it costs to move a rank of an ordinary program, in its cell: how long it stands still while
 * all of it is copied, beside a read of as many bytes by plain libfabric, which polls; and how long
 * another one stands that is copied while it runs. Both write one page in a hundred each second. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "data.h"
#include "hosts.h"
#include "mover.h"
#include "mpi.h"
#include "program.h"
#include "raw_rma.h"
#include "weft/error.h"

static const unsigned mebibytes[] = {64, 1024};
enum { SIZES = sizeof(mebibytes) / sizeof(mebibytes[0]), QUICK_MIB = 1 };
#define FREE_MS 2.0 /* of a pause */

struct subject {
    struct bench_mover mover, copied; /* all when it stands; most before */
    struct bench_series raw;
    struct raw_rma_memory memory;
    struct raw_rma *reader;
    pid_t source;
    int fd;
};

static void label(struct bench_series *series, const char *kind, const char *subject, unsigned mib)
{
    char id[72], what[96];
    snprintf(id, sizeof(id), "mpi.move_%s.%uMiB.%s", kind, mib, subject);
    snprintf(what, sizeof(what), "%u MiB, %s", mib, kind);
    data_label(series, &(struct data_label){.id = id,
                                            .what = what,
                                            .subject = subject,
                                            .unit = "ms",
                                            .config = "libfabric net on loopback, polling"});
}

static void start(const struct bench_hosts *hosts, struct subject *subject, unsigned mib)
{
    char program[4096];
    size_t len = (size_t)mib << 20;
    bench_mover_start(hosts, &subject->mover, bench_path("lib/bench/hold-weft", program), mib,
                      false);
    bench_mover_start(hosts, &subject->copied, program, mib, true);
    label(&subject->copied.pause, "pause_precopy", "weft", mib);
    label(&subject->copied.whole, "whole_precopy", "weft", mib);
    label(&subject->mover.pause, "pause", "weft", mib);
    label(&subject->mover.whole, "whole", "weft", mib);
    label(&subject->raw, "read", "raw", mib);
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        bench_die("memory for a read", WEFT_ENOMEM);
    for (size_t i = 0; i < len; i += 4096)
        ((char *)base)[i] = 1;
    subject->memory = (struct raw_rma_memory){"net", base, len};
    subject->source = bench_fork(raw_rma_source, &subject->memory, &subject->fd);
    subject->reader = raw_rma_open("net", subject->fd);
}

static void stop(const struct bench_hosts *hosts, struct subject *subject)
{
    bench_app_kill(hosts, &subject->mover.app);
    bench_app_kill(hosts, &subject->copied.app);
    raw_rma_close(subject->reader);
    (void)bench_join(subject->source, subject->fd);
    munmap(subject->memory.base, subject->memory.len_bytes);
}

/* The worse of the sizes; the values are not sorted yet. */
static void print_precopy(const struct bench *bench, const struct subject subjects[], size_t n)
{
    struct bench_goal goal = {.id = "mpi.move_pause_precopy",
                              .wanted = 0.1,
                              .unit = "ratio",
                              .reason = "the pause of a move that copies before, less 2 ms, beside "
                                        "the pause of one that does not"};
    for (size_t i = 0; i < n; i++) {
        struct bench_series more = subjects[i].copied.pause;
        for (unsigned k = 0; k < more.n; k++)
            more.values[k] -= FREE_MS;
        double ratio = bench_ratio(&more, &subjects[i].mover.pause);
        if (goal.from[0] && ratio <= goal.measured)
            continue;
        goal.measured = ratio;
        goal.from[0] = subjects[i].copied.pause.id;
        goal.from[1] = subjects[i].mover.pause.id;
    }
    bench_print_goal(bench, &goal);
}

/* The worse of the sizes. */
static void print_total(const struct bench *bench, const struct subject subjects[], size_t n)
{
    struct bench_goal goal = {.id = "mpi.move_total",
                              .wanted = 1.3,
                              .unit = "ratio",
                              .reason = "the pause of a move that copies all, beside a read of as "
                                        "many bytes"};
    for (size_t i = 0; i < n; i++) {
        double ratio = bench_ratio(&subjects[i].mover.pause, &subjects[i].raw);
        if (goal.from[0] && ratio <= goal.measured)
            continue;
        goal.measured = ratio;
        goal.from[0] = subjects[i].mover.pause.id;
        goal.from[1] = subjects[i].raw.id;
    }
    bench_print_goal(bench, &goal);
}

int mpi_move(const struct bench *bench)
{
    static struct subject subjects[SIZES];
    size_t n = bench->quick ? 1 : SIZES;
    struct bench_hosts hosts;
    bench_hosts_start(&hosts, "4");
    for (size_t i = 0; i < n; i++)
        start(&hosts, &subjects[i], bench->quick ? QUICK_MIB : mebibytes[i]);
    unsigned warm_up = bench->quick ? 0 : BENCH_HOSTS; /* starts the app's processes there */
    for (unsigned round = 0; round < warm_up + bench->rounds; round++)
        for (size_t i = 0; i < n; i++) {
            bench_mover_move(&hosts, &subjects[i].mover, round >= warm_up);
            bench_mover_move(&hosts, &subjects[i].copied, round >= warm_up);
            uint64_t read_ns = raw_rma_read(subjects[i].reader, RAW_RMA_STRAIGHT);
            if (round >= warm_up)
                bench_add(&subjects[i].raw, (double)read_ns / 1e6);
        }
    for (size_t i = 0; i < n; i++)
        stop(&hosts, &subjects[i]);
    bench_hosts_stop(&hosts);
    print_total(bench, subjects, n);
    print_precopy(bench, subjects, n);
    for (size_t i = 0; i < n; i++) {
        bench_print(bench, &subjects[i].mover.pause);
        bench_print(bench, &subjects[i].mover.whole);
        bench_print(bench, &subjects[i].copied.pause);
        bench_print(bench, &subjects[i].copied.whole);
        bench_print(bench, &subjects[i].raw);
    }
    return 0;
}
