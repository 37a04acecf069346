#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/events.h"
#include "weft/error.h"

enum { KEPT = 8, WRITERS = 3, EACH = 20000 };

static void note(struct weft_events *events, int32_t rank)
{
    weft__events_note(events, &(struct weft_event_note){.kind = WEFT_EVENT_MOVE_ASKED,
                                                        .app = 7,
                                                        .rank = rank,
                                                        .n = {(uint64_t)rank},
                                                        .text = {"a", "b", "c"}});
}

static void events_come_out_in_order_with_their_content(void **state)
{
    (void)state;
    struct weft_events events;
    struct weft_event out[KEPT];
    uint64_t next = 0, lost = 0;
    assert_int_equal(weft__events_init(&events, KEPT), WEFT_OK);
    assert_int_equal(weft__events_read(&events, &next, out, KEPT, &lost), 0);
    for (int32_t r = 0; r < 5; r++)
        note(&events, r);
    assert_int_equal(weft__events_read(&events, &next, out, 2, &lost), 2);
    assert_int_equal(weft__events_read(&events, &next, out + 2, KEPT, &lost), 3);
    for (int32_t r = 0; r < 5; r++) {
        assert_int_equal(out[r].rank, r);
        assert_int_equal(out[r].n[0], r);
        assert_int_equal(out[r].sequence, r + 1);
        assert_int_equal(out[r].app, 7);
        assert_true(out[r].time_ns > 0 && out[r].mono_ns > 0);
        assert_memory_equal(out[r].text, "a\0b\0c", 6);
    }
    assert_int_equal(lost, 0);
    assert_int_equal(weft__events_read(&events, &next, out, KEPT, &lost), 0);
    assert_int_equal(weft__events_count(&events, WEFT_EVENT_MOVE_ASKED), 5);
    weft__events_fini(&events);
}

static void the_oldest_make_room_and_are_counted_as_lost(void **state)
{
    (void)state;
    struct weft_events events;
    struct weft_event out[2 * KEPT];
    uint64_t next = 1, lost = 0;
    assert_int_equal(weft__events_init(&events, KEPT), WEFT_OK);
    for (int32_t r = 0; r < KEPT + 3; r++)
        note(&events, r);
    assert_int_equal(weft__events_read(&events, &next, out, 2 * KEPT, &lost), KEPT);
    assert_int_equal(lost, 3);
    assert_int_equal(out[0].rank, 3);
    next = 0; /* whoever asks for what there is has missed nothing */
    lost = 0;
    assert_int_equal(weft__events_read(&events, &next, out, 2 * KEPT, &lost), KEPT);
    assert_int_equal(lost, 0);
    weft__events_fini(&events);
}

static void texts_that_are_too_long_are_cut_and_others_stay(void **state)
{
    (void)state;
    char longest[400];
    struct weft_events events;
    struct weft_event out;
    uint64_t next = 0, lost = 0;
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(weft__events_init(&events, KEPT), WEFT_OK);
    weft__events_note(&events, &(struct weft_event_note){.kind = WEFT_EVENT_MOVE_ASKED,
                                                         .text = {"first", longest, longest}});
    assert_int_equal(weft__events_read(&events, &next, &out, 1, &lost), 1);
    assert_string_equal(out.text, "first");
    assert_int_equal(strlen(out.text + 6), WEFT_EVENT_TEXT_MAX - 6 - 2);
    assert_int_equal(out.text[WEFT_EVENT_TEXT_MAX - 1], '\0');
    weft__events_fini(&events);
}

static void wrong_capacities_and_kinds_are_refused(void **state)
{
    (void)state;
    struct weft_events events = {0};
    assert_int_equal(weft__events_init(&events, 0), WEFT_EINVAL);
    assert_int_equal(weft__events_init(&events, 6), WEFT_EINVAL);
    weft__events_add(&events, &(struct weft_event){.kind = 1}); /* nothing is kept */
    assert_int_equal(weft__events_init(&events, KEPT), WEFT_OK);
    weft__events_add(&events, &(struct weft_event){.kind = WEFT_EVENT_KINDS});
    assert_int_equal(atomic_load(&events.head), 0);
    weft__events_fini(&events);
}

struct crowd {
    struct weft_events events;
    atomic_int at_work;
};

static void *write_many(void *argument)
{
    struct crowd *crowd = argument;
    for (int32_t i = 0; i < EACH; i++) {
        struct weft_event event = {.kind = WEFT_EVENT_MOVE_ASKED, .rank = i};
        for (size_t k = 0; k < WEFT_EVENT_NUMBERS_MAX; k++)
            event.n[k] = (uint64_t)i * 3 + k;
        weft__events_add(&crowd->events, &event);
    }
    atomic_fetch_sub(&crowd->at_work, 1);
    return NULL;
}

static void nobody_ever_reads_a_mixture_of_two_events(void **state)
{
    (void)state;
    struct crowd crowd;
    pthread_t threads[WRITERS];
    struct weft_event out[4];
    uint64_t next = 1, lost = 0, read = 0, n;
    assert_int_equal(weft__events_init(&crowd.events, KEPT), WEFT_OK);
    atomic_init(&crowd.at_work, WRITERS);
    for (size_t i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &crowd), 0);
    bool over;
    do {
        over = atomic_load(&crowd.at_work) == 0;
        n = weft__events_read(&crowd.events, &next, out, 4, &lost);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < WEFT_EVENT_NUMBERS_MAX; k++)
                assert_int_equal(out[i].n[k], (uint64_t)out[i].rank * 3 + k);
        read += n;
    } while (n > 0 || !over);
    for (size_t i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(read + lost + 1, next);
    assert_int_equal(weft__events_count(&crowd.events, WEFT_EVENT_MOVE_ASKED), WRITERS * EACH);
    weft__events_fini(&crowd.events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_come_out_in_order_with_their_content),
        cmocka_unit_test(the_oldest_make_room_and_are_counted_as_lost),
        cmocka_unit_test(texts_that_are_too_long_are_cut_and_others_stay),
        cmocka_unit_test(wrong_capacities_and_kinds_are_refused),
        cmocka_unit_test(nobody_ever_reads_a_mixture_of_two_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
