/* What happened in the runs: sums, why moves did not move, and whether each interesting thing has
 * happened at all. A simulation in which something never happens says nothing about it. */
#ifndef WEFT_SIM_STATS_H
#define WEFT_SIM_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "plan/move.h"

/* X(NAME, what happened) */
#define SIM_SEEN(X)                                                                                \
    X(COMMIT_WON, "commit set")                                                                    \
    X(COMMIT_LOST, "commit lost against abort")                                                    \
    X(ABORT_WON, "abort set")                                                                      \
    X(ABORT_LOST, "abort lost against commit")                                                     \
    X(WON_BEFORE, "a change found set by an earlier try")                                          \
    X(NOT_WRITTEN, "a rank not frozen because the registry did not write down its owner")          \
    X(AWAY_AT_COMMIT, "registry away at the commit")                                               \
    X(AWAY_AT_ABORT, "registry away at the abort")                                                 \
    X(AWAY_LONG, "registry away for longer than a move has")                                       \
    X(REGISTRY_CRASHED, "registry crashed")                                                        \
    X(REGISTRY_RESTARTED, "registry restarted from its log, epoch higher")                         \
    X(LOG_TAIL_KEPT, "crash of the registry: the change was on disk")                              \
    X(LOG_TAIL_LOST, "crash of the registry: the change was not on disk")                          \
    X(SOURCE_DIED_EARLY, "source died before the verdict")                                         \
    X(SOURCE_DIED_LATE, "source died after the commit")                                            \
    X(DEST_DIED_EARLY, "destination died before the commit")                                       \
    X(DEST_DIED_LATE, "destination died after the commit, before its flush ended")                 \
    X(HOME_DIED, "home died during a move")                                                        \
    X(HOST_CAME_BACK, "a host came back empty")                                                    \
    X(CAME_BACK_USED, "a rank moved to a host that had come back")                                 \
    X(FALSE_DEATH, "a host taken for dead that lived")                                             \
    X(FENCED, "a host ended what it ran when it learnt that")                                      \
    X(NOTICE_LATE, "news of a death held up by the registry's absence")                            \
    X(STOPPED_HOST, "a host stopped and went on")                                                  \
    X(STOPPED_HOME, "a home stopped during a move and went on")                                    \
    X(STOPPED_SOURCE, "a source stopped during a move and went on")                                \
    X(STOPPED_DEST, "a destination stopped during a move and went on")                             \
    X(STOPPED_REGISTRY, "the registry stopped and went on")                                        \
    X(STOPPED_LONG, "a stopped party was taken for dead")                                          \
    X(CUT, "messages lost in a cut")                                                               \
    X(CUT_ONE_WAY, "messages lost in a one-way cut")                                               \
    X(LOST, "messages lost")                                                                       \
    X(DOUBLED, "messages doubled")                                                                 \
    X(LATE, "messages held up")                                                                    \
    X(TWO_AT_ONCE, "two ranks of one app on their way at once")                                    \
    X(TWO_HOMES, "moves of two homes at once to one host")                                         \
    X(CONTESTED, "a slot refused because another app has it")                                      \
    X(LEASE_EXPIRED, "a lease ended by its deadline")                                              \
    X(HOLD_LATE, "a lease had ended when it was to be held")                                       \
    X(LEASE_REPEATED, "the ask for a lease came again")                                            \
    X(NO_POINT, "a rank came to no call at which it can be moved in time")                         \
    X(PINNED, "a rank was pinned")                                                                 \
    X(RANK_ENDED, "a rank had ended")                                                              \
    X(RANGE_FAILED, "a range could not be reserved")                                               \
    X(PULL_FAILED, "a pull failed")                                                                \
    X(PULL_CANCELLED, "a pull was cancelled")                                                      \
    X(CANCELLED, "a move was cancelled")                                                           \
    X(COPYING, "a rank copied while it ran")                                                       \
    X(COPYING_ANEW, "a rank copied anew, for another move")                                        \
    X(COPY_SMALL, "a rank too small to be copied while it runs")                                   \
    X(COPY_UNTRACKED, "a rank whose writes cannot be tracked")                                     \
    X(COPY_REPEATED, "the ask for a round came again")                                             \
    X(COPY_ENDED, "copying ended while a round was being made")                                    \
    X(COPY_STALE, "a round made for a move that is over")                                          \
    X(TRACKER_FAILED, "tracking of writes failed")                                                 \
    X(WRITTEN_AGAIN, "pages written after they were copied")                                       \
    X(PAGE_GONE, "pages that went away after they were copied")                                    \
    X(FETCHED, "a round fetched")                                                                  \
    X(FETCH_FAILED, "a round that could not be fetched")                                           \
    X(FETCH_CANCELLED, "a fetch was cancelled")                                                    \
    X(REST_FROZEN, "a rank frozen of which the destination has rounds")                            \
    X(ALL_FROZEN, "a rank frozen of which the destination had rounds in vain")                     \
    X(REST_ARRIVED, "a rank resumed from rounds and the rest")                                     \
    X(REFUSED, "a freeze was refused")                                                             \
    X(RESOLVED, "home asked the registry what stands")                                             \
    X(MARKERS_MISSING, "a move ended with markers missing")                                        \
    X(NUDGED, "a missing marker asked for")                                                        \
    X(FLUSHED, "all markers in")                                                                   \
    X(BACK, "a rank moved back to where it was")                                                   \
    X(CHAIN, "a rank moved three times")                                                           \
    X(ABORTED_THEN_MOVED, "a rank moved after an abort had raised its incarnation")                \
    X(ACCEPTED, "packets accepted")                                                                \
    X(DUPLICATE, "packets that came again")                                                        \
    X(AHEAD, "packets ahead of their turn")                                                        \
    X(MAILBOX_FULL, "packets held for a full mailbox")                                             \
    X(FORWARDED, "packets forwarded")                                                              \
    X(NACKED, "packets answered with the route")                                                   \
    X(HELD_FROZEN, "packets held for a frozen rank")                                               \
    X(HELD_ARRIVING, "packets held for an arriving rank")                                          \
    X(HOLD_FULL, "packets dropped by a full hold")                                                 \
    X(HOLD_RELEASED, "packets let out of a hold")                                                  \
    X(ROUTE_LEARNT, "routes learnt from other processes")                                          \
    X(RESENT, "windows sent again by time")                                                        \
    X(FRAMED, "frames that travelled over endpoints")

enum sim_seen {
#define X(NAME, what) SIM_SAW_##NAME,
    SIM_SEEN(X)
#undef X
        SIM_SEEN_N
};

enum { SIM_REASONS_MAX = 48 };

struct sim_reason {
    char text[WEFT_MOVE_TEXT_MAX];
    uint64_t n;
};

struct sim_stats {
    uint64_t runs, framed_runs, steps, events, messages;
    uint64_t moved, stayed, lost, apps, apps_ended;
    uint64_t seen[SIM_SEEN_N];
    struct sim_reason reasons[SIM_REASONS_MAX];
};

/* Counts why a move did not move, or an app was ended. */
void sim_stats_reason(struct sim_stats *stats, const char *text);
void sim_stats_print(const struct sim_stats *stats, double took_s);
/* Whether everything has happened; names what has not. */
bool sim_stats_complete(const struct sim_stats *stats);

#endif
