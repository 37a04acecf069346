/* A member's messages.
 *
 * One that may or may not have reached the host keeps its number and goes first at the next send:
 * so none is lost, doubled or overtaken whatever happens to the connection. Received ones come in
 * batches; the next ask says that the batch is here.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "group/client_parts.h"
#include "group/group.h"
#include "weft/error.h"
#include "wire/message.h"

enum { NAP_MS = 5 };

void weft__group_pairs_free(struct group_pair *pairs)
{
    while (pairs != NULL) {
        struct group_pair *next = pairs->next;
        weft__message_free((ProtobufCMessage *)pairs->got);
        free(pairs->unsure);
        free(pairs);
        pairs = next;
    }
}

/* Found or made, its gate entered.  Errors: WEFT_ENOMEM; WEFT_ETIMEDOUT. */
static int pair_enter(struct weft_group *group, struct group_pair **pairs, uint32_t peer,
                      uint64_t deadline_ns, struct group_pair **pair_out)
{
    struct group_pair *pair;
    pthread_mutex_lock(&group->lock);
    for (pair = *pairs; pair != NULL && pair->peer != peer; pair = pair->next)
        continue;
    if (pair == NULL && (pair = calloc(1, sizeof(*pair))) != NULL) {
        pair->peer = peer;
        pair->next = *pairs;
        *pairs = pair;
    }
    pthread_mutex_unlock(&group->lock);
    if (pair == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for messages of member %u", peer);
    *pair_out = pair;
    return weft__group_gate_enter(group, &pair->gate, deadline_ns);
}

static int check_peer(const struct weft_group *group, uint32_t peer)
{
    if (peer < weft_group_size(group))
        return WEFT_OK;
    return weft_fail(WEFT_EINVAL, "no member %u in a group of %u", peer, weft_group_size(group));
}

/* ---- send ---- */

/* Sends the message with the pair's next number, trying again while there is no room. */
static int send_one(struct weft_group *group, struct group_pair *pair, ProtobufCBinaryData data,
                    uint64_t deadline_ns)
{
    for (;;) {
        Weft__Group__Call request = weft__group_request(group);
        request.peer = pair->peer;
        request.number = pair->number + 1;
        request.data = data;
        int err = weft__group_ask(group->groups, WEFT_GROUP_SEND, &request, NULL, NULL);
        if (err == WEFT_OK)
            pair->number++;
        uint32_t left_ms = weft__left_ms(deadline_ns);
        if (err != WEFT_EAGAIN || left_ms == 0)
            return err;
        uint32_t nap_ms = weft_fail_retry_ms() > 0 ? weft_fail_retry_ms() : NAP_MS;
        if (nap_ms > left_ms)
            nap_ms = left_ms;
        struct timespec nap = {.tv_sec = nap_ms / 1000, .tv_nsec = (long)(nap_ms % 1000) * 1000000};
        nanosleep(&nap, NULL);
    }
}

/* Whether the host surely has not taken the message. */
static bool refused(int err)
{
    return err == WEFT_EAGAIN || err == WEFT_EINVAL || err == WEFT_ENOMEM || err == WEFT_EMSGSIZE;
}

static void remember(struct group_pair *pair, const void *data, size_t len_bytes)
{
    pair->unsure = malloc(len_bytes + 1);
    if (pair->unsure == NULL)
        return;
    if (len_bytes > 0)
        memcpy(pair->unsure, data, len_bytes);
    pair->unsure_len = len_bytes;
    pair->is_unsure = true;
}

static int send_pair(struct weft_group *group, struct group_pair *pair, const void *data,
                     size_t len_bytes, uint64_t deadline_ns)
{
    int err = WEFT_OK;
    if (pair->is_unsure)
        err = send_one(group, pair,
                       (ProtobufCBinaryData){.data = pair->unsure, .len = pair->unsure_len},
                       deadline_ns);
    if (err != WEFT_OK)
        return err;
    free(pair->unsure);
    pair->unsure = NULL;
    pair->is_unsure = false;
    err = send_one(group, pair,
                   (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)data, .len = len_bytes},
                   deadline_ns);
    if (err != WEFT_OK && !refused(err))
        remember(pair, data, len_bytes);
    return err;
}

int weft_group_send(struct weft_group *group, uint32_t to, const void *data, size_t len_bytes,
                    uint32_t timeout_ms)
{
    uint64_t deadline_ns = weft__group_deadline(timeout_ms);
    struct group_pair *pair;
    int err = check_peer(group, to);
    if (err != WEFT_OK)
        return err;
    if (len_bytes > WEFT_GROUP_MESSAGE_MAX)
        return weft_fail(WEFT_EMSGSIZE, "a message of %zu bytes; the limit is %u", len_bytes,
                         WEFT_GROUP_MESSAGE_MAX);
    err = pair_enter(group, &group->to, to, deadline_ns, &pair);
    if (err != WEFT_OK)
        return err;
    err = send_pair(group, pair, data, len_bytes, deadline_ns);
    weft__group_gate_leave(group, &pair->gate);
    return err;
}

/* ---- receive ---- */

static int fetch(struct weft_group *group, struct group_pair *pair, uint64_t deadline_ns)
{
    ProtobufCMessage *reply = NULL;
    Weft__Group__Call request = weft__group_request(group);
    request.peer = pair->peer;
    request.number = pair->number + 1;
    request.wait_ms = weft__left_ms(deadline_ns);
    int err = weft__group_ask(group->groups, WEFT_GROUP_RECV, &request,
                              &weft__group__messages__descriptor, &reply);
    if (err != WEFT_OK)
        return err;
    weft__message_free((ProtobufCMessage *)pair->got);
    pair->got = (Weft__Group__Messages *)reply;
    pair->given = 0;
    pair->number += pair->got->n_messages;
    if (pair->got->n_messages == 0)
        return weft_fail(WEFT_EPROTO, "the host's answer has no message");
    return WEFT_OK;
}

static int take(struct group_pair *pair, void **data_out, size_t *len_bytes_out)
{
    const ProtobufCBinaryData *message = &pair->got->messages[pair->given];
    void *copy = malloc(message->len + 1);
    if (copy == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a message of %zu bytes", message->len);
    if (message->len > 0)
        memcpy(copy, message->data, message->len);
    pair->given++;
    *data_out = copy;
    *len_bytes_out = message->len;
    return WEFT_OK;
}

int weft_group_recv(struct weft_group *group, uint32_t from, uint32_t timeout_ms, void **data_out,
                    size_t *len_bytes_out)
{
    uint64_t deadline_ns = weft__group_deadline(timeout_ms);
    struct group_pair *pair;
    int err = check_peer(group, from);
    if (err == WEFT_OK)
        err = pair_enter(group, &group->from, from, deadline_ns, &pair);
    if (err != WEFT_OK)
        return err;
    if (pair->got == NULL || pair->given == pair->got->n_messages)
        err = fetch(group, pair, deadline_ns);
    if (err == WEFT_OK)
        err = take(pair, data_out, len_bytes_out);
    weft__group_gate_leave(group, &pair->gate);
    return err;
}
