/* Where a value is, and who may become its main: the questions to the registry as a pure machine.
 *
 * Each step says what to do next; the owner does it and brings the answer. A compare-and-set whose
 * outcome is unknown is asked again until it is known, however long that takes: only then does the
 * host know whether it is the main. */
#ifndef WEFT_STATE_CLAIM_H
#define WEFT_STATE_CLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"
#include "state/state.h"

#define WEFT_CLAIM_BYTES_MAX 512

/* What the registry holds about a value. */
struct weft_claim {
    uint64_t epoch; /* the revision of the entry; 0: there is none */
    uint64_t incarnation;
    char host[WEFT_REGISTRY_NAME_MAX];
    char url[WEFT_STATE_URL_MAX], async_url[WEFT_STATE_URL_MAX];
};

/* The registry's key of a value.  Errors: WEFT_EINVAL an empty or too long user or key. */
int weft__claim_key(const char *user, const char *key, char key_out[WEFT_REGISTRY_KEY_MAX + 1]);
/* nonce: a number that no other claim of this host has.  Errors: WEFT_EMSGSIZE. */
int weft__claim_encode(const struct weft_claim *claim, uint64_t nonce,
                       uint8_t bytes_out[WEFT_CLAIM_BYTES_MAX], size_t *len_out);
/* Errors: WEFT_EPROTO. */
int weft__claim_decode(const void *bytes, size_t len, uint64_t epoch, struct weft_claim *claim_out);

/* Whether what stands is a claim of this host that it knows nothing of: kept is what it has under
 * the name, or is about to have; NULL: nothing. */
struct weft_kept;
bool weft__claim_is_orphan(const struct weft_claim *standing, const struct weft_claim *own,
                           const struct weft_kept *kept);

/* What the list of hosts says of a claim's main. */
enum weft_life { WEFT_LIFE_ALIVE, WEFT_LIFE_DEAD, WEFT_LIFE_ABSENT };
enum weft_life weft__claim_life(const struct weft_claim *claim,
                                const struct weft_registry_host *hosts, size_t hosts_n);

enum weft_claim_want {
    WEFT_CLAIM_FIND,   /* whatever stands */
    WEFT_CLAIM_CHECK,  /* what stands, if its main is alive */
    WEFT_CLAIM_CREATE, /* what stands, else this host becomes main */
    WEFT_CLAIM_DROP,   /* nothing stands afterwards; refused while the main is alive */
    WEFT_CLAIM_RELEASE /* this host's own claim does not stand afterwards */
};

enum weft_claim_do {
    WEFT_CLAIM_GET,   /* weft__claim_got */
    WEFT_CLAIM_CAS,   /* to our claim, expecting none; weft__claim_set */
    WEFT_CLAIM_ERASE, /* expecting `expected`, of registry_epoch; weft__claim_set */
    WEFT_CLAIM_LIST,  /* weft__claim_listed */
    WEFT_CLAIM_WAIT,  /* until until_ns; weft__claim_woken */
    WEFT_CLAIM_END    /* err: WEFT_OK, or with a text */
};

struct weft_claim_step {
    enum weft_claim_do what;
    uint64_t expected, until_ns;
    uint64_t registry_epoch; /* ERASE: of the registry that may do it; 0: any */
    int err;
};

struct weft_claiming {
    enum weft_claim_want want;
    const char *user, *key;     /* for texts; the owner's */
    uint64_t dead_ns;           /* a host absent for so long is gone */
    struct weft_claim standing; /* out: what stands; epoch 0: nothing */
    bool won;                   /* out: CREATE made it */
    bool unknown;               /* a compare-and-set that may have happened was not answered */
    bool absent;
    uint64_t absent_epoch; /* of the registry, when the main was found absent; */
    uint64_t dead_epoch;   /* when it was found dead */
};

#define WEFT_CLAIM_RETRY_NS (20 * UINT64_C(1000000))

/* RELEASE: with standing.epoch set to the claim's. */
struct weft_claim_step weft__claim_start(struct weft_claiming *claiming);
/* err: the registry's; claim: what stands, epoch 0: nothing. */
struct weft_claim_step weft__claim_got(struct weft_claiming *claiming, int err,
                                       const struct weft_claim *claim);
/* settled: this try, or an earlier one, has won. */
struct weft_claim_step weft__claim_set(struct weft_claiming *claiming, uint64_t now_ns, int err,
                                       bool settled, const struct weft_claim *claim);
struct weft_claim_step weft__claim_listed(struct weft_claiming *claiming, uint64_t now_ns, int err,
                                          enum weft_life life, uint64_t registry_epoch);
struct weft_claim_step weft__claim_woken(struct weft_claiming *claiming);

#endif
