/* What a processor can do beyond its architecture: sets of features, as far as code that runs on it
 * may depend on them.
 *
 * A program that has started on one processor has chosen by its features (the C library picks its
 * string and math functions once), and stays with the choice when it is moved. So hosts tell their
 * sets, an app starts with what its hosts have in common, and goes nowhere where less is.
 *
 * A set is a word of bits; they travel, so bits are never used again. 0: nothing is known. Of a set
 * made here a feature is never there without those that it needs. */
#ifndef WEFT_BASE_CPU_H
#define WEFT_BASE_CPU_H

#include <stddef.h>
#include <stdint.h>

#define WEFT_CPU_TEXT_MAX 1024 /* room for the names of any set */
#define WEFT_CPU_TUNABLES_MAX 4096

/* What this processor has and this kernel lets programs use.  Thread: any.  Blocks: no. */
uint64_t weft__cpu_here(void);
/* What a list of people's leaves of a set: "-avx2,-fma" takes these and what needs them away;
 * "sse4_2,popcnt" leaves these only, and what each of them needs. "" leaves all.
 * Errors: WEFT_EINVAL an unknown name, with the nearest one; both kinds in one list. */
int weft__cpu_limit(const char *list, uint64_t set, uint64_t *set_out);
/* What two processors have in common. */
uint64_t weft__cpu_common(uint64_t a, uint64_t b);
/* What of a program's set a processor lacks; nothing, where either is not known. */
uint64_t weft__cpu_lacks(uint64_t program, uint64_t processor);

/* The names of a set in one line; max: of how many, and then how many more (0: all). Returns text.
 */
char *weft__cpu_text(uint64_t set, unsigned max, char text[WEFT_CPU_TEXT_MAX]);
/* The level of the x86-64 ABI whose features are all there: "x86-64-v2"; "" where nothing is known.
 */
const char *weft__cpu_level(uint64_t set);
/* The value of GLIBC_TUNABLES with which the C library of a program does without these features,
 * with what it was before (NULL: not set), if there is room. "": nothing has to be said.
 * Source: glibc manual, "Hardware Capability Tunables"; tried with 2.36, static and dynamic. */
char *weft__cpu_tunables(uint64_t without, const char *before, char text[WEFT_CPU_TUNABLES_MAX]);

/* cpu_x86.c, cpu_none.c */
uint64_t weft__cpu_probe(void); /* as it is found, needs or not */

#endif
