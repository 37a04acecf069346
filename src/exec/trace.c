/* The newest packets of each rank, for who wants to see what a move did to them.
 *
 * A ring per rank, filled under the rank's lock, which everybody who has a packet in hand holds
 * anyway; without weft_exec_desc.trace_n there is no ring, and a packet costs one look at a
 * pointer. It works like an oscilloscope: a mark lets half a ring follow, then it stands until it
 * is taken, so that what lies around the mark is still there when somebody comes for it.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "exec/impl.h"

struct weft__trace {
    size_t n;      /* room */
    uint64_t head; /* packets so far */
    uint64_t stop; /* the ring stands when head is there; 0: no mark */
    struct weft_exec_trace packets[];
};

void weft__trace_open(struct weft__rank *rank)
{
    size_t n = rank->exec->trace_n;
    if (n == 0)
        return;
    rank->trace = calloc(1, sizeof(*rank->trace) + n * sizeof(rank->trace->packets[0]));
    if (rank->trace) /* else it is not traced */
        rank->trace->n = n;
}

void weft__trace_packet(struct weft__rank *rank, enum weft_exec_traced what, int32_t peer,
                        uint64_t sequence, size_t len_bytes)
{
    struct weft__trace *trace = rank->trace;
    if (trace->stop != 0 && trace->head >= trace->stop)
        return;
    trace->packets[trace->head++ % trace->n] =
        (struct weft_exec_trace){.mono_ns = weft__now_ns(),
                                 .sequence = sequence,
                                 .peer = peer,
                                 .len_bytes = (uint32_t)len_bytes,
                                 .what = what};
}

void weft__exec_trace_mark(struct weft_exec *exec)
{
    for (int32_t i = 0; i < exec->size && exec->trace_n > 0; i++) {
        struct weft__rank *rank = weft__rank_find(exec, i);
        if (!rank || !rank->trace)
            continue;
        pthread_mutex_lock(&rank->lock);
        if (rank->trace->stop == 0)
            rank->trace->stop = rank->trace->head + rank->trace->n / 2;
        pthread_mutex_unlock(&rank->lock);
    }
}

size_t weft__exec_trace_take(struct weft_exec *exec, int32_t number,
                             struct weft_exec_trace *packets_out)
{
    struct weft__rank *rank =
        number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
    size_t n = 0;
    if (!rank || !rank->trace)
        return 0;
    pthread_mutex_lock(&rank->lock);
    struct weft__trace *trace = rank->trace;
    uint64_t from = trace->head > trace->n ? trace->head - trace->n : 0;
    for (uint64_t i = from; i < trace->head; i++)
        packets_out[n++] = trace->packets[i % trace->n];
    trace->head = trace->stop = 0;
    pthread_mutex_unlock(&rank->lock);
    return n;
}
