/* Sets of pages.
 *
 * One bit per page in memory that the kernel provides when it is touched, and above it one bit per
 * 4 KiB of that bitmap (128 MiB of tracked memory), so that taking a few pages out of a range of 1
 * TiB reads a few pages of bitmap. The upper bit is set after the lower ones and cleared before
 * they are read: whoever sees it clear has missed nothing. Nothing here allocates while pages are
 * added, because they are added in signal handlers too.
 */
#include "snapshot/pages.h"

#include <sys/mman.h>

#include "base/check.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define WORD_PAGES 64
#define GROUP_WORDS 512
#define GROUP_PAGES (GROUP_WORDS * WORD_PAGES)

static size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

int weft__pages_init(struct weft_pages *pages_out, size_t n)
{
    size_t words = ceil_div(n, GROUP_PAGES) * GROUP_WORDS;
    size_t groups = ceil_div(words / GROUP_WORDS, WORD_PAGES);
    size_t bytes = (words + groups) * sizeof(uint64_t);
    weft__check(n > 0);
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return weft_fail(WEFT_ENOMEM, "no memory for a set over %zu pages", n);
    *pages_out = (struct weft_pages){.words = at,
                                     .groups = (_Atomic uint64_t *)((uint64_t *)at + words),
                                     .n = n,
                                     .mapped_bytes = bytes};
    return 0;
}

void weft__pages_fini(struct weft_pages *pages)
{
    if (pages->words)
        munmap((void *)pages->words, pages->mapped_bytes);
    *pages = (struct weft_pages){0};
}

void weft__pages_set(struct weft_pages *pages, size_t first, size_t n)
{
    weft__check(first <= pages->n && n <= pages->n - first);
    for (size_t page = first, end = first + n; page < end;) {
        size_t bit = page % WORD_PAGES, take = WORD_PAGES - bit;
        if (take > end - page)
            take = end - page;
        uint64_t mask = (take == WORD_PAGES ? UINT64_MAX : (UINT64_C(1) << take) - 1) << bit;
        size_t group = page / GROUP_PAGES;
        atomic_fetch_or(&pages->words[page / WORD_PAGES], mask);
        atomic_fetch_or(&pages->groups[group / WORD_PAGES], UINT64_C(1) << group % WORD_PAGES);
        page += take;
    }
}

bool weft__pages_has(const struct weft_pages *pages, size_t page)
{
    return page < pages->n &&
           (atomic_load(&pages->words[page / WORD_PAGES]) >> page % WORD_PAGES & 1);
}

/* Adds a word's pages to the list, run by run; what did not fit goes back into the word. */
static int take_word(struct weft_pages *pages, size_t word, struct weft_extents *into)
{
    uint64_t bits = atomic_exchange(&pages->words[word], 0);
    while (bits) {
        unsigned bit = (unsigned)__builtin_ctzll(bits);
        uint64_t from = bits >> bit;
        unsigned run = from == UINT64_MAX ? WORD_PAGES : (unsigned)__builtin_ctzll(~from);
        uint64_t mask = (run == WORD_PAGES ? UINT64_MAX : (UINT64_C(1) << run) - 1) << bit;
        int err = weft__extents_add(into, (word * WORD_PAGES + bit) * (uint64_t)WEFT_REGION_PAGE,
                                    run * (uint64_t)WEFT_REGION_PAGE);
        if (err) {
            atomic_fetch_or(&pages->words[word], bits);
            return err;
        }
        bits &= ~mask;
    }
    return 0;
}

static int take_group(struct weft_pages *pages, size_t group, struct weft_extents *into)
{
    size_t end = ceil_div(pages->n, WORD_PAGES);
    if (end > (group + 1) * GROUP_WORDS)
        end = (group + 1) * GROUP_WORDS;
    for (size_t word = group * GROUP_WORDS; word < end; word++) {
        int err = atomic_load_explicit(&pages->words[word], memory_order_relaxed)
                      ? take_word(pages, word, into)
                      : 0;
        if (err)
            return err;
    }
    return 0;
}

static void put_back(struct weft_pages *pages, const struct weft_extents *taken)
{
    for (size_t i = 0; i < taken->n; i++)
        weft__pages_set(pages, taken->at[i].offset / WEFT_REGION_PAGE,
                        taken->at[i].len_bytes / WEFT_REGION_PAGE);
}

int weft__pages_take(struct weft_pages *pages, struct weft_extents *extents_out)
{
    size_t groups = ceil_div(pages->n, GROUP_PAGES);
    weft__extents_clear(extents_out);
    for (size_t at = 0; at < ceil_div(groups, WORD_PAGES); at++) {
        uint64_t bits = atomic_exchange(&pages->groups[at], 0);
        while (bits) {
            unsigned bit = (unsigned)__builtin_ctzll(bits);
            int err = take_group(pages, at * WORD_PAGES + bit, extents_out);
            if (err) {
                atomic_fetch_or(&pages->groups[at], bits);
                put_back(pages, extents_out);
                weft__extents_clear(extents_out);
                return err;
            }
            bits &= bits - 1;
        }
    }
    return 0;
}
