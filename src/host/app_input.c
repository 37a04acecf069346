/* Standard input for the rank that reads it: it names the byte that it wants next, and whatever the
 * home has from there on is put into its socket.
 *
 * The home keeps the bytes until a later one is asked for, so what the rank has not read when it
 * moves is asked for again where it goes on, and this socket is forgotten. A wish lives until the
 * home has answered with something; it ends, too, when nobody reads the socket any more.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utlist.h>

#include "base/clock.h"
#include "base/log.h"
#include "host/app.h"
#include "host/calls.h"
#include "weft/error.h"

enum { WAIT_MS = 2000, TIMEOUT_MS = 5000, AGAIN_MS = 100 };

struct weft_input_wish {
    struct weft_task task;
    struct weft_timer again;
    struct weft_input_wish *prev, *next;
    struct weft_process_app *app;
    uint64_t offset;
    int fd;
};

static void ask(struct weft_input_wish *wish);

static void over(struct weft_input_wish *wish)
{
    DL_DELETE(wish->app->input_wishes, wish);
    close(wish->fd);
    free(wish);
}

static bool is_read(const struct weft_input_wish *wish)
{
    struct pollfd end = {.fd = wish->fd};
    return poll(&end, 1, 0) == 0;
}

static void ask_again(struct weft_timer *timer)
{
    ask(weft__loop_owner(timer, struct weft_input_wish, again));
}

static void wait_a_little(struct weft_input_wish *wish)
{
    weft__loop_timer(wish->app->asker.loop, &wish->again,
                     weft__now_ns() + AGAIN_MS * WEFT_NS_PER_MS);
}

/* The socket was empty when the rank asked. What does not fit all the same is asked for again by
 * the rank, but for the first byte: that it has asked for already. */
static void give(struct weft_input_wish *wish, const Weft__Host__TakenInput *taken)
{
    ssize_t n = 0;
    if (taken->input.len > 0)
        n = send(wish->fd, taken->input.data, taken->input.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EPIPE) { /* there is no memory for it now */
        wait_a_little(wish);
        return;
    }
    if (taken->at_end && n == (ssize_t)taken->input.len)
        (void)shutdown(wish->fd, SHUT_WR);
    over(wish);
}

static void answered(void *ctx, int err, const char *text, const ProtobufCMessage *reply)
{
    struct weft_input_wish *wish = ctx;
    const Weft__Host__TakenInput *taken = (const Weft__Host__TakenInput *)reply;
    bool lost = err == WEFT_ENOENT || err == WEFT_EACCES || err == WEFT_ERANGE;
    if (wish->app->closing || lost || !is_read(wish)) {
        if (lost && is_read(wish))
            weft__warn("the standard input cannot be read any further: %s", text);
        (void)shutdown(wish->fd, SHUT_WR);
        over(wish);
    } else if (err == WEFT_OK && (taken->input.len > 0 || taken->at_end)) {
        give(wish, taken);
    } else if (err == WEFT_OK) {
        ask(wish);
    } else {
        wait_a_little(wish);
    }
}

static void ask(struct weft_input_wish *wish)
{
    struct weft_process_app *app = wish->app;
    Weft__Host__InputTake take = WEFT__HOST__INPUT_TAKE__INIT;
    take.app = app->orders->app;
    take.token = app->orders->token;
    take.offset = wish->offset;
    take.wait_ms = WAIT_MS;
    weft__ask(&app->asker,
              &(struct weft_question){.url = app->orders->home_control,
                                      .code = WEFT_CALL_INPUT_TAKE,
                                      .request = &take.base,
                                      .reply_type = &weft__host__taken_input__descriptor,
                                      .timeout_ms = TIMEOUT_MS,
                                      .answered = answered,
                                      .ctx = wish});
}

static void ask_task(struct weft_task *task)
{
    struct weft_input_wish *wish = weft__loop_owner(task, struct weft_input_wish, task);
    DL_APPEND(wish->app->input_wishes, wish);
    ask(wish);
}

bool weft__app_input(void *ctx, uint64_t offset, int fd)
{
    struct weft_process_app *app = ctx;
    struct weft_input_wish *wish = calloc(1, sizeof(*wish));
    if (wish != NULL)
        *wish = (struct weft_input_wish){.task = {.run = ask_task},
                                         .again = {.fire = ask_again},
                                         .app = app,
                                         .offset = offset,
                                         .fd = fd};
    if (wish != NULL && weft__loop_post(app->asker.loop, &wish->task) == WEFT_OK)
        return true;
    free(wish);
    close(fd);
    return false;
}

void weft__app_input_fini(struct weft_process_app *app)
{
    struct weft_input_wish *wish, *next;
    DL_FOREACH_SAFE(app->input_wishes, wish, next)
    {
        close(wish->fd);
        free(wish);
    }
    app->input_wishes = NULL;
}
