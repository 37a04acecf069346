/* weft run: starts a program on the cluster, shows what it prints, ends with its exit code. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/parse.h"
#include "cli/app_home.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/input.h"
#include "cli/places.h"
#include "cli/timeline.h"
#include "host/calls.h"
#include "wire/message.h"

enum { ENV_MAX = 256, WAIT_MS = 1000, SILENCE_MS = 2000, RETRY_US = 100000, ASK_MS = 30000 };

static const char usage[] =
    "Usage: weft run [OPTION]... PROGRAM [ARGUMENT]...\n"
    "\n"
    "Runs PROGRAM (linked with weftcc) as an app of N ranks and shows what they print. A name\n"
    "without a folder is looked for in this folder, then in PATH.\n"
    "\n"
    "  -n N                 number of ranks (default: 1, or as many as --place has places)\n"
    "  --hosts N            start N hosts on this machine for this run\n"
    "  --slots N            with --hosts: slots of each host\n"
    "  --at HOST            address[:port] of the host that the app is at home on (default: "
    "WEFT_HOST)\n"
    "  --migrate[=S]        look for a better placement every S seconds (default: 1) and move "
    "ranks\n"
    "  --policy POLICY      what better means: bin-pack (fewer hosts, then fewer pairs of ranks "
    "on\n"
    "                       different hosts), empty-hosts (more hosts that nobody uses), compact\n"
    "                       (the same, and no other tenant beside it on a host) or spot (no moves\n"
    "                       but from hosts that are about to go; into the store, if there is no "
    "room)\n"
    "  --tenant NAME        whose app it is (default: WEFT_TENANT, else your user name)\n"
    "  --expect S           the app will run for about S seconds in all: whether moves pay "
    "depends\n"
    "                       on that (default: as long again as it has run)\n"
    "  --hint HINT          NORMAL (home first), FORCE_LOCAL (home only), NEVER_ALONE (two ranks\n"
    "                       on a host, or none), UNDERFULL (half of home at first), PACKED (as\n"
    "                       few hosts as can be), CACHED (where the same program had as many\n"
    "                       ranks last time)\n"
    "  --place LIST         these places for the ranks, in their order, or none: HOST[:N],...;\n"
    "                       @FILE reads them from there, a line or more, # begins a comment\n"
    "  --trace[=FILE]       keep the messages around each move, for weft timeline; with FILE its\n"
    "                       picture is written there when the app has ended\n"
    "  --process            each rank is a process of its own: it may have threads and children, "
    "and\n"
    "                       any debugger, and is not moved\n"
    "  --oversubscribe      the home host may take more ranks than it has slots\n"
    "  --rank-memory SIZE   address range of a rank, a power of two from 1G to 1T (default: "
    "WEFT_RANK_MEMORY)\n"
    "  -x NAME=VALUE        set in the environment of the ranks; -x NAME passes ours on.\n"
    "                       The only way for settings too (-x WEFT_DATA=zmq): ranks have\n"
    "                       the environment of their host's weftd, as hosts may differ\n"
    "  --stdin RANK         the rank that reads our standard input (default: 0), or none\n"
    "  --json FILE          write what happened there when the app has ended (-: to stdout)\n"
    "  --id-file FILE       write the app's id there as soon as it runs\n"
    "  --help\n"
    "\n"
    "Exit codes: 0 ok, 1 the app failed, 2 usage, 3 a host or the network failed, 4 refused.\n";

struct run {
    Weft__Host__RunRequest request;
    char *env[ENV_MAX];
    char program[PATH_MAX];
    char cwd[PATH_MAX];
    const char *at, *json, *id_file, *timeline;
    FILE *ids;          /* NULL: nobody wants the id */
    bool frozen;        /* as the user was told last */
    bool output_failed; /* what the ranks print can no longer be shown */
    uint64_t hosts, slots;
    int64_t input_rank; /* that reads our standard input; -1: none */
    struct cli_input input;
    struct cli_places places;
    struct cli cli;
    struct cli_cluster cluster;
    uint64_t app;
    json_t *host_list;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

enum {
    OPT_HOSTS = 256,
    OPT_SLOTS,
    OPT_AT,
    OPT_MIGRATE,
    OPT_EXPECT,
    OPT_HINT,
    OPT_POLICY,
    OPT_PLACE,
    OPT_TENANT,
    OPT_OVER,
    OPT_PROCESS,
    OPT_TRACE,
    OPT_MEMORY,
    OPT_JSON,
    OPT_ID,
    OPT_STDIN
};
static const struct option options[] = {{"hosts", required_argument, NULL, OPT_HOSTS},
                                        {"slots", required_argument, NULL, OPT_SLOTS},
                                        {"at", required_argument, NULL, OPT_AT},
                                        {"migrate", optional_argument, NULL, OPT_MIGRATE},
                                        {"expect", required_argument, NULL, OPT_EXPECT},
                                        {"hint", required_argument, NULL, OPT_HINT},
                                        {"policy", required_argument, NULL, OPT_POLICY},
                                        {"place", required_argument, NULL, OPT_PLACE},
                                        {"tenant", required_argument, NULL, OPT_TENANT},
                                        {"oversubscribe", no_argument, NULL, OPT_OVER},
                                        {"process", no_argument, NULL, OPT_PROCESS},
                                        {"trace", optional_argument, NULL, OPT_TRACE},
                                        {"rank-memory", required_argument, NULL, OPT_MEMORY},
                                        {"json", required_argument, NULL, OPT_JSON},
                                        {"id-file", required_argument, NULL, OPT_ID},
                                        {"stdin", required_argument, NULL, OPT_STDIN},
                                        {"help", no_argument, NULL, 'h'},
                                        {0}};

static int take_env(struct run *run, char *text)
{
    if (run->request.n_env == ENV_MAX)
        return weft_fail(WEFT_ERANGE, "at most %d -x options", ENV_MAX);
    if (strchr(text, '=') == NULL) {
        const char *value = getenv(text);
        char *pair;
        if (value == NULL)
            return weft_fail(WEFT_EINVAL, "-x %s: no such variable here", text);
        if (asprintf(&pair, "%s=%s", text, value) < 0)
            return WEFT_ENOMEM;
        text = pair; /* lives until the process ends */
    }
    run->env[run->request.n_env++] = text;
    return WEFT_OK;
}

static int take_migrate(struct run *run, const char *text)
{
    char *end;
    double seconds = text != NULL ? strtod(text, &end) : 1.0;
    bool fits = seconds == 0.0 || (seconds >= 0.001 && seconds <= 86400.0); /* NaN does not */
    if (text != NULL && (*end != '\0' || end == text || !fits))
        return weft_fail(WEFT_EINVAL,
                         "--migrate=%s: 0 (never), or 0.001 to 86400 seconds, is wanted", text);
    run->request.migrate_ms = (uint32_t)(seconds * 1000.0);
    return WEFT_OK;
}

static int take_expect(struct run *run, const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (*end != '\0' || end == text || !(seconds >= 0.001 && seconds <= 1e9))
        return weft_fail(WEFT_EINVAL, "--expect %s: 0.001 to 1e9 seconds are wanted", text);
    run->request.expect_ms = (uint64_t)(seconds * 1000.0);
    return WEFT_OK;
}

static int take_stdin(struct run *run, const char *text)
{
    uint64_t rank = 0;
    bool none = strcmp(text, "none") == 0;
    int err = none ? WEFT_OK : weft__parse_u64(text, 0, 65535, &rank);
    if (err == WEFT_OK)
        run->input_rank = none ? -1 : (int64_t)rank;
    return err;
}

static int take(struct run *run, int option)
{
    uint64_t number;
    int err = WEFT_OK;
    switch (option) {
    case 'n':
        if (strcmp(optarg, "p") == 0)
            return weft_fail(WEFT_EINVAL, "-np: the number of ranks is -n here, as in -n 4");
        err = weft__parse_u64(optarg, 1, 65536, &number);
        if (err == WEFT_OK)
            run->request.ranks = (uint32_t)number;
        return err;
    case 'x':
        return take_env(run, optarg);
    case OPT_HOSTS:
        return weft__parse_u64(optarg, 1, CLI_CLUSTER_MAX, &run->hosts);
    case OPT_SLOTS:
        return weft__parse_u64(optarg, 0, 65535, &run->slots);
    case OPT_AT:
        run->at = optarg;
        return WEFT_OK;
    case OPT_MIGRATE:
        return take_migrate(run, optarg);
    case OPT_EXPECT:
        return take_expect(run, optarg);
    case OPT_HINT:
        run->request.hint = optarg;
        return WEFT_OK;
    case OPT_POLICY:
        run->request.policy = optarg;
        return WEFT_OK;
    case OPT_PLACE:
        return cli_places_read(optarg, &run->places);
    case OPT_TENANT:
        run->request.tenant = optarg;
        return WEFT_OK;
    case OPT_OVER:
        run->request.oversubscribe = true;
        return WEFT_OK;
    case OPT_PROCESS:
        run->request.processes = true;
        return WEFT_OK;
    case OPT_TRACE:
        run->request.trace = true;
        run->timeline = optarg;
        return WEFT_OK;
    case OPT_MEMORY:
        return weft__parse_size(optarg, 1ull << 30, 1ull << 40, &run->request.rank_memory);
    case OPT_STDIN:
        return take_stdin(run, optarg);
    case OPT_JSON:
        run->json = optarg;
        return WEFT_OK;
    default:
        run->id_file = optarg;
        return WEFT_OK;
    }
}

/* Without -n there are as many ranks as places, or one. */
static bool take_places(struct run *run)
{
    uint64_t places = run->places.ranks;
    if (run->request.ranks == 0)
        run->request.ranks = places != 0 ? (uint32_t)places : 1;
    run->request.places = run->places.items;
    run->request.n_places = run->places.n;
    return places == 0 || places == run->request.ranks;
}

/* Whose app it is, where nobody has said. */
static char *default_tenant(void)
{
    static char name[WEFT_REGISTRY_TENANT_MAX];
    const char *set = weft__config_text("WEFT_TENANT");
    const struct passwd *user = set[0] == '\0' ? getpwuid(geteuid()) : NULL;
    if (set[0] != '\0')
        return weft__message_text(set);
    if (user != NULL && strlen(user->pw_name) < sizeof(name))
        snprintf(name, sizeof(name), "%s", user->pw_name);
    else
        snprintf(name, sizeof(name), "uid %u", (unsigned)geteuid());
    return name;
}

static bool is_program(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

/* A name without a folder is one of this folder, else of PATH. */
static int find_program(const char *name, char path[PATH_MAX])
{
    char candidate[PATH_MAX];
    const char *at = getenv("PATH");
    struct stat about;
    bool here = access(name, F_OK) == 0 && realpath(name, path) != NULL;
    int err = errno;
    if (here && is_program(path))
        return WEFT_OK;
    while (strchr(name, '/') == NULL && at != NULL && *at != '\0') {
        size_t len = strcspn(at, ":");
        int n = snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)len, at, name);
        if (len > 0 && n < PATH_MAX && access(candidate, X_OK) == 0 && is_program(candidate) &&
            realpath(candidate, path) != NULL)
            return WEFT_OK;
        at += len + (at[len] == ':');
    }
    if (here)
        return weft_fail(WEFT_ENOENT, "%s is no program%s", name,
                         stat(path, &about) == 0 && S_ISDIR(about.st_mode) ? ", but a folder" : "");
    if (strchr(name, '/') == NULL && err == ENOENT)
        return weft_fail(WEFT_ENOENT,
                         "cannot find the program %s: it is neither in this folder nor in PATH",
                         name);
    return weft_fail(WEFT_ENOENT, "cannot find the program %s: %s", name, strerror(err));
}

/* Reads the command line; -1: go on, else the exit code. */
static int read_options(struct run *run, int argc, char **argv)
{
    static char name[] = "weft run"; /* what getopt_long() begins its errors with */
    int option;
    optind = 1;
    argv[0] = name;
    while ((option = getopt_long(argc, argv, "+n:x:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return CLI_OK;
        }
        if (option == '?') {
            fprintf(stderr, "Try 'weft run --help'.\n");
            return CLI_USAGE;
        }
        int err = take(run, option);
        if (err != WEFT_OK)
            return cli_usage("run", "%s", weft_fail_text(err));
    }
    if (optind >= argc)
        return cli_usage("run", "which program?");
    if (run->slots != UINT32_MAX && run->hosts == 0)
        return cli_usage("run", "--slots goes with --hosts; a running weftd has its own");
    if (run->at != NULL && run->hosts != 0)
        return cli_usage("run", "--at and --hosts exclude each other");
    if (!take_places(run))
        return cli_usage("run", "--place has places for %" PRIu64 " ranks, -n says %u",
                         run->places.ranks, run->request.ranks);
    if (run->input_rank >= (int64_t)run->request.ranks)
        return cli_usage("run", "--stdin %" PRId64 ": there are %u ranks", run->input_rank,
                         run->request.ranks);
    if (find_program(argv[optind], run->program) != WEFT_OK)
        return cli_usage("run", "%s", weft_fail_text(WEFT_ENOENT));
    if (getcwd(run->cwd, sizeof(run->cwd)) == NULL)
        return cli_usage("run", "cannot read the current folder: %s", strerror(errno));
    run->request.torture_move = (uint32_t)weft__config_u64("WEFT_TORTURE_MOVE");
    run->request.torture_seed = weft__config_u64("WEFT_TORTURE_SEED");
    if (run->request.tenant[0] == '\0')
        run->request.tenant = default_tenant();
    run->request.has_input = run->input_rank >= 0;
    run->request.input_rank = run->input_rank >= 0 ? (uint32_t)run->input_rank : 0;
    run->request.program = run->program;
    run->request.cwd = run->cwd;
    run->request.env = run->env;
    run->request.args = argv + optind + 1;
    run->request.n_args = (size_t)(argc - optind - 1);
    return -1;
}

static int start(struct run *run)
{
    ProtobufCMessage *message = NULL;
    struct weft_client_call call = {.url = run->cli.url,
                                    .code = WEFT_CALL_RUN,
                                    .request = &run->request.base,
                                    .reply_type = &weft__host__run_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    int code = cli_ask(&run->cli, "run the program", &call, &message);
    if (code == CLI_NETWORK && run->hosts == 0)
        fprintf(stderr, "weft: weft run --hosts N starts N hosts on this machine for the run\n");
    if (code != CLI_OK)
        return code;
    run->app = ((const Weft__Host__RunReply *)message)->app;
    weft__message_free(message);
    if (run->ids != NULL && (fprintf(run->ids, "%" PRIx64 "\n", run->app) < 0 || fflush(run->ids)))
        fprintf(stderr, "weft run: cannot write %s\n", run->id_file);
    return CLI_OK;
}

/* What is written in the end must not turn out then to have no place. */
static int check_files(const struct run *run)
{
    int code = cli_check_file("run", run->json);
    return code == CLI_OK ? cli_check_file("run", run->timeline) : code;
}

/* Empties the file for the id before anything starts: nobody shall read an old one. */
static int open_id_file(struct run *run)
{
    if (run->id_file == NULL)
        return CLI_OK;
    run->ids = fopen(run->id_file, "we");
    return run->ids != NULL
               ? CLI_OK
               : cli_usage("run", "cannot write %s: %s", run->id_file, strerror(errno));
}

/* Whether it was heard. */
static bool ask_kill(struct run *run)
{
    Weft__Host__KillRequest request = WEFT__HOST__KILL_REQUEST__INIT;
    request.app = run->app;
    request.reason = weft__message_text("it was interrupted");
    struct weft_client_call call = {
        .url = run->cli.url, .code = WEFT_CALL_KILL, .request = &request.base, .timeout_ms = 2000};
    return weft__client_wait(run->cli.client, &call, NULL) == WEFT_OK;
}

static bool print(FILE *out, const ProtobufCBinaryData *bytes)
{
    return bytes->len == 0 ||
           (fwrite(bytes->data, 1, bytes->len, out) == bytes->len && fflush(out) == 0);
}

/* When nobody can read the output any more the app ends, as it would behind a closed pipe. */
static void show(struct run *run, const Weft__Host__WaitReply *reply)
{
    bool shown = run->output_failed || print(stdout, &reply->output);
    (void)print(stderr, &reply->errors);
    if (shown)
        return;
    fprintf(stderr, "weft run: cannot write the output: %s; the app is ended\n", strerror(errno));
    run->output_failed = true;
    interrupted = 1;
}

/* Says once that the app lies in the store, and once that it runs again. */
static void show_frozen(struct run *run, const char *frozen)
{
    bool is_frozen = frozen[0] != '\0';
    if (is_frozen != run->frozen)
        fprintf(stderr, "weft run: the app %s%s\n", is_frozen ? "is frozen: " : "runs again",
                frozen);
    run->frozen = is_frozen;
}

static int ended(const Weft__Host__WaitReply *reply)
{
    if (reply->dropped > 0)
        fprintf(stderr,
                "weft run: %" PRIu64 " bytes of output are lost: they were not fetched in time\n",
                reply->dropped);
    if (reply->err == WEFT_OK)
        return CLI_OK;
    fprintf(stderr, "weft run: the app ended: %s\n", reply->reason);
    if (reply->err == WEFT_ENOENT) /* the program */
        return CLI_USAGE;
    return reply->err == WEFT_ECANCELED ? CLI_APP : cli_exit_code(reply->err);
}

/* Shows output until the app has ended, or its home has been silent for too long. Time in which we
 * did not run ourselves (a stopped job) is no silence of the home. */
static int follow(struct run *run)
{
    Weft__Host__WaitRequest request = WEFT__HOST__WAIT_REQUEST__INIT;
    uint64_t silent_ns = 0;
    uint64_t silence_ms = weft__config_u64("WEFT_DEAD_MS") + SILENCE_MS;
    bool killed = false;
    request.app = run->app;
    request.wait_ms = WAIT_MS;
    struct weft_client_call call = {.url = run->cli.url,
                                    .code = WEFT_CALL_WAIT,
                                    .request = &request.base,
                                    .reply_type = &weft__host__wait_reply__descriptor,
                                    .timeout_ms = WAIT_MS + 2000};
    for (;;) {
        ProtobufCMessage *message = NULL;
        uint64_t asked_ns = weft__now_ns();
        int err = weft__client_wait(run->cli.client, &call, &message);
        uint64_t took_ns = weft__now_ns() - asked_ns, most_ns = call.timeout_ms * WEFT_NS_PER_MS;
        silent_ns = err == WEFT_OK ? 0 : silent_ns + (took_ns < most_ns ? took_ns : most_ns);
        const Weft__Host__WaitReply *reply = (const Weft__Host__WaitReply *)message;
        if (err == WEFT_OK) {
            show(run, reply);
            if (!reply->ended)
                show_frozen(run, reply->frozen);
            request.offset = reply->next_offset;
            int code = reply->ended ? ended(reply) : -1;
            weft__message_free(message);
            if (code >= 0)
                return run->output_failed ? CLI_NETWORK : code;
            if (interrupted && !killed)
                killed = ask_kill(run);
        } else if (err == WEFT_ENOENT || silent_ns > silence_ms * WEFT_NS_PER_MS) {
            fprintf(stderr, "weft run: the app is lost: its home host at %s %s\n", run->cli.url,
                    err == WEFT_ENOENT ? "does not know it (any more)" : "does not answer");
            return CLI_NETWORK;
        } else {
            (void)usleep(RETRY_US);
            silent_ns += RETRY_US * 1000ull;
        }
    }
}

static void collect_hosts(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    json_t *list = ctx;
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, cli_host_json(&hosts[i]));
}

static int write_report(struct run *run, int code)
{
    ProtobufCMessage *message = NULL;
    int failed = cli_app(&run->cli, run->cli.url, run->app, false, &message);
    if (failed != CLI_OK)
        return failed;
    json_t *report = cli_app_json(((const Weft__Host__AppsReply *)message)->apps[0]);
    weft__message_free(message);
    json_object_set_new(report, "exit_code", json_integer(code));
    json_object_set(report, "hosts", run->host_list);
    return cli_write_json(run->json, report);
}

/* What was asked for beside the app's own output; code: how it ended. */
static int write_files(struct run *run, int code)
{
    int report = run->json != NULL ? write_report(run, code) : CLI_OK;
    int timeline =
        run->timeline != NULL ? cli_timeline_write(&run->cli, run->app, run->timeline) : CLI_OK;
    return report != CLI_OK ? report : timeline;
}

static int run_app(struct run *run)
{
    int code = cli_open(&run->cli, run->hosts != 0 ? run->cluster.head : run->at);
    if (code == CLI_OK && run->json != NULL)
        code = cli_hosts(&run->cli, collect_hosts, run->host_list);
    if (code == CLI_OK)
        code = start(run);
    if (code == CLI_OK) {
        if (run->request.has_input)
            cli_input_start(&run->input, &run->cli, run->app);
        code = follow(run);
        cli_input_stop(&run->input);
        int report = code != CLI_NETWORK ? write_files(run, code) : CLI_OK;
        code = code != CLI_OK ? code : report;
    }
    cli_close(&run->cli);
    return code;
}

int cmd_run(int argc, char **argv)
{
    static struct run run; /* large, and one per process */
    struct sigaction action = {.sa_handler = on_interrupt};
    weft__host__run_request__init(&run.request);
    run.slots = UINT32_MAX;
    int code = read_options(&run, argc, argv);
    if (code >= 0)
        return code;
    code = check_files(&run);
    if (code == CLI_OK)
        code = open_id_file(&run);
    if (code != CLI_OK)
        return code;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write: show() */
    run.host_list = json_array();
    code = run.hosts != 0
               ? cli_cluster_start(&run.cluster, (unsigned)run.hosts, (uint32_t)run.slots)
               : CLI_OK;
    if (code == CLI_OK)
        code = run_app(&run);
    cli_cluster_stop(&run.cluster);
    json_decref(run.host_list);
    if (run.ids != NULL)
        (void)fclose(run.ids);
    return code;
}
