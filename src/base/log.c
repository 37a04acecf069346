/* Log lines.
 *
 * A line is built on the stack and written with one write(2) to stderr, so lines of several
 * processes that share a pipe or a file do not mix, and a line costs no lock. Control characters in
 * the text become spaces: one event, one line. The process's name and the level are relaxed
 * atomics: they may change while other threads log.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define LINE_MAX_BYTES 1024
#define NAME_BYTES 32
#define LEVEL_UNKNOWN (-1)

static const char *const level_names[] = {"error", "warn", "info", "debug"};

static _Atomic int current_level = LEVEL_UNKNOWN;
static _Atomic char current_name[NAME_BYTES];

void weft__log_name(const char *who)
{
    size_t i = 0;
    for (; i < NAME_BYTES - 1 && who[i]; i++)
        atomic_store_explicit(&current_name[i], who[i], memory_order_relaxed);
    atomic_store_explicit(&current_name[i], '\0', memory_order_relaxed);
}

static void copy_name(char name_out[NAME_BYTES])
{
    for (size_t i = 0; i < NAME_BYTES; i++)
        name_out[i] = atomic_load_explicit(&current_name[i], memory_order_relaxed);
    name_out[NAME_BYTES - 1] = '\0';
}

void weft__log_set_level(enum weft_log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

/* Before the settings are loaded the environment decides, so that early lines obey it too. */
static int level_from_environment(void)
{
    const char *text = getenv("WEFT_LOG");
    for (int i = 0; text && i <= (int)WEFT_LOG_DEBUG; i++) {
        if (strcmp(text, level_names[i]) == 0)
            return i;
    }
    return WEFT_LOG_WARN;
}

int weft__log_enabled(enum weft_log_level level)
{
    int now = atomic_load_explicit(&current_level, memory_order_relaxed);
    if (now == LEVEL_UNKNOWN) {
        now = level_from_environment();
        int unknown = LEVEL_UNKNOWN;
        atomic_compare_exchange_strong_explicit(&current_level, &unknown, now, memory_order_relaxed,
                                                memory_order_relaxed);
    }
    return (int)level <= now;
}

static size_t write_head(char *line, size_t size, enum weft_log_level level)
{
    uint64_t wall_ms = weft__wall_ms();
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char name[NAME_BYTES], host[64] = "?";
    copy_name(name);
    if (gethostname(host, sizeof(host)) == 0)
        host[sizeof(host) - 1] = '\0';
    int n = snprintf(
        line, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ %s %s[%d] %s: ", tm.tm_year + 1900,
        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (unsigned)(wall_ms % 1000),
        host, name[0] ? name : "weft", (int)getpid(), level_names[level]);
    return n < 0 ? 0 : (size_t)n;
}

void weft__log_write(enum weft_log_level level, const char *fmt, ...)
{
    int error = errno;
    char line[LINE_MAX_BYTES];
    size_t head = write_head(line, sizeof(line) / 2, level);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line + head, sizeof(line) - head, fmt, args);
    va_end(args);
    size_t len = n < 0 ? head : head + (size_t)n;
    if (len > sizeof(line) - 1) {
        len = sizeof(line) - 1;
        memcpy(line + len - 3, "...", 3);
    }
    for (size_t i = head; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    }
    line[len++] = '\n';
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, len);
    } while (written < 0 && errno == EINTR);
    errno = error;
}
