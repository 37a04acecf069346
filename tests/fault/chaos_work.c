/* The programs swap and stray, one rank after the other in one process. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaos.h"
#include "programs/work.h"

static void say(const uint64_t *values, int size, char *text_out)
{
    uint64_t sum = 0;
    for (int i = 0; i < size; i++)
        sum += values[i];
    snprintf(text_out, CHAOS_TEXT, "digest %016" PRIx64, sum);
}

void chaos_expected_swap(uint64_t seed, uint64_t steps, int size, char *text_out)
{
    uint64_t values[WORK_RANKS_MAX], next[WORK_RANKS_MAX];
    for (int i = 0; i < size; i++)
        values[i] = work_begin(seed, i);
    for (uint64_t step = 0; step < steps; step++) {
        int words = work_block_words(seed, step);
        memcpy(next, values, sizeof(next));
        for (int to = 0; to < size; to++)
            for (int from = 0; from < size; from++)
                for (int i = 0; i < words; i++)
                    next[to] = work_mix(next[to], work_block_word(values[from], to, i));
        memcpy(values, next, sizeof(next));
    }
    say(values, size, text_out);
}

static void stray_send(uint64_t value, int from, int n, const struct work_send *send,
                       uint64_t *sums)
{
    static uint64_t words[WORK_WORDS_MAX];
    for (int i = WORK_HEAD_WORDS; i < send->words; i++)
        words[i] = work_send_word(value, n, i);
    sums[send->to] += work_sum(words, send->words, from, send->tag);
}

void chaos_expected_stray(uint64_t seed, uint64_t steps, int size, char *text_out)
{
    uint64_t values[WORK_RANKS_MAX];
    for (int i = 0; i < size; i++)
        values[i] = work_begin(seed, i);
    for (uint64_t step = 0; step < steps; step++) {
        uint64_t sums[WORK_RANKS_MAX] = {0};
        for (int from = 0; from < size; from++)
            for (int n = 0; n < work_sends(seed, step, from); n++) {
                struct work_send send = work_send(seed, step, from, size, n);
                stray_send(values[from], from, n, &send, sums);
            }
        for (int i = 0; i < size; i++)
            values[i] = work_mix(values[i], sums[i]);
    }
    say(values, size, text_out);
}
