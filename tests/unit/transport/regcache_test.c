#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "transport/regcache.h"
#include "weft/error.h"

#define PAGE ((size_t)4096)

/* A card of which the test sees what is registered. Handles are numbers from 1. */
struct card {
    unsigned made, ended;
    unsigned room; /* registrations at a time */
    bool ended_[64];
    struct weft_regcache *cache;
    /* Runs in each registering, before it ends; its error, or WEFT_OK: it goes on. */
    int (*meanwhile)(struct card *card);
};

static unsigned char memory[64 * 4096];

static int make(void *ctx, void *addr, size_t len_bytes, uint32_t access, void **handle_out)
{
    struct card *card = ctx;
    (void)addr;
    (void)len_bytes;
    (void)access;
    int err = card->meanwhile ? card->meanwhile(card) : WEFT_OK;
    if (err != WEFT_OK)
        return err;
    if (card->made - card->ended >= card->room)
        return weft_fail(WEFT_ENOMEM, "the card is full");
    assert_true(card->made < 63);
    *handle_out = (void *)(uintptr_t)++card->made;
    return WEFT_OK;
}

static void end(void *ctx, void *handle)
{
    struct card *card = ctx;
    uintptr_t number = (uintptr_t)handle;
    assert_in_range(number, 1, card->made);
    assert_false(card->ended_[number]);
    card->ended_[number] = true;
    card->ended++;
}

static void card_open(struct card *card, size_t bytes_max, unsigned entries_max)
{
    *card = (struct card){.room = 60};
    struct weft_regcache_desc desc = {make, end, card, bytes_max, entries_max};
    assert_int_equal(weft__regcache_open(&desc, &card->cache), WEFT_OK);
}

static void card_close(struct card *card)
{
    weft__regcache_close(card->cache);
    assert_int_equal(card->made, card->ended);
    weft__regcache_uncover(memory, sizeof(memory));
}

static struct weft_registration *get(struct card *card, size_t at, size_t len_bytes,
                                     uint32_t access, bool exact)
{
    struct weft_regcache_want want = {
        .addr = memory + at, .len_bytes = len_bytes, .access = access, .exact = exact};
    struct weft_registration *one = NULL;
    assert_int_equal(weft__regcache_get(card->cache, &want, &one), WEFT_OK);
    assert_non_null(one);
    return one;
}

static uintptr_t number(const struct weft_registration *one)
{
    return (uintptr_t)one->handle;
}

/* Takes and gives back at once; which registration served. */
static uintptr_t touch(struct card *card, size_t at, size_t len_bytes)
{
    struct weft_registration *one = get(card, at, len_bytes, 1, false);
    uintptr_t served = number(one);
    weft__regcache_put(card->cache, one);
    return served;
}

static void the_same_bytes_are_registered_once(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 16 * PAGE, 8);
    weft__regcache_cover(memory, sizeof(memory));
    assert_int_equal(touch(&card, 0, 4 * PAGE), 1);
    assert_int_equal(touch(&card, 0, 4 * PAGE), 1);
    assert_int_equal(touch(&card, 5, PAGE), 1);        /* a part of it */
    assert_int_equal(touch(&card, PAGE, 4 * PAGE), 2); /* reaches beyond */
    struct weft_regcache_stats stats;
    weft__regcache_stats(card.cache, &stats);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.misses, 2);
    assert_int_equal(stats.entries, 2);
    assert_int_equal(stats.bytes, 8 * PAGE);
    card_close(&card);
}

static void a_registration_that_grants_less_does_not_serve(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 8);
    weft__regcache_cover(memory, sizeof(memory));
    weft__regcache_put(card.cache, get(&card, 0, PAGE, 1, false));
    weft__regcache_put(card.cache, get(&card, 0, PAGE, 3, false));
    assert_int_equal(card.made, 2);
    weft__regcache_put(card.cache, get(&card, 0, PAGE, 2, false));
    assert_int_equal(card.made, 2);
    card_close(&card);
}

static void a_key_that_leaves_the_process_is_for_its_range_alone(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 8);
    weft__regcache_cover(memory, sizeof(memory));
    weft__regcache_put(card.cache, get(&card, 0, 8 * PAGE, 1, false));
    weft__regcache_put(card.cache, get(&card, 0, 4 * PAGE, 1, true));
    weft__regcache_put(card.cache, get(&card, 0, 2 * PAGE, 1, true));
    weft__regcache_put(card.cache, get(&card, 0, 2 * PAGE, 3, true));
    assert_int_equal(card.made, 4);
    weft__regcache_put(card.cache, get(&card, 0, 2 * PAGE, 1, true));
    assert_int_equal(card.made, 4);
    card_close(&card);
}

static void what_is_wanted_once_is_shared_and_not_kept(void **state)
{
    (void)state;
    struct card card;
    struct weft_registration *one, *other;
    struct weft_regcache_want want = {
        .addr = memory, .len_bytes = PAGE, .access = 1, .exact = true, .once = true};
    card_open(&card, 64 * PAGE, 8);
    weft__regcache_cover(memory, sizeof(memory));
    assert_int_equal(weft__regcache_get(card.cache, &want, &one), WEFT_OK);
    assert_int_equal(weft__regcache_get(card.cache, &want, &other), WEFT_OK);
    assert_ptr_equal(one, other);
    weft__regcache_put(card.cache, one);
    assert_int_equal(card.ended, 0);
    weft__regcache_put(card.cache, other);
    assert_int_equal(card.ended, 1);
    assert_int_equal(weft__regcache_get(card.cache, &want, &one), WEFT_OK);
    weft__regcache_put(card.cache, get(&card, 0, PAGE, 1, true)); /* and wanted kept */
    weft__regcache_put(card.cache, one);
    assert_int_equal(card.ended, 1);
    card_close(&card);
}

static void memory_that_nobody_vouches_for_is_registered_for_one_use(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 8);
    weft__regcache_cover(memory + PAGE, PAGE);
    assert_int_equal(touch(&card, 0, PAGE), 1);
    assert_int_equal(card.ended, 1);
    assert_int_equal(touch(&card, PAGE - 1, 2), 2); /* one byte outside */
    assert_int_equal(card.ended, 2);
    assert_int_equal(touch(&card, PAGE, PAGE), 3);
    assert_int_equal(card.ended, 2);
    struct weft_registration *one = get(&card, 0, PAGE, 1, false);
    struct weft_registration *again = get(&card, 0, PAGE, 1, false); /* while it is in use */
    assert_ptr_equal(one, again);
    weft__regcache_put(card.cache, one);
    assert_int_equal(card.ended, 2);
    weft__regcache_put(card.cache, again);
    assert_int_equal(card.ended, 3);
    weft__regcache_uncover(memory + PAGE, PAGE);
    weft__regcache_sweep(card.cache);
    assert_int_equal(card.ended, 4);
    card_close(&card);
}

static void the_bounds_hold_and_the_oldest_goes_first(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 8 * PAGE, 3);
    weft__regcache_cover(memory, sizeof(memory));
    for (size_t i = 0; i < 3; i++)
        touch(&card, i * 4 * PAGE, PAGE);
    touch(&card, 0, PAGE); /* the second is the oldest now */
    touch(&card, 12 * PAGE, PAGE);
    assert_true(card.ended_[2]);
    assert_int_equal(card.ended, 1);
    touch(&card, 16 * PAGE, 7 * PAGE); /* with one page more it is at the bound */
    assert_int_equal(card.ended, 3);
    struct weft_regcache_stats stats;
    weft__regcache_stats(card.cache, &stats);
    assert_int_equal(stats.bytes, 8 * PAGE);
    assert_int_equal(stats.evicted, 3);
    assert_int_equal(touch(&card, 12 * PAGE, PAGE), 4);
    touch(&card, 30 * PAGE, 9 * PAGE); /* more than the bound: served, and not kept */
    weft__regcache_stats(card.cache, &stats);
    assert_int_equal(stats.entries, 0);
    assert_int_equal(stats.bytes, 0);
    card_close(&card);
}

static void one_in_use_is_never_evicted(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 2 * PAGE, 2);
    weft__regcache_cover(memory, sizeof(memory));
    struct weft_registration *held[5];
    for (size_t i = 0; i < 5; i++)
        held[i] = get(&card, i * PAGE, PAGE, 1, false);
    assert_int_equal(card.ended, 0);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(number(held[i]), i + 1);
    for (size_t i = 0; i < 5; i++)
        weft__regcache_put(card.cache, held[i]);
    assert_int_equal(card.made - card.ended, 2);
    card_close(&card);
}

static void a_full_card_gets_back_what_nobody_uses(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 16);
    card.room = 3;
    weft__regcache_cover(memory, sizeof(memory));
    struct weft_registration *held = get(&card, 0, PAGE, 1, false);
    touch(&card, 4 * PAGE, PAGE);
    touch(&card, 8 * PAGE, PAGE);
    assert_int_equal(touch(&card, 12 * PAGE, PAGE), 4);
    assert_int_equal(card.ended, 2);
    assert_false(card.ended_[1]);
    struct weft_registration *second = get(&card, 16 * PAGE, PAGE, 1, false);
    struct weft_registration *third = get(&card, 20 * PAGE, PAGE, 1, false);
    struct weft_regcache_want want = {.addr = memory + 24 * PAGE, .len_bytes = PAGE, .access = 1};
    struct weft_registration *none = NULL;
    assert_int_equal(weft__regcache_get(card.cache, &want, &none), WEFT_ENOMEM);
    assert_null(none);
    weft__regcache_put(card.cache, held);
    weft__regcache_put(card.cache, second);
    weft__regcache_put(card.cache, third);
    card_close(&card);
}

static void what_was_unmapped_serves_nobody(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 16);
    weft__regcache_cover(memory, sizeof(memory));
    touch(&card, 0, 2 * PAGE);
    touch(&card, 2 * PAGE, 2 * PAGE);
    touch(&card, 4 * PAGE, 2 * PAGE);
    weft__regcache_forget(memory + 3 * PAGE, PAGE);
    assert_int_equal(card.ended, 0); /* another thread's: the owner ends it */
    weft__regcache_sweep(card.cache);
    assert_int_equal(card.ended, 1);
    assert_true(card.ended_[2]);
    assert_int_equal(touch(&card, 2 * PAGE, 2 * PAGE), 4);
    assert_int_equal(touch(&card, 0, 2 * PAGE), 1); /* its neighbours have not moved */
    assert_int_equal(touch(&card, 4 * PAGE, 2 * PAGE), 3);
    card_close(&card);
}

static void a_range_that_shrinks_loses_what_reached_beyond_its_end(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 16);
    weft__regcache_cover(memory, 8 * PAGE);
    touch(&card, 6 * PAGE, 2 * PAGE);
    touch(&card, 0, 2 * PAGE);
    weft__regcache_cover(memory, 4 * PAGE);
    weft__regcache_uncover(memory, 8 * PAGE);
    weft__regcache_sweep(card.cache);
    assert_int_equal(card.ended, 2);
    touch(&card, 6 * PAGE, 2 * PAGE);
    assert_int_equal(card.ended, 3); /* not kept any more */
    touch(&card, 0, 2 * PAGE);
    assert_int_equal(card.ended, 3);
    weft__regcache_uncover(memory, 4 * PAGE);
    card_close(&card);
}

static void one_in_use_ends_with_its_use_when_its_memory_has_gone(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 16);
    weft__regcache_cover(memory, sizeof(memory));
    struct weft_registration *old = get(&card, 0, PAGE, 1, true);
    weft__regcache_forget(memory, PAGE);
    weft__regcache_sweep(card.cache);
    assert_int_equal(card.ended, 0);
    struct weft_registration *fresh = get(&card, 0, PAGE, 1, true);
    assert_int_equal(number(fresh), 2); /* a new key: the old one opens nothing new */
    weft__regcache_put(card.cache, old);
    assert_true(card.ended_[1]);
    weft__regcache_put(card.cache, fresh);
    assert_int_equal(card.ended, 1);
    card_close(&card);
}

static void forgetting_reaches_every_cache_of_the_process(void **state)
{
    (void)state;
    struct card a, b;
    card_open(&a, 64 * PAGE, 16);
    card_open(&b, 64 * PAGE, 16);
    weft__regcache_cover(memory, sizeof(memory));
    touch(&a, 0, PAGE);
    touch(&b, 0, PAGE);
    weft__regcache_forget(memory, 1);
    weft__regcache_sweep(a.cache);
    weft__regcache_sweep(b.cache);
    assert_int_equal(a.ended, 1);
    assert_int_equal(b.ended, 1);
    card_close(&b);
    card_close(&a);
}

/* A thread of its own that wants the first page. */
struct other {
    pthread_t thread;
    struct card *card;
    struct weft_registration *one;
    int err;
};

static struct other other;

static void *want_first_page(void *ctx)
{
    struct other *one = ctx;
    struct weft_regcache_want want = {
        .addr = memory, .len_bytes = PAGE, .access = 1, .exact = true, .once = true};
    one->err = weft__regcache_get(one->card->cache, &want, &one->one);
    return NULL;
}

/* Starts the other thread and goes on when that waits; once. */
static int until_another_waits(struct card *card)
{
    card->meanwhile = NULL;
    other = (struct other){.card = card};
    assert_int_equal(pthread_create(&other.thread, NULL, want_first_page, &other), 0);
    struct weft_regcache_stats stats = {0};
    while (stats.waits == 0 && stats.hits + stats.misses < 2) {
        sched_yield();
        weft__regcache_stats(card->cache, &stats);
    }
    assert_int_equal(stats.misses, 1);
    return WEFT_OK;
}

static int fail_when_another_waits(struct card *card)
{
    until_another_waits(card);
    return weft_fail(WEFT_EIO, "the card is broken");
}

static void threads_that_want_the_same_at_once_get_one_registration(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 16);
    card.meanwhile = until_another_waits;
    struct weft_registration *one = get(&card, 0, PAGE, 1, true);
    pthread_join(other.thread, NULL);
    assert_int_equal(other.err, WEFT_OK);
    assert_ptr_equal(other.one, one);
    assert_int_equal(card.made, 1);
    weft__regcache_put(card.cache, one);
    assert_int_equal(card.ended, 0);
    weft__regcache_put(card.cache, other.one);
    assert_int_equal(card.ended, 1);
    card_close(&card);
}

static void who_waited_for_a_registration_that_failed_makes_its_own(void **state)
{
    (void)state;
    struct card card;
    card_open(&card, 64 * PAGE, 16);
    card.meanwhile = fail_when_another_waits;
    struct weft_regcache_want want = {
        .addr = memory, .len_bytes = PAGE, .access = 1, .exact = true};
    struct weft_registration *none = NULL;
    assert_int_equal(weft__regcache_get(card.cache, &want, &none), WEFT_EIO);
    assert_null(none);
    pthread_join(other.thread, NULL);
    assert_int_equal(other.err, WEFT_OK);
    assert_int_equal(number(other.one), 1);
    weft__regcache_put(card.cache, other.one);
    assert_int_equal(card.ended, 1);
    card_close(&card);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bytes_are_registered_once),
        cmocka_unit_test(a_registration_that_grants_less_does_not_serve),
        cmocka_unit_test(a_key_that_leaves_the_process_is_for_its_range_alone),
        cmocka_unit_test(what_is_wanted_once_is_shared_and_not_kept),
        cmocka_unit_test(memory_that_nobody_vouches_for_is_registered_for_one_use),
        cmocka_unit_test(the_bounds_hold_and_the_oldest_goes_first),
        cmocka_unit_test(one_in_use_is_never_evicted),
        cmocka_unit_test(a_full_card_gets_back_what_nobody_uses),
        cmocka_unit_test(what_was_unmapped_serves_nobody),
        cmocka_unit_test(a_range_that_shrinks_loses_what_reached_beyond_its_end),
        cmocka_unit_test(one_in_use_ends_with_its_use_when_its_memory_has_gone),
        cmocka_unit_test(forgetting_reaches_every_cache_of_the_process),
        cmocka_unit_test(threads_that_want_the_same_at_once_get_one_registration),
        cmocka_unit_test(who_waited_for_a_registration_that_failed_makes_its_own),
    };
    return cmocka_run_group_tests_name("regcache", tests, NULL, NULL);
}
