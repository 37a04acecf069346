/* Connection, exit codes and JSON for the subcommands. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/cpu.h"
#include "base/parse.h"
#include "host/calls.h"
#include "host/state_dir.h"
#include "wire/message.h"

int cli_exit_code(int err)
{
    switch (err) {
    case WEFT_OK:
        return CLI_OK;
    case WEFT_EAPP:
    case WEFT_ECANCELED:
    case WEFT_EPINNED:
    case WEFT_EBUSY:
        return CLI_APP;
    case WEFT_EINVAL:
    case WEFT_ERANGE:
    case WEFT_ENOEXEC:
        return CLI_USAGE;
    case WEFT_ENOENT: /* who or what was named is not there */
    case WEFT_EEXIST:
    case WEFT_ENOTSUP:
    case WEFT_ENOSLOTS:
    case WEFT_EPERM:
    case WEFT_EACCES:
    case WEFT_EAGAIN:
    case WEFT_EUNKNOWNCALL:
        return CLI_REFUSED;
    default:
        return CLI_NETWORK;
    }
}

int cli_usage(const char *command, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "weft %s: ", command);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry 'weft %s --help'.\n", command);
    return CLI_USAGE;
}

int cli_options(struct cli_command *command, int argc, char **argv)
{
    const char *letters = command->letters != NULL ? command->letters : "h";
    static char name[32]; /* what getopt_long() begins its errors with */
    int option;
    optind = 1;
    snprintf(name, sizeof(name), "weft %s", command->name);
    argv[0] = name;
    while ((option = getopt_long(argc, argv, letters, command->options, NULL)) != -1) {
        if (option == 'h')
            return fputs(command->usage, stdout) < 0 ? CLI_APP : CLI_OK;
        if (option == '?') {
            fprintf(stderr, "Try 'weft %s --help'.\n", command->name);
            return CLI_USAGE;
        }
        if (option == 'a')
            command->at = optarg;
        else if (option == 'j')
            command->json = optarg;
        else
            command->own(command->ctx, option);
    }
    return -1;
}

int cli_open(struct cli *cli, const char *where)
{
    uint16_t first, last;
    memset(cli, 0, sizeof(*cli));
    int err = weft__parse_ports(weft__config_text("WEFT_PORTS"), &first, &last);
    if (err == WEFT_OK)
        err = weft__host_url(where != NULL ? where : weft__config_text("WEFT_HOST"), first,
                             cli->url, sizeof(cli->url));
    if (err == WEFT_OK)
        err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &cli->client);
    if (err == WEFT_OK)
        return CLI_OK;
    fprintf(stderr, "weft: %s\n", weft_fail_text(err));
    return cli_exit_code(err);
}

void cli_close(struct cli *cli)
{
    weft__client_close(cli->client);
    cli->client = NULL;
}

int cli_ask(struct cli *cli, const char *what, const struct weft_client_call *call,
            ProtobufCMessage **reply_out)
{
    int err = weft__client_wait(cli->client, call, reply_out);
    if (err == WEFT_OK)
        return CLI_OK;
    bool silent = err == WEFT_ETIMEDOUT || err == WEFT_EPEERDEAD || err == WEFT_ECONNREFUSED;
    uint32_t retry_ms = weft_fail_retry_ms();
    fprintf(stderr, "weft: cannot %s: %s\n", what, weft_fail_text(err));
    if (retry_ms > 0)
        fprintf(stderr, "weft: try again in %u ms\n", retry_ms);
    if (silent)
        fprintf(stderr,
                "weft: if no weftd runs at %s, start one (weftd), or name another host with --at\n",
                call->url);
    return err == WEFT_ETIMEDOUT ? CLI_NETWORK : cli_exit_code(err);
}

int cli_write_json(const char *path, json_t *value)
{
    errno = 0;
    int failed = strcmp(path, "-") == 0
                     ? json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10))
                     : json_dump_file(value, path, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    if (strcmp(path, "-") == 0)
        printf("\n");
    failed = failed != 0 || fflush(stdout) != 0;
    int reason = errno != 0 ? errno : EIO;
    json_decref(value);
    if (!failed)
        return CLI_OK;
    fprintf(stderr, "weft: cannot write \"%s\": %s\n", path, strerror(reason));
    return CLI_USAGE;
}

int cli_check_file(const char *command, const char *path)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return CLI_OK;
    bool fresh = access(path, F_OK) != 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0 && errno != ENXIO) /* a fifo that nobody reads yet */
        return cli_usage(command, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (fresh && fd >= 0)
        (void)unlink(path);
    return CLI_OK;
}

json_t *cli_move_json(const Weft__Host__MoveInfo *move)
{
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:s, s:I, s:f, s:f, s:f, s:f, "
                     "s:f, s:I, s:I, s:i}",
                     "rank", move->rank, "from", move->from, "to", move->to, "from_pid",
                     (json_int_t)move->from_pid, "to_pid", (json_int_t)move->to_pid, "cause",
                     move->cause, "outcome", move->outcome, "reason", move->reason, "bytes",
                     (json_int_t)move->bytes, "transport", move->transport, "touched_bytes",
                     (json_int_t)move->touched_bytes, "opportunity_ms", move->opportunity_ms,
                     "detected_ms", move->detected_ms, "committed_ms", move->committed_ms,
                     "done_ms", move->done_ms, "pause_ms", move->pause_ms, "forwarded",
                     (json_int_t)move->forwarded, "copied_bytes", (json_int_t)move->copied_bytes,
                     "passes", (int)move->passes);
}

/* JSON takes UTF-8 only; of any other text (a file's name may be one) the other bytes become "?".
 */
static json_t *text_json(const char *text)
{
    char plain[1024];
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    snprintf(plain, sizeof(plain), "%s", text);
    for (char *at = plain; *at != '\0'; at++)
        if (((unsigned char)*at & 0x80u) != 0)
            *at = '?';
    return json_string(plain);
}

static json_t *ranks_json(const Weft__Host__AppInfo *app)
{
    json_t *list = json_array();
    for (size_t i = 0; i < app->n_ranks; i++) {
        const Weft__Host__RankInfo *rank = app->ranks[i];
        json_array_append_new(
            list, json_pack("{s:i, s:s, s:I, s:s, s:I, s:i, s:s, s:i, s:o}", "rank", rank->rank,
                            "host", rank->host, "pid", (json_int_t)rank->pid, "first_host",
                            rank->first_host, "first_pid", (json_int_t)rank->first_pid,
                            "incarnation", (int)rank->incarnation, "state", rank->state, "code",
                            rank->code, "pinned", text_json(rank->pinned)));
    }
    return list;
}

/* Every field of the message is a counter: its name and value. */
static json_t *stats_json(const Weft__Host__ExecStats *stats)
{
    json_t *object = json_object();
    const ProtobufCMessageDescriptor *type = stats->base.descriptor;
    for (unsigned i = 0; i < type->n_fields; i++) {
        uint64_t value;
        memcpy(&value, (const char *)stats + type->fields[i].offset, sizeof(value));
        json_object_set_new(object, type->fields[i].name, json_integer((json_int_t)value));
    }
    return object;
}

static json_t *processes_json(const Weft__Host__AppInfo *app)
{
    json_t *list = json_array();
    for (size_t i = 0; i < app->n_processes; i++) {
        const Weft__Host__ProcessInfo *process = app->processes[i];
        json_t *stats = process->stats != NULL ? stats_json(process->stats) : json_object();
        json_array_append_new(list, json_pack("{s:i, s:s, s:I, s:s, s:i, s:s, s:o}", "process",
                                              (int)process->process, "host", process->host, "pid",
                                              (json_int_t)process->pid, "state", process->state,
                                              "ranks", (int)process->ranks, "transport",
                                              process->transport, "stats", stats));
    }
    return list;
}

json_t *cli_plan_json(const Weft__Host__PlanInfo *plan)
{
    if (plan == NULL || plan->verdict[0] == '\0')
        return json_null();
    return json_pack("{s:s, s:s, s:i, s:f, s:f, s:f, s:I, s:I, s:I, s:I}", "verdict", plan->verdict,
                     "cause", plan->cause, "moves", (int)plan->moves, "gain_ms", plan->gain_ms,
                     "cost_ms", plan->cost_ms, "age_ms", plan->age_ms, "hosts_now",
                     (json_int_t)plan->hosts_now, "hosts_then", (json_int_t)plan->hosts_then,
                     "cross_pairs_now", (json_int_t)plan->cross_pairs_now, "cross_pairs_then",
                     (json_int_t)plan->cross_pairs_then);
}

json_t *cli_app_json(const Weft__Host__AppInfo *app)
{
    char id[24];
    json_t *moves = json_array();
    snprintf(id, sizeof(id), "%" PRIx64, app->app);
    for (size_t i = 0; i < app->n_moves; i++)
        json_array_append_new(moves, cli_move_json(app->moves[i]));
    return json_pack(
        "{s:s, s:o, s:s, s:s, s:i, s:i, s:f, s:I, s:i, s:o, s:i, s:o, s:o, s:o, s:s, "
        "s:s, s:I, s:I, s:o, s:I, s:o, s:o}",
        "app", id, "program", text_json(app->program), "home", app->home, "state", app->state,
        "size", (int)app->size, "migrate_ms", (int)app->migrate_ms, "age_ms", app->age_ms,
        "started_wall_ms", (json_int_t)app->started_wall_ms, "code", app->code, "reason",
        text_json(app->reason), "pending", (int)app->pending, "ranks", ranks_json(app), "moves",
        moves, "processes", processes_json(app), "policy", app->policy, "hint", app->hint, "moved",
        (json_int_t)app->moved, "aborted", (json_int_t)app->aborted, "plan",
        cli_plan_json(app->plan), "frozen_bytes", (json_int_t)app->frozen_bytes, "frozen_where",
        text_json(app->frozen_where), "freeze_note", text_json(app->freeze_note));
}

json_t *cli_host_json(const struct weft_registry_host *host)
{
    char cpu[WEFT_CPU_TEXT_MAX];
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:I, s:b, s:b, s:o, s:b, s:b, s:s}", "name",
                     host->name, "address", host->address, "control", host->control, "slots",
                     (int)host->slots, "used", (int)host->used, "pid", (json_int_t)host->pid,
                     "alive", host->alive, "leaving", host->leaving, "tenant",
                     text_json(host->tenant), "shared", host->shared, "apart", host->apart, "cpu",
                     weft__cpu_text(host->cpu, 0, cpu));
}

struct listing {
    sem_t done;
    int err;
    char text[256];
    void (*each)(void *ctx, const struct weft_registry_host *hosts, size_t n);
    void *ctx;
};

static void listed(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct listing *listing = ctx;
    listing->err = err;
    snprintf(listing->text, sizeof(listing->text), "%s", text != NULL ? text : "");
    if (err == WEFT_OK)
        listing->each(listing->ctx, reply->hosts, reply->hosts_n);
    sem_post(&listing->done);
}

int cli_hosts(struct cli *cli,
              void (*each)(void *ctx, const struct weft_registry_host *hosts, size_t n), void *ctx)
{
    ProtobufCMessage *info = NULL;
    struct weft_client_call ask = {.url = cli->url,
                                   .code = WEFT_CALL_INFO,
                                   .reply_type = &weft__host__info_reply__descriptor,
                                   .timeout_ms = 3000};
    int code = cli_ask(cli, "list the hosts", &ask, &info);
    if (code != CLI_OK)
        return code;
    struct weft_registry_at at = {.client = cli->client,
                                  .url = ((const Weft__Host__InfoReply *)info)->registry,
                                  .timeout_ms = 3000};
    struct listing listing = {.each = each, .ctx = ctx};
    sem_init(&listing.done, 0, 0);
    int err = weft__registry_list(&at, listed, &listing);
    if (err == WEFT_OK)
        while (sem_wait(&listing.done) != 0)
            ; /* a signal came between */
    err = err != WEFT_OK ? err : listing.err;
    if (err != WEFT_OK)
        fprintf(stderr, "weft: cannot list the hosts: the registry at %s does not answer: %s\n",
                at.url, listing.text);
    sem_destroy(&listing.done);
    weft__message_free(info);
    return err != WEFT_OK ? CLI_NETWORK : CLI_OK;
}
