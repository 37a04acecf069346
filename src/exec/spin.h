/* How long a thread that waits spins before it sleeps. */
#ifndef WEFT_EXEC_SPIN_H
#define WEFT_EXEC_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* A thread's own. A zeroed one is fine. */
struct weft__spin {
    uint64_t ns;          /* how long; 0: not yet known */
    bool wary;            /* others need the core: it does not spin */
    int64_t credit_ns;    /* what others may take before it is wary; below 0: they have */
    uint64_t charged_ns;  /* when that was so */
    uint64_t preemptions; /* times that the kernel has taken the core away, when last asked */
    uint64_t until_ns;    /* of this wait */
    uint64_t turned_ns;   /* end of the last turn */
    uint64_t moved_ns;    /* when something has moved in this wait; if nothing has, its beginning */
    uint64_t gap_ns; /* the longest time in this wait in which nothing moved, but the last one */
};

/* A wait begins. It may spin and sleep several times. */
void weft__spin_wait(struct weft__spin *spin, uint64_t now_ns);
void weft__spin_begin(struct weft__spin *spin, uint64_t now_ns);
/* Something that may be waited for has come nearer: the spin begins anew. */
void weft__spin_moved(struct weft__spin *spin, uint64_t now_ns);
/* After each turn. Set turned_ns where the turn has found work: it was not idle. */
bool weft__spin_more(struct weft__spin *spin, uint64_t now_ns);
/* At the end of a wait: spins longer next time if waits are short, less if they are long, somebody
 * needs the core, or the longest spin has not helped. A wait in which things have moved is as long
 * as the longest time in which none did. */
void weft__spin_learn(struct weft__spin *spin, uint64_t now_ns);

#endif
