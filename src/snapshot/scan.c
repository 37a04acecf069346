/* Comparing memory, coarse steps first.
 *
 * Equal memory is passed over by the C library's memcmp, 4 KiB at a time, which uses what vectors
 * the processor has; only where it finds something does the search go on by 64 and by 8 bytes.
 * Differing memory is passed over by words: a word without a zero byte in the xor of both has no
 * equal byte. Words are in memory order, so the first byte is the lowest one on little-endian
 * machines, the only ones that weft runs on.
 *
 * Figures (512 MiB, best of 5): equal memory as fast as one memcmp of it all (6 to 11 GB/s, by the
 * machine's load), with one byte changed in each 100th page too; 1 KiB changed in each page 3.2
 * GB/s, most of it for the copy of what changed.
 */
#include "snapshot/scan.h"

#include <stdint.h>
#include <string.h>

#define STEP 4096

static uint64_t differing(const unsigned char *a, const unsigned char *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x ^ y;
}

static int differ_64(const unsigned char *a, const unsigned char *b)
{
    uint64_t any = 0;
    for (size_t i = 0; i < 64; i += 8)
        any |= differing(a + i, b + i);
    return any != 0;
}

size_t weft__scan_differ(const unsigned char *a, const unsigned char *b, size_t at, size_t end)
{
    while (end - at >= STEP && memcmp(a + at, b + at, STEP) == 0)
        at += STEP;
    while (end - at >= 64 && !differ_64(a + at, b + at))
        at += 64;
    for (; end - at >= 8; at += 8) {
        uint64_t x = differing(a + at, b + at);
        if (x)
            return at + (size_t)__builtin_ctzll(x) / 8;
    }
    while (at < end && a[at] == b[at])
        at++;
    return at;
}

size_t weft__scan_equal(const unsigned char *a, const unsigned char *b, size_t at, size_t end)
{
    static const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (; end - at >= 8; at += 8) {
        uint64_t x = differing(a + at, b + at);
        uint64_t zero = (x - ones) & ~x & highs; /* the lowest one is exact */
        if (zero)
            return at + (size_t)__builtin_ctzll(zero) / 8;
    }
    while (at < end && a[at] != b[at])
        at++;
    return at;
}
