/* Numbers, sizes and port ranges.
 *
 * One scanner reads digits with an overflow check and says where it stopped; the rest is what may
 * follow. strtoull was rejected: it takes signs, leading spaces and "0x", and a value that
 * overflows needs errno.
 */
#include "base/parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <inttypes.h>

#include "weft/error.h"

struct scan {
    uint64_t number;
    const char *rest; /* first character that is no digit */
    bool any;         /* at least one digit */
    bool overflow;
};

static struct scan scan_digits(const char *text)
{
    struct scan scan = {.rest = text};
    for (; *scan.rest >= '0' && *scan.rest <= '9'; scan.rest++) {
        scan.any = true;
        uint64_t digit = (uint64_t)(*scan.rest - '0');
        if (__builtin_mul_overflow(scan.number, 10u, &scan.number) ||
            __builtin_add_overflow(scan.number, digit, &scan.number))
            scan.overflow = true;
    }
    return scan;
}

int weft__parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *number_out)
{
    struct scan scan = scan_digits(text);
    if (!scan.any || *scan.rest)
        return weft_fail(WEFT_EINVAL, "'%s' is not a number; give one from %" PRIu64 " to %" PRIu64,
                         text, min, max);
    if (scan.overflow || scan.number < min || scan.number > max)
        return weft_fail(WEFT_ERANGE,
                         "%s is out of range; give a number from %" PRIu64 " to %" PRIu64, text,
                         min, max);
    *number_out = scan.number;
    return WEFT_OK;
}

/* The power of two that a unit stands for; -1: no unit. */
static int unit_shift(const char *unit)
{
    static const char letters[] = "KMGT";
    if (!*unit || strcasecmp(unit, "B") == 0)
        return 0;
    const char *found = memchr(letters, *unit & ~0x20, sizeof(letters) - 1);
    if (!found || (unit[1] && strcasecmp(unit + 1, "B") != 0 && strcasecmp(unit + 1, "iB") != 0))
        return -1;
    return 10 * (int)(found - letters + 1);
}

int weft__parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *bytes_out)
{
    struct scan scan = scan_digits(text);
    int shift = unit_shift(scan.rest);
    if (!scan.any || shift < 0)
        return weft_fail(WEFT_EINVAL,
                         "'%s' is not a size; write it like 4096, 512K, 256M, 16G or 1T", text);
    if (scan.overflow || scan.number > UINT64_MAX >> shift || scan.number << shift < min ||
        scan.number << shift > max)
        return weft_fail(WEFT_ERANGE, "size %s is out of range: %" PRIu64 " to %" PRIu64 " bytes",
                         text, min, max);
    *bytes_out = scan.number << shift;
    return WEFT_OK;
}

int weft__parse_ports(const char *text, uint16_t *first_out, uint16_t *last_out)
{
    struct scan first = scan_digits(text), last = first;
    if (first.any && *first.rest == '-')
        last = scan_digits(first.rest + 1);
    if (!first.any || !last.any || *last.rest)
        return weft_fail(WEFT_EINVAL, "'%s' is not a range of ports; write it like 8100-8199",
                         text);
    if (first.overflow || last.overflow || first.number < 1 || last.number > UINT16_MAX ||
        first.number > last.number)
        return weft_fail(WEFT_ERANGE,
                         "ports %s: give first-last, from 1 to 65535, the first not above the last",
                         text);
    *first_out = (uint16_t)first.number;
    *last_out = (uint16_t)last.number;
    return WEFT_OK;
}

int weft__parse_tenant(const char *text)
{
    size_t len = strlen(text);
    if (len > WEFT_PARSE_TENANT_MAX)
        return weft_fail(WEFT_EINVAL, "the name of a tenant has at most %d bytes, \"%s\" has %zu",
                         WEFT_PARSE_TENANT_MAX, text, len);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return weft_fail(WEFT_EINVAL, "the name of a tenant has no control characters");
    return WEFT_OK;
}
