/* What a client has under way: requests that wait for their reply, and frames that wait for room. A
 * bounded table that finds a flight by its correlation id and the one whose deadline comes first.
 */
#ifndef WEFT_CONTROL_FLIGHT_H
#define WEFT_CONTROL_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/client.h"
#include "transport/spi.h"

struct weft_conn;

struct weft_flight {
    uint64_t correlation; /* 0: not in the table */
    uint64_t deadline_ns;
    size_t heap_at;
    struct weft_conn *conn;
    struct weft_flight *conn_next; /* of the connection's flights, in order of arrival */
    struct weft_flight *conn_prev;
    bool sent;
    bool keep_reply; /* done takes the reply over */
    bool forget;     /* no frame: an order to forget the connections to url */
    enum weft_tp_port_mode mode;
    uint16_t code;
    uint32_t timeout_ms;
    const ProtobufCMessageDescriptor *reply_type;
    weft_client_done *done; /* NULL: nobody asks */
    void *ctx;
    uint8_t *frame;
    size_t frame_len;
    char *url; /* in the same block */
};

struct weft_flight_slot {
    struct weft_flight *flight;
    uint32_t turn;      /* how often the slot was used */
    uint32_t next_free; /* index + 1 */
};

struct weft_flights {
    struct weft_flight_slot *slots;
    struct weft_flight **heap; /* by deadline */
    size_t capacity;
    size_t n;
    uint32_t free; /* index + 1 of the first free slot; 0: none */
};

/* Errors: WEFT_ENOMEM. fini of a zeroed table is fine. */
int weft__flights_init(struct weft_flights *flights, size_t capacity);
void weft__flights_fini(struct weft_flights *flights);
/* Sets flight->correlation; false: the table is full. */
bool weft__flights_add(struct weft_flights *flights, struct weft_flight *flight);
void weft__flights_remove(struct weft_flights *flights, struct weft_flight *flight);
struct weft_flight *weft__flights_find(const struct weft_flights *flights, uint64_t correlation);
struct weft_flight *weft__flights_earliest(const struct weft_flights *flights); /* NULL: empty */

#endif
