/* The known name nearest to a misspelt one.
 *
 * Edit distance with swaps of neighbours counted as one (optimal string alignment), on three
 * rolling rows of fixed size. A name counts as meant when at most a third of the longer text
 * differs.
 */
#include "base/nearest.h"

#include <ctype.h>
#include <string.h>

#define TEXT_MAX 63

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t weft__edit_distance(const char *a, const char *b)
{
    size_t a_len = strnlen(a, TEXT_MAX), b_len = strnlen(b, TEXT_MAX);
    size_t rows[3][TEXT_MAX + 1];
    size_t *two_up = rows[0], *up = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *spare = two_up;
        two_up = up;
        up = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = up[j - 1] + !same(a[i - 1], b[j - 1]);
            best = smaller(best, smaller(up[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                best = smaller(best, two_up[j - 2] + 1);
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *weft__nearest(const char *name, const char *const *names, size_t names_n)
{
    const char *best = NULL;
    size_t best_distance = TEXT_MAX + 1;
    for (size_t i = 0; i < names_n; i++) {
        size_t distance = weft__edit_distance(name, names[i]);
        size_t name_len = strnlen(name, TEXT_MAX), other_len = strnlen(names[i], TEXT_MAX);
        size_t longer = name_len > other_len ? name_len : other_len;
        if (distance * 3 <= longer && distance < best_distance) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}
