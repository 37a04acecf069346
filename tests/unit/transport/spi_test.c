#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "transport/spi.h"
#include "weft/error.h"

static void any_function(void)
{
}

/* Tables whose slots are all filled: with anything, since nothing is called. */
static struct weft_tp_core_ops core;
static struct weft_tp_msg_ops msg;
static struct weft_tp_rma_ops rma;
static struct weft_tp_ctl_ops ctl;

static void fill(void *table, size_t len_bytes)
{
    void (*slot)(void) = any_function;
    for (size_t at = 0; at + sizeof(slot) <= len_bytes; at += sizeof(slot))
        memcpy((char *)table + at, &slot, sizeof(slot));
}

static int fill_all(void **state)
{
    (void)state;
    fill(&core, sizeof(core));
    fill(&msg, sizeof(msg));
    fill(&rma, sizeof(rma));
    fill(&ctl, sizeof(ctl));
    return 0;
}

static void a_whole_transport_passes(void **state)
{
    (void)state;
    struct weft_transport tp = {
        .scheme = "x", .core = &core, .ctl = &ctl, .msg = &msg, .rma = &rma};
    assert_int_equal(weft__transport_check(&tp), WEFT_OK);
    tp.ctl = NULL;
    tp.msg = NULL;
    tp.rma = NULL;
    assert_int_equal(weft__transport_check(&tp), WEFT_OK);
}

static void without_scheme_or_core_it_is_refused(void **state)
{
    (void)state;
    struct weft_transport tp = {.scheme = "", .core = &core};
    assert_int_equal(weft__transport_check(&tp), WEFT_EINVAL);
    tp.scheme = "x";
    tp.core = NULL;
    assert_int_equal(weft__transport_check(&tp), WEFT_EINVAL);
    assert_int_equal(weft__transport_check(NULL), WEFT_EINVAL);
}

/* Empties each slot of a table in turn. */
static void check_holes(const struct weft_transport *tp, void *table, size_t len_bytes)
{
    void (*none)(void) = NULL;
    for (size_t at = 0; at < len_bytes; at += sizeof(none)) {
        memcpy((char *)table + at, &none, sizeof(none));
        assert_int_equal(weft__transport_check(tp), WEFT_EINVAL);
        fill(table, len_bytes);
    }
    assert_int_equal(weft__transport_check(tp), WEFT_OK);
}

static void a_family_with_a_hole_is_refused(void **state)
{
    (void)state;
    const struct weft_transport tp = {
        .scheme = "x", .core = &core, .ctl = &ctl, .msg = &msg, .rma = &rma};
    check_holes(&tp, &core, sizeof(core));
    check_holes(&tp, &ctl, sizeof(ctl));
    check_holes(&tp, &msg, sizeof(msg));
    check_holes(&tp, &rma, sizeof(rma));
}

static void the_missing_slot_is_named(void **state)
{
    (void)state;
    const struct weft_transport tp = {.scheme = "holey", .core = &core, .rma = &rma};
    rma.flush = NULL;
    assert_int_equal(weft__transport_check(&tp), WEFT_EINVAL);
    fill(&rma, sizeof(rma));
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "holey"));
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "rma"));
    assert_non_null(strstr(weft_fail_text(WEFT_EINVAL), "flush"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_transport_passes),
        cmocka_unit_test(without_scheme_or_core_it_is_refused),
        cmocka_unit_test(a_family_with_a_hole_is_refused),
        cmocka_unit_test(the_missing_slot_is_named),
    };
    return cmocka_run_group_tests(tests, fill_all, NULL);
}
