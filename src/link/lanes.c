/* Several lanes side by side, each with an endpoint, receive buffers and a progress thread of its
 * own. They lie on different interfaces where there are several: lane 0 on the one to be used
 * first, lane 1 on the next one, round in a ring. Those on one card that pins memory share what it
 * keeps for a process, the domain and its registrations (transport/ofi/domain.c); a registration is
 * made on the lane of the pair that it is for.
 *
 * Rejected: a lane that is on every interface and chooses for each message. It would need an order
 * across connections that none of them gives.
 *
 * An address is those of the lanes with a bar in between.
 */
#include "link/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "link/address.h"
#include "weft/error.h"

#define BETWEEN WEFT_ADDRESS_BETWEEN

/* Each lane's thread has a core of its own where cores are named. */
static int progress_of(const char *text, unsigned i, char *text_out, size_t room)
{
    if (strcmp(text, "worker") == 0)
        return weft_fail(WEFT_EINVAL, "WEFT_LANES above 1 needs WEFT_PROGRESS=thread or core:N: a "
                                      "rank sleeps on one lane, and nobody would drive the others");
    if (strncmp(text, "core:", 5) == 0)
        snprintf(text_out, room, "core:%lu", strtoul(text + 5, NULL, 10) + i);
    else
        snprintf(text_out, room, "%s", text);
    return WEFT_OK;
}

static int open_one(const struct weft_lane_desc *desc, unsigned n, struct weft_lanes *lanes)
{
    char progress[64];
    struct weft_lane_desc one = *desc;
    const char *text = desc->progress ? desc->progress : weft__config_text("WEFT_PROGRESS");
    one.lanes = n;
    one.lane = lanes->n;
    if (n > 1) {
        int err = progress_of(text, lanes->n, progress, sizeof(progress));
        if (err != WEFT_OK)
            return err;
        one.progress = progress;
    }
    int err = weft__lane_open(&one, &lanes->lane[lanes->n]);
    lanes->n += err == WEFT_OK;
    return err;
}

static int join(struct weft_lanes *lanes)
{
    size_t at = 0;
    for (unsigned i = 0; i < lanes->n; i++) {
        const char *text = weft__lane_address(lanes->lane[i]);
        size_t len = strlen(text);
        if (at + len + 2 > sizeof(lanes->address))
            return weft_fail(WEFT_EMSGSIZE,
                             "the addresses of %u lanes are longer than %zu characters; lower "
                             "WEFT_LANES, or let WEFT_NET and WEFT_DATA name fewer paths",
                             lanes->n, sizeof(lanes->address) - 1);
        if (i > 0)
            lanes->address[at++] = BETWEEN;
        memcpy(lanes->address + at, text, len + 1);
        at += len;
    }
    return WEFT_OK;
}

int weft__lanes_open(const struct weft_lane_desc *desc, unsigned n, struct weft_lanes *lanes_out)
{
    struct weft_lanes lanes = {0};
    int err = WEFT_OK;
    if (n == 0)
        n = (unsigned)weft__config_u64("WEFT_LANES");
    if (n < 1 || n > WEFT_LANES_MAX)
        return weft_fail(WEFT_EINVAL, "%u lanes: 1 to %u", n, WEFT_LANES_MAX);
    struct weft_lane_desc one = *desc;
    one.group = n > 1 ? lanes_out : NULL;
    while (err == WEFT_OK && lanes.n < n)
        err = open_one(&one, n, &lanes);
    if (err == WEFT_OK)
        err = join(&lanes);
    if (err != WEFT_OK)
        weft__lanes_close(&lanes);
    else
        *lanes_out = lanes;
    return err;
}

/* A lane's last callbacks may use another one: all end before the first is freed. */
void weft__lanes_close(struct weft_lanes *lanes)
{
    for (unsigned i = 0; i < lanes->n; i++)
        weft__lane_end(lanes->lane[i]);
    for (unsigned i = 0; i < lanes->n; i++)
        weft__lane_free(lanes->lane[i]);
    lanes->n = 0;
}

unsigned weft__lanes_count(const char *address)
{
    unsigned n = 1;
    while ((address = strchr(address, BETWEEN))) {
        address++;
        n++;
    }
    return n;
}

int weft__lanes_peer(struct weft_lanes *lanes, const char *address,
                     struct weft_lanes_peer *peer_out)
{
    struct weft_lanes_peer peer = {0};
    char one[WEFT_LANE_ADDRESS_MAX];
    if (weft__lanes_count(address) != lanes->n)
        return weft_fail(WEFT_EINVAL,
                         "the other process has %u lanes, this one %u; set WEFT_LANES to the same "
                         "on all hosts",
                         weft__lanes_count(address), lanes->n);
    int err = WEFT_OK;
    unsigned known = 0;
    while (err == WEFT_OK && known < lanes->n) {
        size_t len = strcspn(address, (char[]){BETWEEN, '\0'});
        if (len >= sizeof(one)) {
            err = weft_fail(WEFT_EINVAL, "a lane address of %zu characters", len);
            break;
        }
        memcpy(one, address, len);
        one[len] = '\0';
        address += len + 1;
        err = weft__lane_peer(lanes->lane[known], one, &peer.of[known]);
        known += err == WEFT_OK;
    }
    if (err == WEFT_OK)
        *peer_out = peer;
    else
        while (known-- > 0)
            weft__lane_peer_put(lanes->lane[known], peer.of[known]);
    return err;
}

int weft__lanes_drive(struct weft_lanes *lanes)
{
    int events = 0;
    for (unsigned i = 0; i < lanes->n; i++)
        events += weft__lane_drive(lanes->lane[i]);
    return events;
}

void weft__lanes_leave(struct weft_lanes *lanes)
{
    for (unsigned i = 0; i < lanes->n; i++)
        weft__lane_leave(lanes->lane[i]);
}

void weft__lanes_kick(struct weft_lanes *lanes, const _Atomic uint32_t *word)
{
    for (unsigned i = 0; i < lanes->n; i++)
        weft__lane_kick(lanes->lane[i], word);
}

void weft__lanes_drop(struct weft_lanes *lanes, const struct weft_lanes_peer *peer)
{
    for (unsigned i = 0; i < lanes->n; i++)
        weft__lane_drop(lanes->lane[i], peer->of[i]);
}

static void add(struct weft_lane_stats *sum, const struct weft_lane_stats *one)
{
    sum->messages_sent += one->messages_sent;
    sum->messages_received += one->messages_received;
    sum->messages_refused += one->messages_refused;
    sum->messages_failed += one->messages_failed;
    sum->bytes_sent += one->bytes_sent;
    sum->bytes_received += one->bytes_received;
    sum->rma_bytes_got += one->rma_bytes_got;
    sum->gets_failed += one->gets_failed;
    sum->peers_lost += one->peers_lost;
    sum->regions += one->regions;
    sum->progress_wakeups += one->progress_wakeups;
    sum->progress_cpu_ns += one->progress_cpu_ns;
}

/* Registrations are those of a domain, which several lanes may have. */
static bool is_first_of_domain(const struct weft_lane_stats *each, unsigned i)
{
    for (unsigned before = 0; before < i; before++)
        if (each[i].usage.domain && each[before].usage.domain == each[i].usage.domain)
            return false;
    return true;
}

void weft__lanes_each(const struct weft_lanes *lanes, struct weft_lane_stats *each_out)
{
    for (unsigned i = 0; i < lanes->n; i++)
        weft__lane_stats(lanes->lane[i], &each_out[i]);
}

void weft__lanes_stats(const struct weft_lanes *lanes, struct weft_lane_stats *stats_out)
{
    struct weft_lane_stats each[WEFT_LANES_MAX], sum = {0};
    weft__lanes_each(lanes, each);
    for (unsigned i = 0; i < lanes->n; i++) {
        if (i == 0) {
            sum = each[0];
            continue;
        }
        if (!is_first_of_domain(each, i)) {
            each[i].usage.registrations = each[i].usage.registered_bytes = 0;
            each[i].usage.registration_hits = each[i].usage.registration_misses = 0;
        }
        add(&sum, &each[i]);
        weft__usage_add(&sum.usage, &each[i].usage);
    }
    sum.lanes = lanes->n;
    *stats_out = sum;
}

int weft__lanes_wait(struct weft_lanes *lanes, unsigned which, const _Atomic uint32_t *word,
                     uint32_t seen, uint64_t deadline_ns)
{
    for (unsigned i = 0; i < lanes->n; i++)
        if (i != which)
            weft__lane_leave(lanes->lane[i]);
    return weft__lane_wait(lanes->lane[which], word, seen, deadline_ns);
}
