/* The head is killed with -9 again and again, at any point, while clients change keys: each change
 * that was answered is there afterwards, none is there that nobody asked for, epochs and revisions
 * grow. registry_kill_test [KILLS]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/client.h"
#include "control/server.h"
#include "registry/client.h"
#include "registry/service.h"
#include "tests/loopback.h"
#include "weft/error.h"

enum { WRITERS = 3, CALL_MS = 300, PATIENCE_S = 60 };

static long kills = 60;

/* ---- the head, a process of its own ---- */

static int head(const char *log, const char *bind, const char *port)
{
    struct weft_registry *registry;
    struct weft_service_desc service;
    struct weft_server *server;
    const struct weft_registry_desc desc = {.log_path = log};
    weft__log_set_level(WEFT_LOG_ERROR);
    if (weft__registry_open(&desc, &registry))
        return 1;
    weft__registry_service(registry, &service);
    service.sync_port = (uint16_t)strtoul(port, NULL, 10);
    if (weft__server_start(
            &(struct weft_server_desc){.bind = bind, .services = &service, .services_n = 1},
            &server))
        return 1;
    uint16_t is = weft__server_sync_port(server, 0);
    if (write(STDOUT_FILENO, &is, sizeof(is)) != sizeof(is))
        return 1;
    for (;;)
        (void)pause();
}

struct bench {
    char folder[64], log[80], url[64], bind[OWN_LOOPBACK_MAX], port[8];
    pid_t head;
    struct weft_client *client;
    _Atomic bool stop;
    _Atomic uint64_t answered, unknown, epoch;
};

/* The port of the first one is that of all. */
static void head_start(struct bench *bench)
{
    char name[] = "head";
    char *argv[] = {name, name, bench->log, bench->bind, bench->port, NULL};
    posix_spawn_file_actions_t actions;
    uint16_t port;
    int ready[2];
    own_loopback(bench->bind);
    assert_int_equal(pipe(ready), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ready[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&bench->head, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ready[1]);
    assert_int_equal(read(ready[0], &port, sizeof(port)), sizeof(port));
    close(ready[0]);
    if (bench->url[0] != '\0') /* writers read it */
        return;
    snprintf(bench->port, sizeof(bench->port), "%u", port);
    snprintf(bench->url, sizeof(bench->url), "tcp://%s:%u", bench->bind, port);
}

static void head_kill(struct bench *bench)
{
    int status;
    kill(bench->head, SIGKILL);
    assert_int_equal(waitpid(bench->head, &status, 0), bench->head);
    assert_true(WIFSIGNALED(status));
}

/* ---- a writer: the only one of its key ---- */

struct writer {
    struct bench *bench;
    char key[16];
    struct weft_registry_at at;
    uint64_t revision;        /* answered */
    uint32_t value;           /* answered; 0: none */
    uint32_t pending, newest; /* pending: fate not known; 0: none */
    bool erasing;
    uint64_t epoch;
};

static void saw_epoch(struct writer *writer, uint64_t epoch)
{
    uint64_t newest = atomic_load(&writer->bench->epoch);
    assert_true(epoch >= writer->epoch);
    writer->epoch = epoch;
    while (epoch > newest && !atomic_compare_exchange_weak(&writer->bench->epoch, &newest, epoch))
        ;
}

/* What stands is what was answered, or what was under way. */
static void settle(struct writer *writer)
{
    struct weft_registry_value now;
    uint64_t limit = weft__now_ns() + PATIENCE_S * WEFT_NS_PER_S;
    while (weft__registry_get_wait(&writer->at, writer->key, &now) != WEFT_OK)
        assert_true(weft__now_ns() < limit);
    uint32_t value = 0;
    saw_epoch(writer, now.epoch);
    if (now.revision != 0) {
        assert_int_equal(now.len, sizeof(value));
        memcpy(&value, now.bytes, sizeof(value));
    }
    if (now.revision == writer->revision) {
        assert_int_equal(value, writer->value);
    } else if (now.revision == 0) {
        assert_true(writer->erasing);
    } else {
        assert_true(now.revision > writer->revision && !writer->erasing);
        assert_int_equal(value, writer->pending);
    }
    writer->revision = now.revision;
    writer->value = value;
    writer->pending = 0;
}

/* A try whose answer was lost may still be on its way: it finds another revision then, because the
 * next one is asked for only after it could not be made any more. */
static void write_once(struct writer *writer)
{
    struct weft_registry_value now;
    writer->pending = ++writer->newest;
    writer->erasing = writer->revision != 0 && writer->newest % 7 == 0;
    const struct weft_registry_cas cas = {.key = writer->key,
                                          .expected = writer->revision,
                                          .value = &writer->pending,
                                          .value_len = sizeof(writer->pending),
                                          .erase = writer->erasing};
    int err = weft__registry_cas_wait(&writer->at, &cas, &now);
    if (err != WEFT_OK) {
        assert_int_equal(err, WEFT_EREGISTRY);
        atomic_fetch_add(&writer->bench->unknown, 1);
        settle(writer);
        return;
    }
    assert_true(now.won);
    assert_true(writer->erasing || now.revision > writer->revision);
    saw_epoch(writer, now.epoch);
    writer->revision = now.revision;
    writer->value = writer->erasing ? 0 : writer->pending;
    writer->pending = 0;
    atomic_fetch_add(&writer->bench->answered, 1);
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    while (!atomic_load(&writer->bench->stop))
        write_once(writer);
    settle(writer);
    return NULL;
}

/* ---- the test ---- */

static void await_answers(struct bench *bench, uint64_t more)
{
    uint64_t from = atomic_load(&bench->answered);
    uint64_t limit = weft__now_ns() + PATIENCE_S * WEFT_NS_PER_S;
    while (atomic_load(&bench->answered) < from + more) {
        assert_true(weft__now_ns() < limit);
        (void)usleep(1000);
    }
}

static void kill_again_and_again(struct bench *bench)
{
    uint64_t epoch = 0;
    for (long i = 0; i < kills; i++) {
        await_answers(bench, 1 + (uint64_t)rand() % 20);
        (void)usleep((useconds_t)(rand() % 3000)); /* any point will do */
        head_kill(bench);
        assert_true(atomic_load(&bench->epoch) > epoch);
        epoch = atomic_load(&bench->epoch);
        head_start(bench);
    }
    await_answers(bench, WRITERS);
}

static void what_was_answered_survives_every_kill(void **state)
{
    (void)state;
    static struct bench bench;
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS];
    snprintf(bench.folder, sizeof(bench.folder), "/tmp/weft-kill-XXXXXX");
    assert_non_null(mkdtemp(bench.folder));
    snprintf(bench.log, sizeof(bench.log), "%s/log", bench.folder);
    snprintf(bench.port, sizeof(bench.port), "0");
    head_start(&bench);
    assert_int_equal(weft__client_open(&(struct weft_client_desc){0}, &bench.client), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .bench = &bench,
            .at = {.client = bench.client, .url = bench.url, .timeout_ms = CALL_MS}};
        snprintf(writers[i].key, sizeof(writers[i].key), "writer%u", i);
        assert_int_equal(pthread_create(&threads[i], NULL, writer_main, &writers[i]), 0);
    }
    kill_again_and_again(&bench);
    atomic_store(&bench.stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    head_kill(&bench);
    head_start(&bench);
    for (unsigned i = 0; i < WRITERS; i++)
        settle(&writers[i]); /* nothing is pending: what stands is what was answered */
    weft__client_close(bench.client);
    head_kill(&bench);
    printf("%ld kills, %llu changes answered, %llu of unknown outcome\n", kills,
           (unsigned long long)bench.answered, (unsigned long long)bench.unknown);
    unlink(bench.log);
    char fresh[96];
    snprintf(fresh, sizeof(fresh), "%s.new", bench.log);
    unlink(fresh);
    assert_int_equal(rmdir(bench.folder), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_answered_survives_every_kill)};
    if (argc == 5 && !strcmp(argv[1], "head"))
        return head(argv[2], argv[3], argv[4]);
    if (argc == 2)
        kills = strtol(argv[1], NULL, 10);
    srand((unsigned)time(NULL));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
