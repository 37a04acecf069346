/* A counted reply is a message that libzmq frees by our function, which runs on whatever thread of
 * libzmq is done with it, and takes the bytes off its client's debt. That is one atomic
 * subtraction, the last that it does to the debt; so the endpoint's thread, which alone adds
 * debts and bytes, may free a debt that it finds at zero. It looks for those when their number has
 * doubled, and no lock is needed.
 *
 * A client without debt may be sent anything once: the largest reply is larger than the limit.
 */
#include "transport/zmq/debt.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "weft/error.h"

#define DEBT_MAX_BYTES (4u << 20)
#define SWEEP_MIN 64

struct weft_zmq_debt {
    struct weft_zmq_debt *next;
    _Atomic size_t bytes;
    uint16_t port_index;
    uint16_t name_len;
    uint8_t name[];
};

struct block {
    _Atomic(struct weft_zmq_debt *) debt; /* whoever reads it sees the rest of the block */
    size_t len_bytes;
    uint8_t data[];
};

static void block_free(void *data, void *hint)
{
    struct block *block = hint;
    struct weft_zmq_debt *debt = atomic_load_explicit(&block->debt, memory_order_acquire);
    size_t len_bytes = block->len_bytes;

    (void)data;
    free(block);
    atomic_fetch_sub_explicit(&debt->bytes, len_bytes, memory_order_release);
}

static uint32_t bucket_of(const struct weft_tp_from *from)
{
    uint32_t hash = 2166136261u ^ from->port_index; /* FNV-1a */

    for (uint16_t i = 0; i < from->len; i++)
        hash = (hash ^ from->bytes[i]) * 16777619u;
    return (hash ^ (hash >> 16)) % WEFT_ZMQ_DEBT_BUCKETS;
}

static void sweep(struct weft_zmq_debts *debts)
{
    for (size_t i = 0; i < WEFT_ZMQ_DEBT_BUCKETS; i++) {
        struct weft_zmq_debt **at = &debts->bucket[i];

        while (*at != NULL) {
            struct weft_zmq_debt *debt = *at;

            if (atomic_load_explicit(&debt->bytes, memory_order_acquire) != 0) {
                at = &debt->next;
                continue;
            }
            *at = debt->next;
            free(debt);
            debts->n--;
        }
    }
    debts->sweep_at = debts->n < SWEEP_MIN / 2 ? SWEEP_MIN : 2 * debts->n;
}

static struct weft_zmq_debt *get(struct weft_zmq_debts *debts, const struct weft_tp_from *from)
{
    struct weft_zmq_debt **bucket = &debts->bucket[bucket_of(from)];
    struct weft_zmq_debt *debt = *bucket;

    while (debt != NULL && (debt->port_index != from->port_index || debt->name_len != from->len ||
                            memcmp(debt->name, from->bytes, from->len) != 0))
        debt = debt->next;
    if (debt != NULL)
        return debt;
    if (debts->n >= debts->sweep_at)
        sweep(debts);
    debt = malloc(sizeof(*debt) + from->len);
    if (debt == NULL)
        return NULL;
    atomic_init(&debt->bytes, 0);
    debt->port_index = from->port_index;
    debt->name_len = from->len;
    memcpy(debt->name, from->bytes, from->len);
    debt->next = *bucket;
    *bucket = debt;
    debts->n++;
    return debt;
}

int weft__zmq_debt_message(struct weft_zmq_debts *debts, const struct weft_tp_from *to,
                           const void *data, size_t len_bytes, zmq_msg_t *message_out)
{
    struct weft_zmq_debt *debt = get(debts, to);
    struct block *block;
    size_t before;

    if (debt == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a client's replies");
    before = atomic_load_explicit(&debt->bytes, memory_order_acquire);
    if (before > 0 && before + len_bytes > DEBT_MAX_BYTES)
        return WEFT_EAGAIN;
    block = malloc(sizeof(*block) + len_bytes);
    if (block == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a reply of %zu bytes", len_bytes);
    block->len_bytes = len_bytes;
    memcpy(block->data, data, len_bytes);
    atomic_store_explicit(&block->debt, debt, memory_order_release);
    if (zmq_msg_init_data(message_out, block->data, len_bytes, block_free, block) != 0) {
        free(block);
        return weft_fail(WEFT_ENOMEM, "no memory for a reply of %zu bytes", len_bytes);
    }
    atomic_fetch_add_explicit(&debt->bytes, len_bytes, memory_order_relaxed);
    return WEFT_OK;
}

void weft__zmq_debts_fini(struct weft_zmq_debts *debts)
{
    sweep(debts);
    weft__check(debts->n == 0);
}
