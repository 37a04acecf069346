/* What the programs swap and stray compute, so that a test can compute it too, without MPI. All is
 * drawn from hashes: a wrong, lost or doubled message changes every later value. */
#ifndef WEFT_TESTS_CLUSTER_WORK_H
#define WEFT_TESTS_CLUSTER_WORK_H

#include <stdint.h>

enum {
    WORK_RANKS_MAX = 16,
    WORK_TAGS = 1000,
    WORK_SENDS_MAX = 3,     /* of stray, per rank and step */
    WORK_WORDS_MAX = 12000, /* of a message, the head included */
    WORK_HEAD_WORDS = 2,    /* its step; its number among those of its sender to its receiver */
    WORK_TOGETHER = 16      /* steps after which all ranks of stray have met */
};

static inline uint64_t work_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a + 0x9e3779b97f4a7c15u) ^ (b * 0xbf58476d1ce4e5b9u);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static inline uint64_t work_begin(uint64_t seed, int rank)
{
    return work_mix(seed, (uint64_t)rank + 1);
}

/* ---- swap: in each step every rank sends a block to every rank ---- */

/* Words of a block: few, some, or more than an eager message holds. */
static inline int work_block_words(uint64_t seed, uint64_t step)
{
    uint64_t draw = work_mix(seed, step) % 64;
    return draw == 0 ? 10000 : draw < 8 ? 700 : 1 + (int)draw;
}

static inline uint64_t work_block_word(uint64_t value, int to, int word)
{
    return work_mix(value, (uint64_t)to << 32 | (uint64_t)word);
}

/* ---- stray: in each step a rank sends some messages of any length to any ranks ---- */

struct work_send {
    int to, tag, words;
};

static inline int work_sends(uint64_t seed, uint64_t step, int rank)
{
    return (int)(work_mix(work_mix(seed, step), (uint64_t)rank) % (WORK_SENDS_MAX + 1));
}

static inline struct work_send work_send(uint64_t seed, uint64_t step, int rank, int size, int n)
{
    uint64_t draw = work_mix(work_mix(seed, step), (uint64_t)(rank + 1) << 8 | (uint64_t)n);
    uint64_t length = work_mix(draw, 7) % 64;
    return (struct work_send){.to = (int)(draw % (uint64_t)size),
                              .tag = (int)((draw >> 32) % WORK_TAGS),
                              .words = length == 0  ? WORK_WORDS_MAX
                                       : length < 6 ? 1500
                                                    : WORK_HEAD_WORDS + 1 + (int)length};
}

static inline uint64_t work_send_word(uint64_t value, int n, int word)
{
    return work_mix(value, (uint64_t)n << 32 | (uint64_t)word);
}

/* What a message adds at its receiver; sums do not ask for an order. */
static inline uint64_t work_sum(const uint64_t *words, int words_n, int from, int tag)
{
    uint64_t sum = work_mix((uint64_t)from, (uint64_t)tag);
    for (int i = WORK_HEAD_WORDS; i < words_n; i++)
        sum = work_mix(sum, words[i]);
    return sum;
}

#endif
