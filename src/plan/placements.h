/* Placements of last time: who ran where when the same was placed before, by a key that says what
 * it was ("the same program on as many ranks").
 *
 * Hosts are kept by name, because a host may be another one of the list, or gone, when somebody
 * asks. What is kept is a memory and no promise: whoever uses it looks whether the hosts are there
 * and have room (weft__decide() does the latter). Bounded in placements and in ranks: the one that
 * was looked for or kept longest ago goes first. Thread: one at a time. */
#ifndef WEFT_PLAN_PLACEMENTS_H
#define WEFT_PLAN_PLACEMENTS_H

#include <stddef.h>
#include <stdint.h>

struct weft_placement_kept {
    const char *const *hosts;
    size_t hosts_n;
    const uint32_t *host_of; /* index into hosts, by rank */
    size_t ranks;
};

struct weft_placements {
    struct weft_placements_item **items; /* the last one was used last */
    size_t n, max;
    size_t ranks, ranks_max; /* of all */
};

/* Errors: WEFT_ENOMEM; WEFT_EINVAL a bound is 0. fini of a zeroed table is fine. */
int weft__placements_init(struct weft_placements *table, size_t max, size_t ranks_max);
void weft__placements_fini(struct weft_placements *table);

/* Keeps a copy, in place of what the key had.
 * Errors: WEFT_ENOMEM; WEFT_ERANGE more ranks than the table may have in all; WEFT_EINVAL a rank on
 * a host that is not listed. Then the key has what it had. */
int weft__placements_keep(struct weft_placements *table, const char *key,
                          const struct weft_placement_kept *placement);
/* NULL: none. Good until the table changes. */
const struct weft_placement_kept *weft__placements_find(struct weft_placements *table,
                                                        const char *key);

#endif
