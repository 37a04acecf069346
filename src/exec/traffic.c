/* What pairs of ranks exchange, counted where it begins: in the channel of the sender, or of the
 * rank that pulls.
 *
 * A rank has a channel for each peer anyway, in its range and under its lock, and sending a packet
 * changes that channel's sequence: the number of packets costs nothing, the bytes one addition in
 * the same cache line. As the range moves, the counts do, without a word about them in the move
 * protocol. Rejected: tables beside the ranks (they have to be carried along), counting at the
 * lane (it knows processes, and never sees ranks of one process, whose traffic decides whether they
 * should stay together), read-modify-write atomics (a lock is held, or the rank's thread alone
 * counts).
 */
#include "exec/impl.h"

enum { PEERS_AT_A_TIME = 1024 }; /* with the rank's lock held: microseconds */

void weft__traffic_got(struct weft__rank *rank, int32_t source, size_t len_bytes)
{
    if (rank->exec->uncounted || !rank->range)
        return;
    struct weft_channel_traffic *traffic = &rank->range->channels[source].traffic;
    traffic->got_bytes += len_bytes;
    traffic->got++;
}

/* Takes what is new; false: nothing. */
static bool take(struct weft_channel *channel, int32_t peer, struct weft_exec_traffic *entry)
{
    struct weft_channel_traffic *traffic = &channel->traffic;
    struct weft_channel_near *near = &channel->near;
    uint64_t packets = atomic_load_explicit(&near->packets, memory_order_relaxed);
    uint64_t bytes = atomic_load_explicit(&near->bytes, memory_order_relaxed);
    uint64_t sent = channel->next_out - traffic->sent_from + packets - near->packets_from;
    if (!sent && !traffic->got)
        return false;
    *entry =
        (struct weft_exec_traffic){.peer = peer,
                                   .sent_bytes = traffic->sent_bytes + bytes - near->bytes_from,
                                   .sent = sent,
                                   .got_bytes = traffic->got_bytes,
                                   .got = traffic->got};
    *traffic = (struct weft_channel_traffic){.sent_from = channel->next_out};
    near->packets_from = packets;
    near->bytes_from = bytes;
    return true;
}

size_t weft__exec_traffic(struct weft_exec *exec, int32_t number,
                          struct weft_exec_traffic *entries_out)
{
    struct weft__rank *rank =
        number >= 0 && number < exec->size ? weft__rank_find(exec, number) : NULL;
    size_t n = 0;
    if (!rank || exec->uncounted)
        return 0;
    for (int32_t from = 0; from < exec->size; from += PEERS_AT_A_TIME) {
        int32_t end = exec->size - from > PEERS_AT_A_TIME ? from + PEERS_AT_A_TIME : exec->size;
        pthread_mutex_lock(&rank->lock);
        for (int32_t peer = from; peer < end && weft__rank_is_here(rank); peer++)
            n += take(&rank->range->channels[peer], peer, &entries_out[n]);
        pthread_mutex_unlock(&rank->lock);
    }
    return n;
}
