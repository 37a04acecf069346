#include "daemons.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/wake.h"
#include "host/calls.h"
#include "weft/host.h"
#include "wire/message.h"

static _Noreturn void become_host(const char *name, const char *address, const char *head, int fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setenv("WEFT_HEARTBEAT_MS", "50", 1);
    int err = weft__config_load();
    struct weft_host_options options = {.name = name,
                                        .address = address,
                                        .head = head,
                                        .app_program = FAKE_APP,
                                        .slots = DAEMON_SLOTS,
                                        .ready_fd = fd};
    if (err == WEFT_OK)
        err = weft_host_run(&options);
    if (err != WEFT_OK)
        fprintf(stderr, "host %s: %s\n", name, weft_fail_text(err));
    exit(err == WEFT_OK ? 0 : 1); /* a sanitizer's leak check changes this code */
}

static void start_host(struct daemons *rig, unsigned i, const char *net)
{
    static const char *const names[DAEMONS] = {"a", "b"};
    char address[32], head[32];
    int ready[2];
    snprintf(address, sizeof(address), "%s.%u", net, i + 1);
    snprintf(head, sizeof(head), "%s.1", net);
    assert_int_equal(pipe(ready), 0);
    rig->pids[i] = fork();
    if (rig->pids[i] == 0) {
        close(ready[0]);
        become_host(names[i], address, i > 0 ? head : NULL, ready[1]);
    }
    close(ready[1]);
    ssize_t n = read(ready[0], rig->urls[i], sizeof(rig->urls[i]) - 1);
    close(ready[0]);
    assert_true(n > 1); /* else it has said why */
    rig->urls[i][n - 1] = '\0';
}

int daemons_open(void **state)
{
    static struct daemons rig;
    char net[24];
    unsigned pid = (unsigned)getpid();
    memset(&rig, 0, sizeof(rig));
    strcpy(rig.folder, "/tmp/weft-fakes-XXXXXX");
    assert_non_null(mkdtemp(rig.folder));
    snprintf(net, sizeof(net), "127.%u.%u", 1 + pid % 253, 1 + pid / 253 % 253);
    for (unsigned i = 0; i < DAEMONS; i++)
        start_host(&rig, i, net);
    assert_int_equal(weft__client_open(&(struct weft_client_desc){0}, &rig.client), WEFT_OK);
    *state = &rig;
    return 0;
}

static void remove_folder(const char *folder)
{
    char path[128];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "%s/%u.orders", folder, i);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

int daemons_close(void **state)
{
    struct daemons *rig = *state;
    int failed = 0;
    weft__client_close(rig->client);
    for (unsigned i = DAEMONS; i-- > 0;) {
        int status = -1;
        (void)kill(rig->pids[i], SIGTERM);
        failed += waitpid(rig->pids[i], &status, 0) != rig->pids[i] || status != 0;
    }
    remove_folder(rig->folder);
    return failed;
}

static struct weft_client_call call_of(const struct daemons *rig, const struct daemon_ask *ask)
{
    return (struct weft_client_call){.url = rig->urls[ask->host],
                                     .code = ask->code,
                                     .request = ask->request,
                                     .reply_type = ask->reply_type,
                                     .flags = ask->lost_ms > 0 ? WEFT_CLIENT_IDEMPOTENT : 0,
                                     .lost_ms = ask->lost_ms,
                                     .timeout_ms = DAEMON_MS};
}

int daemon_ask(struct daemons *rig, const struct daemon_ask *ask, ProtobufCMessage **reply_out)
{
    struct weft_client_call call = call_of(rig, ask);
    return weft__client_wait(rig->client, &call, reply_out);
}

static void done(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct daemon_answer *answer = ctx;
    answer->err = err;
    snprintf(answer->text, sizeof(answer->text), "%s", text != NULL ? text : "");
    if (reply != NULL && reply->descriptor == &weft__host__run_reply__descriptor)
        answer->app = ((const Weft__Host__RunReply *)reply)->app;
    atomic_store(&answer->over, 1);
    weft__futex_wake(&answer->over);
}

void daemon_start(struct daemons *rig, const struct daemon_ask *ask, struct daemon_answer *answer)
{
    struct weft_client_call call = call_of(rig, ask);
    memset(answer, 0, sizeof(*answer));
    call.done = done;
    call.ctx = answer;
    assert_int_equal(weft__client_start(rig->client, &call), WEFT_OK);
}

void daemon_await(struct daemon_answer *answer)
{
    uint64_t deadline = weft__now_ns() + 2 * DAEMON_MS * WEFT_NS_PER_MS;
    while (atomic_load(&answer->over) == 0)
        assert_int_not_equal(weft__futex_wait(&answer->over, 0, deadline), WEFT_ETIMEDOUT);
}

void daemon_nap(void)
{
    (void)poll(NULL, 0, 10);
}

void daemon_run_init(struct daemons *rig, struct daemon_run *run, uint32_t ranks, const char *way)
{
    weft__host__run_request__init(&run->request);
    snprintf(run->env[0], sizeof(run->env[0]), "FAKE_APP_FOLDER=%s", rig->folder);
    snprintf(run->env[1], sizeof(run->env[1]), "FAKE_APP_WAY=%s", way);
    run->env_list[0] = run->env[0];
    run->env_list[1] = run->env[1];
    run->request.env = run->env_list;
    run->request.n_env = 2;
    run->request.program = weft__message_text("/nowhere/program.so");
    run->request.ranks = ranks;
    for (unsigned i = 0; i < 100; i++) { /* of the run before */
        char path[128];
        snprintf(path, sizeof(path), "%s/%u.orders", rig->folder, i);
        (void)unlink(path);
    }
}

uint64_t daemon_token(struct daemons *rig, uint32_t process)
{
    char path[128];
    uint64_t token = 0, deadline = weft__now_ns() + DAEMON_MS * WEFT_NS_PER_MS;
    snprintf(path, sizeof(path), "%s/%u.orders", rig->folder, process);
    FILE *file;
    while ((file = fopen(path, "re")) == NULL) {
        assert_true(weft__now_ns() < deadline);
        daemon_nap();
    }
    assert_int_equal(fscanf(file, "%lu", &token), 1);
    fclose(file);
    return token;
}

int daemon_is_free(struct daemons *rig, unsigned host)
{
    ProtobufCMessage *message;
    assert_int_equal(
        daemon_ask(rig,
                   &(struct daemon_ask){.host = host,
                                        .code = WEFT_CALL_INFO,
                                        .reply_type = &weft__host__info_reply__descriptor},
                   &message),
        WEFT_OK);
    const Weft__Host__InfoReply *info = (const Weft__Host__InfoReply *)message;
    int is_free = info->used == 0 && info->processes == 0;
    weft__message_free(message);
    return is_free;
}

void daemon_await_free(struct daemons *rig)
{
    uint64_t deadline = weft__now_ns() + DAEMON_MS * WEFT_NS_PER_MS;
    for (unsigned i = 0; i < DAEMONS; i++)
        while (!daemon_is_free(rig, i)) {
            assert_true(weft__now_ns() < deadline);
            daemon_nap();
        }
}
