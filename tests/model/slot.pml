/* Two moves, of different apps, that want the one slot of a host (src/plan/lease.h), for the model
 * checker spin: who has the slot, and that nobody has it for ever.
 *
 * The asks for a lease (by HOME) stay deliverable for ever, any number of times: a late repetition
 * makes a reservation anew. A HOME's RELEASE may be lost. DEST's asks of its own host, to hold the
 * lease and to give it back, are carried out in the end, however late. A reservation may run out at
 * any time. What the registry decides is either way: move.pml has how.
 *
 * MUTANT breaks one rule on purpose; tests/model/run checks that each is found out. */
#ifndef MUTANT
#define MUTANT 0
#endif
#define LEASE_TWICE 1   /* a slot that is leased is leased again */
#define NOT_HELD 2      /* DEST commits on a reservation */
#define RELEASE_EARLY 3 /* DEST gives the slot back while its ask to hold it is under way */
#define NO_DEADLINE 4   /* reservations do not end by themselves */
#define NOT_RELEASED 5  /* DEST does not give the slot back when the commit is lost */

mtype = { none, reserved, held };
mtype = { idle, holding, cancelling, committing, running, failed };
mtype = { nothing, yes, no };

mtype lease[2] = none;
mtype dest[2] = idle;
mtype answer[2] = nothing;   /* to the ask to hold */
bool asked[2], granted[2];   /* LEASE, LEASED */
bool home_over[2];           /* HOME has given the move up */
bool home_release[2];        /* its RELEASE is on its way */
bool hold_asked[2], release[2]; /* DEST's asks of its host */

#define FREE (lease[0] == none && lease[1] == none)

/* The host's slot table. */
active proctype Agent()
{
end:
    do
    :: atomic { asked[0] && lease[0] == none && (FREE || MUTANT == LEASE_TWICE) -> lease[0] = reserved; granted[0] = true }
    :: atomic { asked[1] && lease[1] == none && (FREE || MUTANT == LEASE_TWICE) -> lease[1] = reserved; granted[1] = true }
    :: atomic { home_release[0] -> home_release[0] = false; lease[0] = none }
    :: atomic { home_release[1] -> home_release[1] = false; lease[1] = none }
    od
}

/* What a process asks of its own host. */
proctype Local(byte i)
{
end:
    do
    :: atomic {
        hold_asked[i] -> hold_asked[i] = false;
        if
        :: lease[i] == none -> answer[i] = no
        :: else -> lease[i] = held; answer[i] = yes
        fi
    }
    :: atomic { release[i] && !hold_asked[i] -> release[i] = false; lease[i] = none }
    :: atomic { release[i] && MUTANT == RELEASE_EARLY -> release[i] = false; lease[i] = none }
    od
}

proctype Clock(byte i)
{
end:
    do
    :: atomic { lease[i] == reserved && MUTANT != NO_DEADLINE -> lease[i] = none }
    od
}

proctype Home(byte i)
{
    asked[i] = true;
    do
    :: atomic { !home_over[i] && dest[i] == idle -> home_over[i] = true; home_release[i] = true } /* time, or refused */
    :: atomic { !home_over[i] && dest[i] == failed -> home_over[i] = true; home_release[i] = true }
    :: home_release[i] -> home_release[i] = false /* lost */
    :: home_over[i] || dest[i] == running -> break
    od
}

proctype Dest(byte i)
{
end:
    do
    :: atomic { dest[i] == idle && granted[i] && !home_over[i] && MUTANT != NOT_HELD -> hold_asked[i] = true; dest[i] = holding }
    :: atomic { dest[i] == idle && granted[i] && !home_over[i] && MUTANT == NOT_HELD -> dest[i] = committing }
    /* DISCARD, or time */
    :: atomic { dest[i] == holding && MUTANT != RELEASE_EARLY -> dest[i] = cancelling }
    :: atomic { dest[i] == holding && MUTANT == RELEASE_EARLY -> release[i] = true; dest[i] = failed }
    :: atomic { dest[i] == cancelling && answer[i] != nothing -> release[i] = true; dest[i] = failed }
    :: atomic { dest[i] == holding && answer[i] == no -> release[i] = true; dest[i] = failed }
    :: atomic { dest[i] == holding && answer[i] == yes -> dest[i] = committing }
    :: atomic { dest[i] == committing -> dest[i] = running }
    :: atomic { dest[i] == committing -> release[i] = (MUTANT != NOT_RELEASED); dest[i] = failed }
    :: atomic { dest[i] == running -> release[i] = true; dest[i] = failed } /* it ends, or moves on */
    od
}

init {
    atomic {
        run Local(0); run Local(1); run Clock(0); run Clock(1);
        run Home(0); run Home(1); run Dest(0); run Dest(1)
    }
}

/* The slot has one owner, and who runs is it. */
#define SLOT_ONCE (lease[0] == none || lease[1] == none)
#define RUNS_IN_THE_SLOT(i) (dest[i] == running -> lease[i] == held)
ltl safe { [] (SLOT_ONCE && RUNS_IN_THE_SLOT(0) && RUNS_IN_THE_SLOT(1)) }
/* Nobody who has ended, or has been given up, keeps it. */
ltl every_lease_ends { [] ((dest[0] == failed || (home_over[0] && dest[0] == idle)) -> <> (lease[0] == none)) }
/* An ask to hold it comes to an end. */
ltl every_hold_ends { [] ((dest[0] == holding || dest[0] == cancelling) -> <> (dest[0] == running || dest[0] == failed || dest[0] == committing)) }
