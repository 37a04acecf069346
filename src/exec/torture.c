/* Torture: a rank that wants to be moved after every so many runtime calls of its own, to whatever
 * host its home draws.
 *
 * Programs are tried with it: whatever they hold, and whatever is under way, must be the same on
 * the next host. The rank waits at its call until its home has moved it or has said that it cannot
 * be, so a program is moved at the same calls however fast moves are; what it counts is in its
 * range and goes with it. Which hosts are drawn depends on the seed, the rank and how often it has
 * wanted to go, but also on who has a free slot at that time.
 */
#include "exec/impl.h"

/* The n-th number of rank r. Source: Steele, Lea, Flood, Fast splittable pseudorandom number
 * generators, 2014. */
static uint64_t draw(uint64_t seed, int32_t r, uint32_t n)
{
    uint64_t x = seed + UINT64_C(0x9e3779b97f4a7c15) * (((uint64_t)(uint32_t)r << 32) + n + 1);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

bool weft__torture_begin(struct weft__rank *rank)
{
    struct weft__range *range = rank->range;
    const struct weft_exec_callbacks *callbacks = &rank->exec->callbacks;
    range->torture_calls = 0;
    if (atomic_load_explicit(&rank->cell->move_pending, memory_order_relaxed) ||
        atomic_exchange(&rank->tortured, true))
        return false;
    callbacks->torture(callbacks->ctx, rank->number,
                       draw(rank->exec->torture_seed, rank->number, range->torture_draws++));
    return true;
}

void weft__exec_torture_over(struct weft_exec *exec, int32_t number)
{
    struct weft__rank *rank =
        number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
    if (!rank)
        return;
    pthread_mutex_lock(&rank->lock);
    atomic_store(&rank->tortured, false);
    if (rank->cell)
        weft__rank_ring(rank);
    pthread_mutex_unlock(&rank->lock);
}
