/* One hash table for both kinds: a connection is its port and the transport's name for it, a client
 * is its service and its number. A connection's calls are a list, because a client names the call
 * that it cancels by the connection and a number of its choice; the list is as long as the limit on
 * a client's calls, so walking it is cheap and no second table is needed.
 *
 * A party lives from its first open call to its last. A few that nobody uses are kept, so that a
 * client with one call after the other costs no allocation.
 */
#include "control/party.h"

#include <stdlib.h>
#include <string.h>

#include "control/call.h"
#include "control/core.h"
#include "weft/error.h"

#define SPARE_MAX 64
#define BY_NUMBER 0xffffu /* no port has this index */

struct key {
    uint16_t len;
    uint8_t bytes[WEFT_PARTY_KEY_MAX];
};

static void key_of_connection(const struct weft_tp_from *from, struct key *key_out)
{
    memcpy(key_out->bytes, &from->port_index, sizeof(from->port_index));
    memcpy(key_out->bytes + sizeof(from->port_index), from->bytes, from->len);
    key_out->len = (uint16_t)(sizeof(from->port_index) + from->len);
}

static void key_of_number(const struct weft_call *call, struct key *key_out)
{
    const uint16_t kind = BY_NUMBER;
    const uint16_t service = (uint16_t)(call->service - call->server->services);

    memcpy(key_out->bytes, &kind, sizeof(kind));
    memcpy(key_out->bytes + 2, &service, sizeof(service));
    memcpy(key_out->bytes + 4, &call->client, sizeof(call->client));
    key_out->len = 4 + sizeof(call->client);
}

static uint32_t hash_of(const struct key *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (uint16_t i = 0; i < key->len; i++)
        hash = (hash ^ key->bytes[i]) * 16777619u;
    return hash ^ (hash >> 15);
}

static struct weft_party *find(const struct weft_parties *parties, const struct key *key,
                               uint32_t hash)
{
    struct weft_party *party = parties->bucket[hash % WEFT_PARTY_BUCKETS];

    while (party != NULL && (party->hash != hash || party->key_len != key->len ||
                             memcmp(party->key, key->bytes, key->len) != 0))
        party = party->next;
    return party;
}

static struct weft_party *get(struct weft_parties *parties, const struct key *key)
{
    uint32_t hash = hash_of(key);
    struct weft_party *party = find(parties, key, hash);
    struct weft_party **bucket = &parties->bucket[hash % WEFT_PARTY_BUCKETS];

    if (party != NULL)
        return party;
    party = parties->spare;
    if (party != NULL) {
        parties->spare = party->next;
        parties->spare_n--;
    } else {
        party = malloc(sizeof(*party));
        if (party == NULL)
            return NULL;
    }
    memset(party, 0, offsetof(struct weft_party, key));
    party->unsent_tail = &party->unsent;
    party->hash = hash;
    party->key_len = key->len;
    memcpy(party->key, key->bytes, key->len);
    party->next = *bucket;
    *bucket = party;
    return party;
}

/* After one call less. */
static void put(struct weft_parties *parties, struct weft_party *party)
{
    struct weft_party **at = &parties->bucket[party->hash % WEFT_PARTY_BUCKETS];

    if (party->calls_n > 0)
        return;
    while (*at != party)
        at = &(*at)->next;
    *at = party->next;
    if (parties->spare_n >= SPARE_MAX) {
        free(party);
        return;
    }
    party->next = parties->spare;
    parties->spare = party;
    parties->spare_n++;
}

static void free_list(struct weft_party *party)
{
    while (party != NULL) {
        struct weft_party *next = party->next;

        free(party);
        party = next;
    }
}

void weft__parties_fini(struct weft_parties *parties)
{
    for (size_t i = 0; i < WEFT_PARTY_BUCKETS; i++)
        free_list(parties->bucket[i]);
    free_list(parties->spare);
    memset(parties, 0, sizeof(*parties));
}

static void link_call(struct weft_party *party, struct weft_call *call)
{
    LIST_INSERT_HEAD(&party->calls, call, in_party);
    party->calls_n++;
    call->connection = party;
}

static void unlink_call(struct weft_parties *parties, struct weft_call *call)
{
    struct weft_party *party = call->connection;

    LIST_REMOVE(call, in_party);
    party->calls_n--;
    call->connection = NULL;
    put(parties, party);
}

/* The party of key, where it has room for one more call.  Errors: WEFT_EAGAIN; WEFT_ENOMEM. */
static int enter(struct weft_parties *parties, const struct weft_service *service,
                 const struct key *key, struct weft_party **party_out)
{
    struct weft_party *party = get(parties, key);
    int rc = WEFT_OK;

    if (party == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a client of %s", service->name);
    if (party->choked)
        rc = weft_fail(WEFT_EAGAIN, "service %s: this client does not read its answers",
                       service->name);
    else if (party->calls_n >= service->client_calls_max)
        rc = weft_fail(WEFT_EAGAIN,
                       "service %s: this client has %zu calls under way already; try again later",
                       service->name, party->calls_n);
    if (rc != WEFT_OK)
        put(parties, party);
    else
        *party_out = party;
    return rc;
}

/* So many that the others' calls need a part of the queue for themselves. Not so a push: it cannot
 * be told to try again. */
static bool is_greedy(const struct weft_party *party, const struct weft_call *call)
{
    return !call->push && party->calls_n > call->service->queue.length_max / 4;
}

int weft__party_join(struct weft_parties *parties, struct weft_call *call)
{
    struct weft_party *connection = NULL;
    struct key key;
    int rc = WEFT_OK;

    if (!call->push) {
        key_of_connection(&call->from, &key);
        rc = enter(parties, call->service, &key, &connection);
    }
    if (rc == WEFT_OK && connection != NULL) {
        link_call(connection, call);
        call->greedy = is_greedy(connection, call);
    }
    if (rc == WEFT_OK && call->client != 0) {
        key_of_number(call, &key);
        rc = enter(parties, call->service, &key, &call->number);
        if (rc == WEFT_OK) {
            call->number->calls_n++;
            call->greedy |= is_greedy(call->number, call);
        } else if (connection != NULL) {
            unlink_call(parties, call);
        }
    }
    return rc;
}

void weft__party_leave(struct weft_parties *parties, struct weft_call *call)
{
    struct weft_party *number = call->number;

    if (call->connection != NULL)
        unlink_call(parties, call);
    if (number != NULL) {
        number->calls_n--;
        call->number = NULL;
        put(parties, number);
    }
}

int weft__party_move(struct weft_parties *parties, struct weft_call *call,
                     const struct weft_tp_from *from)
{
    struct weft_party *party;
    struct key key;

    key_of_connection(from, &key);
    party = get(parties, &key);
    if (party == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a client of %s", call->service->name);
    if (party != call->connection) {
        unlink_call(parties, call);
        link_call(party, call);
        call->from = *from;
    }
    return WEFT_OK;
}

struct weft_call *weft__party_calls(const struct weft_parties *parties,
                                    const struct weft_tp_from *from)
{
    const struct weft_party *party;
    struct key key;

    key_of_connection(from, &key);
    party = find(parties, &key, hash_of(&key));
    return party == NULL ? NULL : LIST_FIRST(&party->calls);
}

struct weft_call *weft__party_find(const struct weft_parties *parties,
                                   const struct weft_tp_from *from, uint64_t correlation)
{
    struct weft_call *call = weft__party_calls(parties, from);

    while (call != NULL && call->asked != correlation)
        call = LIST_NEXT(call, in_party);
    return call;
}
