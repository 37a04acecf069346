/* When a request that may run more than once is sent again.
 *
 * Only three things set one back: its connection broke, the server was full, the server was
 * shutting down. Silence does not: work that takes long would be done twice for nothing, and
 * whether a connection still lives is the transport's heartbeat to find out. A call whose deadline
 * is meant for long work may say for how long its server may be out of reach. Pauses are the
 * server's hint, or grow from 20 ms to 1 s; half as much again is added at random, so that a
 * thousand clients which were refused at the same moment do not come back at the same moment. A
 * pause of our own is cut to half of what is left until the deadline; a hint is not: who says "in 5
 * s" gains nothing from being asked in 2 s, so the caller is told at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/hub.h"
#include "weft/error.h"

#define FIRST_MS 20
#define MOST_MS 1000
#define DOUBLINGS_MAX 6
#define LEAST_NS (WEFT_NS_PER_MS / 2)

static uint64_t next_random(struct weft_client *client)
{
    uint64_t x = client->random; /* xorshift64; its seed is not 0 */

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    client->random = x;
    return x;
}

/* 0: not before the deadline. */
static uint64_t pause_ns(struct weft_client *client, unsigned tries, uint32_t hint_ms,
                         uint64_t left_ns)
{
    unsigned doublings = tries > DOUBLINGS_MAX ? DOUBLINGS_MAX : tries - 1;
    uint64_t own_ms = (uint64_t)FIRST_MS << doublings;
    uint64_t base_ms = hint_ms != 0 ? hint_ms : own_ms < MOST_MS ? own_ms : MOST_MS;
    uint64_t base_ns = base_ms * WEFT_NS_PER_MS;
    uint64_t pause = base_ns + next_random(client) % (base_ns / 2 + 1);

    if (hint_ms != 0)
        return pause < left_ns ? pause : 0;
    if (pause > left_ns / 2)
        pause = left_ns / 2;
    return pause >= LEAST_NS ? pause : 0;
}

/* Whether the server has been out of reach for too long. Longer than that between a try and its
 * loss: it was there in between, if it was met at all. Our own pauses are no sign of that. */
static bool given_up(struct weft_flight *flight, int err, uint64_t now_ns)
{
    uint64_t most_ns = flight->lost_ms * WEFT_NS_PER_MS;
    bool met = flight->conn == NULL || !flight->conn->unreached;

    if (err != WEFT_EPEERDEAD || most_ns == 0)
        return false;
    if (flight->lost_ns == 0 || (met && now_ns >= flight->lost_again_ns + most_ns))
        flight->lost_ns = now_ns;
    return now_ns - flight->lost_ns >= most_ns;
}

bool weft__resend_later(struct weft_client *client, struct weft_flight *flight, int err,
                        uint32_t hint_ms)
{
    uint64_t now_ns = weft__now_ns(), left_ns, pause;

    if ((flight->flags & WEFT_CLIENT_IDEMPOTENT) == 0 || flight->end != 0 ||
        given_up(flight, err, now_ns))
        return false;
    left_ns = flight->deadline_ns > now_ns ? flight->deadline_ns - now_ns : 0;
    pause = pause_ns(client, flight->tries + 1, hint_ms, left_ns);
    if (pause == 0)
        return false;
    flight->tries++;
    if (err == WEFT_EPEERDEAD)
        flight->lost_again_ns = now_ns + pause;
    if (flight->conn != NULL)
        weft__conn_unlink(flight);
    flight->sent = false;
    flight->set_back = err;
    free(flight->why);
    flight->why = strdup(weft_fail_text(err));
    weft__flights_wake(&client->flights, flight, now_ns + pause);
    weft__counter_add(&client->resent, 1);
    return true;
}
