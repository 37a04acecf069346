/* Questions about a wire that is cut and mended, for transports whose network does not notice by
 * itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/conform/conform.h"
#include "weft/error.h"

#define BYTES 100000u

static unsigned char far[BYTES], near[BYTES];

static void expect_a_message(struct side *a, struct side *b)
{
    struct probe probe;
    uint64_t before = b->messages;
    probe_init(&probe, NULL);
    probe_send_all(a, b, &probe, "here", 4);
    sides_until(a, b, &b->messages, before + 1);
    sides_until(a, b, &probe.done, 1);
}

static void expect_a_get(struct side *a, struct side *b, const struct weft_tp_rma_desc *desc)
{
    memset(near, 0, sizeof(near));
    assert_int_equal(probe_rma(a, b, desc, false), WEFT_OK);
    assert_memory_equal(near, far, sizeof(far));
}

static void a_cut_wire_ends_what_is_under_way_and_a_mended_one_works(void **state)
{
    (void)state;
    struct side a = {0}, b = {0};
    struct probe get, send;
    struct weft_tp_region *region;
    struct weft_tp_rma_desc desc = {.local = near, .len_bytes = sizeof(near)};
    memset(far, 'w', sizeof(far));
    sides_open(&a, &b, WEFT_TP_MSG | WEFT_TP_RMA);
    assert_int_equal(b.tp->rma->reg(b.ep, far, sizeof(far), WEFT_TP_READ, &region), WEFT_OK);
    b.tp->rma->key(region, &desc.remote_key);
    expect_a_get(&a, &b, &desc);

    assert_int_equal(system(conform_subject->cut), 0);
    probe_init(&get, NULL);
    probe_init(&send, NULL);
    assert_int_equal(probe_rma_start(&a, &b, &get, &desc, false), WEFT_OK);
    assert_int_equal(probe_send(&a, &send, "lost", 4), WEFT_OK);
    sides_until(&a, &b, &get.done, 1);
    assert_int_equal(weft_error_damage(get.err), WEFT_DAMAGE_PEER);
    sides_until(&a, &b, &a.lost, 1);
    assert_int_equal(system(conform_subject->mend), 0);

    a.tp->core->peer_drop(a.ep, a.peer);
    a.peer = side_add(&a, &b);
    expect_a_get(&a, &b, &desc);
    expect_a_message(&a, &b);
    expect_a_message(&b, &a);
    assert_int_equal(a.lost, 1);
    side_close(&a);
    b.tp->rma->unreg(b.ep, region);
    side_close(&b);
}

int conform_wire(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_wire_ends_what_is_under_way_and_a_mended_one_works),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
