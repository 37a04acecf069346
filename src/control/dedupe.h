/* Which requests have come before: what makes a request run at most once. Pure: times are passed
 * in, nothing is locked.
 *
 * A client numbers its requests from 1 on. For each client and port there is a window over the
 * newest numbers with a mark for each that came, and answers are kept for those that come again. */
#ifndef WEFT_CONTROL_DEDUPE_H
#define WEFT_CONTROL_DEDUPE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#define WEFT_DEDUPE_WINDOW 1024 /* numbers below the newest by so many are too old */
#define WEFT_DEDUPE_WORDS (WEFT_DEDUPE_WINDOW / 64 + 1)
#define WEFT_DEDUPE_CLIENT_BUCKETS 256
#define WEFT_DEDUPE_BUCKETS 4096

struct weft_dedupe_client;

/* A request that runs, or whose answer is kept. */
struct weft_dedupe_entry {
    LIST_ENTRY(weft_dedupe_entry) in_bucket;
    TAILQ_ENTRY(weft_dedupe_entry) in_client;
    TAILQ_ENTRY(weft_dedupe_entry) in_kept;
    struct weft_dedupe_client *client; /* NULL: it was forgotten while this runs */
    uint64_t sequence;
    uint16_t code; /* the owner's from here to `owner` */
    void *owner;   /* NULL: the answer is kept */
    uint8_t *answer;
    size_t answer_len;
    uint64_t until_ns;
};

struct weft_dedupe_limits {
    size_t clients_max; /* the one that was silent longest is forgotten for a new one */
    /* Of answers; the oldest go first. */
    size_t kept_max_bytes;
    size_t client_kept_max_bytes;
    size_t client_kept_max;
};

TAILQ_HEAD(weft_dedupe_entries, weft_dedupe_entry);

struct weft_dedupe {
    struct weft_dedupe_limits limits;
    uint8_t secret[16]; /* of the hash */
    size_t clients_n;
    size_t kept_bytes;
    LIST_HEAD(, weft_dedupe_client) client_bucket[WEFT_DEDUPE_CLIENT_BUCKETS];
    TAILQ_HEAD(weft_dedupe_clients, weft_dedupe_client)
    clients; /* the one heard last comes first */
    LIST_HEAD(, weft_dedupe_entry) bucket[WEFT_DEDUPE_BUCKETS];
    struct weft_dedupe_entries kept;  /* the oldest first */
    struct weft_dedupe_entries alone; /* run for clients that are forgotten */
};

struct weft_dedupe_key {
    uint64_t client;
    uint64_t sequence;
    uint32_t port;
};

enum weft_dedupe_verdict {
    WEFT_DEDUPE_NEW,       /* run it, and tell by undo or end what became of it */
    WEFT_DEDUPE_RUNNING,   /* it runs: entry->owner */
    WEFT_DEDUPE_ANSWERED,  /* entry->answer */
    WEFT_DEDUPE_FORGOTTEN, /* it has run; there is no answer of it */
    WEFT_DEDUPE_OLD,       /* it may have run */
    WEFT_DEDUPE_NO_MEMORY
};

/* Errors: WEFT_ENOMEM. */
int weft__dedupe_new(const struct weft_dedupe_limits *limits, struct weft_dedupe **dedupe_out);
/* Frees all entries; owners are the caller's. NULL is fine. */
void weft__dedupe_free(struct weft_dedupe *dedupe);
/* Notes a request that comes. *entry_out is set for NEW, RUNNING and ANSWERED. */
enum weft_dedupe_verdict weft__dedupe_take(struct weft_dedupe *dedupe,
                                           const struct weft_dedupe_key *key, uint64_t now_ns,
                                           struct weft_dedupe_entry **entry_out);
/* A new request was not run: it may come again. Frees the entry. */
void weft__dedupe_undo(struct weft_dedupe *dedupe, struct weft_dedupe_entry *entry);
/* It has run. answer: taken over, free(); NULL: none. It is kept until until_ns, or as long as
 * there is room. The entry may be gone. */
void weft__dedupe_end(struct weft_dedupe *dedupe, struct weft_dedupe_entry *entry, uint8_t *answer,
                      size_t answer_len, uint64_t until_ns);

#endif
