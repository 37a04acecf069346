/* How long a thread that waits spins before it sleeps. */
#ifndef WEFT_EXEC_SPIN_H
#define WEFT_EXEC_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* A thread's own. A zeroed one is fine. */
struct weft__spin {
    uint64_t ns;        /* how long; 0: not yet known */
    unsigned wary;      /* waits for which it spins no longer than it has to */
    uint64_t until_ns;  /* of this wait */
    uint64_t turned_ns; /* end of the last turn */
};

void weft__spin_begin(struct weft__spin *spin, uint64_t now_ns);
/* After each turn. Set turned_ns where the turn has found work: it was not idle. */
bool weft__spin_more(struct weft__spin *spin, uint64_t now_ns);
/* At the end of a wait: spins longer next time if waits are short, less if they are long, somebody
 * needs the core, or the longest spin has not helped. */
void weft__spin_learn(struct weft__spin *spin, uint64_t waited_ns);

#endif
