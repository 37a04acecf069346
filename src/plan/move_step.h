/* What the three machines of a move have in common: writing actions, telling the time to repeat.
 * Inside src/plan only. */
#ifndef WEFT_PLAN_MOVE_STEP_H
#define WEFT_PLAN_MOVE_STEP_H

#include "base/clock.h"
#include "plan/move.h"
#include "weft/api.h"

/* Where a step writes its actions. */
struct weft_move_out {
    struct weft_move_action *actions;
    size_t n, max;
    uint64_t now_ns;
};

/* Appends an action about the move that id names. */
struct weft_move_action *weft__move_emit(struct weft_move_out *out, enum weft_move_action_kind kind,
                                         const struct weft_move_message *id);
/* Appends SEND of a message of this kind; its other fields may be filled in by the caller. */
struct weft_move_message *weft__move_send(struct weft_move_out *out,
                                          const struct weft_move_message *id,
                                          enum weft_move_kind kind);
void weft__move_send_err(struct weft_move_out *out, const struct weft_move_message *id,
                         enum weft_move_kind kind, int err, const char *text);
/* Asks the registry for (source, incarnation) -> (host, incarnation + 1). */
void weft__move_cas(struct weft_move_out *out, const struct weft_move_message *id, uint64_t host);
void weft__move_end_app(struct weft_move_out *out, const struct weft_move_message *id,
                        const char *text);
void weft__move_text(char out[WEFT_MOVE_TEXT_MAX], const char *fmt, ...) WEFT_PRINTF(2, 3);
uint32_t weft__move_ms(uint64_t ns);
uint64_t weft__move_after(uint64_t now_ns, uint64_t wait_ns); /* never wraps */

/* A deadline that doubles its distance each time. */
static inline void weft__move_retry_start(const struct weft_move_params *params, uint64_t now_ns,
                                          uint64_t *retry_ns, uint64_t *backoff_ns)
{
    *backoff_ns = params->retry_first_ns;
    *retry_ns = weft__move_after(now_ns, *backoff_ns);
}

static inline void weft__move_retry_next(const struct weft_move_params *params, uint64_t now_ns,
                                         uint64_t *retry_ns, uint64_t *backoff_ns)
{
    *backoff_ns = *backoff_ns * 2 < params->retry_max_ns ? *backoff_ns * 2 : params->retry_max_ns;
    *retry_ns = weft__move_after(now_ns, *backoff_ns);
}

/* Whether the tick of a deadline comes so late that its process must have stood still: answers may
 * lie unread, so the app is not ended by that deadline. */
static inline bool weft__move_slept(const struct weft_move_params *params, uint64_t until_ns,
                                    const struct weft_move_out *out)
{
    return out->now_ns > weft__move_after(until_ns, params->retry_max_ns);
}

/* What the registry's word means for a move of (source, incarnation). */
enum weft_move_standing {
    WEFT_STANDING_UNKNOWN,   /* nothing can be concluded */
    WEFT_STANDING_UNDECIDED, /* neither commit nor abort so far */
    WEFT_STANDING_COMMITTED,
    WEFT_STANDING_ABORTED,
    WEFT_STANDING_OTHER /* the rank has gone on without this move */
};
enum weft_move_standing weft__move_standing(const struct weft_move_message *id,
                                            const struct weft_move_event *event);

static inline uint64_t weft__move_sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
