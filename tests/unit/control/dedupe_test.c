#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/dedupe.h"
#include "weft/error.h"

#define NOW WEFT_NS_PER_S
#define LATER (10 * WEFT_NS_PER_S)
#define KEPT_COST(len) (sizeof(struct weft_dedupe_entry) + (len))

static struct weft_dedupe *dedupe;
static struct weft_dedupe_entry *entry;

#define CLIENT_KEPT 12

static void start(size_t clients_max, size_t kept_max_bytes)
{
    const struct weft_dedupe_limits limits = {.clients_max = clients_max,
                                              .kept_max_bytes = kept_max_bytes,
                                              .client_kept_max_bytes = kept_max_bytes,
                                              .client_kept_max = CLIENT_KEPT};

    assert_int_equal(weft__dedupe_new(&limits, &dedupe), WEFT_OK);
}

static int setup(void **state)
{
    (void)state;
    start(4, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    weft__dedupe_free(dedupe);
    return 0;
}

static enum weft_dedupe_verdict take_at(uint64_t client, uint64_t sequence, uint64_t now_ns)
{
    const struct weft_dedupe_key key = {.client = client, .sequence = sequence, .port = 1};

    entry = NULL;
    return weft__dedupe_take(dedupe, &key, now_ns, &entry);
}

static enum weft_dedupe_verdict take(uint64_t sequence)
{
    return take_at(1, sequence, NOW);
}

static void end(struct weft_dedupe_entry *over, const char *answer, uint64_t until_ns)
{
    uint8_t *copy = NULL;
    size_t len_bytes = answer == NULL ? 0 : strlen(answer);

    if (answer != NULL) {
        copy = malloc(len_bytes + 1);
        memcpy(copy, answer, len_bytes + 1);
    }
    weft__dedupe_end(dedupe, over, copy, len_bytes, until_ns);
}

static void run(uint64_t sequence, const char *answer)
{
    assert_int_equal(take(sequence), WEFT_DEDUPE_NEW);
    end(entry, answer, LATER);
}

static void a_request_runs_once(void **state)
{
    int owner;

    (void)state;
    assert_int_equal(take(1), WEFT_DEDUPE_NEW);
    entry->owner = &owner;
    assert_int_equal(take(1), WEFT_DEDUPE_RUNNING);
    assert_ptr_equal(entry->owner, &owner);
    end(entry, "forty-two", LATER);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(take(1), WEFT_DEDUPE_ANSWERED);
        assert_memory_equal(entry->answer, "forty-two", 9);
        assert_int_equal(entry->answer_len, 9);
    }
    assert_int_equal(take(2), WEFT_DEDUPE_NEW);
}

static void clients_and_ports_are_apart(void **state)
{
    struct weft_dedupe_key key = {.client = 1, .sequence = 5, .port = 1};

    (void)state;
    assert_int_equal(weft__dedupe_take(dedupe, &key, NOW, &entry), WEFT_DEDUPE_NEW);
    key.port = 2;
    assert_int_equal(weft__dedupe_take(dedupe, &key, NOW, &entry), WEFT_DEDUPE_NEW);
    key.client = 2;
    assert_int_equal(weft__dedupe_take(dedupe, &key, NOW, &entry), WEFT_DEDUPE_NEW);
    assert_int_equal(weft__dedupe_take(dedupe, &key, NOW, &entry), WEFT_DEDUPE_RUNNING);
}

static void what_was_not_run_may_come_again(void **state)
{
    (void)state;
    assert_int_equal(take(7), WEFT_DEDUPE_NEW);
    weft__dedupe_undo(dedupe, entry);
    assert_int_equal(take(7), WEFT_DEDUPE_NEW);
    end(entry, NULL, LATER);
    assert_int_equal(take(7), WEFT_DEDUPE_FORGOTTEN);
}

static void numbers_may_come_in_any_order_within_the_window(void **state)
{
    (void)state;
    run(2000, "x");
    for (uint64_t n = 2000 - WEFT_DEDUPE_WINDOW + 1; n < 2000; n++)
        run(n, NULL);
    for (uint64_t n = 2000 - WEFT_DEDUPE_WINDOW + 1; n < 2000; n++)
        assert_int_equal(take(n), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(take(2000 - WEFT_DEDUPE_WINDOW), WEFT_DEDUPE_OLD);
    assert_int_equal(take(1), WEFT_DEDUPE_OLD);
    assert_int_equal(take(2000), WEFT_DEDUPE_ANSWERED);
}

static void the_window_moves_by_one_and_by_leaps(void **state)
{
    uint64_t newest = 1;

    (void)state;
    for (uint64_t leap = 1; leap < 5000; leap = leap * 3 / 2 + 1) {
        run(newest, NULL);
        newest += leap;
        run(newest, NULL);
        assert_int_equal(take(newest), WEFT_DEDUPE_FORGOTTEN);
        assert_int_equal(take(newest - leap),
                         leap >= WEFT_DEDUPE_WINDOW ? WEFT_DEDUPE_OLD : WEFT_DEDUPE_FORGOTTEN);
        if (leap > 1)
            run(newest - 1, NULL);
        newest += 1;
    }
}

static void marks_do_not_outlive_their_window(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 2000; n++)
        run(n, NULL);
    for (uint64_t n = 2002; n <= 4000; n += 2)
        run(n, NULL);
    for (uint64_t n = 4001 - WEFT_DEDUPE_WINDOW; n <= 4000; n++)
        assert_int_equal(take(n), n % 2 == 0 ? WEFT_DEDUPE_FORGOTTEN : WEFT_DEDUPE_NEW);
}

static void the_largest_number_is_a_number(void **state)
{
    (void)state;
    run(1, NULL);
    run(UINT64_MAX, NULL);
    assert_int_equal(take(UINT64_MAX), WEFT_DEDUPE_FORGOTTEN);
    run(UINT64_MAX - WEFT_DEDUPE_WINDOW + 1, NULL);
    assert_int_equal(take(UINT64_MAX - WEFT_DEDUPE_WINDOW), WEFT_DEDUPE_OLD);
    assert_int_equal(take(1), WEFT_DEDUPE_OLD);
}

static void what_runs_is_found_at_any_age(void **state)
{
    struct weft_dedupe_entry *old;

    (void)state;
    assert_int_equal(take(1), WEFT_DEDUPE_NEW);
    old = entry;
    run(9999, NULL);
    assert_int_equal(take(1), WEFT_DEDUPE_RUNNING);
    assert_ptr_equal(entry, old);
    end(old, "late", LATER);
    assert_int_equal(take(1), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(1, 1, LATER), WEFT_DEDUPE_OLD);
}

static void answers_are_kept_until_their_time(void **state)
{
    (void)state;
    run(1, "x");
    assert_int_equal(take_at(1, 1, LATER - 1), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(1, 1, LATER), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(dedupe->kept_bytes, 0);
}

static void one_that_is_kept_long_hides_nobody_behind_it(void **state)
{
    (void)state;
    assert_int_equal(take(1), WEFT_DEDUPE_NEW);
    end(entry, "long", 2 * LATER);
    run(2, "short");
    assert_int_equal(take_at(1, 2, LATER), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(take_at(1, 1, LATER), WEFT_DEDUPE_ANSWERED);
}

static void the_oldest_answers_go_when_the_bytes_are_used_up(void **state)
{
    (void)state;
    weft__dedupe_free(dedupe);
    start(4, 3 * KEPT_COST(4));
    for (uint64_t n = 1; n <= 4; n++)
        run(n, "four");
    assert_int_equal(take(1), WEFT_DEDUPE_FORGOTTEN);
    for (uint64_t n = 2; n <= 4; n++)
        assert_int_equal(take(n), WEFT_DEDUPE_ANSWERED);
    run(5, "eight...");
    assert_int_equal(take(2), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(take(3), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(take(4), WEFT_DEDUPE_ANSWERED);
    assert_true(dedupe->kept_bytes == KEPT_COST(4) + KEPT_COST(8));
}

static void an_answer_over_the_whole_limit_pushes_nobody_out(void **state)
{
    (void)state;
    weft__dedupe_free(dedupe);
    start(4, KEPT_COST(8));
    run(1, "x");
    run(2, "far too long");
    assert_int_equal(take(1), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take(2), WEFT_DEDUPE_FORGOTTEN);
}

static void a_busy_client_costs_only_its_own_answers(void **state)
{
    (void)state;
    assert_int_equal(take_at(2, 1, NOW), WEFT_DEDUPE_NEW);
    end(entry, "mine", LATER);
    for (uint64_t n = 1; n <= CLIENT_KEPT + 5; n++)
        run(n, "x");
    for (uint64_t n = 1; n <= CLIENT_KEPT + 5; n++)
        assert_int_equal(take(n), n <= 5 ? WEFT_DEDUPE_FORGOTTEN : WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(2, 1, NOW), WEFT_DEDUPE_ANSWERED);
}

static void a_client_has_its_share_of_the_bytes(void **state)
{
    char too_long[2 * KEPT_COST(4) + 1];

    (void)state;
    memset(too_long, 'x', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = '\0';
    dedupe->limits.client_kept_max_bytes = 2 * KEPT_COST(4);
    assert_int_equal(take_at(2, 1, NOW), WEFT_DEDUPE_NEW);
    end(entry, "mine", LATER);
    for (uint64_t n = 1; n <= 3; n++)
        run(n, "four");
    assert_int_equal(take(1), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(take(2), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take(3), WEFT_DEDUPE_ANSWERED);
    run(4, too_long);
    assert_int_equal(take(4), WEFT_DEDUPE_FORGOTTEN);
    assert_int_equal(take(3), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(2, 1, NOW), WEFT_DEDUPE_ANSWERED);
}

static void the_client_silent_longest_is_forgotten(void **state)
{
    (void)state;
    for (uint64_t client = 1; client <= 4; client++) {
        assert_int_equal(take_at(client, 1, NOW), WEFT_DEDUPE_NEW);
        end(entry, "x", LATER);
    }
    assert_int_equal(take_at(1, 1, NOW), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(5, 1, NOW), WEFT_DEDUPE_NEW);
    assert_int_equal(dedupe->clients_n, 4);
    for (uint64_t client = 3; client <= 4; client++)
        assert_int_equal(take_at(client, 1, NOW), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(1, 1, NOW), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(2, 1, NOW), WEFT_DEDUPE_NEW);
}

static void clients_whose_requests_run_are_forgotten_last(void **state)
{
    struct weft_dedupe_entry *running[4];

    (void)state;
    for (uint64_t client = 1; client <= 4; client++) {
        assert_int_equal(take_at(client, 1, NOW), WEFT_DEDUPE_NEW);
        running[client - 1] = entry;
    }
    end(running[2], "x", LATER);
    assert_int_equal(take_at(5, 1, NOW), WEFT_DEDUPE_NEW); /* in place of client 3 */
    assert_int_equal(take_at(1, 1, NOW), WEFT_DEDUPE_RUNNING);
    assert_int_equal(take_at(2, 1, NOW), WEFT_DEDUPE_RUNNING);
    assert_int_equal(take_at(6, 1, NOW), WEFT_DEDUPE_NEW); /* in place of client 4, which runs */
    end(running[3], "nobody asks", LATER);
    end(running[0], "x", LATER);
    assert_int_equal(take_at(1, 1, NOW), WEFT_DEDUPE_ANSWERED);
    assert_int_equal(take_at(7, 1, NOW), WEFT_DEDUPE_NEW);
    assert_int_equal(take_at(8, 1, NOW), WEFT_DEDUPE_NEW);
    assert_int_equal(take_at(9, 1, NOW), WEFT_DEDUPE_NEW);
    weft__dedupe_undo(dedupe, entry);
    weft__dedupe_undo(dedupe, running[1]);
}

/* The same by lists that are searched from end to end. */
#define MODEL_CLIENTS 5
#define MODEL_LIMIT 3
#define MODEL_BYTES (20 * KEPT_COST(8))
#define MODEL_NUMBERS 4096

enum fate { NEVER_CAME, RUNS, HAS_ANSWER, HAS_RUN };

struct model_client {
    bool known;
    uint64_t heard; /* the step */
    uint64_t newest;
    enum fate fate[MODEL_NUMBERS];
    uint64_t until_ns[MODEL_NUMBERS];
    size_t len[MODEL_NUMBERS];
    uint64_t ended[MODEL_NUMBERS]; /* the step */
    struct weft_dedupe_entry *entry[MODEL_NUMBERS];
};

static struct model_client model[MODEL_CLIENTS];
static uint64_t step, clock_ns, random_state;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

static size_t model_bytes(void)
{
    size_t bytes = 0;

    for (int c = 0; c < MODEL_CLIENTS; c++) {
        for (int n = 0; n < MODEL_NUMBERS; n++)
            bytes += model[c].fate[n] == HAS_ANSWER ? KEPT_COST(model[c].len[n]) : 0;
    }
    return bytes;
}

static enum fate *model_oldest_answer(uint64_t *until_ns_out)
{
    enum fate *oldest = NULL;
    uint64_t ended = UINT64_MAX;

    for (int c = 0; c < MODEL_CLIENTS; c++) {
        for (int n = 0; n < MODEL_NUMBERS; n++) {
            if (model[c].fate[n] == HAS_ANSWER && model[c].ended[n] < ended) {
                ended = model[c].ended[n];
                oldest = &model[c].fate[n];
                *until_ns_out = model[c].until_ns[n];
            }
        }
    }
    return oldest;
}

/* How many answers of the client are kept, and the oldest. */
static int model_answers(struct model_client *client, enum fate **oldest_out)
{
    uint64_t ended = UINT64_MAX;
    int answers = 0;

    *oldest_out = NULL;
    for (int n = 0; n < MODEL_NUMBERS; n++) {
        if (client->fate[n] != HAS_ANSWER)
            continue;
        answers++;
        if (client->ended[n] < ended) {
            ended = client->ended[n];
            *oldest_out = &client->fate[n];
        }
    }
    return answers;
}

static bool model_runs(const struct model_client *client)
{
    for (int n = 0; n < MODEL_NUMBERS; n++) {
        if (client->fate[n] == RUNS)
            return true;
    }
    return false;
}

/* Running requests of a forgotten client are ended here, so that the model need not follow them. */
static void model_forget(void)
{
    struct model_client *idle = NULL, *last = NULL;
    int known = 0;

    for (int c = 0; c < MODEL_CLIENTS; c++) {
        struct model_client *client = &model[c];

        if (!client->known)
            continue;
        known++;
        if (last == NULL || client->heard < last->heard)
            last = client;
        if (!model_runs(client) && (idle == NULL || client->heard < idle->heard))
            idle = client;
    }
    if (known < MODEL_LIMIT)
        return;
    last = idle == NULL ? last : idle;
    for (int n = 0; n < MODEL_NUMBERS; n++) {
        if (last->fate[n] == RUNS)
            end(last->entry[n], "nobody knows it", LATER);
    }
    memset(last, 0, sizeof(*last));
}

static enum weft_dedupe_verdict model_verdict(struct model_client *client, uint64_t n)
{
    bool old = n < client->newest && client->newest - n >= WEFT_DEDUPE_WINDOW;

    switch (client->fate[n]) {
    case RUNS:
        return WEFT_DEDUPE_RUNNING;
    case HAS_ANSWER:
        if (client->until_ns[n] > clock_ns)
            return WEFT_DEDUPE_ANSWERED;
        client->fate[n] = HAS_RUN;
        break;
    case HAS_RUN:
    case NEVER_CAME:
        break;
    }
    if (old)
        return WEFT_DEDUPE_OLD;
    return client->fate[n] == HAS_RUN ? WEFT_DEDUPE_FORGOTTEN : WEFT_DEDUPE_NEW;
}

static void one_take(void)
{
    uint64_t c = draw(MODEL_CLIENTS), n;
    struct model_client *client = &model[c];
    enum weft_dedupe_verdict wanted, got;
    uint64_t until_ns = 0;
    enum fate *oldest = NULL;

    n = client->newest + draw(8);
    if (draw(4) == 0)
        n = draw(8) == 0 ? n + draw(WEFT_DEDUPE_WINDOW + 100) : draw(client->newest + 2);
    n = n == 0 || n >= MODEL_NUMBERS ? 1 + draw(MODEL_NUMBERS - 1) : n;
    while ((oldest = model_oldest_answer(&until_ns)) != NULL && until_ns <= clock_ns)
        *oldest = HAS_RUN;
    if (!client->known) {
        model_forget();
        client->known = true;
        client->newest = n;
    }
    client->heard = step;
    wanted = model_verdict(client, n);
    got = take_at(c + 1, n, clock_ns);
    assert_int_equal(got, wanted);
    if (got == WEFT_DEDUPE_ANSWERED) {
        assert_int_equal(entry->answer_len, client->len[n]);
        assert_int_equal(entry->answer[0], 'a' + (char)(n % 26));
    } else if (got == WEFT_DEDUPE_RUNNING) {
        assert_ptr_equal(entry, client->entry[n]);
    } else if (got == WEFT_DEDUPE_NEW) {
        client->fate[n] = RUNS;
        client->entry[n] = entry;
        client->newest = n > client->newest ? n : client->newest;
    }
}

static void model_end(struct model_client *client, uint64_t n)
{
    char answer[32];
    uint64_t until_ns = clock_ns + draw(50);
    size_t len_bytes = 1 + draw(20);
    uint64_t ignored;
    enum fate *oldest = NULL;

    client->fate[n] = HAS_RUN;
    if (draw(10) == 0) {
        end(client->entry[n], NULL, until_ns);
        return;
    }
    memset(answer, 'a' + (char)(n % 26), len_bytes);
    answer[len_bytes] = '\0';
    end(client->entry[n], answer, until_ns);
    while (model_answers(client, &oldest) >= CLIENT_KEPT)
        *oldest = HAS_RUN;
    while (model_bytes() + KEPT_COST(len_bytes) > MODEL_BYTES)
        *model_oldest_answer(&ignored) = HAS_RUN;
    client->fate[n] = HAS_ANSWER;
    client->len[n] = len_bytes;
    client->until_ns[n] = until_ns;
    client->ended[n] = step;
}

static void one_end(void)
{
    struct model_client *client = &model[draw(MODEL_CLIENTS)];
    uint64_t from = draw(MODEL_NUMBERS);

    for (uint64_t i = 0; i < MODEL_NUMBERS; i++) {
        uint64_t n = (from + i) % MODEL_NUMBERS;

        if (client->fate[n] != RUNS)
            continue;
        if (draw(8) == 0) {
            weft__dedupe_undo(dedupe, client->entry[n]);
            client->fate[n] = client->newest - n >= WEFT_DEDUPE_WINDOW ? HAS_RUN : NEVER_CAME;
        } else {
            model_end(client, n);
        }
        return;
    }
}

static void random_requests_are_judged_as_by_a_naive_model(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        weft__dedupe_free(dedupe);
        start(MODEL_LIMIT, MODEL_BYTES);
        memset(model, 0, sizeof(model));
        random_state = seed * UINT64_C(0x9e3779b97f4a7c15);
        clock_ns = 1;
        for (step = 1; step <= 1500; step++) {
            clock_ns += draw(4);
            if (draw(3) != 0)
                one_take();
            else
                one_end();
            assert_true(dedupe->kept_bytes == model_bytes());
        }
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_runs_once),
        CASE(clients_and_ports_are_apart),
        CASE(what_was_not_run_may_come_again),
        CASE(numbers_may_come_in_any_order_within_the_window),
        CASE(the_window_moves_by_one_and_by_leaps),
        CASE(marks_do_not_outlive_their_window),
        CASE(the_largest_number_is_a_number),
        CASE(what_runs_is_found_at_any_age),
        CASE(answers_are_kept_until_their_time),
        CASE(one_that_is_kept_long_hides_nobody_behind_it),
        CASE(the_oldest_answers_go_when_the_bytes_are_used_up),
        CASE(an_answer_over_the_whole_limit_pushes_nobody_out),
        CASE(a_busy_client_costs_only_its_own_answers),
        CASE(a_client_has_its_share_of_the_bytes),
        CASE(the_client_silent_longest_is_forgotten),
        CASE(clients_whose_requests_run_are_forgotten_last),
        CASE(random_requests_are_judged_as_by_a_naive_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
