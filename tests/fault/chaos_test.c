/* Three hosts in network namespaces, five apps at a time, and every second a fault at a random
 * host. What does not need a host that has died comes to the result of a run without faults; what
 * does ends with a reason that names it; nothing hangs, and nothing is left.
 *
 * fault_chaos_test SECONDS [SEED [ROUNDS [EVERY_MS]]]: so many rounds, each with hosts and a seed
 * of its own, and with faults for so long. CHAOS_VERBOSE=1 prints every event. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chaos.h"
#include "lab.h"

enum {
    EVENTS = 80,
    EVENT_BYTES = 200,
    FAULT_EVERY_MS = 1000,
    MOVE_EVERY_MS = 350,
    STALL_MS = 1000,
    END_MS = 240000
};

static long seconds = 20, first_seed = 1, rounds = 1, fault_every_ms = FAULT_EVERY_MS;
static struct chaos chaos; /* large */
static char events[EVENTS][EVENT_BYTES];
static unsigned events_n;

uint64_t chaos_dice(struct chaos *self, uint64_t below)
{
    self->dice ^= self->dice << 13;
    self->dice ^= self->dice >> 7;
    self->dice ^= self->dice << 17;
    return (self->dice >> 20) % below;
}

void chaos_note(struct chaos *self, const char *fmt, ...)
{
    char *text = events[events_n++ % EVENTS];
    uint64_t ms = child_now_ms() - self->began_ms;
    int len = snprintf(text, EVENT_BYTES, "%4" PRIu64 ".%03" PRIu64 " ", ms / 1000, ms % 1000);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text + len, (size_t)(EVENT_BYTES - len), fmt, args);
    va_end(args);
    if (getenv("CHAOS_VERBOSE") != NULL)
        fprintf(stderr, "%s\n", text);
}

void chaos_fail(struct chaos *self, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fprintf(stderr, "seed %" PRIu64 ", the last events:\n", self->seed);
    for (unsigned i = events_n > EVENTS ? events_n - EVENTS : 0; i < events_n; i++)
        fprintf(stderr, "%s\n", events[i % EVENTS]);
    for (unsigned i = 0; i < CHAOS_HOSTS; i++)
        fprintf(stderr, "log of %s: %s\n", self->cluster->hosts[i].name,
                self->cluster->hosts[i].weftd->err);
    fprintf(stderr, "all logs: %s\n", self->cluster->work);
    (void)setenv("CLUSTER_KEEP", "1", 1);
    fail_msg("seed %" PRIu64 ": %s", self->seed, text);
    abort(); /* fail_msg does not return */
}

/* ---- a round ---- */

static void look(void)
{
    uint64_t now = child_now_ms();
    if (now - chaos.seen_ms > STALL_MS)
        chaos_stalled(&chaos, chaos.seen_ms, now);
    chaos_mend(&chaos, false);
    chaos_commands(&chaos);
    (void)chaos_apps_look(&chaos);
    chaos.seen_ms = child_now_ms();
}

static void faults(void)
{
    uint64_t until = chaos.began_ms + (uint64_t)seconds * 1000, fault_ms = chaos.began_ms + 2000;
    uint64_t move_ms = chaos.began_ms + 1000;
    chaos.seen_ms = child_now_ms();
    while (child_now_ms() < until) {
        look();
        chaos_apps_start(&chaos);
        if (child_now_ms() >= move_ms) {
            chaos_migrate(&chaos);
            move_ms = child_now_ms() + MOVE_EVERY_MS;
        }
        if (child_now_ms() >= fault_ms) {
            chaos_strike(&chaos);
            fault_ms = child_now_ms() + (uint64_t)fault_every_ms;
        }
        child_nap();
    }
}

static void end_all(void)
{
    struct child_patience patience = child_patience(END_MS);
    chaos_note(&chaos, "no more faults");
    while (!chaos_is_mended(&chaos) || chaos_apps_look(&chaos) > 0) {
        if (child_patience_over(&patience))
            chaos_fail(&chaos, "it does not come to an end");
        look();
        child_nap();
    }
    chaos_check_left(&chaos);
}

static void add(struct chaos_count *all, const struct chaos_count *one)
{
    all->started += one->started;
    all->refused += one->refused;
    all->identical += one->identical;
    all->moved += one->moved;
    all->aborted += one->aborted;
    all->moves_asked += one->moves_asked;
    all->stalls += one->stalls;
    for (unsigned i = 0; i < CHAOS_WORKS; i++) {
        all->by_work[i] += one->by_work[i];
        all->well_by_work[i] += one->well_by_work[i];
    }
    for (unsigned i = 0; i < CHAOS_KINDS; i++)
        all->faults[i] += one->faults[i];
    for (unsigned i = 0; i < CHAOS_ENDS; i++) {
        for (unsigned n = 0; n < one->ends[i].n; n++)
            chaos_tally(all->ends, one->ends[i].text);
        for (unsigned n = 0; n < one->reasons[i].n; n++)
            chaos_tally(all->reasons, one->reasons[i].text);
    }
}

static void print(const struct chaos_count *count)
{
    unsigned n = 0;
    for (unsigned i = 0; i < CHAOS_KINDS; i++)
        n += count->faults[i];
    printf("apps: %u started", count->started);
    for (unsigned i = 0; i < CHAOS_WORKS; i++)
        printf("%s%s %u of %u", i == 0 ? " (identical: " : ", ",
               chaos_work_name((enum chaos_work)i), count->well_by_work[i], count->by_work[i]);
    printf("), %u identical, %u refused, %u ended by a fault\n", count->identical, count->refused,
           count->started - count->identical - count->refused);
    for (unsigned i = 0; i < CHAOS_ENDS && count->ends[i].n > 0; i++)
        printf("    %4u x %s\n", count->ends[i].n, count->ends[i].text);
    printf("moves: %u asked for; of apps that could still tell: %u committed, %u aborted\n",
           count->moves_asked, count->moved, count->aborted);
    for (unsigned i = 0; i < CHAOS_ENDS && count->reasons[i].n > 0; i++)
        printf("    %4u x %s\n", count->reasons[i].n, count->reasons[i].text);
    printf("faults: %u", n);
    for (unsigned i = 0; i < CHAOS_KINDS; i++)
        printf("%s %s %u", i == 0 ? ":" : ",", chaos_kind_name((enum chaos_kind)i),
               count->faults[i]);
    printf("\nstalls of this machine: %u\n", count->stalls);
    fflush(stdout);
}

static void hosts_open(void)
{
    static const char *const names[CHAOS_HOSTS] = {"one", "two", "three"};
    char text[16], folder[160];
    snprintf(text, sizeof(text), "%d", CHAOS_DEAD_MS);
    snprintf(folder, sizeof(folder), "%s/registry", chaos.cluster->work);
    (void)setenv("WEFT_DEAD_MS", text, 1);
    (void)setenv("WEFT_STATE_DIR", folder, 1); /* a head that dies finds its log again */
    for (unsigned i = 0; i < CHAOS_HOSTS; i++)
        (void)cluster_host(chaos.cluster, names[i], CHAOS_SLOTS);
}

static void one_round(struct cluster *cluster, uint64_t seed, struct chaos_count *all)
{
    memset(&chaos, 0, sizeof(chaos));
    chaos.cluster = cluster;
    chaos.seed = seed;
    chaos.dice = (seed + 1) * 0x9e3779b97f4a7c15u;
    events_n = 0;
    hosts_open();
    chaos.began_ms = child_now_ms();
    chaos_apps_measure(&chaos);
    chaos_measure(&chaos);
    chaos.began_ms = child_now_ms();
    faults();
    end_all();
    add(all, &chaos.count);
}

static void whatever_is_struck_apps_come_to_their_result_or_name_it(void **state)
{
    static struct chaos_count all;
    (void)state;
    for (long i = 0; i < rounds; i++) {
        void *cluster = NULL;
        printf("seed %ld, faults for %ld s\n", first_seed + i, seconds);
        fflush(stdout);
        assert_int_equal(lab_open(&cluster), 0);
        one_round(cluster, (uint64_t)(first_seed + i), &all);
        assert_int_equal(lab_close(&cluster), 0);
        print(&all);
    }
}

/* In the namespace of the test, where nobody else is. */
static bool can_slow(void)
{
    if (system("tc qdisc add dev lo root tbf rate 100mbit burst 64kb latency 200ms && "
               "tc qdisc del dev lo root") == 0)
        return true;
    printf("skipped: tc is not there, or this kernel has no tbf\n");
    return false;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_is_struck_apps_come_to_their_result_or_name_it),
    };
    if (argc > 1)
        seconds = strtol(argv[1], NULL, 10);
    if (argc > 2)
        first_seed = strtol(argv[2], NULL, 10);
    if (argc > 3)
        rounds = strtol(argv[3], NULL, 10);
    if (argc > 4)
        fault_every_ms = strtol(argv[4], NULL, 10);
    if (!lab_enter() || !can_slow())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
