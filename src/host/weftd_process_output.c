/* What an app process prints, on its way to the home.
 *
 * stdout and stderr are pipes that are read only while no piece is under way: a home that does not
 * take more slows the process, nothing grows. A home that is too busy, late with its answer or out
 * of reach is asked again, and by the piece's number it knows one that it has already. A piece is
 * dropped when the home refuses it, or when the process has been given up because the home was not
 * heard; then the end of the process is no good one, see weftd_end.c. Before ranks leave for good
 * their home asks for what they have printed: it would be lost with this host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/must.h"
#include "control/server.h"
#include "host/calls.h"
#include "host/output.h"
#include "host/weftd_process.h"

enum { TIMEOUT_MS = 10000, RETRY_MS = 100, TRIES_GIVEN_UP = 2, LINE_MS = 100 };

static void stream_watch(struct weft_process_stream *stream, bool on)
{
    struct weft_loop *loop = stream->process->host->asker.loop;
    if (stream->watch.fd < 0 || stream->watched == on)
        return;
    stream->watched = on;
    if (on)
        (void)weft__loop_watch(loop, &stream->watch, EPOLLIN);
    else
        weft__loop_unwatch(loop, &stream->watch);
}

static void stream_close(struct weft_process_stream *stream)
{
    stream_watch(stream, false);
    if (stream->watch.fd >= 0)
        close(stream->watch.fd);
    stream->watch.fd = -1;
}

/* How much of the bytes goes on now: whole lines, so that lines of several hosts do not mix. One
 * that has begun goes on a little later if it has not ended by then: somebody may be asked. */
static size_t whole_lines(const struct weft_process_stream *stream, const uint8_t *bytes,
                          size_t len)
{
    if (stream->watch.fd < 0 || stream->process->reaped || len == WEFT_OUTPUT_PIECE ||
        stream->owed > 0)
        return len;
    const uint8_t *end = memrchr(bytes, '\n', len);
    return end != NULL ? (size_t)(end - bytes) + 1 : 0;
}

/* Reads what there is, at most a piece; closes the stream at its end. After the process has been
 * reaped nothing is waited for: who else has the pipe is not of the app. */
static size_t stream_read(struct weft_process_stream *stream, uint8_t *into)
{
    if (stream->watch.fd < 0)
        return 0;
    size_t len = stream->rest_len;
    memcpy(into, stream->rest, len);
    ssize_t n = read(stream->watch.fd, into + len, WEFT_OUTPUT_PIECE - len);
    if (n > 0)
        len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR) || stream->process->reaped)
        stream_close(stream);
    size_t now = whole_lines(stream, into, len);
    stream->owed -= now < stream->owed ? now : stream->owed;
    stream->rest_len = len - now;
    memcpy(stream->rest, into + now, stream->rest_len);
    return now;
}

static void piece_free(struct weft_process *process)
{
    free(process->piece);
    process->piece = NULL;
}

/* Whether the home may yet take the piece. When the home is heard no more the process is given up.
 */
static bool piece_has_hope(struct weft_process *process, int err)
{
    if (process->host->stopping)
        return false;
    if (err == WEFT_EAGAIN)
        return true;
    if (err != WEFT_ETIMEDOUT && weft_error_damage(err) != WEFT_DAMAGE_PEER)
        return false;
    return !process->given_up || ++process->piece_tries < TRIES_GIVEN_UP;
}

static void piece_taken(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_process *process = ctx;
    (void)reply;
    if (err != WEFT_OK && piece_has_hope(process, err)) {
        weft__loop_timer(process->host->asker.loop, &process->piece_timer,
                         weft__now_ns() + RETRY_MS * WEFT_NS_PER_MS);
        return;
    }
    if (err != WEFT_OK) {
        process->output_lost = true;
        weft__warn("app %llx: its home did not take a piece of output: %s",
                   (unsigned long long)process->app, text);
    }
    piece_free(process);
    weft__weftd_streams_go_on(process);
}

static void piece_send(struct weft_process *process)
{
    const struct weft_guest *guest = process->guest;
    Weft__Host__OutputPush push = WEFT__HOST__OUTPUT_PUSH__INIT;
    push.app = process->app;
    push.host = process->host->name;
    push.token = guest->token;
    push.process = process->number;
    push.piece = process->piece_number;
    push.output = (ProtobufCBinaryData){.len = process->piece_out_len, .data = process->piece};
    push.errors = (ProtobufCBinaryData){.len = process->piece_err_len,
                                        .data = process->piece + process->piece_out_len};
    weft__ask(&process->host->asker,
              &(struct weft_question){.url = guest->home_control,
                                      .code = WEFT_CALL_OUTPUT,
                                      .request = &push.base,
                                      .timeout_ms = TIMEOUT_MS,
                                      .lost_ms = (uint32_t)weft__config_u64("WEFT_DEAD_MS"),
                                      .answered = piece_taken,
                                      .ctx = process});
}

static void piece_again(struct weft_timer *timer)
{
    piece_send(weft__loop_owner(timer, struct weft_process, piece_timer));
}

/* Reads a piece; false: there is nothing now. */
static bool piece_read(struct weft_process *process)
{
    static uint8_t bytes[2 * WEFT_OUTPUT_PIECE]; /* the owner thread's */
    process->piece_out_len = stream_read(&process->out, bytes);
    process->piece_err_len = stream_read(&process->err, bytes + process->piece_out_len);
    size_t len = process->piece_out_len + process->piece_err_len;
    if (len > 0) {
        process->piece = weft__must_copy(bytes, len);
        process->piece_number++;
    }
    return len > 0;
}

/* The next piece that somebody takes. The home was heard no more, and has not taken one: what comes
 * after that is dropped without asking, or each piece would hold up the end for as long. */
static bool piece_next(struct weft_process *process)
{
    bool for_nobody = process->given_up && process->output_lost;
    bool any = piece_read(process);
    while (any && for_nobody) {
        piece_free(process);
        any = piece_read(process);
    }
    return any;
}

/* Of a stream that has been closed nothing is owed any more. */
static bool is_owed(const struct weft_process_stream *stream)
{
    return stream->owed > 0 && stream->watch.fd >= 0;
}

/* No piece is under way. */
static void hand_over_look(struct weft_process *process)
{
    struct weft_call *call = process->hand_over;
    if (call == NULL || is_owed(&process->out) || is_owed(&process->err))
        return;
    process->hand_over = NULL;
    if (process->output_lost)
        weft__call_fail(call, WEFT_EIO, "not all that it printed came to its home");
    else
        weft__call_reply(call, NULL);
}

static void let_go(struct weft_process_stream *stream)
{
    if (stream->owed < stream->rest_len)
        stream->owed = stream->rest_len;
}

static void line_is_late(struct weft_timer *timer)
{
    struct weft_process *process = weft__loop_owner(timer, struct weft_process, line_timer);
    let_go(&process->out);
    let_go(&process->err);
    weft__weftd_streams_go_on(process);
}

/* A line has begun and not ended. */
static void line_watch(struct weft_process *process)
{
    struct weft_loop *loop = process->host->asker.loop;
    if (process->out.rest_len == 0 && process->err.rest_len == 0)
        weft__loop_timer_off(loop, &process->line_timer);
    else if (!process->line_timer.armed)
        weft__loop_timer(loop, &process->line_timer, weft__now_ns() + LINE_MS * WEFT_NS_PER_MS);
}

/* Nothing comes back here: its home is told of its end once. */
static void over(struct weft_process *process)
{
    weft__loop_timer_off(process->host->asker.loop, &process->line_timer);
    weft__weftd_process_over(process);
}

void weft__weftd_streams_go_on(struct weft_process *process)
{
    if (process->piece != NULL)
        return;
    hand_over_look(process);
    bool any = piece_next(process);
    if (!any && process->reaped) /* the first look may have closed only one of the two */
        any = piece_next(process);
    stream_watch(&process->out, !any);
    stream_watch(&process->err, !any);
    if (any)
        piece_send(process);
    else if (!process->reaped)
        line_watch(process);
    else
        over(process);
}

/* What there is of it now. */
static void stream_owe(struct weft_process_stream *stream)
{
    int waiting = 0;
    if (stream->watch.fd >= 0 && ioctl(stream->watch.fd, FIONREAD, &waiting) == 0)
        stream->owed = stream->rest_len + (size_t)waiting;
}

void weft__weftd_streams_hand_over(struct weft_process *process, struct weft_call *call)
{
    if (process->hand_over != NULL)
        weft__call_fail(process->hand_over, WEFT_ECANCELED, "asked again");
    process->hand_over = call;
    stream_owe(&process->out);
    stream_owe(&process->err);
    if (!process->reaped)
        weft__weftd_streams_go_on(process);
    else if (process->piece == NULL) /* all is handed over, its home is being told of its end */
        hand_over_look(process);
}

static bool stream_idle(const struct weft_process_stream *stream)
{
    int waiting = 0;
    return stream->rest_len == 0 &&
           (stream->watch.fd < 0 ||
            (ioctl(stream->watch.fd, FIONREAD, &waiting) == 0 && waiting == 0));
}

bool weft__weftd_streams_idle(const struct weft_process *process)
{
    return process->piece == NULL && !process->output_lost && stream_idle(&process->out) &&
           stream_idle(&process->err);
}

static void stream_ready(struct weft_watch *watch, uint32_t events)
{
    (void)events;
    weft__weftd_streams_go_on(weft__loop_owner(watch, struct weft_process_stream, watch)->process);
}

void weft__weftd_streams_init(struct weft_process *process)
{
    process->out = process->err = (struct weft_process_stream){
        .watch = {.ready = stream_ready, .fd = -1}, .process = process};
    process->piece_timer.fire = piece_again;
    process->line_timer.fire = line_is_late;
}

void weft__weftd_streams_open(struct weft_process *process, int out, int err)
{
    process->out.watch.fd = out;
    process->err.watch.fd = err;
    stream_watch(&process->out, true);
    stream_watch(&process->err, true);
}

void weft__weftd_streams_close(struct weft_process *process)
{
    weft__loop_timer_off(process->host->asker.loop, &process->piece_timer);
    weft__loop_timer_off(process->host->asker.loop, &process->line_timer);
    stream_close(&process->out);
    stream_close(&process->err);
    piece_free(process);
    hand_over_look(process);
}
