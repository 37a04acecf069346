/* weft state: values that hosts keep, from the command line. Bytes come from stdin or a file and go
 * to stdout as they are. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "weft/state.h"

static const char usage[] =
    "Usage: weft state list [USER] [--at HOST]\n"
    "       weft state get USER KEY [--items] [--at HOST] > FILE\n"
    "       weft state put USER KEY [FILE] [--at HOST]\n"
    "       weft state append USER KEY [FILE] [--at HOST]\n"
    "       weft state delete USER KEY [--at HOST]\n"
    "\n"
    "Shows and changes values that the hosts of the cluster keep.\n"
    "\n"
    "list prints the host, size in bytes, version and number of items of each value. get writes "
    "the\n"
    "bytes of a value to stdout, or its items, one per line. put makes FILE (default: stdin) the\n"
    "value, which is created on the host that is asked, or resized. append adds FILE to the "
    "value's\n"
    "list of items. delete removes a value, also one whose host has died.\n"
    "\n"
    "  --items       the items instead of the bytes\n"
    "  --at HOST     address[:port] of a host of the cluster (default: WEFT_HOST)\n";

struct args {
    struct weft_state *state;
    struct weft_state_name name;
    const char *file;
    bool items;
};

static int failed(const struct args *args, const char *what, int err)
{
    fprintf(stderr, "weft: cannot %s state %s/%s: %s\n", what, args->name.user, args->name.key,
            weft_fail_text(err));
    return cli_exit_code(err);
}

/* All of a file, or of stdin; free(). NULL: said why. */
static char *slurp(const char *path, size_t *len_out)
{
    FILE *file = path == NULL || strcmp(path, "-") == 0 ? stdin : fopen(path, "rbe");
    char *bytes = NULL;
    size_t len = 0, room = 0, n = 1;
    while (file != NULL && n > 0) {
        if (len == room) {
            room = room == 0 ? 65536 : 2 * room;
            char *grown = realloc(bytes, room);
            if (grown == NULL)
                break;
            bytes = grown;
        }
        n = fread(bytes + len, 1, room - len, file);
        len += n;
    }
    bool good = file != NULL && n == 0 && !ferror(file);
    if (!good)
        fprintf(stderr, "weft: cannot read %s: %s\n", path != NULL ? path : "stdin",
                strerror(errno));
    if (file != NULL && file != stdin)
        fclose(file);
    if (!good) {
        free(bytes);
        return NULL;
    }
    *len_out = len;
    return bytes;
}

static void print_entry(void *ctx, const struct weft_state_entry *entry)
{
    (void)ctx;
    printf("%-16s %-16s %-24s %12" PRIu64 " %10" PRIu64 " %8" PRIu64 "\n", entry->host, entry->user,
           entry->key, entry->size_bytes, entry->version, entry->items);
}

static int list(struct args *args)
{
    unsigned unanswered = 0;
    printf("%-16s %-16s %-24s %12s %10s %8s\n", "HOST", "USER", "KEY", "BYTES", "VERSION", "ITEMS");
    int err = weft_state_list(args->state, args->name.user, print_entry, NULL, &unanswered);
    if (err == WEFT_OK && unanswered == 0)
        return CLI_OK;
    if (err == WEFT_OK)
        fprintf(stderr, "weft: %u hosts did not answer\n", unanswered);
    else
        fprintf(stderr, "weft: cannot list state: %s\n", weft_fail_text(err));
    return err == WEFT_OK ? CLI_NETWORK : cli_exit_code(err);
}

static void print_item(void *ctx, uint64_t index, const void *item, size_t len_bytes)
{
    (void)ctx;
    (void)index;
    fwrite(item, 1, len_bytes, stdout);
    fputc('\n', stdout);
}

static int get(struct args *args)
{
    struct weft_value *value;
    void *bytes;
    int err = weft_value_open(args->state, &args->name, 0, &value);
    if (err != WEFT_OK)
        return failed(args, "get", err);
    uint64_t size = weft_value_size(value);
    if (args->items) {
        err = weft_value_items(
            value, &(struct weft_value_items){.n = UINT64_MAX, .each = print_item}, NULL);
    } else {
        err = weft_value_map(value, 0, size, &bytes);
        if (err == WEFT_OK)
            fwrite(bytes, 1, size, stdout);
    }
    weft_value_close(value);
    return err == WEFT_OK ? CLI_OK : failed(args, "get", err);
}

/* Opens the value with this size, whatever size it has. */
static int open_sized(struct args *args, size_t size, struct weft_value **value_out)
{
    int err = weft_value_open(args->state, &args->name, size, value_out);
    if (err != WEFT_EEXIST)
        return err;
    err = weft_value_open(args->state, &args->name, 0, value_out);
    if (err != WEFT_OK)
        return err;
    err = weft_value_resize(*value_out, size);
    if (err != WEFT_OK)
        weft_value_close(*value_out);
    return err;
}

static int put(struct args *args)
{
    struct weft_value *value;
    size_t len;
    char *bytes = slurp(args->file, &len);
    if (bytes == NULL)
        return CLI_USAGE;
    int err = len == 0 ? weft_fail(WEFT_EINVAL, "a value has at least one byte")
                       : open_sized(args, len, &value);
    if (err == WEFT_OK) {
        err = weft_value_write(value, 0, bytes, len);
        if (err == WEFT_OK)
            err = weft_value_push(value);
        weft_value_close(value);
    }
    free(bytes);
    return err == WEFT_OK ? CLI_OK : failed(args, "put", err);
}

static int append(struct args *args)
{
    struct weft_value *value;
    size_t len;
    char *bytes = slurp(args->file, &len);
    if (bytes == NULL)
        return CLI_USAGE;
    int err = weft_value_open(args->state, &args->name, 0, &value);
    if (err == WEFT_OK) {
        err = weft_value_append(value, bytes, len, NULL);
        weft_value_close(value);
    }
    free(bytes);
    return err == WEFT_OK ? CLI_OK : failed(args, "append to", err);
}

static int delete (struct args *args)
{
    int err = weft_state_delete(args->state, &args->name);
    return err == WEFT_OK ? CLI_OK : failed(args, "delete", err);
}

static const struct verb {
    const char *name;
    int least, most; /* words behind it */
    int (*run)(struct args *args);
} verbs[] = {
    {"list", 0, 1, list},     {"get", 2, 2, get},       {"put", 2, 3, put},
    {"append", 2, 3, append}, {"delete", 2, 2, delete},
};

static void own_option(void *ctx, int option)
{
    struct args *args = ctx;
    args->items = args->items || option == 'i';
}

static int run(const struct verb *verb, struct args *args, const char *at)
{
    int err = weft_state_open(&(struct weft_state_options){.host = at}, &args->state);
    if (err != WEFT_OK) {
        fprintf(stderr, "weft: %s\n", weft_fail_text(err));
        return cli_exit_code(err);
    }
    int code = verb->run(args);
    weft_state_close(args->state);
    return code;
}

int cmd_state(int argc, char **argv)
{
    static const struct option options[] = {
        CLI_AT, {"items", no_argument, NULL, 'i'}, CLI_HELP, {0}};
    struct args args = {0};
    struct cli_command command = {
        .name = "state", .usage = usage, .options = options, .own = own_option, .ctx = &args};
    int code = cli_options(&command, argc, argv);
    if (code >= 0)
        return code;
    if (optind >= argc)
        return cli_usage("state", "what is to be done: list, get, put, append or delete?");
    const struct verb *verb = verbs, *behind = verbs + sizeof(verbs) / sizeof(verbs[0]);
    while (verb < behind && strcmp(verb->name, argv[optind]) != 0)
        verb++;
    if (verb == behind)
        return cli_usage("state", "what is \"%s\"?", argv[optind]);
    char **words = argv + optind + 1;
    int n = argc - optind - 1;
    if (n < verb->least)
        return cli_usage("state", "%s needs a user and a key", verb->name);
    if (n > verb->most)
        return cli_usage("state", "what is \"%s\"?", words[verb->most]);
    args.name.user = n > 0 ? words[0] : NULL;
    args.name.key = n > 1 ? words[1] : NULL;
    args.file = n > 2 ? words[2] : NULL;
    return run(verb, &args, command.at);
}
