/* Between a rank that is a process of its own and the runtime, in another process of the same host.
 *
 * The rank's range is memory of both, at the same address. In it lies one line, over which the
 * program layer of the rank (libmpi) makes the calls of weft/cell.h, one at a time: it writes what
 * it wants and gives the turn away, and gets the turn back with the result. What the program has
 * elsewhere is its own: bytes that are exposed, or pulled, go through copies in the range.
 *
 * The runtime starts the program with WEFT_LINE_ENV in its environment, which says where the line
 * is: "DESCRIPTOR ADDRESS LENGTH LINE PARENT", numbers: of the range's file, the range, the line in
 * it, and the process that has started it. */
#ifndef WEFT_LINE_H
#define WEFT_LINE_H

#include <stdatomic.h>
#include <stdint.h>

#ifdef __cplusplus
#error "weft/line.h is for C code of the runtime and libmpi"
#endif

#define WEFT_LINE_ENV "WEFT_RANK_LINE"
#define WEFT_LINE_VERSION 1
#define WEFT_LINE_BYTES 20480u /* at least a packet */

/* What is asked, with its arguments and what `bytes` hold. Results are those of the functions. */
enum weft_line_call {
    WEFT_LINE_SEND = 1, /* rank; the packet */
    WEFT_LINE_EXPOSE,   /* address in the range, length; answer: args[0] the id */
    WEFT_LINE_UNEXPOSE, /* id */
    WEFT_LINE_GET,      /* address of a struct weft_cell_get in the range */
    WEFT_LINE_WAIT,     /* bell seen, deadline */
    WEFT_LINE_INFO,     /* enum weft_cell_info, room; answer: the bytes */
    WEFT_LINE_LOG,      /* level; text with NUL */
    WEFT_LINE_ABORT     /* code; text with NUL */
};

enum weft_line_turn { WEFT_LINE_RANK, WEFT_LINE_RUNTIME };

struct weft_line {
    uint32_t version;
    _Atomic uint32_t turn; /* whose it is; a futex word of both processes */
    _Atomic uint32_t rank_sleeps, runtime_sleeps;
    uint32_t what;
    int32_t result;
    uint64_t args[2];
    uint32_t len_bytes;
    uint32_t reserved;
    unsigned char bytes[WEFT_LINE_BYTES];
};

#endif
