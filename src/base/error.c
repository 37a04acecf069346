/* Error codes and the text of the last failure of a thread.
 *
 * The text lives in thread-local memory of fixed size: noting an error never allocates, never locks
 * and never fails. It is kept with its code, and handed out only for that code, so that a stale
 * text is never shown for another error. A list of causes (like a stack of texts) was rejected: the
 * function that first knows the error writes one sentence that is enough.
 */
#include "weft/error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct fail_note {
    int err; /* WEFT_OK: nothing noted */
    uint32_t retry_ms;
    char text[512];
};

static _Thread_local struct fail_note note;

struct error_row {
    int code;
    enum weft_damage damage;
    const char *name;
    const char *text;
};

static const struct error_row rows[] = {
#define X(name, code, damage, text) {(code), WEFT_DAMAGE_##damage, #name, text},
    WEFT_ERRORS(X)
#undef X
};

static const struct error_row *row_of(int err)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].code == err)
            return &rows[i];
    }
    return NULL;
}

const char *weft_error_name(int err)
{
    const struct error_row *row = row_of(err);
    return row ? row->name : "WEFT_E?";
}

const char *weft_error_text(int err)
{
    const struct error_row *row = row_of(err);
    if (row)
        return row->text;
    const char *system_text = err < 0 && err > -2000 ? strerrordesc_np(-err) : NULL;
    return system_text ? system_text : "unknown error";
}

enum weft_damage weft_error_damage(int err)
{
    const struct error_row *row = row_of(err);
    if (row)
        return row->damage;
    return err < 0 ? WEFT_DAMAGE_OP : WEFT_DAMAGE_NONE;
}

#undef weft_fail
int weft_fail(int err, const char *fmt, ...)
{
    /* Formatted aside first: an argument may be the text noted before. */
    char text[sizeof(note.text)];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0)
        snprintf(text, sizeof(text), "%s", weft_error_text(err));
    memcpy(note.text, text, sizeof(text));
    note.err = err;
    note.retry_ms = 0;
    return err;
}

const char *weft_fail_text(int err)
{
    return err != WEFT_OK && note.err == err ? note.text : weft_error_text(err);
}

uint32_t weft_fail_retry_ms(void)
{
    return note.err == WEFT_EAGAIN ? note.retry_ms : 0;
}

void weft_fail_set_retry_ms(uint32_t retry_ms)
{
    note.retry_ms = retry_ms;
}

void weft_fail_clear(void)
{
    note.err = WEFT_OK;
    note.text[0] = '\0';
}
