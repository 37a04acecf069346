/* weft drain: empties a host, and ends it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parse.h"
#include "cli/cli.h"
#include "host/calls.h"
#include "wire/message.h"

enum { ASK_MS = 5000, POLL_US = 200000, WAIT_S = 600, WAIT_MAX_S = 30 * 86400 };

static const char usage[] =
    "Usage: weft drain [OPTION]... HOST\n"
    "\n"
    "Moves all ranks away from HOST, which takes no new ones, and ends its weftd when nobody is "
    "left.\n"
    "Apps at home on HOST cannot move their home: it waits until they have ended, or are frozen "
    "(those\n"
    "of policy spot are, where HOST has WEFT_SNAPSHOT_DIR). Values of the state service and "
    "snapshots\n"
    "that HOST keeps go with it.\n"
    "\n"
    "  --stay        leave the weftd running, empty\n"
    "  --cancel      HOST takes work again\n"
    "  --timeout S   wait so many seconds (default: 600; 0: do not wait); HOST goes on all the "
    "same\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n"
    "\n"
    "Exit codes: 0 done, 1 something is left, or the drain was cancelled, 2 to 4 as weft (3: HOST "
    "has died before it was "
    "empty).\n";

struct drain {
    struct cli cli;
    Weft__Host__DrainRequest request;
    const char *name;
    char url[WEFT_REGISTRY_URL_MAX]; /* "": the registry does not list it as alive, */
    bool dead;                       /* but as dead: it has not left by itself */
    bool anew;                       /* but one that was started after it */
    uint64_t pid;                    /* of its weftd; 0: not known yet */
    char silence[256];               /* why the last look had no answer; "": it had one */
    uint64_t timeout_s;
    const char *bad; /* a --timeout that is none; NULL: well */
};

static void find(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    struct drain *drain = ctx;
    drain->url[0] = '\0';
    drain->dead = drain->anew = false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(hosts[i].name, drain->name) != 0)
            continue;
        if (drain->pid == 0)
            drain->pid = hosts[i].pid;
        drain->dead = !hosts[i].alive;
        drain->anew = hosts[i].alive && hosts[i].pid != drain->pid;
        if (hosts[i].alive && !drain->anew)
            snprintf(drain->url, sizeof(drain->url), "%s", hosts[i].control);
    }
}

static void show(const struct drain *drain, const Weft__Host__DrainReply *left)
{
    printf("host %s: %" PRIu32 " slots in use, %" PRIu32 " apps at home there\n", drain->name,
           left->used, left->apps);
    fflush(stdout);
}

/* One look at how far it is, the first of which drains it: what somebody else asks for later
 * stands. *done_out: there is nothing more to wait for. */
static int ask(struct drain *drain, Weft__Host__DrainReply *last, bool *done_out)
{
    ProtobufCMessage *message = NULL;
    struct weft_client_call call = {.url = drain->url,
                                    .code = WEFT_CALL_DRAIN,
                                    .request = &drain->request.base,
                                    .reply_type = &weft__host__drain_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    int err = weft__client_wait(drain->cli.client, &call, &message);
    if (err != WEFT_OK) {
        bool gone = err == WEFT_ESHUTDOWN || weft_error_damage(err) == WEFT_DAMAGE_PEER;
        bool leaves = gone && !drain->request.cancel && !drain->request.stay;
        snprintf(drain->silence, sizeof(drain->silence), "%s", weft_fail_text(err));
        if (leaves || err == WEFT_ETIMEDOUT)
            return CLI_OK; /* it may have left or died: the list tells; or it stands still */
        fprintf(stderr, "weft drain: host %s: %s\n", drain->name, weft_fail_text(err));
        return cli_exit_code(err);
    }
    drain->silence[0] = '\0';
    const Weft__Host__DrainReply *left = (const Weft__Host__DrainReply *)message;
    if (left->used != last->used || left->apps != last->apps)
        show(drain, left);
    last->used = left->used;
    last->apps = left->apps;
    bool given_up = drain->request.look && !left->leaving;
    *done_out =
        drain->request.cancel || (drain->request.stay && left->used == 0 && left->apps == 0);
    drain->request.look = true;
    weft__message_free(message);
    if (given_up)
        fprintf(stderr, "weft drain: host %s takes work again: somebody has cancelled its drain\n",
                drain->name);
    return given_up ? CLI_APP : CLI_OK;
}

/* done: as far as was asked for; else the host is not there any more. */
static int end(const struct drain *drain, bool done)
{
    if (!done && drain->dead) {
        fprintf(stderr,
                "weft drain: host %s was declared dead before it was empty: what was left there is "
                "lost\n",
                drain->name);
        return CLI_NETWORK;
    }
    if (!done)
        printf("host %s has left%s\n", drain->name,
               drain->anew ? ", and was started again since" : "");
    return CLI_OK;
}

static int wait_for_it(struct drain *drain)
{
    uint64_t deadline = weft__now_ns() + drain->timeout_s * WEFT_NS_PER_S;
    Weft__Host__DrainReply last = WEFT__HOST__DRAIN_REPLY__INIT;
    last.used = UINT32_MAX;
    for (;;) {
        bool done = false;
        int code = ask(drain, &last, &done);
        if (code == CLI_OK && !done)
            code = cli_hosts(&drain->cli, find, drain);
        if (code != CLI_OK)
            return code;
        if (done || drain->url[0] == '\0')
            return end(drain, done);
        if (weft__now_ns() >= deadline)
            break;
        (void)usleep(POLL_US);
    }
    if (drain->silence[0] != '\0') {
        fprintf(stderr, "weft drain: host %s: %s\n", drain->name, drain->silence);
        return CLI_NETWORK;
    }
    printf("host %s goes on draining; weft drain --cancel %s takes it back\n", drain->name,
           drain->name);
    return CLI_APP;
}

static void option(void *ctx, int letter)
{
    struct drain *drain = ctx;
    if (letter == 's')
        drain->request.stay = true;
    else if (letter == 'c')
        drain->request.cancel = true;
    else if (weft__parse_u64(optarg, 0, WAIT_MAX_S, &drain->timeout_s) != WEFT_OK)
        drain->bad = optarg;
}

int cmd_drain(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT,
                                            CLI_HELP,
                                            {"stay", no_argument, NULL, 's'},
                                            {"cancel", no_argument, NULL, 'c'},
                                            {"timeout", required_argument, NULL, 't'},
                                            {0}};
    struct drain drain = {.request = WEFT__HOST__DRAIN_REQUEST__INIT, .timeout_s = WAIT_S};
    struct cli_command command = {
        .name = "drain", .usage = usage, .options = options, .own = option, .ctx = &drain};
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (drain.bad != NULL)
        return cli_usage("drain", "--timeout %s: 0 to %d seconds are wanted", drain.bad,
                         WAIT_MAX_S);
    if (argc - optind != 1)
        return cli_usage("drain", "which HOST?");
    if (drain.request.cancel && drain.request.stay)
        return cli_usage("drain", "--cancel and --stay exclude each other");
    drain.name = drain.request.host = argv[optind];
    code = cli_open(&drain.cli, command.at);
    if (code == CLI_OK)
        code = cli_hosts(&drain.cli, find, &drain);
    if (code == CLI_OK && drain.url[0] == '\0') {
        fprintf(stderr, "weft drain: no host %s is alive; weft hosts lists those that are\n",
                drain.name);
        code = CLI_REFUSED;
    }
    if (code == CLI_OK)
        code = wait_for_it(&drain);
    cli_close(&drain.cli);
    return code;
}
