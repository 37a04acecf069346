#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sample.pb-c.h"
#include "weft/error.h"
#include "wire/frame.h"
#include "wire/message.h"
#include "wire/registry.pb-c.h"

#define MIB ((size_t)1 << 20)

static int decode(const ProtobufCMessageDescriptor *type, const void *body, size_t len_bytes)
{
    ProtobufCMessage *message = NULL;
    int rc = weft__message_decode(type, body, len_bytes, &message);

    if (rc == WEFT_OK)
        weft__message_free(message);
    else
        assert_null(message);
    return rc;
}

static const ProtobufCMessageDescriptor *tree(void)
{
    return &weft__sample__tree__descriptor;
}

/* unit, again and again, to about total bytes; the caller frees. */
static uint8_t *repeat(const void *unit, size_t unit_bytes, size_t total, size_t *len_out)
{
    size_t n = total / unit_bytes;
    uint8_t *body = malloc(n * unit_bytes);

    assert_non_null(body);
    for (size_t i = 0; i < n; i++)
        memcpy(body + i * unit_bytes, unit, unit_bytes);
    *len_out = n * unit_bytes;
    return body;
}

static int decode_repeated(const void *unit, size_t unit_bytes, size_t total)
{
    size_t len_bytes;
    uint8_t *body = repeat(unit, unit_bytes, total, &len_bytes);
    int rc = decode(tree(), body, len_bytes);

    free(body);
    return rc;
}

static void what_is_packed_is_decoded(void **state)
{
    Weft__Registry__Host host = WEFT__REGISTRY__HOST__INIT;
    char name[] = "a", control[] = "tcp://127.0.0.2:8100";
    ProtobufCMessage *message;
    uint8_t *body;
    size_t len_bytes;

    (void)state;
    host.name = name;
    host.control = control;
    host.slots = 2;
    host.incarnation = UINT64_MAX;
    assert_int_equal(weft__message_encode(&host.base, &body, &len_bytes), WEFT_OK);
    assert_int_equal(
        weft__message_decode(&weft__registry__host__descriptor, body, len_bytes, &message),
        WEFT_OK);
    assert_string_equal(((Weft__Registry__Host *)message)->name, "a");
    assert_string_equal(((Weft__Registry__Host *)message)->control, control);
    assert_int_equal(((Weft__Registry__Host *)message)->slots, 2);
    assert_true(((Weft__Registry__Host *)message)->incarnation == UINT64_MAX);
    weft__message_free(message);
    free(body);
}

static void a_frame_is_packed_with_its_header(void **state)
{
    Weft__Registry__Host host = WEFT__REGISTRY__HOST__INIT;
    struct weft_frame frame = {.call = 7, .correlation = 9}, got;
    uint8_t *data;
    size_t len_bytes;

    (void)state;
    host.slots = 300;
    assert_int_equal(weft__message_frame(&frame, &host.base, &data, &len_bytes), WEFT_OK);
    assert_int_equal(weft__frame_decode(data, len_bytes, 100, &got), WEFT_OK);
    assert_int_equal(got.call, 7);
    assert_int_equal(got.body_len, 3);
    assert_int_equal(frame.body_len, 3);
    assert_int_equal(decode(&weft__registry__host__descriptor, got.body, got.body_len), WEFT_OK);
    free(data);
    assert_int_equal(weft__message_frame(&frame, NULL, &data, &len_bytes), WEFT_OK);
    assert_int_equal(len_bytes, WEFT_FRAME_HEADER_BYTES);
    free(data);
}

static void an_empty_body_is_a_message_of_defaults(void **state)
{
    (void)state;
    assert_int_equal(decode(tree(), NULL, 0), WEFT_OK);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    weft__message_free(NULL);
}

static void a_message_over_the_limit_is_not_packed(void **state)
{
    Weft__Sample__Branch branch = WEFT__SAMPLE__BRANCH__INIT;
    uint8_t *body = NULL;
    size_t len_bytes;

    (void)state;
    branch.blob.len = WEFT_FRAME_BODY_MAX;
    branch.blob.data = calloc(1, branch.blob.len);
    assert_non_null(branch.blob.data);
    assert_int_equal(weft__message_encode(&branch.base, &body, &len_bytes), WEFT_EMSGSIZE);
    assert_null(body);
    free(branch.blob.data);
}

static void a_message_cut_short_is_malformed_or_shorter(void **state)
{
    Weft__Sample__Leaf leaf = WEFT__SAMPLE__LEAF__INIT;
    Weft__Sample__Tree whole = WEFT__SAMPLE__TREE__INIT;
    char name[] = "some name";
    uint8_t *body;
    size_t len_bytes;

    (void)state;
    leaf.number = 1u << 30;
    leaf.name = name;
    whole.choice_case = WEFT__SAMPLE__TREE__CHOICE_LEAF;
    whole.leaf = &leaf;
    assert_int_equal(weft__message_encode(&whole.base, &body, &len_bytes), WEFT_OK);
    for (size_t n = 1; n < len_bytes; n++) {
        uint8_t *exact = malloc(n);

        memcpy(exact, body, n);
        assert_int_equal(decode(tree(), exact, n), WEFT_EPROTO);
        free(exact);
    }
    free(body);
}

static void groups_are_malformed_however_deep(void **state)
{
    static const uint8_t start = (15 << 3) | 3; /* field 15, start of a group */
    size_t len_bytes;
    uint8_t *body = repeat(&start, 1, MIB, &len_bytes);

    (void)state;
    assert_int_equal(decode(tree(), body, len_bytes), WEFT_EPROTO);
    memset(body + len_bytes / 2, (15 << 3) | 4, len_bytes / 2);
    assert_int_equal(decode(tree(), body, len_bytes), WEFT_EPROTO);
    free(body);
}

/* 731 bytes of length-delimited fields, each the content of the one before: unknown to the schema,
 * they stay bytes. */
static void deep_unknown_messages_cost_no_stack(void **state)
{
    uint8_t body[731];
    size_t at = 0;

    (void)state;
    while (at + 3 <= sizeof(body)) {
        size_t inner = sizeof(body) - at - 3;

        body[at++] = (14 << 3) | 2;
        body[at++] = (uint8_t)((inner & 0x7f) | 0x80);
        body[at++] = (uint8_t)(inner >> 7);
    }
    memset(body + at, 0, sizeof(body) - at);
    assert_int_equal(decode(tree(), body, sizeof(body)), WEFT_OK);
}

static void a_mebibyte_of_tiny_messages_is_refused(void **state)
{
    static const uint8_t empty_branch[] = {(2 << 3) | 2, 0};
    static const uint8_t empty_word[] = {(3 << 3) | 2, 0};
    static const uint8_t empty_entry[] = {(6 << 3) | 2, 0};

    (void)state;
    assert_int_equal(decode_repeated(empty_branch, sizeof(empty_branch), MIB), WEFT_ENOMEM);
    assert_int_equal(decode_repeated(empty_word, sizeof(empty_word), MIB), WEFT_ENOMEM);
    assert_int_equal(decode_repeated(empty_entry, sizeof(empty_entry), MIB), WEFT_ENOMEM);
}

/* Each occurrence of a singular message is merged into the one before, with a copy of its repeated
 * fields. */
static void merging_without_end_is_refused(void **state)
{
    static const uint8_t one_leaf[] = {(1 << 3) | 2, 2, (1 << 3) | 2, 0};
    static const uint8_t one_number[] = {(1 << 3) | 2, 3, (2 << 3) | 2, 1, 5};

    (void)state;
    assert_int_equal(decode_repeated(one_leaf, sizeof(one_leaf), MIB), WEFT_ENOMEM);
    assert_int_equal(decode_repeated(one_number, sizeof(one_number), MIB), WEFT_ENOMEM);
}

static void a_length_beyond_the_body_is_malformed(void **state)
{
    static const uint8_t blob[] = {(1 << 3) | 2, 0xff, 0xff, 0xff, 0xff, 0x07};
    static const uint8_t longest[] = {(1 << 3) | 2, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff,         0xff, 0xff, 0xff, 1};
    static const uint8_t no_end[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff};

    (void)state;
    assert_int_equal(decode(tree(), blob, sizeof(blob)), WEFT_EPROTO);
    assert_int_equal(decode(tree(), longest, sizeof(longest)), WEFT_EPROTO);
    assert_int_equal(decode(tree(), no_end, sizeof(no_end)), WEFT_EPROTO);
}

static void an_honest_large_message_is_within_the_budget(void **state)
{
    Weft__Sample__Branch branch = WEFT__SAMPLE__BRANCH__INIT;
    Weft__Sample__Leaf leaf = WEFT__SAMPLE__LEAF__INIT;
    Weft__Sample__Leaf **leaves = calloc(20000, sizeof(leaf));
    char name[] = "a name of some length, as hosts have";
    uint8_t *body;
    size_t len_bytes;

    (void)state;
    leaf.number = 77;
    leaf.name = name;
    for (size_t i = 0; i < 20000; i++)
        leaves[i] = &leaf;
    branch.leaves = leaves;
    branch.n_leaves = 20000;
    assert_int_equal(weft__message_encode(&branch.base, &body, &len_bytes), WEFT_OK);
    assert_int_equal(decode(&weft__sample__branch__descriptor, body, len_bytes), WEFT_OK);
    free(body);
    free(leaves);
}

/* Random bytes, and random damage to a good message: any answer will do, but no crash, leak or read
 * out of bounds. */
static void noise_is_survived(void **state)
{
    static const uint8_t seed_body[] = {10, 10, 10, 4,  8, 1,   18, 0,   18, 2, 1,
                                        2,  18, 2,  26, 0, 26,  1,  'w', 34, 2, 8,
                                        3,  50, 7,  10, 1, 'k', 18, 2,   8,  9};
    uint64_t random = 0x9e3779b97f4a7c15;

    (void)state;
    assert_int_equal(decode(tree(), seed_body, sizeof(seed_body)), WEFT_OK);
    for (int round = 0; round < 50000; round++) {
        uint8_t body[sizeof(seed_body)];
        size_t len_bytes;

        memcpy(body, seed_body, sizeof(body));
        for (int i = 0; i < 4; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            body[(random >> 33) % sizeof(body)] = (uint8_t)(random >> 56);
        }
        len_bytes = (random >> 40) % (sizeof(body) + 1);
        decode(tree(), body, len_bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_is_decoded),
        cmocka_unit_test(a_frame_is_packed_with_its_header),
        cmocka_unit_test(an_empty_body_is_a_message_of_defaults),
        cmocka_unit_test(freeing_nothing_is_fine),
        cmocka_unit_test(a_message_over_the_limit_is_not_packed),
        cmocka_unit_test(a_message_cut_short_is_malformed_or_shorter),
        cmocka_unit_test(groups_are_malformed_however_deep),
        cmocka_unit_test(deep_unknown_messages_cost_no_stack),
        cmocka_unit_test(a_mebibyte_of_tiny_messages_is_refused),
        cmocka_unit_test(merging_without_end_is_refused),
        cmocka_unit_test(a_length_beyond_the_body_is_malformed),
        cmocka_unit_test(an_honest_large_message_is_within_the_budget),
        cmocka_unit_test(noise_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
