/* The move of one rank (src/plan/move.h), for the model checker spin: one move, its three roles and
 * the registry, and everything that may go wrong at any time.
 *
 * A message that was sent stays deliverable for ever, any number of times and in any order: loss,
 * delay, doubling and reordering in one. Deadlines may come at any time, in any order: what holds
 * here holds for all times. Source and destination may die at any step, HOME hears of it later. An
 * answer of the registry may be lost, and may be old when it is read. The registry brings a change
 * to disk before it makes and answers it; it may crash at any step, also between these, where the
 * change is on disk or is not, and starts again from its log. It answers in the end, as the
 * liveness properties need: it crashes once.
 *
 * Before the freeze the rank may be copied while it runs: one round stands for any number. SOURCE
 * may forget it at any time; what it describes when the rank stands is all, or what DEST lacks
 * behind that round, and then DEST has to have it.
 *
 * Left out, because slot.pml and the simulation have them: leases; several moves of a rank one
 * after the other, routes, packets and their order, flush markers.
 *
 * MUTANT breaks one rule on purpose; tests/model/run checks that each is found out. */
#ifndef MUTANT
#define MUTANT 0
#endif
#define THAW_BY_TIME 1        /* SOURCE takes the rank back without the registry's word */
#define RESUME_BEFORE_WORD 2  /* DEST runs the rank when it has asked, not when it was told */
#define STAY_UNASKED 3        /* HOME ends the move when it has said ABORT */
#define BLIND_REGISTRY 4      /* the registry takes every change */
#define WAIT_FOR_EVER 5       /* HOME asks source and registry without a deadline */
#define FORWARD_BY_TIME 6     /* SOURCE gives the rank away when nobody answers */
#define ANSWER_UNSYNCED 7     /* the registry answers before the change is on disk */
#define LOG_NOT_READ 8        /* the registry starts empty */
#define ROUND_FORGOTTEN 9     /* HOME takes a round for fetched that was not, and DEST believes it */

mtype = { leasing, preparing, describing, fetching, freezing, pulling, aborting, resolving, flushing, stayed, moved, lost };
mtype = { here, waiting, frozen, asking, forwarding };
mtype = { idle, reserving, prepared, taking, copying, cancelling, holding, committing, running, failed };
mtype = { undecided, committed, aborted, unknown };

mtype home = leasing;
mtype source = here;
mtype dest = idle;
mtype registry = undecided; /* what stands */
mtype log = undecided;      /* the change on its way to disk */
bool registry_died;

/* What was sent. */
bool prepare, freeze, pull, abort_, move_done, discard;               /* by HOME */
bool copy, fetch, freeze_rest; /* freeze_rest: FREEZE says that DEST has the round */
bool said_prepared, said_failed, said_committed;                      /* by DEST */
bool said_copied, said_not_copied, said_fetched, said_not_fetched;
bool said_frozen, said_refused, said_aborted, said_gone, gone_commit; /* by SOURCE */
bool wants_abort, wants_commit, wants_owner;                          /* of the registry */
mtype told_source = unknown, told_dest = unknown, told_home = unknown;

bool source_dead, dest_dead, home_knows_source, home_knows_dest;
bool app_ended, pull_asked, dest_failed;
bool tracked;   /* SOURCE knows what was written since the round */
bool rest_only; /* what it has described of the rank that stands */
bool has_round; /* DEST */

#define HOME_DONE (home == stayed || home == moved || home == lost)
#define SOURCE_RUNS (!source_dead && (source == here || source == waiting))
#define DEST_RUNS (!dest_dead && dest == running)
#define COPYING (home == describing || home == fetching)
#define BEFORE_FREEZE (home == leasing || home == preparing || COPYING)
#define FROZEN_PERHAPS (home == freezing || home == pulling)
#define GIVING_UP (home == aborting || home == resolving)

inline stay()
{
    discard = true;
    home = stayed
}

inline lose()
{
    app_ended = true;
    home = lost
}

inline commit_seen()
{
    if
    :: home_knows_dest -> lose()
    :: !home_knows_dest && home_knows_source -> home = moved
    :: else -> move_done = true; home = flushing
    fi
}

inline resolve()
{
    told_home = unknown;
    wants_owner = true;
    abort_ = abort_ || !home_knows_source;
    home = resolving
}

inline give_up()
{
    if
    :: home_knows_source -> resolve()
    :: else ->
        abort_ = true;
        if
        :: MUTANT == STAY_UNASKED -> stay()
        :: else -> home = aborting
        fi
    fi
}

active proctype Home()
{
    do
    :: HOME_DONE -> break
    /* the way of a move that succeeds; the lease is the agent's, which is not here */
    :: atomic { home == leasing -> prepare = true; home = preparing }
    :: atomic { home == preparing && said_prepared -> freeze = true; home = freezing }
    :: atomic { home == preparing && said_prepared -> copy = true; home = describing }
    :: atomic { home == describing && said_copied -> fetch = true; home = fetching }
    :: atomic { home == describing && said_not_copied -> freeze = true; home = freezing }
    :: atomic { home == fetching && said_fetched -> freeze_rest = true; freeze = true; home = freezing }
    :: atomic { home == fetching && said_not_fetched -> freeze_rest = (MUTANT == ROUND_FORGOTTEN); freeze = true; home = freezing }
    :: atomic { home == freezing && said_frozen -> pull = true; pull_asked = true; home = pulling }
    :: atomic { (home == pulling || GIVING_UP) && said_committed -> commit_seen() }
    :: atomic { home == flushing -> home = moved } /* markers, or the deadline for them */
    /* deadlines, cancellation */
    :: atomic { BEFORE_FREEZE -> abort_ = abort_ || COPYING; stay() }
    :: atomic { FROZEN_PERHAPS -> give_up() }
    :: atomic { home == aborting && MUTANT != WAIT_FOR_EVER -> resolve() }
    :: atomic { home == resolving && MUTANT != WAIT_FOR_EVER -> lose() }
    /* answers */
    :: atomic { said_failed && (home == preparing || COPYING) -> dest_failed = true; stay() }
    :: atomic { said_failed && FROZEN_PERHAPS -> dest_failed = true; give_up() }
    :: atomic { said_failed && GIVING_UP && !dest_failed -> dest_failed = true }
    :: atomic {
        ((said_refused && !pull_asked) || said_aborted) && (FROZEN_PERHAPS || GIVING_UP) ->
        if
        :: home_knows_source -> lose()
        :: else -> stay()
        fi
    }
    :: atomic { gone_commit && (FROZEN_PERHAPS || GIVING_UP) -> commit_seen() }
    :: atomic { said_gone && !gone_commit && (FROZEN_PERHAPS || home == aborting) -> resolve() }
    /* the registry's word */
    :: atomic { home == resolving && told_home == committed -> commit_seen() }
    :: atomic {
        home == resolving && told_home == aborted ->
        if
        :: home_knows_source -> lose()
        :: else -> stay()
        fi
    }
    :: atomic {
        home == resolving && told_home == undecided && home_knows_source &&
        (!pull_asked || home_knows_dest || dest_failed) -> lose()
    }
    /* deaths */
    :: atomic {
        source_dead && !home_knows_source && !HOME_DONE ->
        home_knows_source = true;
        if
        :: BEFORE_FREEZE || home == freezing -> lose()
        :: home == aborting -> resolve()
        :: home == flushing -> home = moved
        :: else -> skip
        fi
    }
    :: atomic {
        dest_dead && !home_knows_dest && !HOME_DONE ->
        home_knows_dest = true;
        if
        :: BEFORE_FREEZE -> stay()
        :: FROZEN_PERHAPS -> give_up()
        :: home == flushing -> lose()
        :: else -> skip
        fi
    }
    od
}

inline ask_abort()
{
    told_source = unknown;
    wants_abort = true;
    source = asking
}

active proctype Source()
{
end:
    do
    :: source_dead || app_ended -> break
    :: atomic { source == here && freeze && !said_refused && !said_aborted && !said_frozen -> source = waiting }
    :: atomic { source == here && freeze && !said_refused && !said_aborted && !said_frozen -> said_refused = true }
    :: atomic { source == here && abort_ && !said_aborted && !said_refused && !said_frozen -> said_aborted = true }
    :: atomic { source == here && copy && !freeze && !said_copied && !said_not_copied -> tracked = true; said_copied = true }
    :: atomic { source == here && copy && !freeze && !said_copied && !said_not_copied -> said_not_copied = true }
    :: atomic { (source == here || source == waiting) && tracked -> tracked = false } /* time, or the tracker fails */
    :: atomic { source == waiting -> rest_only = (tracked && freeze_rest); said_frozen = true; source = frozen }
    :: atomic { source == waiting -> said_refused = true; source = here } /* time, or pinned */
    :: atomic { source == waiting && abort_ -> said_aborted = true; source = here }
    :: atomic { source == frozen && abort_ -> ask_abort() }
    :: atomic { source == frozen && dest_dead -> ask_abort() }
    :: atomic { source == frozen && MUTANT != THAW_BY_TIME -> ask_abort() }
    :: atomic { source == frozen && MUTANT == THAW_BY_TIME -> said_aborted = true; source = here }
    :: atomic { (source == frozen || source == asking) && move_done -> source = forwarding }
    :: atomic { source == asking && told_source == aborted -> said_aborted = true; source = here }
    :: atomic { source == asking && told_source == committed -> said_gone = true; gone_commit = true; source = forwarding }
    :: atomic { source == asking && MUTANT == FORWARD_BY_TIME -> said_gone = true; source = forwarding }
    :: atomic { source == asking && !app_ended -> app_ended = true } /* nobody answers in time */
    od
}

inline fail()
{
    said_failed = true;
    dest = failed
}

active proctype Dest()
{
end:
    do
    :: dest_dead || app_ended -> break
    :: atomic { dest == idle && prepare -> dest = reserving }
    :: atomic { dest == idle && (pull || discard) -> fail() } /* PREPARE has not come */
    :: atomic { dest == reserving -> said_prepared = true; dest = prepared }
    :: atomic { dest == reserving -> fail() }
    :: atomic { dest == prepared && fetch && !said_fetched && !said_not_fetched -> dest = taking }
    :: atomic { dest == taking && !source_dead -> has_round = true; said_fetched = true; dest = prepared }
    :: atomic { dest == taking -> said_not_fetched = true; dest = prepared }
    :: atomic { dest == taking -> said_failed = true; dest = cancelling } /* time, or DISCARD */
    :: atomic { dest == prepared && pull -> dest = copying }
    :: atomic { dest == prepared && (discard || source_dead) -> fail() }
    :: atomic { dest == prepared -> fail() } /* time */
    :: atomic {
        dest == copying && !source_dead && (!rest_only || has_round || MUTANT == ROUND_FORGOTTEN) ->
        dest = holding
    }
    :: atomic { dest == copying -> fail() }
    :: atomic { dest == copying || dest == reserving -> said_failed = true; dest = cancelling } /* time, or DISCARD */
    :: atomic { dest == cancelling -> dest = failed }
    :: atomic { dest == holding -> fail() } /* the lease has ended, or DISCARD */
    :: atomic {
        dest == holding -> wants_commit = true;
        if
        :: MUTANT == RESUME_BEFORE_WORD -> dest = running
        :: else -> dest = committing
        fi
    }
    :: atomic { dest == committing && told_dest == committed -> said_committed = true; dest = running }
    :: atomic { dest == committing && told_dest == aborted -> fail() }
    od
}

inline change(to)
{
    log = to;
    if
    :: MUTANT == ANSWER_UNSYNCED -> registry = to
    :: else -> skip
    fi
}

/* What was on its way to disk is there, or is not. */
inline crash()
{
    registry_died = true;
    if
    :: MUTANT == LOG_NOT_READ -> registry = undecided
    :: MUTANT == ANSWER_UNSYNCED && log != undecided -> registry = undecided
    :: MUTANT != LOG_NOT_READ && log != undecided -> registry = log
    :: MUTANT != LOG_NOT_READ && (MUTANT != ANSWER_UNSYNCED || log == undecided) -> skip
    fi;
    log = undecided
}

/* A request may come late, be lost, or its answer; who asks asks again. */
active proctype Registry()
{
end:
    do
    :: atomic {
        wants_abort && log == undecided && (registry == undecided || (MUTANT == BLIND_REGISTRY && registry == committed)) ->
        change(aborted)
    }
    :: atomic {
        wants_commit && log == undecided && (registry == undecided || (MUTANT == BLIND_REGISTRY && registry == aborted)) ->
        change(committed)
    }
    :: atomic { log != undecided -> registry = log; log = undecided }
    :: atomic { !registry_died -> crash() }
    :: atomic { wants_abort && registry != undecided && told_source == unknown -> told_source = registry }
    :: atomic { wants_commit && registry != undecided && told_dest == unknown -> told_dest = registry }
    :: atomic { wants_owner && told_home != registry -> told_home = registry }
    od
}

active proctype Fate()
{
end:
    do
    :: atomic { !source_dead -> source_dead = true }
    :: atomic { !dest_dead -> dest_dead = true }
    :: break
    od
}

/* Nobody runs a rank twice. */
#define ONE_RUNS (!(SOURCE_RUNS && DEST_RUNS && !app_ended))
/* A move that ended as stayed is never committed afterwards, one that moved was. */
#define STAYED_STAYS (home == stayed -> registry != committed)
#define MOVED_MOVED ((home == moved || home == flushing) -> registry == committed)
/* The rank is given away only to somebody who has it. */
#define NEVER_GIVEN_TO_NOBODY (source == forwarding -> registry == committed)
/* A copy runs only by the registry's word. */
#define RUNS_BY_THE_WORD (dest == running -> registry == committed)
/* Nothing of the rank's memory is missing. */
#define RUNS_WHOLE (dest == running -> (!rest_only || has_round))
ltl safe { [] (RUNS_WHOLE && ONE_RUNS && STAYED_STAYS && MOVED_MOVED && NEVER_GIVEN_TO_NOBODY && RUNS_BY_THE_WORD) }
/* Every move ends, and nobody stays frozen or half moved. */
ltl every_move_ends { <> HOME_DONE }
ltl nobody_stays_frozen { [] ((source == frozen || source == asking) -> <> (SOURCE_RUNS || source == forwarding || source_dead || app_ended)) }
ltl every_prepared_move_ends { [] (dest == prepared -> <> (dest == running || dest == failed || dest_dead || app_ended)) }
