/* Checks that stay in release builds: a broken invariant ends the process on the spot, with a trap
 * and nothing else, so that freestanding code can use them too. */
#ifndef WEFT_BASE_CHECK_H
#define WEFT_BASE_CHECK_H

#define weft__check(condition)                                                                     \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            __builtin_trap();                                                                      \
    } while (0)

#endif
