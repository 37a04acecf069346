/* Key files.
 *
 * The folder is opened once and looked at, then its files are opened relative to it: what was
 * checked is what is read. A secret key is read only from a file that nobody else could have read
 * or put there; lists only from files that nobody else may write. Symbolic links are not followed
 * in the folder. New files are written under a temporary name with their final mode, made durable,
 * and only then given their name, so that there is never half a key. What held a secret is wiped.
 */
#include "control/keys.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>
#include <zmq.h>

#include "base/log.h"
#include "weft/error.h"

#define FILE_MAX_BYTES ((size_t)1 << 20)
#define NEW_NAME ".weft-new-key"

static const char allowed_head[] =
    "# Public keys of the clients that may talk to the hosts which use this folder of keys.\n"
    "# One key of 40 characters per line, as in the file \"public\" of the client's own folder.\n"
    "# What stands behind # is ignored. A change counts from the next connection on.\n";

void weft__key_print(const struct weft_key *key, char text_out[WEFT_KEY_TEXT_LEN + 1])
{
    zmq_z85_encode(text_out, key->bytes, sizeof(key->bytes));
}

int weft__key_parse(const char *text, size_t len_bytes, struct weft_key *key_out)
{
    char copy[WEFT_KEY_TEXT_LEN + 1] = "";
    struct weft_key key;
    bool good = len_bytes == WEFT_KEY_TEXT_LEN && memchr(text, '\0', len_bytes) == NULL;
    if (good) {
        memcpy(copy, text, WEFT_KEY_TEXT_LEN);
        good = zmq_z85_decode(key.bytes, copy) != NULL;
    }
    if (good)
        *key_out = key;
    sodium_memzero(copy, sizeof(copy));
    sodium_memzero(&key, sizeof(key));
    return good ? WEFT_OK : weft_fail(WEFT_EINVAL, "not a key of 40 characters (Z85)");
}

/* ---- files ---- */

static int open_folder(const char *folder, int *fd_out)
{
    struct stat about;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return weft_fail(WEFT_EACCES,
                         "cannot open the folder of keys %s: %s; make one with weft keygen, or set "
                         "WEFT_KEYS",
                         folder, strerrordesc_np(errno));
    if (fstat(fd, &about) != 0 || (about.st_uid != geteuid() && about.st_uid != 0) ||
        (about.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        close(fd);
        return weft_fail(WEFT_EACCES,
                         "the folder of keys %s is not yours, or others may write there: use a "
                         "folder of your own, and chmod 700 %s",
                         folder, folder);
    }
    *fd_out = fd;
    return WEFT_OK;
}

/* What is wrong with a file of the folder; NULL: nothing. */
static const char *wrong_with(const struct stat *about, bool secret)
{
    if (!S_ISREG(about->st_mode))
        return "is no regular file";
    if (about->st_uid != geteuid() && (secret || about->st_uid != 0))
        return "does not belong to you";
    if (secret && (about->st_mode & 07777) != 0600)
        return "has another mode than 0600";
    if ((about->st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "may be written by others";
    return (size_t)about->st_size > FILE_MAX_BYTES ? "is too long" : NULL;
}

/* Opens folder/name for reading and checks it.  Errors: WEFT_ENOENT; WEFT_EACCES. */
static int open_checked(int dir, const char *path, bool secret, int *fd_out)
{
    struct stat about;
    const char *name = strrchr(path, '/') + 1;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return WEFT_ENOENT;
    const char *wrong = fd < 0 || fstat(fd, &about) != 0
                            ? errno == ELOOP ? "is a symbolic link" : strerrordesc_np(errno)
                            : wrong_with(&about, secret);
    if (wrong == NULL) {
        *fd_out = fd;
        return WEFT_OK;
    }
    if (fd >= 0)
        close(fd);
    return weft_fail(WEFT_EACCES, "%s is refused: it %s; put that right, then: chmod %s %s", path,
                     wrong, secret ? "600" : "644", path);
}

/* The whole file with a NUL. Owns: *text_out: wipe and free. */
static int read_text(int fd, const char *path, char **text_out, size_t *len_out)
{
    char *text = malloc(FILE_MAX_BYTES + 1);
    size_t len = 0;
    ssize_t n = 1;
    if (text == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory to read %s", path);
    while (len < FILE_MAX_BYTES && n > 0) {
        n = read(fd, text + len, FILE_MAX_BYTES - len);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            len += (size_t)n;
    }
    if (n < 0) {
        int error = errno;
        sodium_memzero(text, len);
        free(text);
        return weft_fail(WEFT_EACCES, "cannot read %s: %s", path, strerrordesc_np(error));
    }
    text[len] = '\0';
    *text_out = text;
    *len_out = len;
    return WEFT_OK;
}

static void free_text(char *text, size_t len)
{
    if (text != NULL)
        sodium_memzero(text, len);
    free(text);
}

static int path_of(const char *folder, const char *name, char path_out[4096])
{
    if (snprintf(path_out, 4096, "%s/%s", folder, name) >= 4096)
        return weft_fail(WEFT_EINVAL, "the path of the folder of keys is too long");
    return WEFT_OK;
}

/* ---- lists ---- */

/* The next word of a line; what stands behind "#" is none. */
static size_t next_word(const char **at, const char **word_out)
{
    *at += strspn(*at, " \t\r");
    *word_out = *at;
    size_t len = 0;
    while ((*at)[len] != '\0' && (*at)[len] != '\n' && strchr(" \t\r", (*at)[len]) == NULL)
        len++;
    *at += len;
    return len;
}

/* A numeric address as inet_ntop prints it, with or without brackets. */
static bool read_address(const char *word, size_t len, char address_out[46])
{
    char text[48] = "";
    unsigned char raw[sizeof(struct in6_addr)];
    if (len > 2 && word[0] == '[' && word[len - 1] == ']') {
        word++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof(text))
        return false;
    memcpy(text, word, len);
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    return inet_pton(family, text, raw) == 1 && inet_ntop(family, raw, address_out, 46) != NULL;
}

/* "#" may also stand inside a key: it begins a comment at the start of a word only. */
static bool read_line(const char *at, bool addresses, struct weft_key_line *line, bool *blank_out)
{
    const char *word;
    size_t len = next_word(&at, &word);
    *blank_out = len == 0 || word[0] == '#';
    if (*blank_out)
        return false;
    if (addresses) {
        if (!read_address(word, len, line->address))
            return false;
        len = next_word(&at, &word);
    }
    if (weft__key_parse(word, len, &line->key) != WEFT_OK)
        return false;
    len = next_word(&at, &word);
    return len == 0 || word[0] == '#';
}

int weft__key_lines_parse(const char *text, bool addresses, struct weft_key_file *file_out)
{
    struct weft_key_line *lines = NULL;
    size_t n = 0, room = 0, skipped = 0;
    for (const char *at = text; at != NULL && *at != '\0';) {
        bool blank;
        if (n == room) {
            struct weft_key_line *grown = realloc(lines, (room = room * 2 + 8) * sizeof(*lines));
            if (grown == NULL) {
                free(lines);
                return weft_fail(WEFT_ENOMEM, "no memory for a list of keys");
            }
            lines = grown;
        }
        lines[n] = (struct weft_key_line){.address = ""};
        if (read_line(at, addresses, &lines[n], &blank))
            n++;
        else
            skipped += !blank;
        at = strchr(at, '\n');
        if (at != NULL)
            at++;
    }
    free(file_out->lines);
    file_out->lines = lines;
    file_out->n = n;
    file_out->skipped = skipped;
    weft_fail_clear();
    return WEFT_OK;
}

static void forget_lines(struct weft_key_file *file)
{
    free(file->lines);
    file->lines = NULL;
    file->n = file->skipped = 0;
}

void weft__key_file_fini(struct weft_key_file *file)
{
    free(file->lines);
    *file = (struct weft_key_file){.lines = NULL};
}

static bool is_same(const struct weft_key_file *file, const struct stat *about)
{
    return file->found && file->changed.tv_sec == about->st_ctim.tv_sec &&
           file->changed.tv_nsec == about->st_ctim.tv_nsec &&
           file->size == (uint64_t)about->st_size && file->inode == about->st_ino;
}

static int read_list(struct weft_key_file *file, int fd, const char *path, bool addresses)
{
    struct stat about;
    char *text = NULL;
    size_t len = 0;
    int err = WEFT_OK;
    if (fstat(fd, &about) != 0)
        err = weft_fail(WEFT_EACCES, "cannot look at %s: %s", path, strerrordesc_np(errno));
    if (err != WEFT_OK || is_same(file, &about))
        return err;
    err = read_text(fd, path, &text, &len);
    if (err == WEFT_OK && strlen(text) != len)
        err = weft_fail(WEFT_EACCES, "%s is no text", path);
    if (err == WEFT_OK)
        err = weft__key_lines_parse(text, addresses, file);
    free_text(text, len);
    if (err != WEFT_OK)
        return err;
    if (file->skipped > 0)
        weft__warn("%s: %zu lines are ignored: they are no keys", path, file->skipped);
    file->found = true;
    file->changed = about.st_ctim;
    file->size = (uint64_t)about.st_size;
    file->inode = about.st_ino;
    return WEFT_OK;
}

int weft__key_file_refresh(struct weft_key_file *file, const char *folder, const char *name)
{
    char path[4096];
    int dir = -1, fd = -1;
    int err = path_of(folder, name, path);
    if (err == WEFT_OK)
        err = open_folder(folder, &dir);
    if (err == WEFT_OK)
        err = open_checked(dir, path, false, &fd);
    if (err == WEFT_OK)
        err = read_list(file, fd, path, strcmp(name, "hosts") == 0);
    if (err != WEFT_OK) {
        forget_lines(file);
        file->found = false;
    }
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return err == WEFT_ENOENT ? WEFT_OK : err;
}

/* ---- the key pair ---- */

static int parse_secret(const char *text, const char *path, struct weft_key *secret_out)
{
    struct weft_key_file file = {.lines = NULL};
    int err = weft__key_lines_parse(text, false, &file);
    if (err == WEFT_OK && file.n == 1 && file.skipped == 0)
        *secret_out = file.lines[0].key;
    else if (err == WEFT_OK)
        err = weft_fail(WEFT_EACCES,
                        "%s holds no secret key: one line of 40 characters; weft keygen --force "
                        "makes a new one",
                        path);
    if (file.lines != NULL)
        sodium_memzero(file.lines, file.n * sizeof(*file.lines));
    weft__key_file_fini(&file);
    return err;
}

static int read_secret(int dir, const char *path, struct weft_key *secret_out)
{
    int fd;
    char *text = NULL;
    size_t len = 0;
    int err = open_checked(dir, path, true, &fd);
    if (err == WEFT_ENOENT)
        return weft_fail(WEFT_EACCES,
                         "there is no secret key %s; make one with weft keygen, or set WEFT_KEYS "
                         "to the folder that has it",
                         path);
    if (err != WEFT_OK)
        return err;
    err = read_text(fd, path, &text, &len);
    close(fd);
    if (err == WEFT_OK)
        err = parse_secret(text, path, secret_out);
    free_text(text, len);
    return err;
}

int weft__keys_read(const char *folder, struct weft_key *public_out, struct weft_key *secret_out)
{
    char path[4096];
    int dir = -1;
    struct weft_key secret;
    int err = sodium_init() < 0 ? weft_fail(WEFT_EIO, "libsodium does not start") : WEFT_OK;
    if (err == WEFT_OK)
        err = path_of(folder, "secret", path);
    if (err == WEFT_OK)
        err = open_folder(folder, &dir);
    if (err == WEFT_OK)
        err = read_secret(dir, path, &secret);
    if (err == WEFT_OK) {
        (void)crypto_scalarmult_base(public_out->bytes, secret.bytes);
        *secret_out = secret;
    }
    if (dir >= 0)
        close(dir);
    sodium_memzero(&secret, sizeof(secret));
    return err;
}

/* ---- making one ---- */

struct new_file {
    int dir;
    const char *folder, *name;
    mode_t mode;
    bool replace;
};

static int write_all(int fd, const char *text)
{
    size_t len = strlen(text);
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) == 0 ? WEFT_OK : -errno;
}

static int give_name(const struct new_file *file)
{
    if (file->replace)
        return renameat(file->dir, NEW_NAME, file->dir, file->name) == 0 ? WEFT_OK : -errno;
    return linkat(file->dir, NEW_NAME, file->dir, file->name, 0) == 0 ? WEFT_OK : -errno;
}

static int write_file(const struct new_file *file, const char *text)
{
    (void)unlinkat(file->dir, NEW_NAME, 0); /* of a keygen that was killed */
    int fd = openat(file->dir, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    file->mode & 0600);
    int err = fd < 0 ? -errno : WEFT_OK;
    if (err == WEFT_OK && fchmod(fd, file->mode) != 0) /* whatever the umask */
        err = -errno;
    if (err == WEFT_OK)
        err = write_all(fd, text);
    if (fd >= 0)
        close(fd);
    if (err == WEFT_OK)
        err = give_name(file);
    (void)unlinkat(file->dir, NEW_NAME, 0);
    if (err == WEFT_OK)
        (void)fsync(file->dir);
    if (err == -EEXIST)
        return weft_fail(WEFT_EEXIST,
                         "%s/%s is there already; weft keygen --force makes new keys in its place",
                         file->folder, file->name);
    if (err != WEFT_OK)
        return weft_fail(err, "cannot write %s/%s: %s", file->folder, file->name,
                         strerrordesc_np(-err));
    return WEFT_OK;
}

/* Makes the folder and those above it. */
static int make_folders(const char *folder)
{
    char path[4096];
    if (folder[0] == '\0' || strlen(folder) >= sizeof(path))
        return weft_fail(WEFT_EINVAL, "the path of the folder of keys is empty or too long");
    strcpy(path, folder);
    for (char *at = path + 1;; at++) {
        char end = *at;
        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return weft_fail(-errno, "cannot make the folder %s: %s", path, strerrordesc_np(errno));
        *at = end;
        if (end == '\0')
            return WEFT_OK;
    }
}

/* Copies the lines of a list, but not the ones with this key. */
static void copy_lines(FILE *out, const char *text, const struct weft_key *but)
{
    while (*text != '\0') {
        struct weft_key_line line;
        bool blank;
        size_t len = strcspn(text, "\n");
        if (!read_line(text, false, &line, &blank) || but == NULL ||
            sodium_memcmp(but, &line.key, sizeof(*but)) != 0)
            fprintf(out, "%.*s\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

/* The list with our new key in place of the old one; the other lines stay as they are.  Owns:
 * *text_out, free(). */
static int list_text(const struct new_file *file, const struct weft_key *old, const char *own,
                     char **text_out)
{
    char path[4096], *text = NULL;
    int fd = -1;
    size_t len = 0, out_len;
    int err = path_of(file->folder, "allowed", path);
    if (err == WEFT_OK)
        err = open_checked(file->dir, path, false, &fd);
    if (err == WEFT_OK)
        err = read_text(fd, path, &text, &len);
    if (fd >= 0)
        close(fd);
    FILE *out = err == WEFT_OK || err == WEFT_ENOENT ? open_memstream(text_out, &out_len) : NULL;
    if (out != NULL) {
        copy_lines(out, text != NULL ? text : allowed_head, old);
        fprintf(out, "%s\n", own);
        if (fclose(out) != 0) {
            free(*text_out);
            *text_out = NULL;
            out = NULL;
        }
    }
    free_text(text, len);
    if (out == NULL && (err == WEFT_OK || err == WEFT_ENOENT))
        return weft_fail(WEFT_ENOMEM, "no memory for a list of keys");
    return out != NULL ? WEFT_OK : err;
}

/* A key pair whose texts can begin a line: "#" begins a comment. */
static void make_pair(struct weft_key *public_key, struct weft_key *secret_key)
{
    char one[WEFT_KEY_TEXT_LEN + 1], other[WEFT_KEY_TEXT_LEN + 1];
    do {
        (void)crypto_box_keypair(public_key->bytes, secret_key->bytes);
        weft__key_print(public_key, one);
        weft__key_print(secret_key, other);
    } while (one[0] == '#' || other[0] == '#');
    sodium_memzero(other, sizeof(other));
}

static int write_pair(struct new_file *file, const struct weft_key *old)
{
    struct weft_key public_key, secret_key;
    char text[WEFT_KEY_TEXT_LEN + 2], own[WEFT_KEY_TEXT_LEN + 1], *list = NULL;
    make_pair(&public_key, &secret_key);
    weft__key_print(&public_key, own);
    int err = list_text(file, old, own, &list);
    weft__key_print(&secret_key, text);
    strcat(text, "\n");
    if (err == WEFT_OK)
        err = write_file(file, text);
    sodium_memzero(&secret_key, sizeof(secret_key));
    sodium_memzero(text, sizeof(text));
    snprintf(text, sizeof(text), "%s\n", own);
    file->name = "public";
    file->mode = 0644;
    file->replace = true;
    if (err == WEFT_OK)
        err = write_file(file, text);
    file->name = "allowed";
    if (err == WEFT_OK)
        err = write_file(file, list);
    free(list);
    return err;
}

int weft__keys_generate(const char *folder, bool force)
{
    struct weft_key public_key, secret_key;
    struct new_file file = {
        .dir = -1, .folder = folder, .name = "secret", .mode = 0600, .replace = force};
    int err = sodium_init() < 0 ? weft_fail(WEFT_EIO, "libsodium does not start") : WEFT_OK;
    if (err == WEFT_OK)
        err = make_folders(folder);
    if (err == WEFT_OK)
        err = open_folder(folder, &file.dir);
    if (err != WEFT_OK)
        return err;
    bool had_one = force && weft__keys_read(folder, &public_key, &secret_key) == WEFT_OK;
    err = write_pair(&file, had_one ? &public_key : NULL);
    sodium_memzero(&secret_key, sizeof(secret_key));
    close(file.dir);
    return err;
}
