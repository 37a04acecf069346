/* Ranges: layout, the check of one that has arrived, trimming, and the mailbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "exec/range.h"
#include "snapshot/region.h"
#include "weft/error.h"

#define LEN (16u << 20)
#define MAILBOX (64u << 10)

static struct weft__range_desc make(struct weft_region *region)
{
    assert_int_equal(weft__region_init(region, "range-test", NULL, LEN), 0);
    struct weft__range_desc desc = {.base = region->base,
                                    .len_bytes = LEN,
                                    .app = 7,
                                    .rank = 1,
                                    .size = 4,
                                    .mailbox_bytes = MAILBOX};
    assert_int_equal(weft__range_init(&desc), 0);
    return desc;
}

static uint64_t touched(const struct weft_region *region)
{
    struct stat status;
    assert_int_equal(fstat(region->fd, &status), 0);
    return (uint64_t)status.st_blocks * 512;
}

static void a_fresh_range_passes_its_own_check_and_touches_little(void **state)
{
    (void)state;
    struct weft_region region;
    struct weft__range_desc desc = make(&region);
    assert_int_equal(weft__range_check(&desc), 0);
    assert_true(touched(&region) < (64u << 10));
    weft__region_fini(&region);
}

static void a_range_that_is_anothers_is_refused(void **state)
{
    (void)state;
    struct weft_region region;
    struct weft__range_desc desc = make(&region), other = desc;
    other.rank = 2;
    assert_int_equal(weft__range_check(&other), WEFT_EPROTO);
    other = desc;
    other.app = 8;
    assert_int_equal(weft__range_check(&other), WEFT_EPROTO);
    struct weft_cell *cell = region.base;
    cell->mailbox.bytes++;
    assert_int_equal(weft__range_check(&desc), WEFT_EPROTO);
    cell->mailbox.bytes--;
    cell->runtime = &cell;
    assert_int_equal(weft__range_check(&desc), WEFT_EPROTO);
    weft__region_fini(&region);
    assert_int_equal(weft__region_init(&region, "range-test", NULL, LEN), 0);
    desc.base = region.base;
    assert_int_equal(weft__range_check(&desc), WEFT_EPROTO);
    weft__region_fini(&region);
}

static void a_world_that_is_too_large_for_the_range_is_refused(void **state)
{
    (void)state;
    struct weft__range_desc desc = {
        .len_bytes = 4u << 20, .size = 1 << 20, .mailbox_bytes = MAILBOX};
    assert_int_equal(weft__range_init(&desc), WEFT_EINVAL);
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "--rank-memory"));
}

static bool put(struct weft_cell *cell, uint32_t number, size_t len)
{
    static unsigned char filler[8192];
    struct iovec parts[] = {{&number, sizeof(number)}, {filler, len}};
    return weft__mailbox_put(&cell->mailbox, &cell->mailbox.writer, 3, parts, 2);
}

static void packets_of_any_size_pass_a_mailbox_in_order_round_after_round(void **state)
{
    (void)state;
    struct weft_region region;
    make(&region);
    struct weft_cell *cell = region.base;
    uint32_t written = 0, read = 0;
    while (read < 20000) {
        while (put(cell, written, (written * 37u) % 5000))
            written++;
        assert_true(written > read);
        for (unsigned i = 0; i < 3 && read < written; i++, read++) {
            const struct weft_packet *packet = weft_cell_peek(cell);
            assert_non_null(packet);
            uint32_t number;
            memcpy(&number, packet->payload, sizeof(number));
            assert_int_equal(number, read);
            assert_int_equal(packet->len_bytes, sizeof(number) + (number * 37u) % 5000);
            assert_int_equal(packet->source, 3);
            weft_cell_consume(cell, packet);
        }
    }
    weft__region_fini(&region);
}

/* The reader knows a packet by its stamp alone: here old packets and payloads lie wherever it
 * looks.
 */
static void an_emptied_mailbox_is_empty_whatever_lies_in_it(void **state)
{
    (void)state;
    struct weft_region region;
    make(&region);
    struct weft_cell *cell = region.base;
    uint32_t written = 0, read = 0;
    assert_null(weft_cell_peek(cell));
    for (unsigned round = 0; round < 20000; round++) {
        for (unsigned i = 0; i <= round % 5; i++, written++)
            assert_true(put(cell, written, (written * 37u) % 1500));
        for (; read < written; read++) {
            const struct weft_packet *packet = weft_cell_peek(cell);
            assert_non_null(packet);
            assert_int_equal(packet->len_bytes, sizeof(read) + (read * 37u) % 1500);
            weft_cell_consume(cell, packet);
        }
        assert_null(weft_cell_peek(cell));
    }
    weft__region_fini(&region);
}

static void a_trimmed_mailbox_keeps_its_packets_and_gives_pages_back(void **state)
{
    (void)state;
    struct weft_region region;
    make(&region);
    struct weft_cell *cell = region.base;
    uint32_t written = 0, read = 0;
    for (unsigned round = 0; round < 40; round++) {
        while (put(cell, written, 3000))
            written++;
        unsigned keep = round % 5;
        for (; read + keep < written; read++) {
            const struct weft_packet *packet = weft_cell_peek(cell);
            uint32_t number;
            memcpy(&number, packet->payload, sizeof(number));
            assert_int_equal(number, read);
            weft_cell_consume(cell, packet);
        }
        uint64_t before = touched(&region);
        weft__range_trim(cell, &region);
        assert_true(touched(&region) + (30u << 10) < before);
    }
    weft__region_fini(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_range_passes_its_own_check_and_touches_little),
        cmocka_unit_test(a_range_that_is_anothers_is_refused),
        cmocka_unit_test(a_world_that_is_too_large_for_the_range_is_refused),
        cmocka_unit_test(packets_of_any_size_pass_a_mailbox_in_order_round_after_round),
        cmocka_unit_test(an_emptied_mailbox_is_empty_whatever_lies_in_it),
        cmocka_unit_test(a_trimmed_mailbox_keeps_its_packets_and_gives_pages_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
