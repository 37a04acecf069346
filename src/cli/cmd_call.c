/* weft call: one request to any service, or to a rank of an app, as bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/app_home.h"
#include "cli/cli.h"
#include "weft/caller.h"
#include "wire/frame.h"

enum { DEFAULT_MS = 10000, MOST_MS = 86400000 };

static const char usage[] =
    "Usage: weft call [OPTION]... URL CODE [BODY|-]\n"
    "       weft call [OPTION]... APP RANK CODE [BODY|-]\n"
    "\n"
    "Calls handler CODE of the service at URL, e.g. tcp://127.0.0.1:9000, or of a rank of an app "
    "(its\n"
    "id, which weft apps lists) wherever the rank is, with the bytes of BODY (-: of the "
    "standard\n"
    "input, nothing: none), and prints the bytes of the reply.\n"
    "\n"
    "  --at HOST      address[:port] of a host of the cluster (default: WEFT_HOST), for APP RANK\n"
    "  --timeout MS   how long to wait for the reply (default: 10000)\n"
    "  --idempotent   the call may run more than once: send it again when its connection breaks "
    "or\n"
    "                 the service is full\n"
    "  --push         send to an async port; there is no reply, and no word whether it arrived\n"
    "\n"
    "Exit codes: 0 ok, 1 the handler failed, 2 to 4 as weft.\n";

struct call_options {
    const char *timeout;
    const char *at;
    bool idempotent;
    bool push;
};

static void take_option(void *ctx, int option)
{
    struct call_options *options = ctx;
    if (option == 't')
        options->timeout = optarg;
    if (option == 'i')
        options->idempotent = true;
    if (option == 'p')
        options->push = true;
}

/* All of the standard input; *body_out: free(). */
static int read_input(char **body_out, size_t *len_bytes_out)
{
    char *body = malloc(WEFT_FRAME_BODY_MAX + 1);
    size_t len_bytes = 0;
    if (body == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for the standard input");
    while (len_bytes <= WEFT_FRAME_BODY_MAX && !feof(stdin) && !ferror(stdin))
        len_bytes += fread(body + len_bytes, 1, WEFT_FRAME_BODY_MAX + 1 - len_bytes, stdin);
    if (ferror(stdin) || len_bytes > WEFT_FRAME_BODY_MAX) {
        free(body);
        return ferror(stdin) ? weft_fail(WEFT_EIO, "cannot read the standard input")
                             : weft_fail(WEFT_EMSGSIZE, "the standard input is over %u bytes",
                                         WEFT_FRAME_BODY_MAX);
    }
    *body_out = body;
    *len_bytes_out = len_bytes;
    return WEFT_OK;
}

static void print_reply(const char *reply, size_t len_bytes)
{
    fwrite(reply, 1, len_bytes, stdout);
    if (isatty(STDOUT_FILENO) && len_bytes > 0 && reply[len_bytes - 1] != '\n')
        putchar('\n');
}

static int call_service(struct weft_client *client, const struct weft_client_call *call)
{
    void *reply;
    size_t len_bytes;
    int err = weft__client_wait_bytes(client, call, &reply, &len_bytes);
    if (err != WEFT_OK)
        return err;
    print_reply(reply, len_bytes);
    free(reply);
    return WEFT_OK;
}

/* The push is the transport's when the client no longer has it. */
static int push_to_service(struct weft_client *client, const struct weft_client_call *call)
{
    struct weft_client_stats stats;
    int err = weft__client_push_bytes(client, call->url, call->code, call->body, call->body_len);
    if (err != WEFT_OK)
        return err;
    do {
        (void)usleep(1000);
        weft__client_stats(client, &stats);
    } while (stats.pushes + stats.pushes_dropped == 0);
    if (stats.pushes_dropped > 0)
        return weft_fail(WEFT_EPEERDEAD, "%s has not taken the push", call->url);
    return WEFT_OK;
}

/* What is called: the service at a url, or (url NULL) a rank of an app. */
struct target {
    const char *url;
    uint64_t app;
    uint64_t rank;
    uint64_t code;
    uint64_t timeout_ms;
    const char *body; /* the word; NULL: there is none */
};

/* The words of the command line. */
static int parse(char **words, int n, const struct call_options *options, struct target *target)
{
    bool is_url = n > 0 && strstr(words[0], "://") != NULL;
    int fixed = is_url ? 2 : 3;
    if (n != fixed && n != fixed + 1)
        return cli_usage("call",
                         "URL and CODE, or APP, RANK and CODE, and perhaps BODY are wanted");
    if (is_url)
        target->url = words[0];
    else if (!cli_parse_app(words[0], &target->app))
        return cli_usage("call", "\"%s\" is no url, e.g. tcp://127.0.0.1:9000, and no app",
                         words[0]);
    if (!is_url && weft__parse_u64(words[1], 0, INT32_MAX, &target->rank) != WEFT_OK)
        return cli_usage("call", "\"%s\" is no rank", words[1]);
    uint64_t most = is_url ? UINT16_MAX : UINT32_MAX;
    if (weft__parse_u64(words[fixed - 1], 0, most, &target->code) != WEFT_OK)
        return cli_usage("call", "\"%s\" is no call code: 0 to %llu", words[fixed - 1],
                         (unsigned long long)most);
    target->timeout_ms = DEFAULT_MS;
    if (options->timeout != NULL &&
        weft__parse_u64(options->timeout, 1, MOST_MS, &target->timeout_ms) != WEFT_OK)
        return cli_usage("call", "--timeout takes 1 to %d milliseconds", MOST_MS);
    if (!is_url && options->push)
        return cli_usage("call", "a rank answers its calls: there is no --push to it");
    target->body = n > fixed ? words[fixed] : NULL;
    return CLI_OK;
}

static int report(int err)
{
    uint32_t retry_ms = weft_fail_retry_ms();
    fprintf(stderr, "weft: the call failed: %s (%s)\n", weft_fail_text(err), weft_error_name(err));
    if (retry_ms > 0)
        fprintf(stderr, "weft: try again in %u ms\n", retry_ms);
    return err == WEFT_ETIMEDOUT ? CLI_NETWORK : cli_exit_code(err);
}

static int call_rank(struct cli *cli, const struct call_options *options,
                     const struct target *target, const struct weft_client_call *call)
{
    struct weft_caller *caller;
    void *reply;
    size_t len_bytes;
    int err = weft_caller_open(cli->client, cli->url, &caller);
    if (err != WEFT_OK)
        return err;
    err = weft_caller_call(
        caller,
        &(struct weft_caller_request){.app = target->app,
                                      .rank = (int32_t)target->rank,
                                      .code = (uint32_t)target->code,
                                      .body = call->body,
                                      .body_bytes = call->body_len,
                                      .timeout_ms = (uint32_t)target->timeout_ms,
                                      .flags = options->idempotent ? WEFT_CLIENT_IDEMPOTENT : 0},
        &reply, &len_bytes);
    if (err == WEFT_OK) {
        print_reply(reply, len_bytes);
        free(reply);
    }
    weft_caller_close(caller);
    return err;
}

static int call_target(struct cli *cli, const struct call_options *options,
                       const struct target *target, struct weft_client_call *call)
{
    if (target->url == NULL)
        return call_rank(cli, options, target, call);
    call->url = target->url;
    call->code = (uint16_t)target->code;
    call->timeout_ms = (uint32_t)target->timeout_ms;
    call->flags = options->idempotent ? WEFT_CLIENT_IDEMPOTENT : 0;
    return options->push ? push_to_service(cli->client, call) : call_service(cli->client, call);
}

static int run(const struct call_options *options, const struct target *target)
{
    struct cli cli;
    struct weft_client_call call = {.body = target->body};
    char *input = NULL;
    int err = WEFT_OK, code;
    if (target->body != NULL && strcmp(target->body, "-") == 0) {
        err = read_input(&input, &call.body_len);
        call.body = input;
    } else if (target->body != NULL) {
        call.body_len = strlen(target->body);
    }
    if (err != WEFT_OK)
        return report(err);
    code = cli_open(&cli, options->at);
    if (code == CLI_OK) {
        err = call_target(&cli, options, target, &call);
        code = err == WEFT_OK ? CLI_OK : report(err);
    }
    cli_close(&cli);
    free(input);
    return code;
}

int cmd_call(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT,
                                            CLI_HELP,
                                            {"timeout", required_argument, NULL, 't'},
                                            {"idempotent", no_argument, NULL, 'i'},
                                            {"push", no_argument, NULL, 'p'},
                                            {0}};
    struct call_options own = {.timeout = NULL};
    struct cli_command command = {.name = "call",
                                  .usage = usage,
                                  .options = options,
                                  .letters = "+h", /* a body may begin with "-" */
                                  .own = take_option,
                                  .ctx = &own};
    struct target target = {.url = NULL};
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    own.at = command.at;
    code = parse(argv + optind, argc - optind, &own, &target);
    return code != CLI_OK ? code : run(&own, &target);
}
