/* The conformance suite: one set of questions, asked of every transport and of every family that it
 * offers. A program per scheme defines the subjects; the suite never looks at a scheme's name, only
 * at families and limits(). */
#ifndef WEFT_TESTS_CONFORM_H
#define WEFT_TESTS_CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/spi.h"

struct conform_subject {
    const char *name;
    const struct weft_transport *transport;
    bool shim;         /* open it behind the shim */
    const char *fault; /* open it behind the decorator with this spec; NULL: not */
    const char *bind;
    const char *bind_far; /* of the second side of sides_open(); NULL: bind */
    const char
        *bind_foreign; /* an address that is not of this machine; NULL: there is no such thing */
    const char *provider;
    bool far;               /* the second side of sides_open() is in another process: far.h */
    bool crowded;           /* a thousand endpoints fit into one process */
    const char *cut, *mend; /* commands for the wire between the two addresses; NULL: it stays */
    const char *url_format; /* of bind and port; NULL: no ctl */
    const struct weft_tp_security *security; /* of both sides */
};

/* NULL-terminated by name; defined by each program. argv[1] picks one by name, none: all. */
extern const struct conform_subject conform_subjects[];
/* The one being asked. */
extern const struct conform_subject *conform_subject;

/* One endpoint under test. Zero it, set the hooks that are wanted, open it. */
struct side {
    struct weft_tp_ep *ep;
    const struct weft_transport *tp;
    struct weft_tp_limits limits;
    struct weft_tp_peer peer; /* the other side, after sides_join() */
    void (*on_message)(struct side *side, const unsigned char *data, size_t len_bytes);
    void (*on_request)(struct side *side, unsigned port_index, const struct weft_tp_from *from,
                       const unsigned char *data, size_t len_bytes);
    void (*on_reply)(struct side *side, struct weft_tp_peer peer, const unsigned char *data,
                     size_t len_bytes);
    size_t msg_max_bytes;                       /* for open; 0: 64 KiB */
    uint32_t sends_max;                         /* for open */
    uint64_t messages, requests, replies, lost; /* how many came */
    uint64_t bytes;
    void *user;
};

/* Opens at the subject's address with these families; skips the running test, with the reason,
 * where the subject lacks one.
 */
void side_open(struct side *side, uint32_t families);
/* The same, returning the error. */
int side_try_open(struct side *side, uint32_t families, const char *bind, uint16_t port);
void side_close(struct side *side);
struct weft_tp_peer side_add(struct side *side, struct side *other);
/* Each becomes the other's peer. */
void sides_join(struct side *a, struct side *b);
/* Opens and joins two, and sends a first message each way, which is not counted. */
void sides_open(struct side *a, struct side *b, uint32_t families);
/* Lets both move once (b may be NULL), sleeping shortly where nothing happens. */
void sides_run(struct side *a, struct side *b);
/* Runs both until *count >= wanted; fails the test after half a minute without. */
void sides_until(struct side *a, struct side *b, const uint64_t *count, uint64_t wanted);
/* Progress until there is nothing to do and wait_arm() allows to sleep. */
void side_settle(struct side *side);
/* Sleeps on wait_fd; false: nothing for ten seconds. */
bool side_sleep(struct side *side);

/* An operation that checks the rules: done runs once and never inside the submitting call. */
struct probe {
    struct weft_tp_op op;
    uint64_t done; /* how often */
    int err;
    uint64_t *total; /* counted up by done, if not NULL */
};

void probe_init(struct probe *probe, uint64_t *total);
/* Submits once. */
int probe_send(struct side *from, struct probe *probe, const void *data, size_t len_bytes);
/* Submits, letting both move while it is EAGAIN. */
void probe_send_all(struct side *from, struct side *other, struct probe *probe, const void *data,
                    size_t len_bytes);
int probe_get(struct side *from, struct probe *probe, const struct weft_tp_rma_desc *desc);
int probe_put(struct side *from, struct probe *probe, const struct weft_tp_rma_desc *desc);
/* Submits a get or put, letting both move while it is EAGAIN; its error. */
int probe_rma_start(struct side *from, struct side *other, struct probe *probe,
                    const struct weft_tp_rma_desc *desc, bool put);
/* Submits a get or put and runs both until it is done; its error. */
int probe_rma(struct side *from, struct side *other, const struct weft_tp_rma_desc *desc, bool put);

/* Each asks one family's questions; the number of failures. */
int conform_core(void);
int conform_msg(void);
int conform_rma(void);
int conform_ctl(void);
int conform_edges(void);
int conform_wire(void);

#endif
