/* MEMBER: what a process does of a freeze or thaw.
 *
 * It stops and stores its ranks when HOME says so, and then waits: only HOME's GO_ON, or its end,
 * follows. STOP that comes after its own GO_ON is refused: messages may overtake each other. A rank
 * that cannot be frozen makes the whole process refuse; those that stand go on when HOME says that
 * all go on. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "plan/freeze.h"
#include "weft/error.h"

struct out {
    struct weft_freeze_member_action *actions;
    size_t n, max;
};

static struct weft_freeze_member_action *emit(struct out *out,
                                              enum weft_freeze_member_action_kind kind)
{
    weft__check(out->n < out->max);
    struct weft_freeze_member_action *action = &out->actions[out->n++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    return action;
}

static void answer(const struct weft_freeze_member *m, struct out *out,
                   enum weft_freeze_order order, int err, const char *text)
{
    struct weft_freeze_member_action *action = emit(out, WEFT_FREEZE_MEMBER_DO_ANSWER);
    action->order = order;
    action->number = m->number;
    action->round = m->round;
    action->err = err;
    snprintf(action->text, sizeof(action->text), "%s", text != NULL ? text : "");
}

/* The first reason counts. */
static void note(struct weft_freeze_member *m, int err, const char *text)
{
    if (m->err != WEFT_OK || err == WEFT_OK)
        return;
    m->err = err;
    snprintf(m->text, sizeof(m->text), "%s", text != NULL ? text : "");
}

static void begin(struct weft_freeze_member *m, uint64_t number)
{
    m->number = number;
    m->round = 0;
    m->err = WEFT_OK;
    m->text[0] = '\0';
    m->go_on_wanted = false;
}

static void go_on(struct weft_freeze_member *m, struct out *out)
{
    m->state = WEFT_MEMBER_HERE;
    m->go_on_wanted = false;
    (void)emit(out, WEFT_FREEZE_MEMBER_DO_GO_ON);
    answer(m, out, WEFT_FREEZE_GO_ON, WEFT_OK, "");
}

/* Another round, or a question how far it is. */
static void on_stop_again(struct weft_freeze_member *m, struct out *out,
                          const struct weft_freeze_member_event *event)
{
    if (m->err != WEFT_OK) {
        answer(m, out, WEFT_FREEZE_STOP, m->err, m->text);
    } else if (event->round > m->round) {
        m->round = event->round;
        m->state = WEFT_MEMBER_STOPPING;
        emit(out, WEFT_FREEZE_MEMBER_DO_RELEASE)->below = event->below;
    } else if (m->state == WEFT_MEMBER_STANDING) {
        answer(m, out, WEFT_FREEZE_STOP, WEFT_OK, "");
    } else {
        (void)emit(out, WEFT_FREEZE_MEMBER_DO_REPORT);
    }
}

static void on_stop(struct weft_freeze_member *m, struct out *out,
                    const struct weft_freeze_member_event *event)
{
    bool same = event->number == m->number;
    if (m->state == WEFT_MEMBER_HERE && same) {
        answer(m, out, WEFT_FREEZE_STOP, WEFT_ECANCELED, "the freeze was given up");
    } else if (m->state == WEFT_MEMBER_HERE) {
        begin(m, event->number);
        m->round = event->round;
        m->state = WEFT_MEMBER_STOPPING;
        (void)emit(out, WEFT_FREEZE_MEMBER_DO_STOP);
    } else if (same && !m->go_on_wanted &&
               (m->state == WEFT_MEMBER_STOPPING || m->state == WEFT_MEMBER_STANDING ||
                m->state == WEFT_MEMBER_STOPPED)) {
        on_stop_again(m, out, event);
    }
}

static void on_save(struct weft_freeze_member *m, struct out *out, uint64_t number)
{
    if (number != m->number)
        return;
    if (m->state == WEFT_MEMBER_STANDING) {
        m->state = WEFT_MEMBER_SAVING;
        (void)emit(out, WEFT_FREEZE_MEMBER_DO_SAVE);
    } else if (m->state == WEFT_MEMBER_STOPPED) {
        answer(m, out, WEFT_FREEZE_SAVE, m->err, m->text);
    }
}

static void on_go_on(struct weft_freeze_member *m, struct out *out, uint64_t number)
{
    switch (m->state) {
    case WEFT_MEMBER_HERE:
        m->number = number;
        answer(m, out, WEFT_FREEZE_GO_ON, WEFT_OK, "");
        break;
    case WEFT_MEMBER_STOPPING:
    case WEFT_MEMBER_SAVING:
        if (!m->go_on_wanted)
            (void)emit(out, m->state == WEFT_MEMBER_STOPPING ? WEFT_FREEZE_MEMBER_DO_WITHDRAW
                                                             : WEFT_FREEZE_MEMBER_DO_UNSAVE);
        m->go_on_wanted = true;
        break;
    case WEFT_MEMBER_STANDING:
    case WEFT_MEMBER_STOPPED:
        go_on(m, out);
        break;
    default:
        break;
    }
}

static void on_load(struct weft_freeze_member *m, struct out *out, uint64_t number)
{
    if (m->state == WEFT_MEMBER_EMPTY) {
        begin(m, number);
        m->state = WEFT_MEMBER_LOADING;
        (void)emit(out, WEFT_FREEZE_MEMBER_DO_LOAD);
    } else if (m->state == WEFT_MEMBER_LOADED && number == m->number) {
        answer(m, out, WEFT_FREEZE_LOAD, m->err, m->text);
    }
}

static void on_resume(struct weft_freeze_member *m, struct out *out, uint64_t number)
{
    if (number != m->number)
        return;
    if (m->state == WEFT_MEMBER_LOADED && m->err == WEFT_OK) {
        m->state = WEFT_MEMBER_HERE;
        (void)emit(out, WEFT_FREEZE_MEMBER_DO_RESUME);
    } else if (m->state != WEFT_MEMBER_HERE) {
        return;
    }
    answer(m, out, WEFT_FREEZE_RESUME, WEFT_OK, "");
}

static void on_order(struct weft_freeze_member *m, struct out *out,
                     const struct weft_freeze_member_event *event)
{
    if (event->number < m->number)
        return;
    switch (event->order) {
    case WEFT_FREEZE_STOP:
        on_stop(m, out, event);
        break;
    case WEFT_FREEZE_SAVE:
        on_save(m, out, event->number);
        break;
    case WEFT_FREEZE_GO_ON:
        on_go_on(m, out, event->number);
        break;
    case WEFT_FREEZE_LOAD:
        on_load(m, out, event->number);
        break;
    case WEFT_FREEZE_RESUME:
        on_resume(m, out, event->number);
        break;
    default:
        break;
    }
}

static void on_stopped(struct weft_freeze_member *m, struct out *out,
                       const struct weft_freeze_member_event *event)
{
    note(m, event->err, event->text);
    if (m->go_on_wanted) {
        go_on(m, out);
        return;
    }
    m->state = m->err == WEFT_OK ? WEFT_MEMBER_STANDING : WEFT_MEMBER_STOPPED;
    answer(m, out, WEFT_FREEZE_STOP, m->err, m->text);
}

static void on_saved(struct weft_freeze_member *m, struct out *out,
                     const struct weft_freeze_member_event *event)
{
    note(m, event->err, event->text);
    if (m->go_on_wanted) {
        go_on(m, out);
    } else {
        m->state = WEFT_MEMBER_STOPPED;
        answer(m, out, WEFT_FREEZE_SAVE, m->err, m->text);
    }
}

size_t weft__freeze_member_step(struct weft_freeze_member *m,
                                const struct weft_freeze_member_event *event,
                                struct weft_freeze_member_action *actions_out, size_t max)
{
    struct out out = {.actions = actions_out, .max = max};
    weft__check(max >= WEFT_FREEZE_MEMBER_ACTIONS_MAX);
    switch (event->kind) {
    case WEFT_FREEZE_MEMBER_ON_ORDER:
        on_order(m, &out, event);
        break;
    case WEFT_FREEZE_MEMBER_ON_STOPPED:
        if (m->state == WEFT_MEMBER_STOPPING)
            on_stopped(m, &out, event);
        break;
    case WEFT_FREEZE_MEMBER_ON_SAVED:
        if (m->state == WEFT_MEMBER_SAVING)
            on_saved(m, &out, event);
        break;
    case WEFT_FREEZE_MEMBER_ON_LOADED:
        if (m->state == WEFT_MEMBER_LOADING) {
            m->state = WEFT_MEMBER_LOADED;
            note(m, event->err, event->text);
            answer(m, &out, WEFT_FREEZE_LOAD, m->err, m->text);
        }
        break;
    }
    return out.n;
}

void weft__freeze_member_init(struct weft_freeze_member *m, bool empty)
{
    *m = (struct weft_freeze_member){.state = empty ? WEFT_MEMBER_EMPTY : WEFT_MEMBER_HERE};
}
