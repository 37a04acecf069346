/* One call to a main, tried until it is answered for certain: a pure machine.
 *
 * A main that is full, silent or gone is asked again; between tries the registry says whether it is
 * dead. Changes may be sent again because they are counted by sessions. */
#ifndef WEFT_STATE_ATTEMPT_H
#define WEFT_STATE_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

enum weft_attempt_do {
    WEFT_ATTEMPT_SEND,  /* to the main, for at most try_ns; weft__attempt_answered */
    WEFT_ATTEMPT_CHECK, /* ask where the value is and whether its main is alive;
                           weft__attempt_checked */
    WEFT_ATTEMPT_SLEEP, /* until until_ns; weft__attempt_woken */
    WEFT_ATTEMPT_END
};

struct weft_attempt_step {
    enum weft_attempt_do what;
    uint64_t try_ns, until_ns;
    int err;
};

struct weft_attempt {
    uint64_t epoch; /* that the caller means */
    uint64_t deadline_ns;
    uint64_t try_ns; /* a silent main is checked after this; 0: 2 s */
    uint32_t tries, naps;
    int last; /* why it has not ended yet */
};

struct weft_attempt_step weft__attempt_start(struct weft_attempt *attempt, uint64_t now_ns);
/* err: the answer's; retry_ms: the server's hint. */
struct weft_attempt_step weft__attempt_answered(struct weft_attempt *attempt, uint64_t now_ns,
                                                int err, uint32_t retry_ms);
/* epoch: of the claim that stands. */
struct weft_attempt_step weft__attempt_checked(struct weft_attempt *attempt, uint64_t now_ns,
                                               int err, uint64_t epoch);
struct weft_attempt_step weft__attempt_woken(struct weft_attempt *attempt, uint64_t now_ns);

#endif
