/* A piece is read only when the one before has been taken, so what nobody wants stays where it is:
 * in the file, the pipe or the terminal. The home is told the offset of each piece, and says where
 * it wants to go on, so a piece that had to be sent again is not there twice.
 *
 * In the background a terminal is not read: the thread blocks SIGTTIN, so that the attempt is an
 * error instead of the end of everything's progress, and is made again later. */
#include "cli/input.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "host/calls.h"
#include "host/input.h"
#include "wire/message.h"

enum { WAIT_MS = 1000, TIMEOUT_MS = 3000, RETRY_MS = 100, BACKGROUND_MS = 300 };

/* Waits for so long, or (-1) until there is input. Returns whether it is to stop. */
static bool rest(const struct cli_input *input, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = input->stop, .events = POLLIN},
                            {.fd = STDIN_FILENO, .events = POLLIN}};
    (void)poll(fds, timeout_ms < 0 ? 2 : 1, timeout_ms);
    return fds[0].revents != 0;
}

/* Returns how much there is; 0: nothing more comes; -1: it is to stop. */
static ssize_t read_piece(const struct cli_input *input, uint8_t bytes[WEFT_INPUT_PIECE])
{
    while (!rest(input, -1)) {
        ssize_t n = read(STDIN_FILENO, bytes, WEFT_INPUT_PIECE);
        if (n >= 0)
            return n;
        bool background = errno == EIO && isatty(STDIN_FILENO);
        if (!background && errno != EINTR && errno != EAGAIN)
            return 0;
        if (background && rest(input, BACKGROUND_MS))
            break;
    }
    return -1;
}

enum outcome { STOP, AGAIN, TAKEN };

/* One attempt; no bytes: the end. */
static enum outcome push(struct cli_input *input, const uint8_t *bytes, size_t len,
                         size_t *taken_out)
{
    Weft__Host__InputPush request = WEFT__HOST__INPUT_PUSH__INIT;
    ProtobufCMessage *message = NULL;
    request.app = input->app;
    request.offset = input->offset;
    request.input = (ProtobufCBinaryData){.len = len, .data = (uint8_t *)(uintptr_t)bytes};
    request.at_end = len == 0;
    request.wait_ms = WAIT_MS;
    struct weft_client_call call = {.url = input->cli->url,
                                    .code = WEFT_CALL_INPUT,
                                    .request = &request.base,
                                    .reply_type = &weft__host__input_reply__descriptor,
                                    .timeout_ms = TIMEOUT_MS};
    int err = weft__client_wait(input->cli->client, &call, &message);
    if (err != WEFT_OK)
        return err == WEFT_ENOENT || err == WEFT_ERANGE || rest(input, RETRY_MS) ? STOP : AGAIN;
    const Weft__Host__InputReply *reply = (const Weft__Host__InputReply *)message;
    uint64_t next = reply->next_offset, taken = next - input->offset;
    bool closed = reply->closed;
    weft__message_free(message);
    if (closed || taken > len || rest(input, 0))
        return STOP;
    input->offset = next;
    *taken_out = (size_t)taken;
    return taken > 0 || len == 0 ? TAKEN : AGAIN;
}

/* Returns whether more is wanted. */
static bool push_all(struct cli_input *input, const uint8_t *bytes, size_t len)
{
    size_t done = 0;
    enum outcome outcome;
    do {
        size_t taken = 0;
        outcome = push(input, bytes + done, len - done, &taken);
        done += taken;
    } while (outcome == AGAIN || (outcome == TAKEN && done < len));
    return outcome == TAKEN && len > 0;
}

static void *forward(void *arg)
{
    static uint8_t bytes[WEFT_INPUT_PIECE];
    struct cli_input *input = arg;
    ssize_t len;
    do
        len = read_piece(input, bytes);
    while (len >= 0 && push_all(input, bytes, (size_t)len));
    return NULL;
}

void cli_input_start(struct cli_input *input, const struct cli *cli, uint64_t app)
{
    sigset_t all, before;
    *input = (struct cli_input){.cli = cli, .app = app};
    input->stop = eventfd(0, EFD_CLOEXEC);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = input->stop < 0 ? errno : pthread_create(&input->thread, NULL, forward, input);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    input->runs = error == 0;
    if (error)
        fprintf(stderr, "weft run: the standard input is not read: %s\n", strerror(error));
}

void cli_input_stop(struct cli_input *input)
{
    const uint64_t one = 1;
    if (!input->runs)
        return;
    if (write(input->stop, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(input->thread, NULL);
    close(input->stop);
    input->runs = false;
}
