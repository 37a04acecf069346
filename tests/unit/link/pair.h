/* What the lane tests share: the transports, and two lanes of one process that know each other. */
#ifndef TEST_LINK_PAIR_H
#define TEST_LINK_PAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "link/lane.h"

extern const struct weft_transport *const pair_transports[];
extern const size_t pair_transports_n;

/* The scheme under test, from the command line. */
extern const char *pair_scheme;

#define PAIR_TOKEN 0x7e57ULL
#define PAIR_MESSAGE_MAX 4096u

struct end {
    struct weft_lane *lane;
    struct weft_lane_peer other;
    void (*message)(struct end *end, const void *data, size_t len_bytes);
    atomic_uint heard, lost;
    void *user;
};

/* An end alone. progress: "thread" or "worker". */
void end_open(struct end *end, const char *name, const char *progress);
struct weft_lane_desc end_desc(struct end *end, const char *name, const char *progress);
void pair_open(struct end *a, struct end *b, const char *progress);
void pair_close(struct end *a, struct end *b);

/* Sends, and drives or yields while the lane is full. */
void end_send(struct end *end, const void *data, size_t len_bytes);
/* Lets things move: drives the lanes where no thread does. */
void pair_move(struct end *a, struct end *b);

/* A get that counts its end. */
struct pull {
    struct weft_lane_get get;
    atomic_int ended;
    int err;
};
void pull_start(struct end *end, struct pull *pull, const struct weft_lane_key *key, void *into,
                size_t len_bytes);

void fill_pattern(unsigned char *bytes, size_t len_bytes, unsigned seed);
bool same_pattern(const unsigned char *bytes, size_t len_bytes, unsigned seed);

#endif
