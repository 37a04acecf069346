/* Keyed values against their rules, and against a model by random operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "registry/values.h"
#include "registry/registry.h"
#include "weft/error.h"

static struct weft_bytes text(const char *at)
{
    return (struct weft_bytes){at, strlen(at)};
}

/* Checks and applies at once, as a registry without a disk would. Returns the revision made; 0:
 * lost. */
static uint64_t cas(struct weft_values *keys, const char *key, uint64_t expected, const char *value)
{
    struct weft_values_change change = {
        .key = text(key), .value = text(value ? value : ""), .erase = !value};
    bool wins = false;
    assert_int_equal(weft__values_check(keys, &change, expected, &wins), 0);
    if (!wins)
        return 0;
    change.revision = keys->revision + 1;
    assert_int_equal(weft__values_apply(keys, &change), 0);
    return change.revision;
}

static void a_key_is_made_changed_and_erased_by_its_revision(void **state)
{
    struct weft_values keys = {0};
    (void)state;
    assert_null(weft__values_find(&keys, text("k")));
    assert_int_equal(cas(&keys, "k", 1, "no"), 0);
    uint64_t first = cas(&keys, "k", 0, "one");
    assert_true(first > 0);
    assert_int_equal(cas(&keys, "k", 0, "again"), 0);
    uint64_t second = cas(&keys, "k", first, "two");
    assert_true(second > first);
    assert_int_equal(cas(&keys, "k", first, "late"), 0);
    const struct weft_values_entry *entry = weft__values_find(&keys, text("k"));
    assert_int_equal(entry->value_len, 3);
    assert_memory_equal(entry->value, "two", 3);
    assert_int_equal(keys.live_bytes, 4);
    assert_true(cas(&keys, "k", second, NULL) > second);
    assert_null(weft__values_find(&keys, text("k")));
    assert_int_equal(keys.live_bytes, 0);
    weft__values_fini(&keys);
}

static void a_key_that_is_made_anew_never_has_an_old_revision(void **state)
{
    struct weft_values keys = {0};
    uint64_t last = 0;
    (void)state;
    for (int i = 0; i < 100; i++) {
        uint64_t made = cas(&keys, "k", 0, "v");
        assert_true(made > last);
        last = cas(&keys, "k", made, NULL);
        assert_true(last > made);
    }
    weft__values_fini(&keys);
}

static void bad_keys_and_values_are_refused(void **state)
{
    static const char zeros[WEFT_REGISTRY_VALUE_MAX + 1];
    struct weft_values keys = {0};
    bool wins = true;
    (void)state;
    const struct weft_values_change empty = {.key = {"", 0}},
                                    long_key = {.key = {zeros, WEFT_REGISTRY_KEY_MAX + 1}},
                                    long_value = {.key = {"k", 1},
                                                  .value = {zeros, WEFT_REGISTRY_VALUE_MAX + 1}},
                                    largest = {.key = {zeros, WEFT_REGISTRY_KEY_MAX},
                                               .value = {zeros, WEFT_REGISTRY_VALUE_MAX},
                                               .revision = 1};
    assert_int_equal(weft__values_check(&keys, &empty, 0, &wins), WEFT_EINVAL);
    assert_int_equal(weft__values_check(&keys, &long_key, 0, &wins), WEFT_EINVAL);
    assert_int_equal(weft__values_check(&keys, &long_value, 0, &wins), WEFT_EMSGSIZE);
    assert_int_equal(weft__values_check(&keys, &largest, 0, &wins), 0);
    assert_int_equal(weft__values_apply(&keys, &largest), 0);
    assert_int_equal(weft__values_find(&keys, largest.key)->value_len, WEFT_REGISTRY_VALUE_MAX);
    weft__values_fini(&keys);
}

static void many_keys_are_found_again(void **state)
{
    struct weft_values keys = {0};
    char key[32], value[32];
    (void)state;
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "rank/%d", i);
        snprintf(value, sizeof(value), "%d", i * 3);
        assert_true(cas(&keys, key, 0, value) > 0);
    }
    assert_int_equal(keys.n, 20000);
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof(key), "rank/%d", i);
        snprintf(value, sizeof(value), "%d", i * 3);
        const struct weft_values_entry *entry = weft__values_find(&keys, text(key));
        assert_non_null(entry);
        assert_int_equal(entry->value_len, strlen(value));
        assert_memory_equal(entry->value, value, strlen(value));
    }
    weft__values_fini(&keys);
}

#define NAMES 40

static void random_operations_do_what_the_model_does(void **state)
{
    uint64_t revision[NAMES] = {0}, seed = 88172645463325252u;
    char value_of[NAMES][8] = {{0}};
    struct weft_values keys = {0};
    (void)state;
    for (int step = 0; step < 50000; step++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        unsigned i = (unsigned)(seed % NAMES), op = (unsigned)(seed >> 20) % 4;
        char key[8], value[8];
        snprintf(key, sizeof(key), "k%u", i);
        snprintf(value, sizeof(value), "%u", (unsigned)(seed >> 40) % 1000);
        uint64_t expected = op == 3 ? revision[i] + 1 : revision[i];
        uint64_t made = cas(&keys, key, expected, op == 0 ? NULL : value);
        assert_int_equal(made != 0, op != 3);
        if (made) {
            revision[i] = op == 0 ? 0 : made;
            memcpy(value_of[i], value, sizeof(value));
        }
        const struct weft_values_entry *entry = weft__values_find(&keys, text(key));
        assert_int_equal(entry ? entry->revision : 0, revision[i]);
        if (entry)
            assert_memory_equal(entry->value, value_of[i], entry->value_len);
    }
    weft__values_fini(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_made_changed_and_erased_by_its_revision),
        cmocka_unit_test(a_key_that_is_made_anew_never_has_an_old_revision),
        cmocka_unit_test(bad_keys_and_values_are_refused),
        cmocka_unit_test(many_keys_are_found_again),
        cmocka_unit_test(random_operations_do_what_the_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
