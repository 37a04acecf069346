/* weft rank: one program in this process.
 *
 * A shared object, as weftcc links it, is no program that a shell could start; this loads it and
 * calls its main. Started by weft run --process it is a rank of the app, by hand a world of one
 * rank (libmpi sees to both). Executables need nobody to start them, and are started all the same.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "exec/program.h"

static const char usage[] = "Usage: weft rank PROGRAM [ARGUMENT]...\n"
                            "\n"
                            "Runs PROGRAM, which weftcc has linked, in this process: as a world of "
                            "one rank, without hosts.\n"
                            "For debuggers and checkers: gdb --args weft rank ./solver.so\n"
                            "\n"
                            "  --help\n";

static int complain(const char *program, const char *why)
{
    fprintf(stderr, "weft rank: cannot run %s: %s\n", program, why);
    return CLI_USAGE;
}

static int run_object(const char *path, int argc, char **argv)
{
    weft_program_main *entry = NULL;
    void *object = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (object != NULL)
        *(void **)&entry = dlsym(object, "main");
    return entry != NULL ? entry(argc, argv, environ) : complain(path, dlerror());
}

int cmd_rank(int argc, char **argv)
{
    struct weft_program program;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return CLI_OK;
    }
    if (argc < 2 || argv[1][0] == '-')
        return cli_usage("rank", argc < 2 ? "which program?" : "what is \"%s\"?", argv[argc - 1]);
    int err = weft__program_open_apart(argv[1], &program);
    if (err != WEFT_OK)
        return complain(argv[1], weft_fail_text(err));
    bool starts = weft__program_is_executable(&program);
    weft__program_close(&program);
    char path[PATH_MAX];
    if (realpath(argv[1], path) == NULL) /* without a folder dlopen() would look among libraries */
        return complain(argv[1], strerror(errno));
    if (!starts)
        return run_object(path, argc - 1, argv + 1);
    (void)execv(path, argv + 1);
    return complain(argv[1], strerror(errno));
}
