/* How long a thread spins is learnt: as long as waits tend to end soon, it is worth it; where the
 * cores are shared with others that have work, waits are long and spinning only takes their time.
 * That others need the core shows in a turn that finds nothing and takes long, and in which the
 * kernel has taken the core away. Long alone is no sign: the kernel handles packets of others
 * there, too; nor is that it is taken for a moment: threads of this process tick. So what is taken
 * is held against a tenth of the time: while others have had more, or could have because the
 * longest spin was in vain, there is no spinning.
 *
 * What counts is how long nothing moves. 64 MiB take 10 ms to come, in which there is something to
 * do every few us: to sleep in between would cost a wake-up each time. */
#include "exec/spin.h"

#include <sys/resource.h>

#define MIN_NS 2000ull
#define MAX_NS 64000ull
#define WORTH_NS 100000ull /* a wait that both sides may have made long by sleeping */
#define STOLEN_NS 20000ull /* an empty turn that takes so long may have been interrupted */
#define SHARE 10           /* others may have one part in so many */
#define CREDIT_MAX_NS 1000000ll
#define CREDIT_MIN_NS -5000000ll /* 50 ms after others have gone, they are forgotten */

/* Whether the kernel has taken the core away since it was last asked. */
static bool was_preempted(struct weft__spin *spin)
{
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage) != 0)
        return true;
    uint64_t before = spin->preemptions;
    spin->preemptions = (uint64_t)usage.ru_nivcsw;
    return spin->preemptions != before;
}

/* Others have a share of the time; what they have taken goes off. */
static void charge(struct weft__spin *spin, uint64_t now_ns, uint64_t taken_ns)
{
    uint64_t share_ns = (now_ns - spin->charged_ns) / SHARE;
    bool full = share_ns > (uint64_t)CREDIT_MAX_NS - (uint64_t)spin->credit_ns;
    spin->credit_ns = full ? CREDIT_MAX_NS : spin->credit_ns + (int64_t)share_ns;
    bool least = taken_ns > (uint64_t)(spin->credit_ns - CREDIT_MIN_NS);
    spin->credit_ns = least ? CREDIT_MIN_NS : spin->credit_ns - (int64_t)taken_ns;
    spin->charged_ns = now_ns;
    spin->wary = spin->credit_ns < 0;
}

void weft__spin_wait(struct weft__spin *spin, uint64_t now_ns)
{
    spin->moved_ns = now_ns;
    spin->gap_ns = 0;
}

void weft__spin_begin(struct weft__spin *spin, uint64_t now_ns)
{
    if (spin->ns == 0)
        spin->ns = MAX_NS;
    if (spin->wary)
        charge(spin, now_ns, 0);
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
    if (now_ns - spin->turned_ns > STOLEN_NS && was_preempted(spin))
        charge(spin, now_ns, now_ns - spin->turned_ns);
    spin->turned_ns = now_ns;
    return now_ns < spin->until_ns && !spin->wary;
}

void weft__spin_learn(struct weft__spin *spin, uint64_t now_ns)
{
    uint64_t waited_ns = now_ns - spin->moved_ns;
    if (waited_ns < spin->gap_ns)
        waited_ns = spin->gap_ns;
    if (spin->wary)
        return;
    if (waited_ns > WORTH_NS) {
        spin->ns = spin->ns / 2 > MIN_NS ? spin->ns / 2 : MIN_NS;
    } else if (waited_ns > spin->ns && spin->ns == MAX_NS) {
        charge(spin, now_ns, spin->ns); /* others could have had that */
    } else if (waited_ns > spin->ns) {
        spin->ns = spin->ns * 2 < MAX_NS ? spin->ns * 2 : MAX_NS;
    }
}
