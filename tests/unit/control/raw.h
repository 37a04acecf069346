/* A client of plain ZeroMQ, which can say anything in its frames. */
#ifndef TESTS_UNIT_CONTROL_RAW_H
#define TESTS_UNIT_CONTROL_RAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/frame.h"

struct raw {
    void *ctx;
    void *sock;
};

#define RAW_BODY 512

struct raw_answer {
    struct weft_frame frame;
    char body[RAW_BODY]; /* with a NUL behind it */
};

/* type: ZMQ_DEALER, ZMQ_PUSH ... */
void raw_open(struct raw *raw, int type, const char *url);
/* A DEALER that takes next to nothing in before somebody reads it: the rest stays with the server.
 */
void raw_open_deaf(struct raw *raw, const char *url);
void raw_close(struct raw *raw);
/* body: a text, sent as bytes. */
void raw_say(struct raw *raw, struct weft_frame frame, const char *body);
/* Fails the test where no answer comes. */
void raw_hear(struct raw *raw, struct raw_answer *answer_out);
/* The same, for an answer that must have this correlation; returns its error. */
int raw_hear_of(struct raw *raw, uint64_t correlation, struct raw_answer *answer_out);
/* Whether nothing has come so far. */
bool raw_silent(struct raw *raw);

#endif
