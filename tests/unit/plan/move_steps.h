/* Steps a machine of a move and looks at what it does. Each test file defines MOVE_MACHINE (home,
 * source, dest) first. */
#ifndef WEFT_TEST_MOVE_STEPS_H
#define WEFT_TEST_MOVE_STEPS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "plan/move.h"
#include "weft/error.h"

#define JOIN_(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define MACHINE struct JOIN(weft_move_, MOVE_MACHINE, )

enum { HOME = 1, SOURCE = 2, DEST = 3, RANK = 5, LEASE = 77 };

static struct weft_move_action actions[WEFT_MOVE_ACTIONS_MAX];
static size_t actions_n;
static uint64_t now_ns;

static inline void happens(MACHINE *m, const struct weft_move_event *event)
{
    actions_n =
        JOIN(weft__move_, MOVE_MACHINE, _step)(m, event, now_ns, actions, WEFT_MOVE_ACTIONS_MAX);
}

static inline struct weft_move_message message_of(uint64_t move_id, enum weft_move_kind kind)
{
    return (struct weft_move_message){.kind = kind,
                                      .rank = RANK,
                                      .app = 9,
                                      .move_id = move_id,
                                      .incarnation = 4,
                                      .home = HOME,
                                      .source = SOURCE,
                                      .dest = DEST,
                                      .lease = LEASE,
                                      .within_ms = 100,
                                      .then_ms = 1000};
}

static inline void hears_message(MACHINE *m, struct weft_move_message message)
{
    happens(m, &(struct weft_move_event){.kind = WEFT_MOVE_ON_MESSAGE, .message = &message});
}

static inline void hears(MACHINE *m, uint64_t move_id, enum weft_move_kind kind)
{
    hears_message(m, message_of(move_id, kind));
}

static inline void hears_err(MACHINE *m, enum weft_move_kind kind, int err, const char *text)
{
    struct weft_move_message message = message_of(1, kind);
    message.err = err;
    strncpy(message.text, text, sizeof(message.text) - 1);
    hears_message(m, message);
}

static inline void sees(MACHINE *m, enum weft_move_event_kind kind, int err)
{
    happens(m, &(struct weft_move_event){.kind = kind, .err = err});
}

static inline void registry_says(MACHINE *m, uint64_t host, uint64_t incarnation)
{
    happens(m, &(struct weft_move_event){.kind = WEFT_MOVE_ON_OWNER, .owner = {host, incarnation}});
}

static inline void dies(MACHINE *m, uint64_t host)
{
    happens(m, &(struct weft_move_event){.kind = WEFT_MOVE_ON_HOST_DEAD, .host = host});
}

/* Time goes on to the machine's next deadline. */
static inline void waits(MACHINE *m)
{
    uint64_t deadline_ns = JOIN(weft__move_, MOVE_MACHINE, _deadline)(m);
    assert_int_not_equal(deadline_ns, WEFT_NEVER);
    assert_true(deadline_ns > now_ns);
    now_ns = deadline_ns;
    sees(m, WEFT_MOVE_ON_TICK, WEFT_OK);
}

static inline const struct weft_move_action *did(enum weft_move_action_kind kind)
{
    for (size_t i = 0; i < actions_n; i++) {
        if (actions[i].kind == kind)
            return &actions[i];
    }
    return NULL;
}

static inline const struct weft_move_message *said(enum weft_move_kind kind)
{
    for (size_t i = 0; i < actions_n; i++) {
        if (actions[i].kind == WEFT_MOVE_DO_SEND && actions[i].message.kind == kind)
            return &actions[i].message;
    }
    return NULL;
}

static inline void assert_only_said(enum weft_move_kind kind)
{
    assert_int_equal(actions_n, 1);
    assert_non_null(said(kind));
}

#endif
