/* Two lists per context: receives in the order in which they were posted, messages in the order in
 * which they came.
 *
 * Packets of a pair of ranks arrive in order and the oldest match is taken, so messages do not
 * overtake each other. Short lists are walked from the oldest. When a search has walked WALK items
 * of a longer list in vain, all of the list goes into a hash table by source and tag, whose buckets
 * keep the order, and stays in it until the list is empty. A receive is found under the four keys
 * that a message can match (with any source, any tag, both), and the one that was posted first is
 * taken; messages have a table for each kind of search: source and tag, source alone, tag alone
 * (any message at all is the first of the list). Tables are made when they are first needed, are
 * shared by all queues, and only grow; without memory for them lists are walked.
 *
 * A send of 8 bytes with its receive takes, when it is the newest of 1, 10, 1,000, 10,000 messages
 * that wait: 28, 66, 75, 138 ns of the processor; of receives that are posted: 85, 90, 93, 160 ns;
 * with any source the same (scripts/bench match). Lists alone take 1.7 us at 1,000 and 20 us at
 * 10,000.
 *
 * Tables from the beginning were rejected: most programs never have ten receives posted, and a walk
 * of five is cheaper than a hash. Bound of the unexpected list: the rank's memory, whose end is an
 * error that says so.
 */
#include "mpi/match.h"

#include <string.h>

#include "base/heap.h"
#include "mpi/error.h"

#define WALK 16u
#define BUCKETS_MIN 256u

enum { POSTED, BY_BOTH, BY_SOURCE, BY_TAG };
_Static_assert(BY_TAG + 1 == WEFT_MPI_INDICES, "a table for each");

struct key {
    uint64_t context;
    int32_t source, tag;
};

/* ---- tables ---- */

static struct weft_mpi_request *request_of(struct weft_mpi_link *link)
{
    return WEFT_MPI_ITEM(link, struct weft_mpi_request, index_link);
}

static struct weft_mpi_message *message_of(struct weft_mpi_link *link, unsigned which)
{
    return WEFT_MPI_ITEM(link - (which - BY_BOTH), struct weft_mpi_message, index);
}

static struct key key_of_request(const struct weft_mpi_request *request)
{
    return (struct key){request->comm->context | (request->collective ? 1u : 0u), request->peer,
                        request->tag};
}

static struct key key_of_message(const struct weft_mpi_message *message, unsigned which)
{
    const struct weft_mpi_header *header = &message->header;
    return (struct key){header->context, which == BY_TAG ? MPI_ANY_SOURCE : header->source,
                        which == BY_SOURCE ? MPI_ANY_TAG : header->tag};
}

static struct key key_of(struct weft_mpi_link *link, unsigned which)
{
    return which == POSTED ? key_of_request(request_of(link))
                           : key_of_message(message_of(link, which), which);
}

static bool same(const struct key *a, const struct key *b)
{
    return a->context == b->context && a->source == b->source && a->tag == b->tag;
}

static struct weft_mpi_link *bucket(const struct weft_mpi_index *index, const struct key *key)
{
    uint64_t h = ((uint64_t)(uint32_t)key->source << 32 | (uint32_t)key->tag) ^
                 key->context * 0x9e3779b97f4a7c15ull;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93ull;
    return &index->buckets[(h >> 32) & index->mask];
}

static void append(const struct weft_mpi_index *index, struct weft_mpi_link *link,
                   const struct key *key)
{
    struct weft_mpi_link *list = bucket(index, key);
    if (!list->next)
        weft__mpi_list_init(list);
    weft__mpi_list_append(list, link);
}

/* Twice as many buckets, or the first. Items with the same key keep their order: they were in the
 * same bucket.  Errors: false: no memory; the table is as it was. */
static bool grow(struct weft_mpi *mpi, unsigned which)
{
    struct weft_mpi_index *index = &mpi->indices[which], old = *index;
    uint32_t n = old.buckets ? 2 * (old.mask + 1) : BUCKETS_MIN;
    struct weft_mpi_link *buckets =
        n > 0 ? weft__heap_calloc(mpi->cell->heap, n, sizeof(*buckets)) : NULL;
    if (!buckets)
        return false;
    index->buckets = buckets;
    index->mask = n - 1;
    for (uint32_t i = 0; old.buckets && i <= old.mask; i++) {
        struct weft_mpi_link *list = &old.buckets[i];
        while (list->next && !weft__mpi_list_empty(list)) {
            struct weft_mpi_link *link = list->next;
            struct key key = key_of(link, which);
            weft__mpi_list_remove(link);
            append(index, link, &key);
        }
    }
    weft__heap_free(mpi->cell->heap, old.buckets);
    return true;
}

static void insert(struct weft_mpi *mpi, struct weft_mpi_link *link, unsigned which)
{
    struct weft_mpi_index *index = &mpi->indices[which];
    struct key key = key_of(link, which);
    if (index->n > index->mask)
        (void)grow(mpi, which); /* else its buckets become longer */
    index->n++;
    append(index, link, &key);
}

static void take_out(struct weft_mpi *mpi, struct weft_mpi_link *link, unsigned which)
{
    if (!link->next)
        return;
    mpi->indices[which].n--;
    weft__mpi_list_remove(link);
}

/* Whether the queue's items are in the table; puts them there. */
static bool is_indexed(struct weft_mpi *mpi, struct weft_mpi_queue *queue, unsigned which)
{
    if (queue->indexed & 1u << which)
        return true;
    if (!mpi->indices[which].buckets && !grow(mpi, which))
        return false;
    struct weft_mpi_link *list = which == POSTED ? &queue->posted : &queue->unexpected;
    for (struct weft_mpi_link *link = list->next; link != list; link = link->next)
        if (which == POSTED)
            insert(mpi, &WEFT_MPI_ITEM(link, struct weft_mpi_request, link)->index_link, which);
        else
            insert(mpi, &WEFT_MPI_ITEM(link, struct weft_mpi_message, link)->index[which - BY_BOTH],
                   which);
    queue->indexed |= 1u << which;
    return true;
}

/* The first item with this key; NULL: none. */
static struct weft_mpi_link *look_up(struct weft_mpi *mpi, const struct key *key, unsigned which)
{
    struct weft_mpi_link *list = bucket(&mpi->indices[which], key);
    for (struct weft_mpi_link *link = list->next; link && link != list; link = link->next) {
        struct key other = key_of(link, which);
        if (same(&other, key))
            return link;
    }
    return NULL;
}

/* Where a walk begins to count: what is in a table is walked for one step only. */
static unsigned first_step(const struct weft_mpi_queue *queue, unsigned which)
{
    return queue->indexed & 1u << which ? WALK - 1 : 0;
}

/* ---- receives ---- */

static bool is_wild(const struct weft_mpi_request *request)
{
    return request->peer == MPI_ANY_SOURCE || request->tag == MPI_ANY_TAG;
}

static bool accepts(int32_t want_source, int32_t want_tag, int32_t source, int32_t tag)
{
    return (want_source == source || want_source == MPI_ANY_SOURCE) &&
           (want_tag == tag || want_tag == MPI_ANY_TAG);
}

void weft__mpi_match_post(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_queue *queue = weft__mpi_match_queue(request->comm, request->collective);
    request->order = mpi->posted++;
    request->posted = true;
    weft__mpi_list_append(&queue->posted, &request->link);
    queue->posted_n++;
    queue->posted_wild_n += is_wild(request);
    if (queue->indexed & 1u << POSTED)
        insert(mpi, &request->index_link, POSTED);
}

void weft__mpi_match_withdraw(struct weft_mpi *mpi, struct weft_mpi_request *request)
{
    struct weft_mpi_queue *queue = weft__mpi_match_queue(request->comm, request->collective);
    request->posted = false;
    weft__mpi_list_remove(&request->link);
    take_out(mpi, &request->index_link, POSTED);
    queue->posted_wild_n -= is_wild(request);
    if (--queue->posted_n == 0)
        queue->indexed &= ~(1u << POSTED);
}

static struct weft_mpi_request *
find_posted(struct weft_mpi *mpi, const struct weft_mpi_queue *queue, const struct key *key)
{
    const struct key keys[] = {*key,
                               {key->context, key->source, MPI_ANY_TAG},
                               {key->context, MPI_ANY_SOURCE, key->tag},
                               {key->context, MPI_ANY_SOURCE, MPI_ANY_TAG}};
    struct weft_mpi_request *first = NULL;
    for (unsigned i = 0; i < (queue->posted_wild_n > 0 ? 4u : 1u); i++) {
        struct weft_mpi_link *link = look_up(mpi, &keys[i], POSTED);
        if (link && (!first || request_of(link)->order < first->order))
            first = request_of(link);
    }
    return first;
}

struct weft_mpi_request *weft__mpi_match_posted(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                                                int32_t source, int32_t tag)
{
    struct weft_mpi_link *link = queue->posted.next;
    struct weft_mpi_request *found = NULL;
    unsigned walked = first_step(queue, POSTED);
    for (; link != &queue->posted && !found; link = link->next) {
        struct weft_mpi_request *request = WEFT_MPI_ITEM(link, struct weft_mpi_request, link);
        if (accepts(request->peer, request->tag, source, tag)) {
            found = request;
        } else if (++walked == WALK && is_indexed(mpi, queue, POSTED)) {
            struct key key = key_of_request(request);
            found = find_posted(mpi, queue, &(struct key){key.context, source, tag});
            break;
        }
    }
    if (found)
        weft__mpi_match_withdraw(mpi, found);
    return found;
}

/* ---- messages ---- */

struct weft_mpi_message *weft__mpi_match_unexpected(struct weft_mpi *mpi,
                                                    struct weft_mpi_queue *queue, int32_t source,
                                                    int32_t tag)
{
    unsigned which = source == MPI_ANY_SOURCE ? BY_TAG : tag == MPI_ANY_TAG ? BY_SOURCE : BY_BOTH;
    unsigned walked = first_step(queue, which);
    for (struct weft_mpi_link *link = queue->unexpected.next; link != &queue->unexpected;
         link = link->next) {
        struct weft_mpi_message *message = WEFT_MPI_ITEM(link, struct weft_mpi_message, link);
        if (accepts(source, tag, message->header.source, message->header.tag))
            return message;
        if (++walked == WALK && is_indexed(mpi, queue, which)) {
            const struct key key = {message->header.context, source, tag};
            link = look_up(mpi, &key, which);
            return link ? message_of(link, which) : NULL;
        }
    }
    return NULL;
}

static void put_in(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                   struct weft_mpi_message *message)
{
    weft__mpi_list_append(&queue->unexpected, &message->link);
    queue->unexpected_n++;
    for (unsigned which = BY_BOTH; queue->indexed >> BY_BOTH && which <= BY_TAG; which++)
        if (queue->indexed & 1u << which)
            insert(mpi, &message->index[which - BY_BOTH], which);
}

void weft__mpi_match_move(struct weft_mpi *mpi, struct weft_mpi_message *message,
                          struct weft_mpi_queue *from, struct weft_mpi_queue *to)
{
    weft__mpi_match_take(mpi, from, message);
    put_in(mpi, to, message);
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
    put_in(mpi, queue, message);
    mpi->unexpected_n++;
    mpi->unexpected_bytes += len;
    return message;
}

void weft__mpi_match_take(struct weft_mpi *mpi, struct weft_mpi_queue *queue,
                          struct weft_mpi_message *message)
{
    weft__mpi_list_remove(&message->link);
    for (unsigned which = BY_BOTH; which <= BY_TAG; which++)
        take_out(mpi, &message->index[which - BY_BOTH], which);
    if (--queue->unexpected_n == 0)
        queue->indexed &= 1u << POSTED;
}

void weft__mpi_match_drop(struct weft_mpi *mpi, struct weft_mpi_message *message)
{
    mpi->unexpected_n--;
    if (message->header.kind == WEFT_MPI_EAGER && !message->local)
        mpi->unexpected_bytes -= message->header.len_bytes;
    weft__heap_free(mpi->cell->heap, message);
}

void weft__mpi_match_fini(struct weft_mpi *mpi)
{
    for (unsigned which = 0; which < WEFT_MPI_INDICES; which++) {
        weft__heap_free(mpi->cell->heap, mpi->indices[which].buckets);
        mpi->indices[which] = (struct weft_mpi_index){0};
    }
}
