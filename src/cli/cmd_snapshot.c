/* weft snapshot: snapshots that a host keeps in memory or files, from the command line. Bytes come
 * from a file and go to stdout as they are. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "weft/snapshot.h"

static const char usage[] =
    "Usage: weft snapshot list [PREFIX] [--at HOST]\n"
    "       weft snapshot push KEY FILE [--at HOST]\n"
    "       weft snapshot pull KEY [--at HOST] > FILE\n"
    "       weft snapshot delete KEY [--at HOST]\n"
    "       weft snapshot save|restore|verify|discard KEY [--at HOST]\n"
    "       weft snapshot stored [PREFIX] [--at HOST]\n"
    "\n"
    "Shows and changes the snapshots that a host keeps in memory. list prints size, memory, "
    "version\n"
    "and time of those whose key begins with PREFIX. push makes FILE the snapshot KEY, in the "
    "place\n"
    "of one that is there. pull writes a snapshot to stdout.\n"
    "\n"
    "A host with WEFT_SNAPSHOT_DIR stores them in files there, which outlive it: save writes one,\n"
    "restore takes it back into memory, verify reads and checks it, discard deletes it, stored\n"
    "prints size, bytes in the file and time of all.\n"
    "\n"
    "  --at HOST     address[:port] of the host (default: WEFT_HOST)\n";

enum { ASK_MS = 10000, FILE_MS = 3600000 /* disks may be slow */ };

static int failed(const char *what, const char *key, int err)
{
    fprintf(stderr, "weft: cannot %s snapshot %s: %s\n", what, key, weft_fail_text(err));
    return cli_exit_code(err);
}

/* The time in local words. */
static const char *when(uint64_t wall_ms, char text[32])
{
    struct tm parts;
    time_t seconds = (time_t)(wall_ms / 1000);
    text[0] = '\0';
    if (localtime_r(&seconds, &parts) != NULL)
        (void)strftime(text, 32, "%F %T", &parts);
    return text;
}

static void print_entry(void *ctx, const struct weft_snapshot_entry *entry)
{
    char text[32];
    (void)ctx;
    printf("%14" PRIu64 " %14" PRIu64 " %16" PRIu64 " %s  %s\n", entry->size_bytes,
           entry->held_bytes, entry->version, when(entry->pushed_wall_ms, text), entry->key);
}

static int list(struct weft_snapshot_host *host, char **words, int n)
{
    const char *prefix = n > 0 ? words[0] : "";
    printf("%14s %14s %16s %-19s  %s\n", "BYTES", "MEMORY", "VERSION", "PUSHED", "KEY");
    int err = weft_snapshot_list(host, prefix, print_entry, NULL);
    if (err != WEFT_OK)
        fprintf(stderr, "weft: cannot list snapshots: %s\n", weft_fail_text(err));
    return err == WEFT_OK ? CLI_OK : cli_exit_code(err);
}

/* Maps a file; an error is printed. */
static void *map_file(const char *path, size_t *len_out)
{
    struct stat status;
    void *bytes = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0) {
        *len_out = (size_t)status.st_size;
        errno = S_ISDIR(status.st_mode)   ? EISDIR
                : S_ISREG(status.st_mode) ? EINVAL /* without bytes */
                                          : ESPIPE;
        if (status.st_size > 0 && S_ISREG(status.st_mode))
            bytes = mmap(NULL, *len_out, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (bytes == MAP_FAILED)
        fprintf(stderr, "weft: cannot read %s: %s\n", path,
                errno == EINVAL   ? "it has no bytes"
                : errno == ESPIPE ? "it is no plain file"
                                  : strerror(errno));
    if (fd >= 0)
        close(fd);
    return bytes == MAP_FAILED ? NULL : bytes;
}

static int push(struct weft_snapshot_host *host, char **words, int n)
{
    size_t len = 0;
    (void)n;
    void *bytes = map_file(words[1], &len);
    if (bytes == NULL)
        return CLI_USAGE;
    int err = weft_snapshot_push(host, words[0], bytes, len);
    (void)munmap(bytes, len);
    return err == WEFT_OK ? CLI_OK : failed("push", words[0], err);
}

static int pull(struct weft_snapshot_host *host, char **words, int n)
{
    struct weft_snapshot_view view;
    (void)n;
    int err = weft_snapshot_pull(host, words[0], &view);
    if (err != WEFT_OK)
        return failed("pull", words[0], err);
    (void)fwrite(view.bytes, 1, view.len_bytes, stdout);
    weft_snapshot_release(&view);
    return CLI_OK;
}

static int delete (struct weft_snapshot_host *host, char **words, int n)
{
    bool existed = false;
    (void)n;
    int err = weft_snapshot_delete(host, words[0], &existed);
    if (err == WEFT_OK && !existed)
        err = weft_fail(WEFT_ENOENT, "there is none");
    return err == WEFT_OK ? CLI_OK : failed("delete", words[0], err);
}

static int save(struct weft_snapshot_host *host, char **words, int n)
{
    (void)n;
    int err = weft_snapshot_save(host, words[0]);
    return err == WEFT_OK ? CLI_OK : failed("save", words[0], err);
}

static int restore(struct weft_snapshot_host *host, char **words, int n)
{
    (void)n;
    int err = weft_snapshot_restore(host, words[0], NULL);
    return err == WEFT_OK ? CLI_OK : failed("restore", words[0], err);
}

static int verify(struct weft_snapshot_host *host, char **words, int n)
{
    (void)n;
    int err = weft_snapshot_verify(host, words[0]);
    return err == WEFT_OK ? CLI_OK : failed("verify", words[0], err);
}

static int discard(struct weft_snapshot_host *host, char **words, int n)
{
    bool existed = false;
    (void)n;
    int err = weft_snapshot_discard(host, words[0], &existed);
    if (err == WEFT_OK && !existed)
        err = weft_fail(WEFT_ENOENT, "there is no file of it");
    return err == WEFT_OK ? CLI_OK : failed("discard", words[0], err);
}

static void print_file(void *ctx, const struct weft_snapshot_file_entry *entry)
{
    char text[32];
    (void)ctx;
    if (entry->err != WEFT_OK)
        printf("%14s %14s %-19s  %s (%s; see weft snapshot verify)\n", "-", "-", "-", entry->key,
               weft_error_text(entry->err));
    else
        printf("%14" PRIu64 " %14" PRIu64 " %s  %s\n", entry->size_bytes, entry->file_bytes,
               when(entry->saved_wall_ms, text), entry->key);
}

static int stored(struct weft_snapshot_host *host, char **words, int n)
{
    const char *prefix = n > 0 ? words[0] : "";
    printf("%14s %14s %-19s  %s\n", "BYTES", "FILE", "SAVED", "KEY");
    int err = weft_snapshot_stored(host, prefix, print_file, NULL);
    if (err != WEFT_OK)
        fprintf(stderr, "weft: cannot list stored snapshots: %s\n", weft_fail_text(err));
    return err == WEFT_OK ? CLI_OK : cli_exit_code(err);
}

static const struct {
    const char *name;
    int (*run)(struct weft_snapshot_host *host, char **words, int n);
    int least, most; /* words */
    uint32_t timeout_ms;
} actions[] = {
    {"list", list, 0, 1, ASK_MS},      {"push", push, 2, 2, 0},
    {"pull", pull, 1, 1, 0},           {"delete", delete, 1, 1, ASK_MS},
    {"save", save, 1, 1, FILE_MS},     {"restore", restore, 1, 1, FILE_MS},
    {"verify", verify, 1, 1, FILE_MS}, {"discard", discard, 1, 1, ASK_MS},
    {"stored", stored, 0, 1, ASK_MS},
};
enum { ACTIONS_N = sizeof(actions) / sizeof(actions[0]) };

int cmd_snapshot(int argc, char **argv)
{
    static const struct option options[] = {CLI_AT, CLI_HELP, {0}};
    struct cli_command command = {.name = "snapshot", .usage = usage, .options = options};
    static const char *const wanted[][3] = {
        {"nothing", "nothing or a PREFIX", ""}, {"", "KEY", ""}, {"", "", "KEY and FILE"}};
    struct weft_snapshot_host *host = NULL;
    int code = cli_options(&command, argc, argv), n = argc - optind - 1;
    size_t action = 0;
    if (code >= 0)
        return code;
    while (optind < argc && action < ACTIONS_N && strcmp(argv[optind], actions[action].name) != 0)
        action++;
    if (optind == argc || action == ACTIONS_N)
        return cli_usage(
            "snapshot",
            "list, push, pull, delete, save, restore, verify, discard or stored is wanted");
    if (n < actions[action].least || n > actions[action].most)
        return cli_usage("snapshot", "%s takes %s, not %d words", actions[action].name,
                         wanted[actions[action].least][actions[action].most], n);
    int err = weft_snapshot_open(
        &(struct weft_snapshot_options){.host = command.at,
                                        .timeout_ms = actions[action].timeout_ms},
        &host);
    if (err != WEFT_OK)
        fprintf(stderr, "weft: %s\n", weft_fail_text(err));
    if (err != WEFT_OK)
        return cli_exit_code(err);
    code = actions[action].run(host, argv + optind + 1, n);
    weft_snapshot_close(host);
    return code;
}
