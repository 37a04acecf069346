/* The window is that of IPsec's anti-replay service (RFC 4303, section 3.4.3), as bits in words
 * that are cleared whole when the newest number enters them (RFC 6479). A client's numbers reach
 * one port over one connection in their order, so only what came by an older connection can be
 * behind; 1024 is far more than that.
 *
 * A number is marked when its request is taken, so it runs at most once even where its answer is
 * no longer kept. undo takes the mark back: a request that was refused because something was full
 * has not run and may be sent again. A request that runs is found at any age, one that has ended
 * as long as its answer is kept.
 *
 * All is bounded. Answers go in the order in which they were given, by bytes, and by time when
 * they come to the front: one that is kept long may hold up others behind it, within the same
 * bytes. A client has its own share, so that a busy one costs the others nothing, and the memory
 * that it uses again and again is little enough to stay in the processor's caches. Of a client that
 * is forgotten nothing is known afterwards: that clients_max others were heard since is the price
 * of bounded memory. One without running requests is preferred, among the few that were silent
 * longest.
 *
 * Clients choose their numbers and sequences, so the buckets are by a keyed hash: nobody can put a
 * quarter of a million answers into one of them.
 */
#include "control/dedupe.h"

#include <stdbool.h>
#include <stdlib.h>

#include <sodium.h>

#include "weft/error.h"

#define IDLE_LOOKS 16

_Static_assert(sizeof(((struct weft_dedupe *)NULL)->secret) == crypto_shorthash_KEYBYTES,
               "the key of the hash");

struct weft_dedupe_client {
    LIST_ENTRY(weft_dedupe_client) in_bucket;
    TAILQ_ENTRY(weft_dedupe_client) in_clients;
    struct weft_dedupe_entries running;
    struct weft_dedupe_entries kept; /* the oldest first */
    size_t kept_n;
    size_t kept_bytes;
    uint64_t number;
    uint32_t port;
    uint64_t hash;
    uint64_t newest;
    uint64_t seen[WEFT_DEDUPE_WORDS]; /* bit n % 64 of word n / 64 % WORDS */
};

int weft__dedupe_new(const struct weft_dedupe_limits *limits, struct weft_dedupe **dedupe_out)
{
    struct weft_dedupe *dedupe = calloc(1, sizeof(*dedupe));

    if (dedupe == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to know requests that come again");
    dedupe->limits = *limits;
    randombytes_buf(dedupe->secret, sizeof(dedupe->secret));
    TAILQ_INIT(&dedupe->clients);
    TAILQ_INIT(&dedupe->kept);
    TAILQ_INIT(&dedupe->alone);
    *dedupe_out = dedupe;
    return WEFT_OK;
}

static uint64_t hash_of(const struct weft_dedupe *dedupe, uint64_t number, uint32_t port)
{
    uint64_t text[2] = {number, port}, hash;

    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text, sizeof(text),
                     dedupe->secret);
    return hash;
}

static size_t entry_bucket(const struct weft_dedupe_client *client, uint64_t sequence)
{
    return (client->hash + sequence) % WEFT_DEDUPE_BUCKETS;
}

static uint64_t *word_of(struct weft_dedupe_client *client, uint64_t sequence)
{
    return &client->seen[sequence / 64 % WEFT_DEDUPE_WORDS];
}

static uint64_t bit_of(uint64_t sequence)
{
    return UINT64_C(1) << sequence % 64;
}

static bool is_old(const struct weft_dedupe_client *client, uint64_t sequence)
{
    return sequence < client->newest && client->newest - sequence >= WEFT_DEDUPE_WINDOW;
}

static void advance(struct weft_dedupe_client *client, uint64_t sequence)
{
    uint64_t words = sequence / 64 - client->newest / 64;

    if (words > WEFT_DEDUPE_WORDS)
        words = WEFT_DEDUPE_WORDS;
    for (uint64_t i = 0; i < words; i++)
        *word_of(client, sequence - i * 64) = 0;
    client->newest = sequence;
}

static size_t cost_of(const struct weft_dedupe_entry *entry)
{
    return sizeof(*entry) + entry->answer_len;
}

static void drop_running(struct weft_dedupe *dedupe, struct weft_dedupe_entry *entry)
{
    if (entry->client != NULL) {
        LIST_REMOVE(entry, in_bucket);
        TAILQ_REMOVE(&entry->client->running, entry, in_client);
    } else {
        TAILQ_REMOVE(&dedupe->alone, entry, in_client);
    }
    free(entry);
}

static void drop_kept(struct weft_dedupe *dedupe, struct weft_dedupe_entry *entry)
{
    struct weft_dedupe_client *client = entry->client;

    TAILQ_REMOVE(&dedupe->kept, entry, in_kept);
    dedupe->kept_bytes -= cost_of(entry);
    LIST_REMOVE(entry, in_bucket);
    TAILQ_REMOVE(&client->kept, entry, in_client);
    client->kept_n--;
    client->kept_bytes -= cost_of(entry);
    free(entry->answer);
    free(entry);
}

static void forget_client(struct weft_dedupe *dedupe, struct weft_dedupe_client *client)
{
    struct weft_dedupe_entry *entry;

    while (!TAILQ_EMPTY(&client->kept))
        drop_kept(dedupe, TAILQ_FIRST(&client->kept));
    while ((entry = TAILQ_FIRST(&client->running)) != NULL) {
        LIST_REMOVE(entry, in_bucket);
        TAILQ_REMOVE(&client->running, entry, in_client);
        entry->client = NULL;
        TAILQ_INSERT_TAIL(&dedupe->alone, entry, in_client);
    }
    LIST_REMOVE(client, in_bucket);
    TAILQ_REMOVE(&dedupe->clients, client, in_clients);
    dedupe->clients_n--;
    free(client);
}

static void make_room(struct weft_dedupe *dedupe)
{
    struct weft_dedupe_client *last = TAILQ_LAST(&dedupe->clients, weft_dedupe_clients),
                              *client = last;

    for (int i = 0; i < IDLE_LOOKS && client != NULL && !TAILQ_EMPTY(&client->running); i++)
        client = TAILQ_PREV(client, weft_dedupe_clients, in_clients);
    forget_client(dedupe, client != NULL && TAILQ_EMPTY(&client->running) ? client : last);
}

void weft__dedupe_free(struct weft_dedupe *dedupe)
{
    if (dedupe == NULL)
        return;
    while (!TAILQ_EMPTY(&dedupe->clients))
        forget_client(dedupe, TAILQ_FIRST(&dedupe->clients));
    while (!TAILQ_EMPTY(&dedupe->alone))
        drop_running(dedupe, TAILQ_FIRST(&dedupe->alone));
    free(dedupe);
}

static void expire(struct weft_dedupe *dedupe, uint64_t now_ns)
{
    struct weft_dedupe_entry *entry;

    while ((entry = TAILQ_FIRST(&dedupe->kept)) != NULL && entry->until_ns <= now_ns)
        drop_kept(dedupe, entry);
}

/* The client, first in the order; a new one has seen nothing. */
static struct weft_dedupe_client *client_get(struct weft_dedupe *dedupe,
                                             const struct weft_dedupe_key *key)
{
    uint64_t hash = hash_of(dedupe, key->client, key->port);
    size_t bucket = hash % WEFT_DEDUPE_CLIENT_BUCKETS;
    struct weft_dedupe_client *client;

    LIST_FOREACH(client, &dedupe->client_bucket[bucket], in_bucket)
    {
        if (client->number == key->client && client->port == key->port)
            break;
    }
    if (client != NULL) {
        TAILQ_REMOVE(&dedupe->clients, client, in_clients);
        TAILQ_INSERT_HEAD(&dedupe->clients, client, in_clients);
        return client;
    }
    client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    if (dedupe->clients_n >= dedupe->limits.clients_max)
        make_room(dedupe);
    client->number = key->client;
    client->port = key->port;
    client->hash = hash;
    client->newest = key->sequence;
    TAILQ_INIT(&client->running);
    TAILQ_INIT(&client->kept);
    LIST_INSERT_HEAD(&dedupe->client_bucket[bucket], client, in_bucket);
    TAILQ_INSERT_HEAD(&dedupe->clients, client, in_clients);
    dedupe->clients_n++;
    return client;
}

static struct weft_dedupe_entry *find(struct weft_dedupe *dedupe,
                                      const struct weft_dedupe_client *client, uint64_t sequence)
{
    struct weft_dedupe_entry *entry;

    LIST_FOREACH(entry, &dedupe->bucket[entry_bucket(client, sequence)], in_bucket)
    {
        if (entry->client == client && entry->sequence == sequence)
            return entry;
    }
    return NULL;
}

static enum weft_dedupe_verdict missing(const struct weft_dedupe_client *client, uint64_t sequence)
{
    return is_old(client, sequence) ? WEFT_DEDUPE_OLD : WEFT_DEDUPE_FORGOTTEN;
}

/* What is known of a number that is not above the newest. */
static enum weft_dedupe_verdict known(struct weft_dedupe *dedupe, struct weft_dedupe_client *client,
                                      uint64_t sequence, struct weft_dedupe_entry **entry_out)
{
    struct weft_dedupe_entry *entry;

    if (!is_old(client, sequence) && (*word_of(client, sequence) & bit_of(sequence)) == 0)
        return WEFT_DEDUPE_NEW;
    entry = find(dedupe, client, sequence);
    if (entry == NULL)
        return missing(client, sequence);
    *entry_out = entry;
    return entry->answer == NULL ? WEFT_DEDUPE_RUNNING : WEFT_DEDUPE_ANSWERED;
}

static struct weft_dedupe_entry *entry_new(struct weft_dedupe *dedupe,
                                           struct weft_dedupe_client *client, uint64_t sequence)
{
    struct weft_dedupe_entry *entry = calloc(1, sizeof(*entry));

    if (entry == NULL)
        return NULL;
    if (sequence > client->newest)
        advance(client, sequence);
    *word_of(client, sequence) |= bit_of(sequence);
    entry->client = client;
    entry->sequence = sequence;
    LIST_INSERT_HEAD(&dedupe->bucket[entry_bucket(client, sequence)], entry, in_bucket);
    TAILQ_INSERT_TAIL(&client->running, entry, in_client);
    return entry;
}

enum weft_dedupe_verdict weft__dedupe_take(struct weft_dedupe *dedupe,
                                           const struct weft_dedupe_key *key, uint64_t now_ns,
                                           struct weft_dedupe_entry **entry_out)
{
    struct weft_dedupe_client *client;
    enum weft_dedupe_verdict verdict = WEFT_DEDUPE_NEW;

    expire(dedupe, now_ns);
    client = client_get(dedupe, key);
    if (client == NULL)
        return WEFT_DEDUPE_NO_MEMORY;
    if (key->sequence <= client->newest) {
        verdict = known(dedupe, client, key->sequence, entry_out);
        if (verdict == WEFT_DEDUPE_ANSWERED && (*entry_out)->until_ns <= now_ns) {
            drop_kept(dedupe, *entry_out);
            verdict = missing(client, key->sequence);
        }
    }
    if (verdict != WEFT_DEDUPE_NEW)
        return verdict;
    *entry_out = entry_new(dedupe, client, key->sequence);
    return *entry_out == NULL ? WEFT_DEDUPE_NO_MEMORY : WEFT_DEDUPE_NEW;
}

void weft__dedupe_undo(struct weft_dedupe *dedupe, struct weft_dedupe_entry *entry)
{
    struct weft_dedupe_client *client = entry->client;

    if (client != NULL && !is_old(client, entry->sequence))
        *word_of(client, entry->sequence) &= ~bit_of(entry->sequence);
    drop_running(dedupe, entry);
}

/* Room for one more answer that costs cost bytes: first by the client's own. */
static void make_kept_room(struct weft_dedupe *dedupe, struct weft_dedupe_client *client,
                           size_t cost)
{
    const struct weft_dedupe_limits *limits = &dedupe->limits;

    while (client->kept_n > 0 && (client->kept_n >= limits->client_kept_max ||
                                  client->kept_bytes + cost > limits->client_kept_max_bytes))
        drop_kept(dedupe, TAILQ_FIRST(&client->kept));
    while (dedupe->kept_bytes + cost > limits->kept_max_bytes)
        drop_kept(dedupe, TAILQ_FIRST(&dedupe->kept));
}

void weft__dedupe_end(struct weft_dedupe *dedupe, struct weft_dedupe_entry *entry, uint8_t *answer,
                      size_t answer_len, uint64_t until_ns)
{
    const struct weft_dedupe_limits *limits = &dedupe->limits;
    struct weft_dedupe_client *client = entry->client;
    size_t cost = sizeof(*entry) + answer_len;

    if (answer == NULL || client == NULL || cost > limits->kept_max_bytes ||
        cost > limits->client_kept_max_bytes) {
        free(answer);
        drop_running(dedupe, entry);
        return;
    }
    make_kept_room(dedupe, client, cost);
    TAILQ_REMOVE(&client->running, entry, in_client);
    TAILQ_INSERT_TAIL(&client->kept, entry, in_client);
    TAILQ_INSERT_TAIL(&dedupe->kept, entry, in_kept);
    client->kept_n++;
    client->kept_bytes += cost;
    dedupe->kept_bytes += cost;
    entry->owner = NULL;
    entry->answer = answer;
    entry->answer_len = answer_len;
    entry->until_ns = until_ns;
}
