/* One line says what an app is, the next ones where it is and why it does not move. */
#include "cli/app_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

void cli_plan_show(const Weft__Host__PlanInfo *plan)
{
    if (plan->moves == 0) {
        printf("no placement is better: %" PRIu64 " host%s, %" PRIu64
               " pairs of ranks on different hosts\n",
               plan->hosts_now, plural(plan->hosts_now), plan->cross_pairs_now);
        return;
    }
    printf("%u move%s (%s): hosts %" PRIu64 " -> %" PRIu64 ", pairs of ranks on different hosts "
           "%" PRIu64 " -> %" PRIu64 ", gain %.1f ms, cost %.1f ms: %s\n",
           plan->moves, plural(plan->moves), plan->cause, plan->hosts_now, plan->hosts_then,
           plan->cross_pairs_now, plan->cross_pairs_then, plan->gain_ms, plan->cost_ms,
           plan->verdict);
}

/* Ranks of the app that have not ended, by process: one process per host. */
static void show_hosts(const Weft__Host__AppInfo *app)
{
    const char *separator = "  on ";
    for (size_t i = 0; i < app->n_processes; i++) {
        const Weft__Host__ProcessInfo *process = app->processes[i];
        if (process->ranks == 0 || strcmp(process->state, "dead") == 0)
            continue;
        printf("%s%s: %u rank%s", separator, process->host, process->ranks, plural(process->ranks));
        separator = ", ";
    }
    printf("%s%" PRIu64 " move%s done, %" PRIu64 " given up\n", *separator == ',' ? "; " : "  ",
           app->moved, plural(app->moved), app->aborted);
}

static void show_policy(const Weft__Host__AppInfo *app)
{
    printf("  policy %s, hint %s", app->policy, app->hint);
    if (app->migrate_ms > 0)
        printf(", looked at every %.3g s\n", app->migrate_ms / 1e3);
    else
        printf(", moved by hand only\n");
    if (app->plan != NULL && app->plan->verdict[0] != '\0') {
        printf("  plan %.1f s ago: ", app->plan->age_ms / 1e3);
        cli_plan_show(app->plan);
    }
}

static void show_rank(const Weft__Host__RankInfo *rank)
{
    printf("  rank %-4d %-10s host %-12s pid %-8" PRIu64 " incarnation %u%s%s\n", rank->rank,
           rank->state, rank->host, rank->pid, rank->incarnation,
           rank->pinned[0] != '\0' ? "  could not move: " : "", rank->pinned);
}

static void show_move(const Weft__Host__MoveInfo *move)
{
    char before[64] = "";
    if (move->copied_bytes > 0)
        snprintf(before, sizeof(before), " (and %" PRIu64 " before, passes: %u)",
                 move->copied_bytes, move->passes);
    printf("  move rank %d %s -> %s %s (%s) at %.0f ms, pause %.1f ms, %" PRIu64
           " bytes%s by %s%s%s\n",
           move->rank, move->from, move->to, move->outcome, move->cause, move->committed_ms,
           move->pause_ms, move->bytes, before, move->transport[0] != '\0' ? move->transport : "-",
           move->reason[0] != '\0' ? ": " : "", move->reason);
}

void cli_app_show(const Weft__Host__AppInfo *app, bool in_full)
{
    printf("app %" PRIx64 "  %s  %s, home %s, %u ranks, %.1f s%s%s\n", app->app, app->program,
           app->state, app->home, app->size, app->age_ms / 1e3, app->reason[0] != '\0' ? ": " : "",
           app->reason);
    if (app->frozen_where[0] != '\0')
        printf("  frozen: %.1f MiB in %s\n", (double)app->frozen_bytes / (1u << 20),
               app->frozen_where);
    if (app->freeze_note[0] != '\0')
        printf("  the last freeze or thaw was given up: %s\n", app->freeze_note);
    show_hosts(app);
    show_policy(app);
    for (size_t i = 0; i < app->n_ranks && in_full; i++)
        show_rank(app->ranks[i]);
    for (size_t i = 0; i < app->n_moves && in_full; i++)
        show_move(app->moves[i]);
}
