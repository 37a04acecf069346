/* What valgrind's memcheck is told, in programs that are built to run under it (WEFT_MEMCHECK):
 * which bytes of a range that we divide ourselves hold nothing yet. Elsewhere nothing. */
#ifndef WEFT_BASE_MEMCHECK_H
#define WEFT_BASE_MEMCHECK_H

#include <stddef.h>

#ifdef WEFT_MEMCHECK
#include <valgrind/memcheck.h>
#define WEFT_MEMCHECK_DO(what, ptr, len_bytes) (void)VALGRIND_##what((ptr), (len_bytes))
#else
#define WEFT_MEMCHECK_DO(what, ptr, len_bytes) ((void)(ptr), (void)(len_bytes))
#endif

/* Reading these bytes before they are written is an error. */
static inline void weft__memcheck_undefined(void *ptr, size_t len_bytes)
{
    WEFT_MEMCHECK_DO(MAKE_MEM_UNDEFINED, ptr, len_bytes);
}

/* These bytes may be read. */
static inline void weft__memcheck_defined(void *ptr, size_t len_bytes)
{
    WEFT_MEMCHECK_DO(MAKE_MEM_DEFINED, ptr, len_bytes);
}

/* What follows in this thread looks at whatever bytes there are; until memcheck_strict(). */
static inline void weft__memcheck_lenient(void)
{
#ifdef WEFT_MEMCHECK
    VALGRIND_DISABLE_ERROR_REPORTING;
#endif
}

static inline void weft__memcheck_strict(void)
{
#ifdef WEFT_MEMCHECK
    VALGRIND_ENABLE_ERROR_REPORTING;
#endif
}

#endif
