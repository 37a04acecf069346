/* Sums of runs. Reasons are kept by their text, because texts are what users see; the table has
 * room for all that the machines know. */
#include "sim_stats.h"

#include <stdio.h>
#include <string.h>

static const char *const seen_texts[SIM_SEEN_N] = {
#define X(NAME, what) [SIM_SAW_##NAME] = what,
    SIM_SEEN(X)
#undef X
};

void sim_stats_reason(struct sim_stats *stats, const char *text)
{
    for (int i = 0; i < SIM_REASONS_MAX; i++) {
        struct sim_reason *reason = &stats->reasons[i];
        if (reason->n == 0)
            snprintf(reason->text, sizeof(reason->text), "%s", text);
        else if (strcmp(reason->text, text) != 0)
            continue;
        reason->n++;
        return;
    }
}

static void print_line(uint64_t n, const char *text)
{
    printf("%14llu  %s\n", (unsigned long long)n, text);
}

void sim_stats_print(const struct sim_stats *stats, double took_s)
{
    uint64_t moves = stats->moved + stats->stayed + stats->lost;
    printf("%llu runs (%llu over endpoints), %llu apps (%llu ended), %llu steps of machines, %llu "
           "messages, %llu events\n",
           (unsigned long long)stats->runs, (unsigned long long)stats->framed_runs,
           (unsigned long long)stats->apps, (unsigned long long)stats->apps_ended,
           (unsigned long long)stats->steps, (unsigned long long)stats->messages,
           (unsigned long long)stats->events);
    printf("%llu moves: %llu moved, %llu stayed, %llu lost; %.0f runs and %.0f moves per second of "
           "processor time\n",
           (unsigned long long)moves, (unsigned long long)stats->moved,
           (unsigned long long)stats->stayed, (unsigned long long)stats->lost,
           (double)stats->runs / took_s, (double)moves / took_s);
    printf("what happened:\n");
    for (int i = 0; i < SIM_SEEN_N; i++)
        print_line(stats->seen[i], seen_texts[i]);
    printf("why moves did not move, and apps were ended:\n");
    for (int i = 0; i < SIM_REASONS_MAX && stats->reasons[i].n > 0; i++)
        print_line(stats->reasons[i].n, stats->reasons[i].text);
}

bool sim_stats_complete(const struct sim_stats *stats)
{
    bool complete = true;
    for (int i = 0; i < SIM_SEEN_N; i++) {
        if (stats->seen[i] > 0)
            continue;
        printf("never happened: %s\n", seen_texts[i]);
        complete = false;
    }
    return complete;
}
