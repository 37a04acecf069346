/* Buffers that are used again.
 *
 * Fresh memory costs 1.2 us a page, to be cleared and to be faulted in, which is more than the copy
 * into it and the sum of it together; so the few buffers that a push or pull of some MiB needs wait
 * for the next one. Lengths are rounded up to powers of two, so that a buffer serves the next user
 * who needs about as much. What is larger is mapped and unmapped each time: there the bytes on
 * their way take much longer, and nobody wants that memory to be kept. Rejected: huge pages, which
 * the kernel clears faster but stops to make room for.
 */
#include "snapshot/spare.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "snapshot/region.h"
#include "transport/regcache.h"

struct spare {
    void *bytes;
    size_t len_bytes;
};

static struct {
    pthread_mutex_t lock;
    struct spare at[WEFT_SPARES]; /* who has waited longest first */
    unsigned n;
} spares = {.lock = PTHREAD_MUTEX_INITIALIZER};

static size_t rounded(size_t len_bytes)
{
    size_t len = WEFT_REGION_PAGE;
    if (len_bytes > WEFT_SPARE_BYTES)
        return len_bytes;
    while (len < len_bytes)
        len *= 2;
    return len;
}

/* The lock is held. */
static struct spare take(unsigned i)
{
    struct spare spare = spares.at[i];
    spares.n--;
    memmove(&spares.at[i], &spares.at[i + 1], (spares.n - i) * sizeof(spare));
    return spare;
}

void *weft__spare_get(size_t len_bytes)
{
    const size_t len = rounded(len_bytes);
    struct spare spare = {.bytes = NULL};
    pthread_mutex_lock(&spares.lock);
    for (unsigned i = spares.n; i > 0 && !spare.bytes; i--)
        if (spares.at[i - 1].len_bytes == len)
            spare = take(i - 1);
    pthread_mutex_unlock(&spares.lock);
    if (spare.bytes)
        return spare.bytes;
    void *bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    weft__regcache_cover(bytes, len); /* a card may keep it registered */
    return bytes;
}

void weft__spare_put(void *bytes, size_t len_bytes)
{
    const struct spare spare = {.bytes = bytes, .len_bytes = rounded(len_bytes)};
    struct spare gone = spare;
    if (!bytes)
        return;
    if (spare.len_bytes <= WEFT_SPARE_BYTES) {
        pthread_mutex_lock(&spares.lock);
        gone = spares.n == WEFT_SPARES ? take(0) : (struct spare){.bytes = NULL};
        spares.at[spares.n++] = spare;
        pthread_mutex_unlock(&spares.lock);
    }
    if (gone.bytes) {
        weft__regcache_uncover(gone.bytes, gone.len_bytes);
        munmap(gone.bytes, gone.len_bytes);
    }
}
