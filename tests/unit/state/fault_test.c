/* Values of two mains whose frames are lost, late, doubled and overtaken and whose connections are
 * cut, from seeds, and four processes that change them: no change is lost or made twice, none is
 * seen half, and nobody sees an older version after a newer one.
 *
 * A change that ended without an answer may have been made or not. Calls have time enough to be
 * answered, but for one case, whose calls are given up early. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "rig.h"
#include "weft/state.h"

enum { WORKERS = 4, ROUNDS = 10, CALL_MS = 20000, OPEN_MS = 60000, SMALL = 64 << 10 };
enum { LARGE = (1 << 20) + 4096 }; /* more than one message */

static const struct weft_state_name counter_name = {"eve", "counter"}, pair_name = {"eve", "pair"};

enum ended { NOT_MADE, MADE, UNKNOWN };

struct network {
    const char *plain, *servers, *hosts, *processes; /* faults, without the seed */
    unsigned first_seed, seeds;
    uint32_t timeout_ms;
    uint64_t pair_bytes;
};

struct worker {
    struct rig *rig;
    const struct network *network;
    pthread_t thread;
    unsigned number, seed;
    struct weft_client *client;
    struct weft_state *process;
    struct weft_value *counter, *pair;
    uint64_t seen; /* the newest version of the pair */
    enum ended incremented[ROUNDS], appended[ROUNDS];
    unsigned pairs; /* that were read */
    int err;
    char text[256];
};

/* Whether the call ended without an answer that says more. */
static bool is_unanswered(int err)
{
    return err == WEFT_ETIMEDOUT || err == WEFT_EPEERDEAD || err == WEFT_EREGISTRY ||
           err == WEFT_EAGAIN;
}

static enum ended ended_of(struct worker *worker, int err)
{
    if (err != WEFT_OK && !is_unanswered(err))
        worker->err = err;
    return err == WEFT_OK ? MADE : UNKNOWN;
}

/* ---- what a worker does ---- */

/* Fetches all of the newest version; *version_out: which that is. */
static int pull(struct weft_value *value, uint64_t *version_out)
{
    weft_value_discard(value);
    int err = weft_value_pull(value);
    if (err == WEFT_OK)
        *version_out = weft_value_version(value);
    return err;
}

static enum ended increment(struct worker *worker)
{
    uint64_t count = 0, version = 0;
    int err;
    do {
        err = pull(worker->counter, &version);
        if (err == WEFT_OK)
            err = weft_value_read(worker->counter, 0, &count, sizeof(count));
        if (err != WEFT_OK) {
            (void)ended_of(worker, err);
            return NOT_MADE;
        }
        count++;
        err = weft_value_write(worker->counter, 0, &count, sizeof(count));
        if (err == WEFT_OK)
            err = weft_value_push_if(worker->counter, version);
    } while (err == WEFT_ESTALE);
    return ended_of(worker, err);
}

static enum ended append(struct worker *worker, unsigned round)
{
    const uint32_t item[2] = {worker->number, round};
    return ended_of(worker, weft_value_append(worker->pair, item, sizeof(item), NULL));
}

/* One change of both ends of the pair. */
static void push_pair(struct worker *worker, unsigned round)
{
    uint64_t word = (uint64_t)worker->number * ROUNDS + round + 1;
    weft_value_discard(worker->pair);
    int err = weft_value_write(worker->pair, 0, &word, sizeof(word));
    if (err == WEFT_OK)
        err = weft_value_write(worker->pair, worker->network->pair_bytes - sizeof(word), &word,
                               sizeof(word));
    if (err == WEFT_OK)
        err = weft_value_push(worker->pair);
    (void)ended_of(worker, err);
}

static void read_pair(struct worker *worker)
{
    uint64_t first = 0, last = 0, version = 0;
    int err = pull(worker->pair, &version);
    if (err == WEFT_OK)
        err = weft_value_read(worker->pair, 0, &first, sizeof(first));
    if (err == WEFT_OK)
        err = weft_value_read(worker->pair, worker->network->pair_bytes - sizeof(last), &last,
                              sizeof(last));
    if (ended_of(worker, err) == UNKNOWN)
        return;
    worker->pairs++;
    if (first != last)
        worker->err = weft_fail(WEFT_ECHECKSUM, "a pair of %llu and %llu is torn",
                                (unsigned long long)first, (unsigned long long)last);
    else if (version < worker->seen)
        worker->err = weft_fail(WEFT_ECHECKSUM, "version %llu came after version %llu",
                                (unsigned long long)version, (unsigned long long)worker->seen);
    worker->seen = version;
}

static int open_value(struct weft_state *process, const struct weft_state_name *name,
                      uint64_t bytes, struct weft_value **value_out)
{
    uint64_t until_ns = weft__now_ns() + OPEN_MS * WEFT_NS_PER_MS;
    int err;
    do
        err = weft_value_open(process, name, bytes, value_out);
    while (is_unanswered(err) && weft__now_ns() < until_ns);
    return err;
}

static void work(struct worker *worker)
{
    for (unsigned r = 0; r < ROUNDS && worker->err == WEFT_OK; r++) {
        worker->incremented[r] = increment(worker);
        if (worker->err == WEFT_OK)
            worker->appended[r] = append(worker, r);
        if (worker->err == WEFT_OK)
            push_pair(worker, r);
        for (unsigned i = 0; i < 2 && worker->err == WEFT_OK; i++)
            read_pair(worker);
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    worker->err = open_value(worker->process, &counter_name, 0, &worker->counter);
    if (worker->err == WEFT_OK)
        worker->err = open_value(worker->process, &pair_name, 0, &worker->pair);
    if (worker->err == WEFT_OK)
        work(worker);
    snprintf(worker->text, sizeof(worker->text), "%s", weft_fail_text(worker->err));
    weft_value_close(worker->counter);
    weft_value_close(worker->pair);
    return NULL;
}

/* ---- what must have come of it ---- */

static unsigned count_of(const struct worker *worker, enum ended ended)
{
    unsigned n = 0;
    for (unsigned r = 0; r < ROUNDS; r++)
        n += worker->incremented[r] == ended;
    return n;
}

static void check_counter(struct rig *rig, const struct worker *workers)
{
    struct weft_value *counter;
    uint64_t count = 0;
    unsigned made = 0, unknown = 0;
    for (unsigned w = 0; w < WORKERS; w++) {
        made += count_of(&workers[w], MADE);
        unknown += count_of(&workers[w], UNKNOWN);
    }
    assert_int_equal(open_value(rig->b, &counter_name, 0, &counter), WEFT_OK);
    assert_int_equal(weft_value_read(counter, 0, &count, sizeof(count)), WEFT_OK);
    if (count < made || count > made + unknown)
        fail_msg("seed %u: the counter is %llu after %u increments, and %u that may have been made",
                 workers[0].seed, (unsigned long long)count, made, unknown);
    weft_value_close(counter);
}

struct list {
    unsigned times[WORKERS][ROUNDS];
    unsigned next[WORKERS]; /* the round whose item may come next */
    bool in_order;
};

static void note_item(void *ctx, uint64_t index, const void *bytes, size_t len_bytes)
{
    struct list *list = ctx;
    uint32_t item[2];
    (void)index;
    assert_int_equal(len_bytes, sizeof(item));
    memcpy(item, bytes, sizeof(item));
    assert_true(item[0] < WORKERS && item[1] < ROUNDS);
    list->times[item[0]][item[1]]++;
    list->in_order = list->in_order && item[1] >= list->next[item[0]];
    list->next[item[0]] = item[1] + 1;
}

static void check_items(struct rig *rig, const struct worker *workers)
{
    struct weft_value *pair;
    struct list list = {.in_order = true};
    struct weft_value_items all = {.n = UINT64_MAX, .each = note_item, .ctx = &list};
    assert_int_equal(open_value(rig->a, &pair_name, 0, &pair), WEFT_OK);
    assert_int_equal(weft_value_items(pair, &all, NULL), WEFT_OK);
    for (unsigned w = 0; w < WORKERS; w++)
        for (unsigned r = 0; r < ROUNDS; r++)
            if (list.times[w][r] > 1 || (workers[w].appended[r] == MADE && list.times[w][r] == 0))
                fail_msg("seed %u: item %u of worker %u is %u times in the list; its append %s",
                         workers[w].seed, r, w, list.times[w][r],
                         workers[w].appended[r] == MADE ? "was answered" : "was not answered");
    assert_true(list.in_order);
    weft_value_close(pair);
}

/* ---- networks ---- */

static const char *scheme_of(char into[256], unsigned seed, const char *faults, const char *plain)
{
    snprintf(into, 256, "fault(seed=%u,%s)+%s", seed, faults, plain);
    return into;
}

static struct rig *open_network(const struct network *network, unsigned seed)
{
    char servers[256], hosts[256];
    void *rig;
    rig_timeout_ms = OPEN_MS;
    rig_control =
        (struct rig_control){.servers = scheme_of(servers, seed, network->servers, network->plain),
                             .hosts = scheme_of(hosts, seed + 100, network->hosts, network->plain),
                             .plain = network->plain};
    assert_int_equal(rig_open(&rig), 0);
    return rig;
}

static void start_worker(struct worker *worker)
{
    char scheme[256];
    const struct weft_client_desc client = {.scheme = scheme};
    const struct network *network = worker->network;
    (void)scheme_of(scheme, worker->seed + 1000 * (worker->number + 1), network->processes,
                    network->plain);
    assert_int_equal(weft__client_open(&client, &worker->client), WEFT_OK);
    rig_timeout_ms = network->timeout_ms;
    worker->process = rig_process_over(worker->rig, &worker->rig->hosts[worker->number % RIG_HOSTS],
                                       worker->client);
    assert_int_equal(pthread_create(&worker->thread, NULL, worker_main, worker), 0);
}

static void end_worker(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    weft_state_close(worker->process);
    weft__client_close(worker->client);
}

/* Returns how many increments and reads of pairs were answered. */
static unsigned run_seed(const struct network *network, unsigned seed)
{
    struct rig *rig = open_network(network, seed);
    struct weft_value *counter, *pair;
    struct worker workers[WORKERS];
    unsigned answered = 0;
    memset(workers, 0, sizeof(workers));
    assert_int_equal(open_value(rig->a, &counter_name, sizeof(uint64_t), &counter), WEFT_OK);
    assert_int_equal(open_value(rig->b, &pair_name, network->pair_bytes, &pair), WEFT_OK);
    weft_value_close(counter);
    weft_value_close(pair);
    for (unsigned w = 0; w < WORKERS; w++) {
        workers[w].rig = rig;
        workers[w].network = network;
        workers[w].number = w;
        workers[w].seed = seed;
        start_worker(&workers[w]);
    }
    for (unsigned w = 0; w < WORKERS; w++)
        end_worker(&workers[w]);
    for (unsigned w = 0; w < WORKERS; w++) {
        if (workers[w].err != WEFT_OK)
            fail_msg("seed %u, worker %u: %s", seed, w, workers[w].text);
        answered += count_of(&workers[w], MADE) + workers[w].pairs;
    }
    check_counter(rig, workers);
    check_items(rig, workers);
    void *closed = rig;
    assert_int_equal(rig_close(&closed), 0);
    return answered;
}

static void run(const struct network *network)
{
    for (unsigned seed = network->first_seed; seed < network->first_seed + network->seeds; seed++)
        assert_true(run_seed(network, seed) > 0);
}

#define JUMBLED "dup=20%,delay=2ms,late=20%,reorder=20%"

static void changes_over_a_network_that_doubles_and_reorders_are_made_once(void **state)
{
    (void)state;
    struct network network = {.plain = "inproc",
                              .servers = JUMBLED,
                              .hosts = JUMBLED,
                              .processes = JUMBLED,
                              .first_seed = 1,
                              .seeds = 4,
                              .timeout_ms = CALL_MS,
                              .pair_bytes = SMALL};
    run(&network);
    network.plain = "zmq";
    network.pair_bytes = LARGE;
    network.first_seed = 11;
    run(&network);
}

static void changes_over_connections_that_are_cut_are_made_once(void **state)
{
    (void)state;
    struct network network = {.plain = "inproc",
                              .servers = "dup=10%,delay=1ms,late=20%",
                              .hosts = "cut=2%,dup=20%",
                              .processes = "cut=3%,dup=20%,delay=1ms,late=20%,reorder=10%",
                              .first_seed = 21,
                              .seeds = 3,
                              .timeout_ms = CALL_MS,
                              .pair_bytes = SMALL};
    run(&network);
    network.plain = "zmq";
    network.first_seed = 31;
    run(&network);
}

static void changes_over_a_network_that_loses_frames_are_made_once(void **state)
{
    (void)state;
    struct network network = {.plain = "inproc",
                              .servers = "dup=10%,delay=1ms,late=10%",
                              .hosts = "drop=2%,dup=10%",
                              .processes = "drop=1%,dup=10%,delay=1ms,late=10%,after=8,for=24",
                              .first_seed = 41,
                              .seeds = 1,
                              .timeout_ms = CALL_MS,
                              .pair_bytes = SMALL};
    run(&network);
    network.plain = "zmq";
    network.first_seed = 51;
    run(&network);
}

static void changes_whose_calls_are_given_up_are_made_at_most_once(void **state)
{
    (void)state;
    struct network network = {.plain = "inproc",
                              .servers = JUMBLED,
                              .hosts = JUMBLED,
                              .processes = "drop=5%,dup=20%,delay=20ms,late=10%,reorder=30%",
                              .first_seed = 61,
                              .seeds = 2,
                              .timeout_ms = 50,
                              .pair_bytes = SMALL};
    run(&network);
    network.plain = "zmq";
    network.first_seed = 71;
    run(&network);
}

/* Where a value is, is asked first. */
static void a_question_that_is_lost_is_asked_again_before_the_deadline(void **state)
{
    (void)state;
    const struct network network = {.plain = "inproc", .servers = "dup=0%", .hosts = "dup=0%"};
    const struct weft_client_desc desc = {.scheme = "fault(drop=100%,way=out,for=1)+inproc"};
    struct rig *rig = open_network(&network, 1);
    struct weft_client *client;
    struct weft_value *value;
    assert_int_equal(weft__client_open(&desc, &client), WEFT_OK);
    struct weft_state *process = rig_process_over(rig, &rig->hosts[0], client);
    assert_int_equal(weft_value_open(process, &counter_name, 8, &value), WEFT_OK);
    assert_true(rig_stats(process).tried_again > 0);
    weft_value_close(value);
    weft_state_close(process);
    weft__client_close(client);
    void *closed = rig;
    assert_int_equal(rig_close(&closed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_that_is_lost_is_asked_again_before_the_deadline),
        cmocka_unit_test(changes_over_a_network_that_doubles_and_reorders_are_made_once),
        cmocka_unit_test(changes_over_connections_that_are_cut_are_made_once),
        cmocka_unit_test(changes_over_a_network_that_loses_frames_are_made_once),
        cmocka_unit_test(changes_whose_calls_are_given_up_are_made_at_most_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
