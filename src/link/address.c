/* A lane's address as text: "scheme;hex".
 *
 * Text, because it travels in control messages, logs and command lines alike; the scheme in front,
 * so that a lane refuses an address that its transport cannot read before the transport sees it.
 * Hex in lower case, both cases are read.
 */
#include "link/address.h"

#include <stdio.h>
#include <string.h>

#include "weft/error.h"

void weft__address_format(const char *scheme, const struct weft_tp_addr *addr,
                          char text_out[WEFT_LANE_ADDRESS_MAX])
{
    static const char digits[] = "0123456789abcdef";
    int at = snprintf(text_out, WEFT_LANE_ADDRESS_MAX, "%.32s;", scheme);
    char *out = text_out + at;
    for (unsigned i = 0; i < addr->len; i++) {
        *out++ = digits[addr->bytes[i] >> 4];
        *out++ = digits[addr->bytes[i] & 15];
    }
    *out = '\0';
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int weft__address_parse(const char *text, const char *scheme, struct weft_tp_addr *addr_out)
{
    const char *semicolon = strchr(text, ';');
    if (!semicolon || semicolon == text)
        return weft_fail(WEFT_EINVAL, "\"%.80s\" is no lane address: it must read SCHEME;HEX",
                         text);
    size_t scheme_len = (size_t)(semicolon - text);
    if (strlen(scheme) != scheme_len || memcmp(text, scheme, scheme_len) != 0)
        return weft_fail(
            WEFT_ENOTSUP,
            "the peer speaks %.*s, this process %s; set WEFT_DATA to the same transport on "
            "all hosts",
            (int)(scheme_len > 32 ? 32 : scheme_len), text, scheme);
    const char *hex = semicolon + 1;
    size_t len = strlen(hex);
    if (len == 0 || len % 2 || len / 2 > WEFT_TP_ADDR_MAX)
        return weft_fail(WEFT_EINVAL, "lane address of %zu hex digits: 2 to %d, an even number",
                         len, 2 * WEFT_TP_ADDR_MAX);
    struct weft_tp_addr addr = {.len = (uint16_t)(len / 2)};
    for (size_t i = 0; i < len; i++) {
        int value = digit(hex[i]);
        if (value < 0)
            return weft_fail(WEFT_EINVAL, "lane address with '%c' among its hex digits", hex[i]);
        addr.bytes[i / 2] = (uint8_t)(addr.bytes[i / 2] << 4 | value);
    }
    *addr_out = addr;
    return WEFT_OK;
}
