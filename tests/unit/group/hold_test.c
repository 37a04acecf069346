/* Held packets: sorted, without doubles, bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group/hold.h"
#include "weft/error.h"

static struct weft_packet_header data(int32_t source, uint64_t sequence, uint32_t len)
{
    return (struct weft_packet_header){
        .type = WEFT_PACKET_DATA, .source = source, .sequence = sequence, .payload_len = len};
}

static int put(struct weft_hold *hold, int32_t source, uint64_t sequence)
{
    struct weft_packet_header header = data(source, sequence, sizeof(sequence));
    return weft__hold_put(hold, &header, &sequence);
}

static void packets_of_a_source_come_out_in_order(void **state)
{
    (void)state;
    struct weft_hold hold;
    assert_int_equal(weft__hold_init(&hold, 4, 10, 1000), 0);
    uint64_t sequences[] = {5, 3, 4, 9};
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(put(&hold, 1, sequences[i]), 0);
    assert_null(weft__hold_peek(&hold, 1, 2));
    assert_int_equal(weft__hold_peek(&hold, 1, 3)->header.sequence, 3);
    for (uint64_t next = 3; next <= 5; next++) {
        struct weft_held *held = weft__hold_take(&hold, 1, next);
        assert_non_null(held);
        assert_memory_equal(held->payload, &next, sizeof(next));
        free(held);
    }
    assert_null(weft__hold_take(&hold, 1, 6));
    assert_int_equal(hold.packets, 1);
    weft__hold_fini(&hold);
}

static void a_packet_is_held_once(void **state)
{
    (void)state;
    struct weft_hold hold;
    assert_int_equal(weft__hold_init(&hold, 4, 10, 1000), 0);
    assert_int_equal(put(&hold, 1, 7), 0);
    assert_int_equal(put(&hold, 1, 7), WEFT_EEXIST);
    assert_int_equal(put(&hold, 2, 7), 0);
    assert_int_equal(hold.packets, 2);
    weft__hold_fini(&hold);
}

static void a_full_hold_refuses_by_packets_and_by_bytes(void **state)
{
    (void)state;
    struct weft_hold hold;
    assert_int_equal(weft__hold_init(&hold, 1, 2, 100), 0);
    struct weft_packet_header big = data(0, 1, 101);
    char bytes[101] = {0};
    assert_int_equal(weft__hold_put(&hold, &big, bytes), WEFT_EAGAIN);
    assert_int_equal(put(&hold, 0, 1), 0);
    assert_int_equal(put(&hold, 0, 2), 0);
    assert_int_equal(put(&hold, 0, 3), WEFT_EAGAIN);
    free(weft__hold_take(&hold, 0, 1));
    assert_int_equal(put(&hold, 0, 3), 0);
    weft__hold_fini(&hold);
    assert_int_equal(hold.packets, 0);
}

static void taking_a_later_packet_frees_the_older_ones(void **state)
{
    (void)state;
    struct weft_hold hold;
    assert_int_equal(weft__hold_init(&hold, 1, 10, 1000), 0);
    for (uint64_t i = 1; i <= 4; i++)
        put(&hold, 0, i);
    free(weft__hold_take(&hold, 0, 3));
    assert_int_equal(hold.packets, 1);
    assert_int_equal(hold.bytes, sizeof(uint64_t));
    weft__hold_fini(&hold);
}

static void popping_empties_it_in_order_per_source_and_a_packet_can_go_back(void **state)
{
    (void)state;
    struct weft_hold hold;
    assert_int_equal(weft__hold_init(&hold, 3, 10, 1000), 0);
    put(&hold, 2, 2);
    put(&hold, 2, 1);
    put(&hold, 0, 1);
    struct weft_packet_header resolve = {
        .type = WEFT_PACKET_RESOLVE, .source = 1, .payload_len = 0};
    assert_int_equal(weft__hold_put(&hold, &resolve, NULL), 0);
    uint64_t last[3] = {0};
    struct weft_held *held = weft__hold_pop(&hold);
    assert_int_equal(held->header.type, WEFT_PACKET_RESOLVE);
    weft__hold_return(&hold, held);
    assert_int_equal(hold.packets, 4);
    unsigned n = 0;
    while ((held = weft__hold_pop(&hold))) {
        n++;
        if (held->header.type == WEFT_PACKET_DATA) {
            assert_true(held->header.sequence > last[held->header.source]);
            last[held->header.source] = held->header.sequence;
        }
        free(held);
    }
    assert_int_equal(n, 4);
    assert_int_equal(hold.bytes, 0);
    weft__hold_fini(&hold);
}

static void fini_of_a_zeroed_hold_is_fine(void **state)
{
    (void)state;
    struct weft_hold hold = {0};
    weft__hold_fini(&hold);
    assert_null(weft__hold_pop(&hold));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_of_a_source_come_out_in_order),
        cmocka_unit_test(a_packet_is_held_once),
        cmocka_unit_test(a_full_hold_refuses_by_packets_and_by_bytes),
        cmocka_unit_test(taking_a_later_packet_frees_the_older_ones),
        cmocka_unit_test(popping_empties_it_in_order_per_source_and_a_packet_can_go_back),
        cmocka_unit_test(fini_of_a_zeroed_hold_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
