/* weft-app: one process of an app, or a probe of transports; started by weftd, never by hand. */
#include <dlfcn.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/parse.h"
#include "weft/error.h"
#include "weft/host.h"

struct orders {
    uint64_t lifeline, parent;
    const char *probe, *to;
};

static const char usage[] =
    "weft-app runs ranks for weftd, which starts it; there is nothing to do by hand.\n";

static const struct option options[] = {
    {"lifeline", required_argument, NULL, 'l'}, {"parent", required_argument, NULL, 'p'},
    {"probe", required_argument, NULL, 'P'},    {"to", required_argument, NULL, 't'},
    {"help", no_argument, NULL, 'h'},           {0}};

static int take(int option, struct orders *orders)
{
    switch (option) {
    case 'l':
        return weft__parse_u64(optarg, 3, 1 << 20, &orders->lifeline);
    case 'p':
        return weft__parse_u64(optarg, 1, 1 << 30, &orders->parent);
    case 't':
        orders->to = optarg;
        return WEFT_OK;
    default:
        orders->probe = optarg;
        return WEFT_OK;
    }
}

static int run(const struct orders *orders)
{
    if (orders->probe != NULL)
        return weft_app_probe(orders->probe, orders->to);
    if (orders->lifeline == 0 || orders->parent == 0)
        return weft_fail(WEFT_EPERM, "weft-app is started by weftd, not by hand");
    /* Programs name the MPI library; here it is found beside us, wherever the tree has been moved.
     */
    (void)dlopen("libmpi_abi.so.1", RTLD_NOW | RTLD_LOCAL);
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* of ranks that are threads: as mpi/stdio.c has it */
    return weft_app_run((int)orders->lifeline, (int)orders->parent);
}

/* Ranks of one process share its descriptors. */
static void take_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    struct orders orders = {0};
    int option, err = WEFT_OK;
    while (err == WEFT_OK && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h' || option == '?') {
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
        err = take(option, &orders);
    }
    take_descriptors();
    if (err == WEFT_OK)
        err = run(&orders);
    if (err != WEFT_OK)
        fprintf(stderr, "weft-app: %s\n", weft_fail_text(err));
    return err == WEFT_OK ? 0 : 1;
}
