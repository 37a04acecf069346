/* Writing into a rank's mailbox. The ring is in weft/cell.h. A packet of a few bytes is copied here
 * and not by memcpy(), of which a call takes as long as all the rest. Rejected: to start the ring
 * anew as soon as its beginning has been read, so that it stays in few cache lines: no message was
 * faster for it, and a reader that computes leaves less room then. */
#include <stdbool.h>
#include <string.h>

#include "exec/range.h"

enum { WORD = 8, SHORT_MAX = 128 };

/* Words from the beginning, and one that ends where the bytes do. */
static void copy_words(unsigned char *to, const unsigned char *from, size_t len)
{
    uint64_t word;
    for (size_t i = 0; i + WORD < len; i += WORD) {
        memcpy(&word, from + i, WORD);
        memcpy(to + i, &word, WORD);
    }
    memcpy(&word, from + len - WORD, WORD);
    memcpy(to + len - WORD, &word, WORD);
}

static void copy(unsigned char *to, const unsigned char *from, size_t len)
{
    if (len > SHORT_MAX)
        memcpy(to, from, len);
    else if (len >= WORD)
        copy_words(to, from, len);
    else
        for (size_t i = 0; i < len; i++)
            to[i] = from[i];
}

bool weft__mailbox_put(const struct weft_mailbox *box, struct weft_mailbox_writer *writer,
                       int32_t source, const struct iovec *parts, unsigned n)
{
    size_t payload = 0;
    for (unsigned i = 0; i < n; i++)
        payload += parts[i].iov_len;
    struct weft_packet *packet = weft_mailbox_place(box, writer, payload);
    if (!packet)
        return false;
    packet->len_bytes = (uint32_t)payload;
    packet->source = source;
    unsigned char *to = packet->payload;
    for (unsigned i = 0; i < n; i++) {
        copy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
    }
    weft_mailbox_publish(writer, packet, weft_packet_bytes(payload));
    return true;
}
