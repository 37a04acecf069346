/* Rounds of detection: written as text, one digit per host, one letter per rank; or random, and all
 * placements that fit them. */
#ifndef WEFT_TESTS_PLAN_ROUNDS_H
#define WEFT_TESTS_PLAN_ROUNDS_H

#include <stdlib.h>
#include <string.h>

#include "plan/detect.h"
#include "weft/error.h"

#define HOSTS_MAX 6
#define RANKS_MAX 16

/* Slots and used by host; placements as letters, a is the first host. */
struct vector {
    const char *slots, *used, *now;
    const char *then; /* NULL: no better placement */
};

struct round {
    struct weft_plan_host hosts[HOSTS_MAX];
    size_t hosts_n;
    uint32_t host_of[RANKS_MAX];
    struct weft_plan_move moves[RANKS_MAX];
    struct weft_detect ask;
    struct weft_plan plan;
};

static inline void set_up(struct round *r, const char *slots, const char *used, const char *now)
{
    memset(r, 0, sizeof(*r));
    r->hosts_n = strlen(slots);
    r->ask = (struct weft_detect){.host_of = r->host_of, .ranks = strlen(now)};
    r->plan.moves = r->moves;
    for (size_t i = 0; i < r->hosts_n; i++) {
        r->hosts[i].slots = (uint32_t)(slots[i] - '0');
        r->hosts[i].used = (uint32_t)(used[i] - '0');
    }
    for (size_t i = 0; i < r->ask.ranks; i++)
        r->host_of[i] = (uint32_t)(now[i] - 'a');
}

/* Plans with the hosts as they stand now. */
static inline int detect(struct round *r)
{
    struct weft_roster roster;
    assert_int_equal(weft__roster_init(&roster, r->hosts, r->hosts_n), WEFT_OK);
    r->ask.roster = &roster;
    int err = weft__detect(&r->ask, &r->plan);
    assert_int_equal(roster.touched_n, 0);
    weft__roster_fini(&roster);
    return err;
}

static inline void apply(const struct round *r, char *out)
{
    for (size_t i = 0; i < r->ask.ranks; i++)
        out[i] = (char)('a' + r->host_of[i]);
    for (size_t i = 0; i < r->plan.moves_n; i++)
        out[r->moves[i].rank] = (char)('a' + r->moves[i].to);
    out[r->ask.ranks] = '\0';
}

/* leaving: the hosts that are about to go. */
static inline void check_under(const struct vector *v, enum weft_policy policy, const char *leaving)
{
    struct round r;
    char after[RANKS_MAX + 1];
    set_up(&r, v->slots, v->used, v->now);
    r.ask.policy = policy;
    for (; *leaving != '\0'; leaving++)
        r.hosts[*leaving - 'a'].leaving = true;
    assert_int_equal(detect(&r), WEFT_OK);
    apply(&r, after);
    assert_string_equal(after, v->then != NULL ? v->then : v->now);
    if (v->then == NULL)
        assert_int_equal(r.plan.moves_n, 0);
}

/* From two hosts and ranks to so many; half of the hosts have no other ranks. */
static inline void random_round(struct round *r, unsigned *seed, size_t hosts_max, size_t ranks_max)
{
    memset(r, 0, sizeof(*r));
    r->hosts_n = 2 + (size_t)rand_r(seed) % (hosts_max - 1);
    r->ask = (struct weft_detect){.host_of = r->host_of,
                                  .ranks = 2 + (size_t)rand_r(seed) % (ranks_max - 1)};
    r->plan.moves = r->moves;
    for (size_t h = 0; h < r->hosts_n; h++) {
        r->hosts[h].slots = (uint32_t)rand_r(seed) % 7;
        r->hosts[h].used = rand_r(seed) % 2 ? 0 : (uint32_t)rand_r(seed) % 4;
    }
    for (size_t rank = 0; rank < r->ask.ranks; rank++) {
        r->host_of[rank] = (uint32_t)rand_r(seed) % (uint32_t)r->hosts_n;
        r->hosts[r->host_of[rank]].used++;
    }
}

/* All numbers of ranks per host for which there are free slots, one after the other. */
struct search {
    struct round r;
    uint32_t ours[HOSTS_MAX]; /* now */
    uint32_t count[HOSTS_MAX];
    uint64_t moves; /* from one to the other */
    void (*look)(struct search *search);
    void *best;
};

static inline void search_on(struct search *s, size_t h, uint32_t left)
{
    const struct weft_plan_host *host = &s->r.hosts[h];
    uint32_t most = s->ours[h] + weft__plan_host_free(host);
    for (uint32_t n = h + 1 < s->r.hosts_n ? 0 : left; n <= left && n <= most; n++) {
        uint64_t moves = s->moves;
        s->count[h] = n;
        s->moves += n > s->ours[h] ? n - s->ours[h] : 0;
        if (h + 1 < s->r.hosts_n)
            search_on(s, h + 1, left - n);
        else
            s->look(s);
        s->moves = moves;
    }
}

static inline void search_all(struct search *s)
{
    memset(s->ours, 0, sizeof(s->ours));
    for (size_t rank = 0; rank < s->r.ask.ranks; rank++)
        s->ours[s->r.host_of[rank]]++;
    s->moves = 0;
    search_on(s, 0, (uint32_t)s->r.ask.ranks);
}

#endif
