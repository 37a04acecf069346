/* A lane's address as text.
 *
 * Text, because it travels in control messages, logs and command lines alike; the names in front,
 * so that a lane refuses an address that its transport cannot read before the transport sees it.
 * The name tells providers and the shim apart: ends that differ in these do not understand each
 * other. A name may have a semicolon in it, hex has none: the last one of an entry divides it. Hex
 * in lower case, both cases are read.
 */
#include "link/address.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link/net.h"
#include "weft/error.h"

#define MACHINE_DIGITS 16u

/* ---- text ---- */

/* What stands for itself in a text; a bind address of inproc is any name. */
static void copy_plain(char *out, const char *from, size_t size)
{
    size_t i = 0;
    for (; from[i] && i + 1 < size; i++)
        out[i] = strchr("/,;@|", from[i]) || !isgraph((unsigned char)from[i]) ? '_' : from[i];
    out[i] = '\0';
}

int weft__address_format(const struct weft__address *address, char text_out[WEFT_LANE_ADDRESS_MAX])
{
    char text[WEFT_ADDRESS_PATHS * (2u * WEFT_TP_ADDR_MAX + 128u) + 32u];
    size_t at = 0;
    if (address->machine)
        at += (size_t)sprintf(text, "%016" PRIx64 "/", address->machine);
    for (unsigned p = 0; p < address->n; p++) {
        const struct weft__address_path *path = &address->paths[p];
        char bind[sizeof(path->bind)];
        copy_plain(bind, path->bind, sizeof(bind));
        at += (size_t)sprintf(text + at, "%s%s%s%s;", p ? "," : "", path->name, *bind ? "@" : "",
                              bind);
        for (unsigned i = 0; i < path->addr.len; i++)
            at += (size_t)sprintf(text + at, "%02x", path->addr.bytes[i]);
    }
    if (at >= WEFT_LANE_ADDRESS_MAX)
        return weft_fail(WEFT_ENOSPC, "a lane address of %zu characters, at most %d fit", at,
                         WEFT_LANE_ADDRESS_MAX - 1);
    memcpy(text_out, text, at + 1);
    return WEFT_OK;
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

static int parse_hex(const char *hex, size_t len, struct weft_tp_addr *addr)
{
    if (len == 0 || len % 2 || len / 2 > WEFT_TP_ADDR_MAX)
        return weft_fail(WEFT_EINVAL, "lane address of %zu hex digits: 2 to %d, an even number",
                         len, 2 * WEFT_TP_ADDR_MAX);
    addr->len = (uint16_t)(len / 2);
    for (size_t i = 0; i < len; i++) {
        int value = digit(hex[i]);
        if (value < 0)
            return weft_fail(WEFT_EINVAL, "lane address with '%c' among its hex digits", hex[i]);
        addr->bytes[i / 2] = (uint8_t)(addr->bytes[i / 2] << 4 | value);
    }
    return WEFT_OK;
}

static int malformed(const char *text)
{
    return weft_fail(WEFT_EINVAL, "\"%.80s\" is no lane address: it must read NAME@ADDRESS;HEX",
                     text);
}

/* One entry of len characters. */
static int parse_entry(const char *text, size_t len, struct weft__address_path *path)
{
    const char *semicolon = memrchr(text, ';', len);
    if (!semicolon)
        return malformed(text);
    size_t front = (size_t)(semicolon - text);
    const char *at = memchr(text, '@', front);
    size_t name_len = at ? (size_t)(at - text) : front;
    size_t bind_len = at ? front - name_len - 1 : 0;
    if (name_len == 0 || name_len >= sizeof(path->name) || bind_len >= sizeof(path->bind) ||
        (at && bind_len == 0))
        return malformed(text);
    *path = (struct weft__address_path){.name = ""};
    memcpy(path->name, text, name_len);
    if (at)
        memcpy(path->bind, at + 1, bind_len);
    for (size_t i = 0; i < front; i++)
        if (!isgraph((unsigned char)text[i]) || strchr("/|", text[i]))
            return malformed(text);
    return parse_hex(semicolon + 1, len - front - 1, &path->addr);
}

static const char *parse_machine(const char *text, uint64_t *machine_out)
{
    uint64_t machine = 0;
    for (unsigned i = 0; i < MACHINE_DIGITS; i++) {
        int value = digit(text[i]);
        if (value < 0)
            return text;
        machine = machine << 4 | (unsigned)value;
    }
    if (text[MACHINE_DIGITS] != '/')
        return text;
    *machine_out = machine;
    return text + MACHINE_DIGITS + 1;
}

int weft__address_parse(const char *text, struct weft__address *address_out)
{
    struct weft__address address = {0};
    const char *at = parse_machine(text, &address.machine);
    for (;;) {
        size_t len = strcspn(at, ",");
        if (address.n == WEFT_ADDRESS_PATHS)
            return weft_fail(WEFT_EINVAL, "lane address with more than %u paths",
                             WEFT_ADDRESS_PATHS);
        int err = parse_entry(at, len, &address.paths[address.n]);
        if (err != WEFT_OK)
            return err;
        address.n++;
        if (!at[len])
            break;
        at += len + 1;
    }
    *address_out = address;
    return WEFT_OK;
}

void weft__address_names(const struct weft__address *address, char *text_out, size_t size)
{
    size_t at = 0;
    text_out[0] = '\0';
    for (unsigned p = 0; p < address->n && at < size; p++)
        at += (size_t)snprintf(text_out + at, size - at, "%s%s", p ? "," : "",
                               address->paths[p].name);
}

/* ---- pairs ---- */

static unsigned earlier_of_name(const struct weft__address *address, unsigned p)
{
    unsigned n = 0;
    for (unsigned i = 0; i < p; i++)
        n += strcmp(address->paths[i].name, address->paths[p].name) == 0;
    return n;
}

static int nowhere(const struct weft__address *ours, const struct weft__address *theirs,
                   const char *shared)
{
    char our_names[128], their_names[128];
    if (shared)
        return weft_fail(WEFT_EADDRNOTAVAIL,
                         "the peer's address %s is also one of this machine, as that of docker0 "
                         "is everywhere: it leads nowhere; name other interfaces in WEFT_NET",
                         shared);
    weft__address_names(ours, our_names, sizeof(our_names));
    weft__address_names(theirs, their_names, sizeof(their_names));
    return weft_fail(WEFT_ENOTSUP,
                     "the peer speaks %s, this process %s; set WEFT_DATA to the same transport on "
                     "all hosts",
                     their_names, our_names);
}

/* Whether path p of ours and path q of theirs stand at the same place among those of their name. */
static bool is_twin(const struct weft__address *ours, unsigned p,
                    const struct weft__address *theirs, unsigned q)
{
    return earlier_of_name(ours, p) == earlier_of_name(theirs, q);
}

int weft__address_pair(const struct weft__address *ours, const struct weft__address *theirs,
                       struct weft__address_routes *out)
{
    bool elsewhere = ours->machine && theirs->machine && ours->machine != theirs->machine;
    const char *shared = NULL;
    struct weft__address_routes found = {.n = 0};
    for (unsigned i = 0; i < 2 * WEFT_ADDRESS_PATHS * WEFT_ADDRESS_PATHS; i++) {
        bool twins = i < WEFT_ADDRESS_PATHS * WEFT_ADDRESS_PATHS;
        unsigned p = i / WEFT_ADDRESS_PATHS % WEFT_ADDRESS_PATHS, q = i % WEFT_ADDRESS_PATHS;
        if (p >= ours->n || q >= theirs->n || found.n == WEFT_ADDRESS_ROUTES ||
            strcmp(ours->paths[p].name, theirs->paths[q].name) != 0 ||
            is_twin(ours, p, theirs, q) != twins)
            continue;
        if (elsewhere && weft__net_is_ours(theirs->paths[q].bind))
            shared = theirs->paths[q].bind;
        else
            found.route[found.n++] = (struct weft__address_route){p, q, theirs->paths[q].addr};
    }
    if (found.n == 0)
        return nowhere(ours, theirs, shared);
    *out = found;
    return WEFT_OK;
}

/* All lanes of a process are of a kind. */
static int parse_first(const char *text, struct weft__address *address_out)
{
    char first[WEFT_LANE_ADDRESS_MAX];
    size_t len = strcspn(text, (char[]){WEFT_ADDRESS_BETWEEN, '\0'});
    if (len >= sizeof(first))
        return malformed(text);
    memcpy(first, text, len);
    first[len] = '\0';
    return weft__address_parse(first, address_out);
}

bool weft__address_meet(const char *a, const char *b)
{
    struct weft__address one, other;
    if (parse_first(a, &one) != WEFT_OK || parse_first(b, &other) != WEFT_OK)
        return false;
    for (unsigned p = 0; p < one.n; p++)
        for (unsigned q = 0; q < other.n; q++)
            if (strcmp(one.paths[p].name, other.paths[q].name) == 0)
                return true;
    return false;
}

/* ---- of a peer ---- */

/* Bytes of an address: for each route our path, theirs, the length of the address there, and it. */
int weft__address_pack(const struct weft__address_routes *routes, struct weft_tp_addr *addr_out)
{
    struct weft_tp_addr all = {.len = 0};
    for (unsigned i = 0; i < routes->n; i++) {
        const struct weft__address_route *route = &routes->route[i];
        if (all.len + 3u + route->addr.len > sizeof(all.bytes))
            break;
        uint8_t *at = all.bytes + all.len;
        at[0] = (uint8_t)route->ours;
        at[1] = (uint8_t)route->theirs;
        at[2] = (uint8_t)route->addr.len;
        memcpy(at + 3, route->addr.bytes, route->addr.len);
        all.len = (uint16_t)(all.len + 3u + route->addr.len);
    }
    if (all.len == 0)
        return weft_fail(WEFT_ENOSPC, "an address that is longer than %zu bytes",
                         sizeof(all.bytes));
    *addr_out = all;
    return WEFT_OK;
}
