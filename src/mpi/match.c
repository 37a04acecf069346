/* Two lists per context: receives in the order in which they were posted, messages in the order in
 * which they came.
 *
 * Packets of a pair of ranks arrive in order, both lists are searched from the oldest, so messages
 * do not overtake each other. Lists, not hashes: a receive from any source or with any tag must see
 * one order over all sources, and the programs we know keep few receives posted. Bound of the
 * unexpected list: the rank's memory, whose end is an error that says so.
 */
#include "mpi/match.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"

struct weft_mpi_queue *weft__mpi_match_queue(struct weft_mpi_comm *comm, bool collective)
{
    return &comm->queues[collective ? 1 : 0];
}

static bool accepts(int32_t want_source, int32_t want_tag, int32_t source, int32_t tag)
{
    return (want_source == source || want_source == MPI_ANY_SOURCE) &&
           (want_tag == tag || want_tag == MPI_ANY_TAG);
}

struct weft_mpi_request *weft__mpi_match_posted(struct weft_mpi_queue *queue, int32_t source,
                                                int32_t tag)
{
    for (struct weft_mpi_link *link = queue->posted.next; link != &queue->posted;
         link = link->next) {
        struct weft_mpi_request *request = WEFT_MPI_ITEM(link, struct weft_mpi_request, link);
        if (accepts(request->peer, request->tag, source, tag)) {
            weft__mpi_list_remove(link);
            return request;
        }
    }
    return NULL;
}

struct weft_mpi_message *weft__mpi_match_unexpected(struct weft_mpi_queue *queue, int32_t source,
                                                    int32_t tag)
{
    for (struct weft_mpi_link *link = queue->unexpected.next; link != &queue->unexpected;
         link = link->next) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(link, struct weft_mpi_message, link);
        if (accepts(source, tag, message->header.source, message->header.tag))
            return message;
    }
    return NULL;
}

struct weft_mpi_message *weft__mpi_match_keep(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                                              const struct weft_mpi_header *header,
                                              const void *bytes)
{
    size_t len = bytes ? (size_t)header->len_bytes : 0;
    struct weft_mpi_message *message = weft__heap_alloc(mpi->cell->heap, sizeof(*message) + len);
    if (!message)
        weft__mpi_error_fatal(
            mpi, MPI_ERR_NO_MEM,
            "%llu messages (%llu bytes) wait to be received and the rank's region is full: receive "
            "earlier, or give the ranks more memory (weft run --rank-memory)",
            (unsigned long long)mpi->unexpected_n, (unsigned long long)mpi->unexpected_bytes);
    memset(message, 0, sizeof(*message));
    message->header = *header;
    if (len > 0)
        memcpy(message->bytes, bytes, len);
    weft__mpi_list_append(&queue->unexpected, &message->link);
    mpi->unexpected_n++;
    mpi->unexpected_bytes += len;
    return message;
}

void weft__mpi_match_drop(struct weft_mpi *mpi, struct weft_mpi_message *message)
{
    weft__mpi_list_remove(&message->link);
    mpi->unexpected_n--;
    if (message->header.kind == WEFT_MPI_EAGER && !message->local)
        mpi->unexpected_bytes -= message->header.len_bytes;
    weft__heap_free(mpi->cell->heap, message);
}
