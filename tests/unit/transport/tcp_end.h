/* Endpoints of tcp under test, driven in turns by one thread. */
#ifndef WEFT_TESTS_UNIT_TCP_END_H
#define WEFT_TESTS_UNIT_TCP_END_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/spi.h"
#include "transport/tcp/tcp.h"
#include "transport/tcp/wire.h"

struct end {
    struct weft_tp_ep *ep;
    struct weft_tp_peer peer; /* the other side, after ends_join() */
    uint64_t messages, bytes, lost;
    uint32_t next; /* the number that the next message has to have */
    bool numbered; /* messages are checked against next */
    bool drops;    /* a lost peer is dropped at once */
};

/* An operation that remembers how it ended. */
struct post {
    struct weft_tp_op op;
    uint64_t done;
    int err;
    uint64_t *total;
};

void end_open(struct end *end, uint32_t connections_max);
void end_close(struct end *end);
struct weft_tp_peer end_add(struct end *end, const struct end *other);
void ends_join(struct end *a, struct end *b);
struct weft_tcp_name end_name(const struct end *end);
struct weft_tcp_stats end_stats(const struct end *end);
int end_turn(struct end *end); /* how many events */
/* One turn of both (b may be NULL); sleeps shortly where nothing happens. */
void ends_run(struct end *a, struct end *b);
/* Until *count >= wanted; fails after half a minute. */
void ends_until(struct end *a, struct end *b, const uint64_t *count, uint64_t wanted);
/* Sends once; the error of the call. */
int end_post(struct end *end, struct post *post, const void *data, size_t len_bytes);
/* The same for gets and puts. */
int end_get(struct end *end, struct post *post, const struct weft_tp_rma_desc *desc);
int end_put(struct end *end, struct post *post, const struct weft_tp_rma_desc *desc);
int end_flush(struct end *end, struct post *post);
/* Sends one message and waits until it has arrived at b. */
void end_say(struct end *a, struct end *b);
/* A raw TCP connection to the endpoint, blocking. */
int end_dial(const struct end *end);
/* A good hello to the endpoint, from one that does not listen. */
struct weft_tcp_hello end_hello(const struct end *end);
/* Until the endpoint has ended the raw connection fd, which is closed then; fails after half a
 * minute. */
void end_hangs_up(struct end *end, int fd);

#endif
