/* Sets of processor features: made whole, compared, written out.
 *
 * A set is made whole by leaving away what lacks something that it needs, in one pass, since what
 * is needed stands first in the list. AVX-512 also needs that it is known where its state lies.
 *
 * That programs ask the processor themselves cannot be prevented where the kernel does not let
 * CPUID fault; the C library can be told by a tunable. Without AVX it would still use AVX2 if that
 * were not named, so all that is missing is. */
#include "base/cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu_features.h"
#include "base/nearest.h"
#include "weft/error.h"

#define HWCAPS "glibc.cpu.hwcaps="
#define LIST_MAX 512 /* all names of the library, and more */
#define BIT(name) (UINT64_C(1) << CPU_##name)
#define LAYOUTS (BIT(avx512_at_1088) | BIT(avx512_at_832))

#define NAME(name, libc, needs, leaf, reg, bit, state) #name,
static const char *const names[] = {WEFT__CPU_FEATURES(NAME)};
#define LIBC(name, libc, needs, leaf, reg, bit, state) libc,
static const char *const libc_names[] = {WEFT__CPU_FEATURES(LIBC)};
#define NEEDS(name, libc, needs, leaf, reg, bit, state) CPU_##needs,
static const unsigned char needs[] = {WEFT__CPU_FEATURES(NEEDS)};

/* Levels 2, 3 and 4 of the ABI, each with those before it. */
#define LEVEL_2                                                                                    \
    (BIT(sse4_2) | BIT(sse4_1) | BIT(ssse3) | BIT(sse3) | BIT(cx16) | BIT(popcnt) | BIT(lahf))
#define LEVEL_3                                                                                    \
    (LEVEL_2 | BIT(avx) | BIT(avx2) | BIT(bmi1) | BIT(bmi2) | BIT(f16c) | BIT(fma) | BIT(lzcnt) |  \
     BIT(movbe) | BIT(xsave))
#define LEVEL_4                                                                                    \
    (LEVEL_3 | BIT(avx512f) | BIT(avx512bw) | BIT(avx512cd) | BIT(avx512dq) | BIT(avx512vl))

static uint64_t bit(unsigned i)
{
    return UINT64_C(1) << i;
}

static uint64_t whole(uint64_t set)
{
    for (unsigned i = 0; i < CPU_FEATURES_N; i++)
        if (!(set & bit(needs[i])) || (i == CPU_avx512f && !(set & LAYOUTS)))
            set &= ~bit(i);
    return set;
}

uint64_t weft__cpu_here(void)
{
    return whole(weft__cpu_probe());
}

uint64_t weft__cpu_common(uint64_t a, uint64_t b)
{
    return whole(a & b);
}

uint64_t weft__cpu_lacks(uint64_t program, uint64_t processor)
{
    return program && processor ? program & ~processor : 0;
}

static int find(const char *name, size_t len, unsigned *i_out)
{
    char text[64];
    snprintf(text, sizeof(text), "%.*s", (int)len, name);
    for (unsigned i = 0; i < CPU_FEATURES_N; i++)
        if (strcmp(names[i], text) == 0) {
            *i_out = i;
            return WEFT_OK;
        }
    const char *near = weft__nearest(text, names, CPU_FEATURES_N);
    return weft_fail(WEFT_EINVAL, "no processor feature is called \"%s\"%s%s", text,
                     near ? ", did you mean " : "", near ? near : "");
}

int weft__cpu_limit(const char *list, uint64_t set, uint64_t *set_out)
{
    uint64_t kept = 0, gone = 0;
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ", ");
        bool less = *at == '-';
        unsigned i = 0;
        int err = len ? find(at + less, len - less, &i) : WEFT_OK;
        if (err)
            return err;
        if (len && less)
            gone |= bit(i);
        for (unsigned k = i; len && !less && !(kept & bit(k)); k = needs[k])
            kept |= bit(k);
        at += len + (at[len] != '\0');
    }
    if (kept && gone)
        return weft_fail(WEFT_EINVAL, "processor features are either taken away (-avx2), or all "
                                      "that there are is named (sse4_2,popcnt)");
    if (kept & BIT(avx512f))
        kept |= LAYOUTS;
    *set_out = whole(kept ? set & kept : set & ~gone);
    return WEFT_OK;
}

char *weft__cpu_text(uint64_t set, unsigned max, char text[WEFT_CPU_TEXT_MAX])
{
    size_t len = 0;
    unsigned n = 0, more = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < CPU_FEATURES_N; i++) {
        if (!(set & bit(i)))
            continue;
        if (max && n == max)
            more++;
        else
            len += (size_t)snprintf(text + len, WEFT_CPU_TEXT_MAX - len, "%s%s", n++ ? " " : "",
                                    names[i]);
    }
    if (more)
        snprintf(text + len, WEFT_CPU_TEXT_MAX - len, " and %u more", more);
    return text;
}

const char *weft__cpu_level(uint64_t set)
{
    if ((set & LEVEL_4) == LEVEL_4)
        return "x86-64-v4";
    if ((set & LEVEL_3) == LEVEL_3)
        return "x86-64-v3";
    if ((set & LEVEL_2) == LEVEL_2)
        return "x86-64-v2";
    return set ? "x86-64-v1" : "";
}

/* "-AVX2,-FMA" */
static void libc_list(uint64_t without, char list[LIST_MAX])
{
    size_t len = 0;
    list[0] = '\0';
    for (unsigned i = 0; i < CPU_FEATURES_N; i++)
        if (without & bit(i) && libc_names[i][0])
            len += (size_t)snprintf(list + len, LIST_MAX - len, "%s-%s", len ? "," : "",
                                    libc_names[i]);
}

char *weft__cpu_tunables(uint64_t without, const char *before, char text[WEFT_CPU_TUNABLES_MAX])
{
    char list[LIST_MAX];
    libc_list(without, list);
    text[0] = '\0';
    if (!list[0])
        return text;
    const char *there = before ? strstr(before, HWCAPS) : NULL;
    const char *rest = there ? there + strlen(HWCAPS) : before && *before ? before : "";
    int first = there ? (int)(there - before) : 0;
    /* Of two lists the library would take the last one: both become one. */
    int len = snprintf(text, WEFT_CPU_TUNABLES_MAX, "%.*s" HWCAPS "%s%s%s", first,
                       before ? before : "", list,
                       there   ? ","
                       : *rest ? ":"
                               : "",
                       rest);
    if (len >= WEFT_CPU_TUNABLES_MAX) /* what makes programs run comes first */
        snprintf(text, WEFT_CPU_TUNABLES_MAX, HWCAPS "%s", list);
    return text;
}
