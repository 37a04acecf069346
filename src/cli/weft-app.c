/* weft-app: one process of an app; started by weftd, never by hand. */
#include <dlfcn.h>
#include <getopt.h>
#include <stdio.h>

#include "base/config.h"
#include "base/parse.h"
#include "weft/error.h"
#include "weft/host.h"

int main(int argc, char **argv)
{
    static const struct option options[] = {{"lifeline", required_argument, NULL, 'l'},
                                            {"parent", required_argument, NULL, 'p'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    uint64_t lifeline = 0, parent = 0;
    int option, err = weft__config_load();
    while (err == WEFT_OK && (option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'l')
            err = weft__parse_u64(optarg, 3, 1 << 20, &lifeline);
        else if (option == 'p')
            err = weft__parse_u64(optarg, 1, 1 << 30, &parent);
        else {
            fprintf(option == 'h' ? stdout : stderr, "weft-app runs ranks for weftd, which starts "
                                                     "it; there is nothing to do by hand.\n");
            return option == 'h' ? 0 : 2;
        }
    }
    if (err == WEFT_OK && (lifeline == 0 || parent == 0))
        err = weft_fail(WEFT_EPERM, "weft-app is started by weftd, not by hand");
    /* Programs name the MPI library; here it is found beside us, wherever the tree has been moved.
     */
    if (err == WEFT_OK)
        (void)dlopen("libmpi_abi.so.1", RTLD_NOW | RTLD_LOCAL);
    if (err == WEFT_OK)
        err = weft_app_run((int)lifeline, (int)parent);
    if (err != WEFT_OK)
        fprintf(stderr, "weft-app: %s\n", weft_fail_text(err));
    return err == WEFT_OK ? 0 : 1;
}
