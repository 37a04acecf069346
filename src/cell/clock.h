/* The clocks of a rank: the host's, and by how much the rank's are ahead of them.
 *
 * Clocks that count from a start of the machine, and those of processor time, are different on
 * every host; a rank's go on from where they stood when it was stopped. A program reads them in the
 * image of vdso.S, without a system call. */
#ifndef WEFT_CELL_CLOCK_H
#define WEFT_CELL_CLOCK_H

#include <stdint.h>
#include <time.h>

#define WEFT__CLOCKS 12 /* clockid_t of the kernel's own */

struct weft__clock_shift {
    int64_t s;
    uint64_t ns; /* below a second */
};

/* Of the rank; lies in its range. All zeros at the beginning. vdso.S knows the offsets. */
struct weft__clock {
    uint64_t host; /* refilled: clock_gettime of the host's vDSO; 0: there is none */
    struct weft__clock_shift shifts[WEFT__CLOCKS]; /* of the rank's clocks from the host's */
    uint64_t stopped_ns[WEFT__CLOCKS]; /* what they said when the rank was stopped last */
};

extern const unsigned char weft__vdso[], weft__vdso_clock[], weft__vdso_end[];

/* The rank begins on this host. */
void weft__clock_begin(struct weft__clock *clock);
/* It is stopped, and may go on elsewhere. */
void weft__clock_stop(struct weft__clock *clock);
/* It goes on here; ahead_ns: its CLOCK_MONOTONIC, which is the runtime's, from the host's. */
void weft__clock_arrive(struct weft__clock *clock, int64_t ahead_ns);
/* The clock of the host that the rank's is counted from. */
uint64_t weft__clock_of_host(uint64_t id);
/* What that clock of the host says, on the rank's. */
void weft__clock_to_rank(const struct weft__clock *clock, uint64_t id, struct timespec *time);

#endif
