/* Questions about one-sided access: sizes, rights, forged keys, endings. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/conform/conform.h"
#include "transport/regcache.h"
#include "weft/error.h"

#define MIB ((size_t)1 << 20)
#define RMA (WEFT_TP_MSG | WEFT_TP_RMA)
#define GUARD 64

/* a reaches into b's memory. */
struct memory {
    struct side a, b;
    unsigned char *far, *near; /* b's registered range, with a guard at both ends; a's buffer */
    size_t len;
    struct weft_tp_region *region;
    struct weft_tp_key key;
};

static void fill(unsigned char *at, size_t len_bytes, unsigned seed)
{
    for (size_t i = 0; i < len_bytes; i++)
        at[i] = (unsigned char)(i * 7 + (i >> 9) * 13 + seed);
}

static void memory_register(struct memory *m, uint32_t access)
{
    int err = m->b.tp->rma->reg(m->b.ep, m->far + GUARD, m->len, access, &m->region);
    if (err)
        fail_msg("reg: %s", weft_fail_text(err));
    m->b.tp->rma->key(m->region, &m->key);
    assert_int_equal(m->key.len_bytes, m->len);
}

static void memory_open(struct memory *m, size_t len_bytes, uint32_t access)
{
    memset(m, 0, sizeof(*m));
    sides_open(&m->a, &m->b, RMA);
    m->len = len_bytes;
    m->far = malloc(len_bytes + 2 * GUARD);
    m->near = malloc(len_bytes + 2 * GUARD);
    assert_true(m->far && m->near);
    fill(m->far, len_bytes + 2 * GUARD, 1);
    fill(m->near, len_bytes + 2 * GUARD, 2);
    memory_register(m, access);
}

static void memory_close(struct memory *m)
{
    side_close(&m->a);
    if (m->b.ep && m->region)
        m->b.tp->rma->unreg(m->b.ep, m->region);
    side_close(&m->b);
    free(m->far);
    free(m->near);
}

static struct weft_tp_rma_desc describe(const struct memory *m, size_t near_at, size_t far_at,
                                        size_t len_bytes)
{
    return (struct weft_tp_rma_desc){
        .local = m->near + near_at,
        .len_bytes = len_bytes,
        .remote_key = m->key,
        .remote_offset = far_at,
    };
}

static void check_copies(size_t len_bytes)
{
    struct memory m;
    memory_open(&m, len_bytes + 16, WEFT_TP_READ | WEFT_TP_WRITE);
    if (len_bytes <= m.a.limits.rma_max_bytes) {
        struct weft_tp_rma_desc desc = describe(&m, 3, 5, len_bytes);
        assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
        assert_memory_equal(m.near + 3, m.far + GUARD + 5, len_bytes);
        unsigned char *expected = malloc(m.len + 2 * GUARD);
        assert_non_null(expected);
        memcpy(expected, m.far, m.len + 2 * GUARD);
        fill(m.near, m.len + 2 * GUARD, 9);
        memcpy(expected + GUARD + 5, m.near + 3, len_bytes);
        assert_int_equal(probe_rma(&m.a, &m.b, &desc, true), WEFT_OK);
        assert_memory_equal(m.far, expected, m.len + 2 * GUARD);
        free(expected);
    } else {
        print_message("%zu bytes are more than one operation may move\n", len_bytes);
    }
    memory_close(&m);
}

static void bytes_are_copied_both_ways_at_odd_offsets(void **state)
{
    (void)state;
    const size_t sizes[] = {0, 1, 7, 4096, 100001, MIB, 16 * MIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        check_copies(sizes[i]);
}

static void one_operation_moves_as_much_as_is_promised_and_no_byte_more(void **state)
{
    (void)state;
    struct memory m;
    enum { ALL = 64 };
    memory_open(&m, MIB, WEFT_TP_READ | WEFT_TP_WRITE);
    size_t max = m.a.limits.rma_max_bytes;
    memory_close(&m);
    if (max > ALL * MIB) {
        print_message("one operation moves whatever there is memory for\n");
        skip();
    }
    memory_open(&m, max + 1, WEFT_TP_READ | WEFT_TP_WRITE);
    struct weft_tp_rma_desc desc = describe(&m, 0, 1, max);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    assert_memory_equal(m.near, m.far + GUARD + 1, max);
    desc = describe(&m, 0, 0, max + 1);
    struct probe probe;
    probe_init(&probe, NULL);
    assert_int_equal(probe_get(&m.a, &probe, &desc), WEFT_EMSGSIZE);
    assert_int_equal(probe_put(&m.a, &probe, &desc), WEFT_EMSGSIZE);
    sides_run(&m.a, &m.b);
    assert_int_equal(probe.done, 0);
    memory_close(&m);
}

static void many_operations_at_once_all_complete(void **state)
{
    (void)state;
    struct memory m;
    enum { N = 64, PIECE = 10007 };
    static struct probe probes[N];
    uint64_t done = 0;
    memory_open(&m, (size_t)N * PIECE, WEFT_TP_READ | WEFT_TP_WRITE);
    for (size_t i = 0; i < N; i++) {
        struct weft_tp_rma_desc desc = describe(&m, i * PIECE, i * PIECE, PIECE);
        probe_init(&probes[i], &done);
        assert_int_equal(probe_rma_start(&m.a, &m.b, &probes[i], &desc, false), WEFT_OK);
    }
    sides_until(&m.a, &m.b, &done, N);
    for (size_t i = 0; i < N; i++)
        assert_int_equal(probes[i].err, WEFT_OK);
    assert_memory_equal(m.near, m.far + GUARD, m.len);
    memory_close(&m);
}

static void flush_completes_after_the_puts_before_it(void **state)
{
    (void)state;
    struct memory m;
    struct probe puts[4], flush;
    memory_open(&m, 4 * 65536, WEFT_TP_WRITE);
    for (size_t i = 0; i < 4; i++) {
        struct weft_tp_rma_desc desc = describe(&m, i * 65536, i * 65536, 65536);
        probe_init(&puts[i], NULL);
        assert_int_equal(probe_rma_start(&m.a, &m.b, &puts[i], &desc, true), WEFT_OK);
    }
    probe_init(&flush, NULL);
    assert_int_equal(m.a.tp->rma->flush(m.a.ep, m.a.peer, &flush.op), WEFT_OK);
    assert_int_equal(flush.done, 0);
    sides_until(&m.a, &m.b, &flush.done, 1);
    assert_int_equal(flush.err, WEFT_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(puts[i].done, 1);
    assert_memory_equal(m.near, m.far + GUARD, m.len);
    probe_init(&flush, NULL); /* with nothing to wait for */
    assert_int_equal(m.a.tp->rma->flush(m.a.ep, m.a.peer, &flush.op), WEFT_OK);
    sides_until(&m.a, &m.b, &flush.done, 1);
    assert_int_equal(flush.err, WEFT_OK);
    memory_close(&m);
}

/* A correct operation works again, with at most a peer that was added anew. */
static void expect_recovery(struct memory *m, uint32_t access)
{
    struct weft_tp_rma_desc desc = describe(m, 0, 0, 1000);
    bool put = !(access & WEFT_TP_READ);
    int err = WEFT_OK;
    for (unsigned attempt = 0; attempt < 200; attempt++) {
        err = probe_rma(&m->a, &m->b, &desc, put);
        if (err == WEFT_OK)
            break;
        m->a.tp->core->peer_drop(m->a.ep, m->a.peer);
        for (unsigned i = 0; i < 5; i++)
            sides_run(&m->a, &m->b);
        m->a.peer = side_add(&m->a, &m->b);
    }
    assert_int_equal(err, WEFT_OK);
    assert_memory_equal(m->near, m->far + GUARD, 1000);
}

static void expect_refusal(struct memory *m, const struct weft_tp_rma_desc *desc, bool put)
{
    unsigned char *before = malloc(m->len + 2 * GUARD);
    assert_non_null(before);
    memcpy(before, m->far, m->len + 2 * GUARD);
    int err = probe_rma(&m->a, &m->b, desc, put);
    if (err != WEFT_EACCES && weft_error_damage(err) != WEFT_DAMAGE_PEER)
        fail_msg("%s instead of WEFT_EACCES or a lost peer", weft_error_name(err));
    for (unsigned i = 0; i < 5; i++)
        sides_run(&m->a, &m->b);
    assert_memory_equal(m->far, before, m->len + 2 * GUARD);
    free(before);
}

static void a_forged_key_is_refused_and_touches_nothing(void **state)
{
    (void)state;
    struct memory m;
    const uint64_t flips[] = {1, 1ull << 17, 1ull << 40, ~0ull};
    memory_open(&m, 300000, WEFT_TP_READ | WEFT_TP_WRITE);
    for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        struct weft_tp_rma_desc desc = describe(&m, 0, 0, 300000);
        desc.remote_key.key ^= flips[i];
        expect_refusal(&m, &desc, true);
        expect_recovery(&m, WEFT_TP_READ);
        expect_refusal(&m, &desc, false);
        expect_recovery(&m, WEFT_TP_READ);
    }
    memory_close(&m);
}

static void spin(struct memory *m, unsigned turns)
{
    for (unsigned i = 0; i < turns; i++) {
        assert_true(m->a.tp->core->progress(m->a.ep) >= 0);
        assert_true(m->b.tp->core->progress(m->b.ep) >= 0);
    }
}

static void who_has_only_spun_can_sleep_after_a_connection_broke(void **state)
{
    (void)state;
    struct memory m;
    struct probe probe;
    uint64_t give_up = weft__now_ns() + 60 * WEFT_NS_PER_S;
    memory_open(&m, 300000, WEFT_TP_READ | WEFT_TP_WRITE);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 300000);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    desc.remote_key.key ^= 1;
    spin(&m, 1000);
    probe_init(&probe, NULL);
    int err = probe_rma_start(&m.a, &m.b, &probe, &desc, false);
    while (err == WEFT_OK && !probe.done && weft__now_ns() < give_up)
        spin(&m, 100);
    assert_true(err != WEFT_OK || (probe.done && probe.err != WEFT_OK));
    spin(&m, 1000);
    expect_recovery(&m, WEFT_TP_READ);
    memory_close(&m);
}

static void one_byte_beyond_the_range_is_refused_and_touches_nothing(void **state)
{
    (void)state;
    struct memory m;
    memory_open(&m, 300000, WEFT_TP_READ | WEFT_TP_WRITE);
    struct weft_tp_rma_desc beyond[] = {
        describe(&m, 0, 1, 300000),
        describe(&m, 0, 300000, 1),
        describe(&m, 0, UINT64_MAX, 1),
        describe(&m, 0, UINT64_MAX - 10, 11),
    };
    for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
        beyond[i].remote_key.len_bytes = UINT64_MAX; /* the target must not believe it */
        expect_refusal(&m, &beyond[i], true);
        expect_recovery(&m, WEFT_TP_READ);
        expect_refusal(&m, &beyond[i], false);
        expect_recovery(&m, WEFT_TP_READ);
    }
    memory_close(&m);
}

static void writing_what_is_read_only_is_refused_and_touches_nothing(void **state)
{
    (void)state;
    struct memory m;
    memory_open(&m, 300000, WEFT_TP_READ);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 300000);
    expect_refusal(&m, &desc, true);
    expect_recovery(&m, WEFT_TP_READ);
    memory_close(&m);
}

static void reading_what_is_write_only_is_refused(void **state)
{
    (void)state;
    struct memory m;
    memory_open(&m, 300000, WEFT_TP_WRITE);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 300000);
    expect_refusal(&m, &desc, false);
    for (size_t i = 0; i < 1000; i++)
        m.near[i] = (unsigned char)(i * 3);
    expect_recovery(&m, WEFT_TP_WRITE);
    memory_close(&m);
}

static void a_key_ends_with_its_registration(void **state)
{
    (void)state;
    struct memory m;
    memory_open(&m, 300000, WEFT_TP_READ | WEFT_TP_WRITE);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 1000);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    m.b.tp->rma->unreg(m.b.ep, m.region);
    m.region = NULL;
    expect_refusal(&m, &desc, true);
    memory_register(&m, WEFT_TP_READ | WEFT_TP_WRITE);
    assert_true(m.key.key != desc.remote_key.key || m.key.base != desc.remote_key.base);
    expect_recovery(&m, WEFT_TP_READ);
    memory_close(&m);
}

/* Whether or not the transport has kept it: what the key opened is no more. */
static void a_kept_key_ends_when_its_memory_goes(void **state)
{
    (void)state;
    struct memory m;
    memory_open(&m, 300000, WEFT_TP_READ | WEFT_TP_WRITE | WEFT_TP_KEEP);
    weft__regcache_cover(m.far, m.len + 2 * GUARD);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 1000);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    m.b.tp->rma->unreg(m.b.ep, m.region);
    memory_register(&m, WEFT_TP_READ | WEFT_TP_WRITE | WEFT_TP_KEEP);
    desc = describe(&m, 0, 0, 1000);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    weft__regcache_uncover(m.far, m.len + 2 * GUARD);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK); /* in use: it stays */
    m.b.tp->rma->unreg(m.b.ep, m.region);
    m.region = NULL;
    expect_refusal(&m, &desc, true);
    memory_register(&m, WEFT_TP_READ | WEFT_TP_WRITE);
    expect_recovery(&m, WEFT_TP_READ);
    memory_close(&m);
}

/* A registration of the pages that were there before would swallow the bytes. */
static void bytes_land_in_the_pages_that_are_mapped_now(void **state)
{
    (void)state;
    struct memory m;
    memory_open(&m, 300000, WEFT_TP_READ);
    unsigned char *at =
        mmap(NULL, m.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    weft__regcache_cover(at, m.len);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, m.len);
    desc.local = at;
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
        assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
        assert_memory_equal(at, m.far + GUARD, m.len);
        if (round == 0)
            assert_int_equal(madvise(at, m.len, MADV_DONTNEED), 0);
        else
            assert_ptr_equal(mmap(at, m.len, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                             at);
        weft__regcache_forget(at, m.len);
        assert_int_equal(at[0] | at[m.len - 1], 0);
    }
    weft__regcache_uncover(at, m.len);
    munmap(at, m.len);
    memory_close(&m);
}

static void a_get_from_an_endpoint_that_closes_ends_with_an_error(void **state)
{
    (void)state;
    struct memory m;
    struct probe probe;
    memory_open(&m, 16 * MIB, WEFT_TP_READ);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 1000);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    size_t len = m.len < m.a.limits.rma_max_bytes ? m.len : m.a.limits.rma_max_bytes;
    desc = describe(&m, 0, 0, len);
    probe_init(&probe, NULL);
    assert_int_equal(probe_get(&m.a, &probe, &desc), WEFT_OK);
    assert_int_equal(probe.done, 0);
    m.b.tp->rma->unreg(m.b.ep, m.region);
    m.region = NULL;
    side_close(&m.b);
    sides_until(&m.a, NULL, &probe.done, 1);
    if (conform_subject->far && probe.err == WEFT_OK) /* a card has answered before the closing */
        assert_memory_equal(m.near, m.far + GUARD, len);
    else
        assert_int_not_equal(probe.err, WEFT_OK);
    memory_close(&m);
}

static void closing_and_dropping_end_one_sided_operations_once(void **state)
{
    (void)state;
    struct memory m;
    struct probe probes[3];
    uint64_t done = 0;
    memory_open(&m, MIB, WEFT_TP_READ | WEFT_TP_WRITE);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, MIB);
    probe_init(&probes[0], &done);
    assert_int_equal(probe_rma_start(&m.a, &m.b, &probes[0], &desc, false), WEFT_OK);
    m.a.tp->core->peer_drop(m.a.ep, m.a.peer);
    sides_until(&m.a, &m.b, &done, 1);
    assert_int_equal(probe_get(&m.a, &probes[1], &desc), WEFT_EINVAL);
    m.a.peer = side_add(&m.a, &m.b);
    assert_int_equal(probe_rma(&m.a, &m.b, &desc, false), WEFT_OK);
    unsigned begun = 1;
    for (; begun < 3; begun++) {
        probe_init(&probes[begun], &done);
        int err = begun == 1 ? probe_get(&m.a, &probes[begun], &desc)
                             : probe_put(&m.a, &probes[begun], &desc);
        if (err == WEFT_EAGAIN)
            break;
        assert_int_equal(err, WEFT_OK);
    }
    side_close(&m.a);
    assert_int_equal(done, begun);
    for (unsigned i = 1; i < begun; i++) /* what was complete before may say so */
        assert_true(probes[i].err == WEFT_ECANCELED || probes[i].err == WEFT_OK);
    memory_close(&m);
}

static void messages_pass_beside_one_sided_operations(void **state)
{
    (void)state;
    struct memory m;
    struct probe get, sends[16];
    unsigned texts[16];
    uint64_t done = 0;
    memory_open(&m, 4 * MIB, WEFT_TP_READ);
    struct weft_tp_rma_desc desc = describe(&m, 0, 0, 4 * MIB);
    probe_init(&get, &done);
    assert_int_equal(probe_rma_start(&m.a, &m.b, &get, &desc, false), WEFT_OK);
    for (unsigned i = 0; i < 16; i++) {
        probe_init(&sends[i], &done);
        texts[i] = i;
        probe_send_all(&m.a, &m.b, &sends[i], &texts[i], sizeof(texts[i]));
    }
    sides_until(&m.a, &m.b, &m.b.messages, 16);
    sides_until(&m.a, &m.b, &done, 17);
    assert_int_equal(get.err, WEFT_OK);
    assert_memory_equal(m.near, m.far + GUARD, 4 * MIB);
    memory_close(&m);
}

struct target {
    struct side *side;
    atomic_bool stop;
};

static void *run_target(void *arg)
{
    struct target *target = arg;
    while (!atomic_load(&target->stop))
        sides_run(target->side, NULL);
    return NULL;
}

static void a_target_driven_by_another_thread_may_close_at_any_time(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        struct memory m;
        struct probe probe;
        pthread_t thread;
        memory_open(&m, 2 * MIB, WEFT_TP_READ);
        struct target target = {.side = &m.b};
        atomic_init(&target.stop, false);
        struct weft_tp_rma_desc desc = describe(&m, 0, 0, 2 * MIB);
        assert_int_equal(pthread_create(&thread, NULL, run_target, &target), 0);
        assert_int_equal(probe_rma(&m.a, NULL, &desc, false), WEFT_OK);
        assert_memory_equal(m.near, m.far + GUARD, 2 * MIB);
        probe_init(&probe, NULL);
        assert_int_equal(probe_get(&m.a, &probe, &desc), WEFT_OK);
        for (unsigned i = 0; i < round; i++)
            m.a.tp->core->progress(m.a.ep);
        atomic_store(&target.stop, true);
        pthread_join(thread, NULL);
        m.b.tp->rma->unreg(m.b.ep, m.region);
        m.region = NULL;
        side_close(&m.b);
        sides_until(&m.a, NULL, &probe.done, 1);
        if (probe.err == WEFT_OK)
            assert_memory_equal(m.near, m.far + GUARD, 2 * MIB);
        memory_close(&m);
    }
}

int conform_rma(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_copied_both_ways_at_odd_offsets),
        cmocka_unit_test(one_operation_moves_as_much_as_is_promised_and_no_byte_more),
        cmocka_unit_test(many_operations_at_once_all_complete),
        cmocka_unit_test(flush_completes_after_the_puts_before_it),
        cmocka_unit_test(a_forged_key_is_refused_and_touches_nothing),
        cmocka_unit_test(who_has_only_spun_can_sleep_after_a_connection_broke),
        cmocka_unit_test(one_byte_beyond_the_range_is_refused_and_touches_nothing),
        cmocka_unit_test(writing_what_is_read_only_is_refused_and_touches_nothing),
        cmocka_unit_test(reading_what_is_write_only_is_refused),
        cmocka_unit_test(a_key_ends_with_its_registration),
        cmocka_unit_test(a_kept_key_ends_when_its_memory_goes),
        cmocka_unit_test(bytes_land_in_the_pages_that_are_mapped_now),
        cmocka_unit_test(a_get_from_an_endpoint_that_closes_ends_with_an_error),
        cmocka_unit_test(closing_and_dropping_end_one_sided_operations_once),
        cmocka_unit_test(messages_pass_beside_one_sided_operations),
        cmocka_unit_test(a_target_driven_by_another_thread_may_close_at_any_time),
    };
    return cmocka_run_group_tests_name("rma", tests, NULL, NULL);
}
