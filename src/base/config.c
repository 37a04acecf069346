/* Settings.
 *
 * The list of settings.h becomes a constant table; beside it lies one table of values. Loading
 * fills a second table of values and swaps it in when everything in it is right, so that a wrong
 * file changes nothing. Values are checked when they come in, never when they are asked for:
 * weft__config_u64 cannot fail. There is no lock: settings change at start only.
 */
#include "base/config.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/parse.h"
#include "base/settings.h"
#include "weft/error.h"

enum kind { KIND_TEXT, KIND_NUMBER, KIND_SIZE, KIND_CHOICE, KIND_INTERNAL };

struct setting {
    const char *name;
    enum kind kind;
    const char *fallback;
    uint64_t min, max;
    const char *choices;
    const char *doc;
};

static const struct setting settings[] = {
#define X(name, kind, fallback, min, max, choices, doc)                                            \
    {#name, KIND_##kind, fallback, min, max, choices, doc},
    WEFT_SETTINGS(X)
#undef X
};

#define SETTINGS_N (sizeof(settings) / sizeof(settings[0]))
#define PREFIX "WEFT_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)

struct value {
    char *text; /* NULL: the default */
    const char *source;
};

static struct value values[SETTINGS_N];
static bool loaded;

static size_t index_of(const char *name)
{
    size_t i = 0;
    while (i < SETTINGS_N && strcmp(settings[i].name, name) != 0)
        i++;
    return i;
}

static const char *nearest_setting(const char *name)
{
    const char *tails[SETTINGS_N];
    size_t n = 0;
    for (size_t i = 0; i < SETTINGS_N; i++) {
        if (settings[i].kind != KIND_INTERNAL)
            tails[n++] = settings[i].name + PREFIX_LEN;
    }
    bool prefixed = strncmp(name, PREFIX, PREFIX_LEN) == 0;
    return weft__nearest(prefixed ? name + PREFIX_LEN : name, tails, n);
}

static void warn_unknown(const char *name, const char *where)
{
    const char *tail = nearest_setting(name);
    if (tail)
        weft__warn("%s: unknown setting %s: did you mean " PREFIX "%s?", where, name, tail);
    else
        weft__warn("%s: unknown setting %s is ignored; weft info -c lists all", where, name);
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *at = choices; *at; at += *at == '|') {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, text, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* Passes the parsers' text on with the setting's name in front. */
static int name_failure(int err, const char *name)
{
    return err ? weft_fail(err, "%s: %s", name, weft_fail_text(err)) : WEFT_OK;
}

static int check_value(const struct setting *setting, const char *text)
{
    uint64_t ignored;
    switch (setting->kind) {
    case KIND_NUMBER:
        return name_failure(weft__parse_u64(text, setting->min, setting->max, &ignored),
                            setting->name);
    case KIND_SIZE:
        return name_failure(weft__parse_size(text, setting->min, setting->max, &ignored),
                            setting->name);
    case KIND_CHOICE:
        if (!is_choice(setting->choices, text))
            return weft_fail(WEFT_EINVAL, "%s: '%s' is none of %s", setting->name, text,
                             setting->choices);
        return WEFT_OK;
    case KIND_TEXT:
    case KIND_INTERNAL:
        return WEFT_OK;
    }
    return WEFT_OK;
}

static int put_value(struct value *table, size_t i, const char *text, const char *source)
{
    int err = check_value(&settings[i], text);
    if (err)
        return err;
    char *copy = strdup(text);
    if (!copy)
        return weft_fail(WEFT_ENOMEM, "no memory for the value of %s", settings[i].name);
    free(table[i].text);
    table[i].text = copy;
    table[i].source = source; /* NOLINT(clang-analyzer-unix.Malloc): freed by free_values() */
    return WEFT_OK;
}

static void free_values(struct value *table)
{
    for (size_t i = 0; i < SETTINGS_N; i++)
        free(table[i].text);
}

struct file_read {
    struct value *table;
    const char *path;
    int err;
};

/* Called by the INI reader for every "name = value"; 0 stops it. */
static int on_file_line(void *user, const char *section, const char *name, const char *text)
{
    struct file_read *read = user;
    if (*section) {
        read->err = weft_fail(WEFT_EINVAL,
                              "%s: section [%s]: the file has no sections, only lines NAME = value",
                              read->path, section);
        return 0;
    }
    size_t i = index_of(name);
    if (i == SETTINGS_N) {
        warn_unknown(name, read->path);
        return 1;
    }
    read->err = put_value(read->table, i, text, "file");
    return read->err == WEFT_OK;
}

static int load_file(struct value *table, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return weft_fail(WEFT_ENOENT,
                         "cannot read the settings file %s: %s; correct or unset WEFT_CONFIG", path,
                         strerrordesc_np(errno));
    struct stat about;
    if (fstat(fileno(file), &about) != 0 || S_ISDIR(about.st_mode)) {
        fclose(file);
        return weft_fail(WEFT_ENOENT,
                         "the settings file %s is a folder; correct or unset WEFT_CONFIG", path);
    }
    struct file_read read = {.table = table, .path = path};
    int line = ini_parse_file(file, on_file_line, &read);
    fclose(file);
    if (read.err)
        return line > 0
                   ? weft_fail(read.err, "%s line %d: %s", path, line, weft_fail_text(read.err))
                   : read.err;
    if (line != 0)
        return weft_fail(WEFT_EINVAL, "%s line %d: not a line NAME = value", path, line);
    return WEFT_OK;
}

static int load_environment(struct value *table)
{
    for (char **entry = environ; entry && *entry; entry++) {
        const char *equals = strchr(*entry, '=');
        if (strncmp(*entry, PREFIX, PREFIX_LEN) != 0 || !equals)
            continue;
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(equals - *entry), *entry);
        size_t i = index_of(name);
        if (i == SETTINGS_N) {
            warn_unknown(name, "environment");
            continue;
        }
        int err = put_value(table, i, equals + 1, "environment");
        if (err)
            return err;
    }
    return WEFT_OK;
}

static void apply_log_level(void)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    const char *text = weft__config_text("WEFT_LOG");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0)
            weft__log_set_level((enum weft_log_level)i);
    }
}

int weft__config_load(void)
{
    struct value table[SETTINGS_N] = {{0}};
    const char *path = getenv("WEFT_CONFIG");
    int err = path && *path ? load_file(table, path) : WEFT_OK;
    if (!err)
        err = load_environment(table);
    if (err) {
        free_values(table);
        return err;
    }
    free_values(values);
    for (size_t i = 0; i < SETTINGS_N; i++)
        values[i] = table[i];
    loaded = true;
    apply_log_level();
    return WEFT_OK;
}

bool weft__config_is_loaded(void)
{
    return loaded;
}

int weft__config_set(const char *name, const char *value)
{
    size_t i = index_of(name);
    if (i == SETTINGS_N) {
        const char *tail = nearest_setting(name);
        return weft_fail(WEFT_ENOENT, "unknown setting %s%s%s; weft info -c lists all", name,
                         tail ? ": did you mean " PREFIX : "", tail ? tail : "");
    }
    int err = put_value(values, i, value, "option");
    if (err)
        return err;
    loaded = true;
    apply_log_level();
    return WEFT_OK;
}

const char *weft__config_text(const char *name)
{
    size_t i = index_of(name);
    weft__check(i < SETTINGS_N);
    return values[i].text ? values[i].text : settings[i].fallback;
}

uint64_t weft__config_u64(const char *name)
{
    size_t i = index_of(name);
    weft__check(i < SETTINGS_N &&
                (settings[i].kind == KIND_NUMBER || settings[i].kind == KIND_SIZE));
    uint64_t number = 0;
    int err = weft__parse_size(weft__config_text(name), settings[i].min, settings[i].max, &number);
    weft__check(err == WEFT_OK);
    return number;
}

const char *weft__config_source(const char *name)
{
    size_t i = index_of(name);
    weft__check(i < SETTINGS_N);
    return values[i].text ? values[i].source : "default";
}

void weft__config_print(FILE *out)
{
    for (size_t i = 0; i < SETTINGS_N; i++) {
        const struct setting *setting = &settings[i];
        if (setting->kind == KIND_INTERNAL)
            continue;
        const char *text = weft__config_text(setting->name);
        fprintf(out, "%-30s %-12s %-11s %s", setting->name, *text ? text : "-",
                weft__config_source(setting->name), setting->doc);
        if (*setting->choices)
            fprintf(out, " (%s)", setting->choices);
        fputc('\n', out);
    }
}
