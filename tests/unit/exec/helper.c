/* A process of an app for tests: does what lines on standard input say, and answers on standard
 * output. A command is answered by one line, "ok ..." or "err CODE TEXT"; what happens by itself is
 * a line that begins with "!". The process ends with its standard input. */
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "exec/exec.h"
#include "transport/inproc/inproc.h"
#include "transport/ofi/ofi.h"
#include "transport/zmq/zmq.h"
#include "weft/error.h"

#define WORDS_MAX 16

static const struct weft_transport *const transports[] = {&weft__tp_ofi, &weft__tp_zmq,
                                                          &weft__tp_inproc};

enum { RANKS_MAX = 8 };

static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
static struct weft_exec *exec;

static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    pthread_mutex_lock(&output);
    vprintf(fmt, args);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&output);
    va_end(args);
}

static void on_exited(void *ctx, int32_t rank, uint32_t incarnation, int code, const char *reason)
{
    (void)ctx;
    say("!exited %d %u %d %s", (int)rank, incarnation, code, reason ? reason : "");
}

static void on_abort(void *ctx, int32_t rank, int code, const char *reason)
{
    (void)ctx;
    say("!abort %d %d %s", (int)rank, code, reason);
}

static void on_wanted(void *ctx, int32_t rank)
{
    (void)ctx;
    say("!wanted %d", (int)rank);
}

static void on_flushed(void *ctx, int32_t rank, uint32_t incarnation, uint64_t forwarded)
{
    (void)ctx;
    say("!flushed %d %u %" PRIu64, (int)rank, incarnation, forwarded);
}

static void on_frozen(void *ctx, int err, const char *text, const void *descriptor, size_t len)
{
    if (err) {
        say("!frozen %d %d %s", (int)(intptr_t)ctx, err, text);
        return;
    }
    char *hex = malloc(2 * len + 1);
    for (size_t i = 0; i < len; i++)
        sprintf(hex + 2 * i, "%02x", ((const unsigned char *)descriptor)[i]);
    say("!frozen %d 0 %s", (int)(intptr_t)ctx, hex);
    free(hex);
}

static void on_pulled(void *ctx, int err, const char *text, const struct weft_exec_pulled *pulled)
{
    if (err)
        say("!pulled %d %d %s", (int)(intptr_t)ctx, err, text);
    else
        say("!pulled %d 0 %" PRIu64 " %" PRIu64 " %" PRIu64 " %s", (int)(intptr_t)ctx,
            pulled->bytes, pulled->touched, pulled->pull_ns, pulled->transport);
}

/* open PROCESS SIZE SCHEME PROGRAM [ARGUMENT ...] */
static int do_open(char **words, int n)
{
    if (n < 5)
        return weft_fail(WEFT_EINVAL, "open wants more");
    struct weft_exec_desc desc = {
        .app = 4242,
        .size = atoi(words[2]),
        .stride = 64ull << 20,
        .mailbox_bytes = 64u << 10,
        .process = (uint32_t)atoi(words[1]),
        .host = words[1],
        .program = words[4],
        .argv = words + 4,
        .lane = {.transports = transports,
                 .transports_n = 3,
                 .scheme = words[3],
                 .progress = getenv("HELPER_PROGRESS") ? getenv("HELPER_PROGRESS") : "thread",
                 .bind = "127.0.0.1",
                 .token = 0x1234},
        .callbacks = {.rank_exited = on_exited,
                      .app_abort = on_abort,
                      .route_wanted = on_wanted,
                      .flushed = on_flushed},
    };
    return weft__exec_open(&desc, &exec);
}

static int do_routes(char **words, int n)
{
    struct weft_exec_process process = {0};
    struct weft_exec_route route = {0};
    bool is_process = strcmp(words[0], "process") == 0;
    if (n < 4 && (n < 3 || !is_process))
        return weft_fail(WEFT_EINVAL, "%s wants more", words[0]);
    if (is_process)
        process = (struct weft_exec_process){(uint32_t)atoi(words[1]), words[1], words[2]};
    else
        route = (struct weft_exec_route){atoi(words[1]), (uint32_t)atoi(words[2]),
                                         (uint32_t)atoi(words[3])};
    return weft__exec_routes(exec, &process, is_process, &route, !is_process);
}

static int do_pull(int32_t rank, const char *hex)
{
    size_t len = strlen(hex) / 2;
    unsigned char *bytes = malloc(len ? len : 1);
    for (size_t i = 0; i < len; i++) {
        unsigned value;
        sscanf(hex + 2 * i, "%2x", &value);
        bytes[i] = (unsigned char)value;
    }
    int err = weft__exec_pull(
        exec, &(struct weft_exec_pull){rank, bytes, len, on_pulled, (void *)(intptr_t)rank});
    free(bytes);
    return err;
}

/* Commands of the form NAME RANK [INCARNATION]. */
static int do_rank(const char *name, int32_t rank, const char *more)
{
    uint32_t number = more ? (uint32_t)atoi(more) : 0;
    if (strcmp(name, "add") == 0)
        return weft__exec_add_ranks(exec, &rank, 1, number);
    if (strcmp(name, "start") == 0)
        return weft__exec_start(exec, &rank, 1);
    if (strcmp(name, "freeze") == 0)
        return weft__exec_freeze(exec, rank, on_frozen, (void *)(intptr_t)rank);
    if (strcmp(name, "cancel") == 0)
        return weft__exec_freeze_cancel(exec, rank);
    if (strcmp(name, "thaw") == 0)
        return weft__exec_thaw(exec, rank, number);
    if (strcmp(name, "reserve") == 0)
        return weft__exec_reserve(exec, rank);
    if (strcmp(name, "resume") == 0)
        return weft__exec_resume(exec, rank, number);
    if (strcmp(name, "discard") == 0)
        return weft__exec_discard(exec, rank);
    if (strcmp(name, "pull") == 0)
        return do_pull(rank, more);
    return weft_fail(WEFT_EINVAL, "no command %s", name);
}

static int do_state(int32_t number)
{
    struct weft_exec_rank rank;
    int err = weft__exec_rank(exec, number, &rank);
    if (!err)
        say("ok %s %u", weft__exec_state_name(rank.state), rank.incarnation);
    return err ? err : 1;
}

static int do_stats(void)
{
    struct weft_exec_stats stats;
    weft__exec_stats(exec, &stats);
    say("ok sent %" PRIu64 " received %" PRIu64 " direct %" PRIu64 " forwarded %" PRIu64
        " nacked %" PRIu64 " duplicates %" PRIu64 " held %" PRIu64 " dropped %" PRIu64
        " retransmitted %" PRIu64 " acks %" PRIu64 " gets %" PRIu64 " restarted %" PRIu64
        " malformed %" PRIu64,
        stats.sent, stats.received, stats.direct, stats.forwarded, stats.nacked, stats.duplicates,
        stats.held, stats.dropped, stats.retransmitted, stats.acks, stats.gets,
        stats.gets_restarted, stats.malformed);
    return 1;
}

/* What a rank and a peer have exchanged in the times that the rank was here, as far as it was asked
 * here. */
static int do_traffic(int32_t rank, int32_t peer)
{
    static struct weft_exec_traffic totals[RANKS_MAX][RANKS_MAX];
    struct weft_exec_traffic news[RANKS_MAX], *total = &totals[rank][peer];
    size_t n = weft__exec_traffic(exec, rank, news);
    for (size_t i = 0; i < n; i++) {
        struct weft_exec_traffic *to = &totals[rank][news[i].peer];
        to->sent_bytes += news[i].sent_bytes;
        to->sent += news[i].sent;
        to->got_bytes += news[i].got_bytes;
        to->got += news[i].got;
    }
    say("ok %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64, total->sent_bytes, total->sent,
        total->got_bytes, total->got);
    return 1;
}

/* 0: ok; 1: answered already; < 0: an error. */
static int obey(char **words, int n)
{
    if (strcmp(words[0], "open") == 0) {
        int err = do_open(words, n);
        if (!err)
            say("ok %s", weft__exec_lane_address(exec));
        return err ? err : 1;
    }
    if (!exec)
        return weft_fail(WEFT_EINVAL, "not open");
    if (strcmp(words[0], "process") == 0 || strcmp(words[0], "route") == 0)
        return do_routes(words, n);
    if (strcmp(words[0], "stats") == 0)
        return do_stats();
    if (strcmp(words[0], "close") == 0) {
        int err = weft__exec_close(exec, 30000);
        exec = err ? exec : NULL;
        return err;
    }
    if (n < 2)
        return weft_fail(WEFT_EINVAL, "no command %s", words[0]);
    if (strcmp(words[0], "state") == 0)
        return do_state(atoi(words[1]));
    if (strcmp(words[0], "traffic") == 0 && n == 3)
        return do_traffic(atoi(words[1]), atoi(words[2]));
    if (strcmp(words[0], "dead") == 0) {
        weft__exec_process_dead(exec, (uint32_t)atoi(words[1]));
        return 0;
    }
    if (strcmp(words[0], "depart") == 0 && n == 4)
        return weft__exec_depart(exec,
                                 &(struct weft_exec_route){atoi(words[1]), (uint32_t)atoi(words[2]),
                                                           (uint32_t)atoi(words[3])});
    return do_rank(words[0], atoi(words[1]), n > 2 ? words[2] : NULL);
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    weft__ofi_reset_signals();
    if (weft__config_load() != WEFT_OK) /* for WEFT_LANES */
        return 2;
    while (getline(&line, &room, stdin) > 0) {
        char *words[WORDS_MAX + 1], *rest = NULL;
        int n = 0;
        for (char *word = strtok_r(line, " \n", &rest); word && n < WORDS_MAX;
             word = strtok_r(NULL, " \n", &rest))
            words[n++] = word;
        words[n] = NULL;
        if (n == 0)
            continue;
        int err = obey(words, n);
        if (err < 0)
            say("err %d %s", err, weft_fail_text(err));
        else if (err == 0)
            say("ok");
    }
    free(line);
    if (exec && weft__exec_close(exec, 1000) != 0)
        _exit(3);
    return 0;
}
