/* weftd: the daemon of one host. */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/config.h"
#include "base/parse.h"
#include "weft/error.h"
#include "weft/host.h"

static const char usage[] =
    "Usage: weftd [OPTION]...\n"
    "\n"
    "Makes this machine a host of a weft cluster. The first one is the head; the others join it "
    "with --head.\n"
    "Needs no root; serves until SIGTERM or SIGINT.\n"
    "\n"
    "  --name NAME         name of the host in the cluster (default: the machine's name)\n"
    "  --address ADDRESS   address of the interface to use (default: 127.0.0.1)\n"
    "  --head ADDR[:PORT]  address of the head host (default: this host is the head)\n"
    "  --ports FIRST-LAST  ports to use (default: WEFT_PORTS)\n"
    "  --slots N           ranks that may run here (default: WEFT_SLOTS, or the usable cores)\n"
    "  --state-dir DIR     where the head keeps the registry's log (default: WEFT_STATE_DIR, or "
    "one under TMPDIR)\n"
    "  --temporary         do not keep that log for another head when this one ends\n"
    "  --app-program PATH  path of weft-app (default: beside weftd)\n"
    "  --ready-fd FD       write the host's url there when it serves\n"
    "  --help, --version\n"
    "\n"
    "Exit codes: 0 ok, 2 usage, 3 the host or the network failed, 4 refused (keys, name or\n"
    "folder of another host).\n";

static const struct option options[] = {
    {"name", required_argument, NULL, 'n'},     {"address", required_argument, NULL, 'a'},
    {"head", required_argument, NULL, 'H'},     {"ports", required_argument, NULL, 'p'},
    {"slots", required_argument, NULL, 's'},    {"state-dir", required_argument, NULL, 'd'},
    {"temporary", no_argument, NULL, 't'},      {"app-program", required_argument, NULL, 'A'},
    {"ready-fd", required_argument, NULL, 'r'}, {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},        {0}};

/* One option; -1: go on, else the exit code. */
static int take(int option, struct weft_host_options *host)
{
    uint64_t number;
    int err = WEFT_OK;
    switch (option) {
    case 'n':
        host->name = optarg;
        if (optarg[0] == '\0' || strlen(optarg) > 63)
            err = weft_fail(WEFT_EINVAL, "a host's name has 1 to 63 characters");
        break;
    case 'a':
        host->address = optarg;
        break;
    case 'H':
        host->head = optarg;
        break;
    case 'p':
        err = weft__parse_ports(optarg, &host->port_first, &host->port_last);
        break;
    case 's':
        err = weft__parse_u64(optarg, 0, 65535, &number);
        if (err == WEFT_OK)
            host->slots = (uint32_t)number;
        break;
    case 'd':
        host->state_dir = optarg;
        break;
    case 't':
        host->temporary = true;
        break;
    case 'A':
        host->app_program = optarg;
        break;
    case 'r':
        err = weft__parse_u64(optarg, 1, 1 << 20, &number);
        if (err == WEFT_OK)
            host->ready_fd = (int)number;
        if (err == WEFT_OK && fcntl(host->ready_fd, F_GETFD) < 0)
            err = weft_fail(WEFT_EINVAL, "--ready-fd %s: no such file descriptor is open", optarg);
        break;
    case 'h':
        fputs(usage, stdout);
        return 0;
    case 'V':
        printf("weftd %s\n", WEFT_VERSION);
        return 0;
    default:
        fputs("Try 'weftd --help'.\n", stderr);
        return 2;
    }
    if (err == WEFT_OK)
        return -1;
    fprintf(stderr, "weftd: %s\n", weft_fail_text(err));
    return 2;
}

int main(int argc, char **argv)
{
    struct weft_host_options host = {.slots = UINT32_MAX, .ready_fd = -1};
    int option, err = weft__config_load();
    if (err != WEFT_OK) {
        fprintf(stderr, "weftd: %s\n", weft_fail_text(err));
        return 2;
    }
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        int code = take(option, &host);
        if (code >= 0)
            return code;
    }
    if (optind < argc) {
        fprintf(stderr, "weftd: what is \"%s\"? weftd takes options only\n", argv[optind]);
        return 2;
    }
    err = weft_host_run(&host);
    if (err == WEFT_OK)
        return 0;
    fprintf(stderr, "weftd: %s\n", weft_fail_text(err));
    if (err == WEFT_EPERM || err == WEFT_EACCES || err == WEFT_EEXIST || err == WEFT_EBUSY)
        return 4;
    return err == WEFT_EINVAL || err == WEFT_ERANGE || err == WEFT_ENOENT ? 2 : 3;
}
