/* Names of snapshot files: the key, with every byte that is no letter, digit, '_' or '-' (and no
 * '.' behind the first) written as %XX, and ".snapshot" behind it.
 *
 * So a key cannot name another folder, a hidden file or a temporary one, whatever is in it, and it
 * can be read off the name. A key that grows too long for a file name keeps its beginning, followed
 * by "%~" and a BLAKE2b sum of the whole of it, which nobody can make two keys for.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "snapshot/files_own.h"
#include "weft/error.h"

#define SUFFIX ".snapshot"
#define ESCAPED_MAX (WEFT_FILE_NAME_ROOM - sizeof(SUFFIX))
#define SUM_BYTES 32u
#define SHORT_MAX (ESCAPED_MAX - 2 - 2 * SUM_BYTES)

static bool is_plain(unsigned char byte, bool first)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_' || byte == '-' || (byte == '.' && !first);
}

/* text has room for three times the key. */
static size_t escape(const char *key, char *text)
{
    size_t n = 0;
    for (const char *at = key; *at != '\0'; at++) {
        if (is_plain((unsigned char)*at, at == key))
            text[n++] = *at;
        else
            n += (size_t)sprintf(text + n, "%%%02X", (unsigned char)*at);
    }
    text[n] = '\0';
    return n;
}

int weft__file_name(const char *key, char name_out[WEFT_FILE_NAME_ROOM])
{
    char text[3 * WEFT_FILE_KEY_MAX + 1], sum_text[2 * SUM_BYTES + 1];
    unsigned char sum[SUM_BYTES];
    size_t len = strlen(key);
    if (len == 0 || len > WEFT_FILE_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "the key of a snapshot has 1 to %u bytes, not %zu",
                         WEFT_FILE_KEY_MAX, len);
    for (const char *at = key; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return weft_fail(WEFT_EINVAL, "the key of a snapshot has no control characters");
    if (escape(key, text) <= ESCAPED_MAX) {
        (void)snprintf(name_out, WEFT_FILE_NAME_ROOM, "%.*s%s", (int)ESCAPED_MAX, text, SUFFIX);
        return WEFT_OK;
    }
    crypto_generichash(sum, sizeof(sum), (const unsigned char *)key, len, NULL, 0);
    sodium_bin2hex(sum_text, sizeof(sum_text), sum, sizeof(sum));
    (void)snprintf(name_out, WEFT_FILE_NAME_ROOM, "%.*s%%~%s%s", (int)SHORT_MAX, text, sum_text,
                   SUFFIX);
    return WEFT_OK;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns whether the text is an escaped key. */
static bool unescape(const char *text, size_t len, char *key)
{
    size_t n = 0;
    for (size_t i = 0; i < len && n < WEFT_FILE_KEY_MAX; n++) {
        if (text[i] != '%') {
            key[n] = text[i++];
            continue;
        }
        if (len - i < 3 || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0)
            return false;
        key[n] = (char)(digit(text[i + 1]) * 16 + digit(text[i + 2]));
        i += 3;
    }
    key[n] = '\0';
    return n > 0 && strlen(key) == n;
}

bool weft__file_name_key(const char *name, char key_out[WEFT_FILE_KEY_MAX + 1])
{
    char again[WEFT_FILE_NAME_ROOM];
    size_t len = strlen(name), suffix = sizeof(SUFFIX) - 1;
    if (len <= suffix || len >= WEFT_FILE_NAME_ROOM || strcmp(name + len - suffix, SUFFIX) != 0)
        return false;
    len -= suffix;
    if (len == ESCAPED_MAX && memcmp(name + SHORT_MAX, "%~", 2) == 0) {
        key_out[0] = '\0';
        return true;
    }
    /* One spelling only: what does not come out the same is not ours. */
    return unescape(name, len, key_out) && weft__file_name(key_out, again) == WEFT_OK &&
           strcmp(again, name) == 0;
}
