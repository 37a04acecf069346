/* What people and peers write as text: numbers, sizes, ranges of ports, addresses of lanes,
 * urls, schemes. Input: a byte that chooses the parser, then the text. */
#include <string.h>

#include "base/parse.h"
#include "fuzz.h"
#include "link/address.h"
#include "transport/fault/dice.h"
#include "transport/fault/fault.h"
#include "transport/inproc/inproc.h"
#include "transport/zmq/endpoint.h"
#include "weft/error.h"

static void parse_numbers(const char *text)
{
    uint64_t number = 0;
    uint16_t first, last;
    if (weft__parse_u64(text, 3, 1000000, &number) == WEFT_OK)
        FUZZ_CHECK(number >= 3 && number <= 1000000);
    if (weft__parse_size(text, 1, (uint64_t)1 << 62, &number) == WEFT_OK)
        FUZZ_CHECK(number >= 1 && number <= (uint64_t)1 << 62);
    if (weft__parse_ports(text, &first, &last) == WEFT_OK)
        FUZZ_CHECK(first >= 1 && first <= last);
}

static void parse_address(const char *text)
{
    struct weft__address address, same;
    struct weft__address_routes routes;
    char once[WEFT_LANE_ADDRESS_MAX], again[WEFT_LANE_ADDRESS_MAX];
    if (weft__address_parse(text, &address) != WEFT_OK)
        return;
    FUZZ_CHECK(address.n >= 1 && address.n <= WEFT_ADDRESS_PATHS);
    if (weft__address_format(&address, once) != WEFT_OK)
        return; /* as long as no lane's is */
    FUZZ_CHECK(weft__address_parse(once, &same) == WEFT_OK);
    FUZZ_CHECK(weft__address_format(&same, again) == WEFT_OK && strcmp(once, again) == 0);
    FUZZ_CHECK(weft__address_meet(text, once));
    FUZZ_CHECK(weft__address_pair(&address, &address, &routes) == WEFT_OK);
    FUZZ_CHECK(routes.route[0].addr.len == address.paths[0].addr.len);
}

/* Urls of control ports: what is accepted has a port behind a numeric address. */
static void parse_url(const char *text)
{
    struct weft_tp_open desc = {.bind = "fuzz", .families = WEFT_TP_CTL};
    struct weft_tp_ep *ep;
    struct weft_tp_peer peer;
    if (weft__zmq_url_ok(text))
        FUZZ_CHECK(strncmp(text, "tcp://", 6) == 0 && strrchr(text, ':') > text + 6);
    FUZZ_CHECK(weft__tp_inproc.core->open(&desc, &ep) == WEFT_OK);
    if (weft__tp_inproc.ctl->connect(ep, text, WEFT_TP_SYNC, &peer) == WEFT_OK)
        FUZZ_CHECK(strrchr(text, ':') > text);
    weft__tp_inproc.core->close(ep);
}

static void parse_scheme(const char *text)
{
    struct weft_fault_scheme parts;
    struct weft_fault_plan plan;
    if (weft__fault_scheme(text, &parts) == WEFT_OK &&
        weft__fault_plan(parts.spec, &plan) == WEFT_OK)
        FUZZ_CHECK(plan.drop <= WEFT_FAULT_ONE && plan.cut <= WEFT_FAULT_ONE);
    (void)weft__fault_plan(text, &plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    unsigned which = (unsigned)fuzz_number(&input, 1) % 4;
    char *text = (char *)fuzz_copy(input.at, input.left);
    text = realloc(text, input.left + 1);
    FUZZ_CHECK(text != NULL);
    text[input.left] = '\0';
    if (which == 0)
        parse_numbers(text);
    else if (which == 1)
        parse_address(text);
    else if (which == 2)
        parse_scheme(text);
    else
        parse_url(text);
    free(text);
    return 0;
}
