/* Everything at once, by a seed: clients of two connections each that ask, ask again and cancel,
 * handlers that answer, defer and refuse, threads that answer what was deferred, and a stop in the
 * middle. Nothing may run twice, and whoever was not refused or cancelled gets his answer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zmq.h>

#include "raw.h"
#include "rig.h"
#include "weft/error.h"

#define CLIENTS 3
#define STEPS 1500
#define BACK 40 /* how far behind a number may be asked again or cancelled */
#define PARKED_MAX 4096

enum code { ECHO = 1, ECHO_INLINE, PARK, CODES };

static struct weft_server *server;
static char url[64];
static _Atomic uint32_t runs[CLIENTS][STEPS + 1];
static _Atomic uint32_t over;

static struct parking {
    pthread_mutex_t lock;
    struct weft_call *calls[PARKED_MAX];
    unsigned n;
} parking = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct storm {
    uint64_t client; /* from 1 on */
    uint64_t random;
    struct raw raw[2];
    bool sent[STEPS + 1], cancelled[STEPS + 1], answered[STEPS + 1];
    uint64_t asked[STEPS + 1][2]; /* the newest correlation, by connection */
    unsigned wrong;
};

static uint64_t draw(uint64_t *random, uint64_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (*random >> 11) % below;
}

/* The body says who asks: "client number". */
static void note_run(const struct weft_call *call)
{
    size_t len_bytes;
    const char *body = weft__call_body(call, &len_bytes);
    char text[32] = "", *end;
    unsigned long client, number;

    memcpy(text, body, len_bytes < sizeof(text) ? len_bytes : sizeof(text) - 1);
    client = strtoul(text, &end, 10);
    number = strtoul(end, NULL, 10);
    assert_in_range(client, 1, CLIENTS);
    assert_in_range(number, 1, STEPS);
    assert_true(weft__call_client(call) == client);
    atomic_fetch_add(&runs[client - 1][number], 1);
}

static void echo(struct weft_call *call)
{
    size_t len_bytes;
    const void *body = weft__call_body(call, &len_bytes);

    weft__call_reply_bytes(call, body, len_bytes);
}

static void run_echo(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    note_run(call);
    echo(call);
}

/* Whoever finds the call in the list answers it. */
static bool unpark(struct weft_call *call)
{
    bool found = false;

    pthread_mutex_lock(&parking.lock);
    for (unsigned i = 0; i < parking.n && !found; i++) {
        found = parking.calls[i] == call;
        if (found)
            parking.calls[i] = parking.calls[--parking.n];
    }
    pthread_mutex_unlock(&parking.lock);
    return found;
}

static void on_cancel(void *ctx, struct weft_call *call)
{
    (void)ctx;
    if (unpark(call))
        weft__call_fail(call, WEFT_ECANCELED, NULL);
}

static void run_park(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    note_run(call);
    weft__call_on_cancel(call, on_cancel, NULL);
    pthread_mutex_lock(&parking.lock);
    if (parking.n < PARKED_MAX)
        parking.calls[parking.n++] = call;
    pthread_mutex_unlock(&parking.lock);
}

static unsigned parked(void)
{
    unsigned n;

    pthread_mutex_lock(&parking.lock);
    n = parking.n;
    pthread_mutex_unlock(&parking.lock);
    return n;
}

static void *answer_parked(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg;

    while (atomic_load(&over) == 0) {
        struct weft_call *call = NULL;

        pthread_mutex_lock(&parking.lock);
        if (parking.n > 0) {
            unsigned at = (unsigned)draw(&random, parking.n);

            call = parking.calls[at];
            parking.calls[at] = parking.calls[--parking.n];
        }
        pthread_mutex_unlock(&parking.lock);
        if (call == NULL)
            sched_yield();
        else if (draw(&random, 10) == 0)
            weft__call_fail_again(call, 7, "not now");
        else
            echo(call);
    }
    return NULL;
}

#define BYTES (WEFT_HANDLER_SYNC | WEFT_HANDLER_BYTES)

static const struct weft_handler_desc handlers[] = {
    {ECHO, BYTES, "echo", NULL, run_echo},
    {ECHO_INLINE, BYTES | WEFT_HANDLER_INLINE, "echo inline", NULL, run_echo},
    {PARK, BYTES, "park", NULL, run_park},
};

/* The call of a number is always the same. */
static uint16_t code_of(uint64_t number)
{
    return (uint16_t)(1 + number % (CODES - 1));
}

static void take_answers(struct storm *storm, int side)
{
    while (!raw_silent(&storm->raw[side])) {
        struct raw_answer answer;
        uint64_t number;
        char wanted[32];

        raw_hear(&storm->raw[side], &answer);
        number = answer.frame.correlation % (STEPS + 1);
        storm->wrong += !storm->sent[number] || storm->asked[number][side] == 0;
        storm->answered[number] = true;
        snprintf(wanted, sizeof(wanted), "%d %d", (int)storm->client, (int)number);
        if (answer.frame.error == 0)
            storm->wrong += strcmp(answer.body, wanted) != 0;
    }
}

static void ask(struct storm *storm, uint64_t step, uint64_t number)
{
    int side = (int)draw(&storm->random, 2);
    struct weft_frame frame = {.call = code_of(number),
                               .correlation = step * (STEPS + 1) + number,
                               .client = storm->client,
                               .sequence = number};
    char text[32];

    if (draw(&storm->random, 20) == 0)
        frame.deadline_ms = 1 + (uint32_t)draw(&storm->random, 3);
    snprintf(text, sizeof(text), "%d %d", (int)storm->client, (int)number);
    storm->sent[number] = true;
    storm->asked[number][side] = frame.correlation;
    raw_say(&storm->raw[side], frame, text);
}

static void cancel(struct storm *storm, uint64_t number)
{
    int side = (int)draw(&storm->random, 2);

    if (storm->asked[number][side] == 0)
        return;
    storm->cancelled[number] = true;
    raw_say(&storm->raw[side],
            (struct weft_frame){.call = code_of(number),
                                .flags = WEFT_FRAME_CANCEL,
                                .correlation = storm->asked[number][side]},
            "");
}

static bool all_answered(struct storm *storm)
{
    take_answers(storm, 0);
    take_answers(storm, 1);
    for (int n = 1; n <= STEPS; n++) {
        if (storm->sent[n] && !storm->cancelled[n] && !storm->answered[n])
            return false;
    }
    return true;
}

static void *run_storm(void *arg)
{
    struct storm *storm = arg;
    uint64_t newest = 0;

    for (uint64_t step = 1; newest < STEPS; step++) {
        uint64_t back =
            newest == 0 ? 0 : newest - draw(&storm->random, newest < BACK ? newest : BACK);

        switch (newest == 0 ? 0 : draw(&storm->random, 8)) {
        case 0:
            ask(storm, step, back == 0 ? ++newest : back);
            break;
        case 1:
            cancel(storm, back);
            break;
        default:
            ask(storm, step, ++newest);
        }
        take_answers(storm, (int)(step % 2));
    }
    return NULL;
}

static void start(void)
{
    const struct weft_service_desc service = {.name = "storm",
                                              .handlers = handlers,
                                              .handlers_n = sizeof(handlers) / sizeof(handlers[0]),
                                              .workers = 3,
                                              .queue_max = 256};
    const struct weft_server_desc desc = {
        .bind = "127.0.0.1", .services = &service, .services_n = 1};

    memset(runs, 0, sizeof(runs));
    atomic_store(&over, 0);
    assert_int_equal(weft__server_start(&desc, &server), WEFT_OK);
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", weft__server_sync_port(server, 0));
}

static struct storm *storm_open(uint64_t client)
{
    struct storm *storm = calloc(1, sizeof(*storm));

    storm->client = client;
    storm->random = client * UINT64_C(0x9e3779b97f4a7c15);
    raw_open(&storm->raw[0], ZMQ_DEALER, url);
    raw_open(&storm->raw[1], ZMQ_DEALER, url);
    return storm;
}

static void storm_close(struct storm *storm)
{
    raw_close(&storm->raw[0]);
    raw_close(&storm->raw[1]);
    free(storm);
}

static void check_runs(void)
{
    for (int c = 0; c < CLIENTS; c++) {
        for (int n = 1; n <= STEPS; n++)
            assert_in_range(atomic_load(&runs[c][n]), 0, 1);
    }
}

static void nothing_runs_twice_and_everybody_is_answered(void **state)
{
    pthread_t threads[CLIENTS], answerers[2];
    struct storm *storms[CLIENTS];
    struct weft_service_stats now;

    (void)state;
    start();
    for (uintptr_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&answerers[i], NULL, answer_parked, (void *)(i + 1)), 0);
    for (uint64_t i = 0; i < CLIENTS; i++) {
        storms[i] = storm_open(i + 1);
        assert_int_equal(pthread_create(&threads[i], NULL, run_storm, storms[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CLIENTS; i++)
        assert_true(RIG_UNTIL(all_answered(storms[i])));
    assert_true(RIG_UNTIL((weft__server_stats(server, 0, &now), now.open == 0)));
    assert_true(now.repeated > 0 && now.cancelled > 0 && now.queue_depth == 0);
    check_runs();
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(storms[i]->wrong, 0);
        storm_close(storms[i]);
    }
    weft__server_stop(server, RIG_TIMEOUT_MS);
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(answerers[i], NULL);
}

/* The clients go on asking a server that is no longer there. */
static void a_stop_in_the_middle_is_orderly(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        pthread_t threads[CLIENTS], answerers[2];
        struct storm *storms[CLIENTS];
        struct weft_service_stats now;

        start();
        for (uintptr_t i = 0; i < 2; i++)
            assert_int_equal(pthread_create(&answerers[i], NULL, answer_parked, (void *)(i + 1)),
                             0);
        for (uint64_t i = 0; i < CLIENTS; i++) {
            storms[i] = storm_open(i + 1);
            assert_int_equal(pthread_create(&threads[i], NULL, run_storm, storms[i]), 0);
        }
        assert_true(RIG_UNTIL((weft__server_stats(server, 0, &now), now.answered > 200)));
        weft__server_stop(server, RIG_TIMEOUT_MS);
        for (int i = 0; i < CLIENTS; i++) {
            pthread_join(threads[i], NULL);
            storm_close(storms[i]);
        }
        check_runs();
        assert_true(RIG_UNTIL(parked() == 0));
        atomic_store(&over, 1);
        for (int i = 0; i < 2; i++)
            pthread_join(answerers[i], NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_runs_twice_and_everybody_is_answered),
        cmocka_unit_test(a_stop_in_the_middle_is_orderly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
