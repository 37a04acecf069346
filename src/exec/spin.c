/* How long a thread spins is learnt: as long as waits tend to end soon, it is worth it; where the
 * cores are shared with others that have work, waits are long and spinning only takes their time.
 * That others need the core shows in a turn that finds nothing and takes long: it was interrupted.
 *
 * What counts is how long nothing moves. 64 MiB take 10 ms to come, in which there is something to
 * do every few us: to sleep in between would cost a wake-up each time. */
#include "exec/spin.h"

#define MIN_NS 2000ull
#define MAX_NS 64000ull
#define WORTH_NS 100000ull /* a wait that both sides may have made long by sleeping */
#define STOLEN_NS 20000ull /* an empty turn that takes so long was interrupted */
#define WARY_WAITS 64u

void weft__spin_wait(struct weft__spin *spin, uint64_t now_ns)
{
    spin->moved_ns = now_ns;
    spin->gap_ns = 0;
}

void weft__spin_begin(struct weft__spin *spin, uint64_t now_ns)
{
    if (spin->ns == 0)
        spin->ns = MAX_NS;
    spin->until_ns = now_ns + spin->ns;
    spin->turned_ns = now_ns;
}

void weft__spin_moved(struct weft__spin *spin, uint64_t now_ns)
{
    if (now_ns - spin->moved_ns > spin->gap_ns)
        spin->gap_ns = now_ns - spin->moved_ns;
    spin->moved_ns = spin->turned_ns = now_ns;
    spin->until_ns = now_ns + spin->ns;
}

bool weft__spin_more(struct weft__spin *spin, uint64_t now_ns)
{
    if (now_ns - spin->turned_ns > STOLEN_NS)
        spin->wary = WARY_WAITS;
    spin->turned_ns = now_ns;
    return now_ns < spin->until_ns && !spin->wary;
}

void weft__spin_learn(struct weft__spin *spin, uint64_t now_ns)
{
    uint64_t waited_ns = now_ns - spin->moved_ns;
    if (waited_ns < spin->gap_ns)
        waited_ns = spin->gap_ns;
    if (spin->wary) {
        spin->wary--;
        spin->ns = MIN_NS;
    } else if (waited_ns > WORTH_NS) {
        spin->ns = spin->ns / 2 > MIN_NS ? spin->ns / 2 : MIN_NS;
    } else if (waited_ns > spin->ns && spin->ns == MAX_NS) {
        spin->wary = WARY_WAITS;
    } else if (waited_ns > spin->ns) {
        spin->ns = spin->ns * 2 < MAX_NS ? spin->ns * 2 : MAX_NS;
    }
}
