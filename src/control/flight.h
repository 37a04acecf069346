/* What a client has under way: requests that wait for their reply or to be sent again, and frames
 * that wait for room. A bounded table that finds a flight by its correlation id, by its ticket, and
 * the one that must be looked at first.
 */
#ifndef WEFT_CONTROL_FLIGHT_H
#define WEFT_CONTROL_FLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/client.h"
#include "transport/spi.h"

struct weft_conn;

enum weft_flight_order { WEFT_FLIGHT_SEND, WEFT_FLIGHT_FORGET, WEFT_FLIGHT_CANCEL };

struct weft_flight {
    enum weft_flight_order order; /* FORGET: no frame, the connections to url; CANCEL: `ticket` */
    uint64_t correlation;         /* 0: not in the table */
    uint64_t ticket;              /* 0: it has none */
    uint64_t sequence;            /* 0: not sent yet */
    uint64_t wake_ns;             /* when it must be looked at: its deadline, or earlier */
    uint64_t deadline_ns;
    size_t heap_at;
    struct weft_conn *conn;        /* NULL: none yet, or it waits to be sent again */
    struct weft_flight *conn_next; /* of the connection's flights, in order of arrival */
    struct weft_flight *conn_prev;
    struct weft_flight *ticket_next; /* of the table's bucket */
    struct weft_flight *taken_next;  /* of the orders that the thread has taken */
    bool sent;                       /* over conn */
    bool keep_reply;                 /* done takes the reply over */
    int end; /* what it ends with when it is looked at next: cancelled, forgotten; 0: nothing */
    int set_back; /* why it is sent again */
    char *why;    /* the words of set_back; may be NULL */
    unsigned tries;
    uint32_t lost_ms;                /* 0: as long as there is time */
    uint64_t lost_ns, lost_again_ns; /* when it met with a lost server first, and is tried again
                                        after the last time; 0: not yet */
    enum weft_tp_port_mode mode;
    uint16_t code;
    uint32_t flags; /* enum weft_client_flag */
    uint32_t timeout_ms;
    const ProtobufCMessageDescriptor *reply_type;
    weft_client_done *done; /* both NULL: nobody asks */
    weft_client_done_bytes *done_bytes;
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
    struct weft_flight **heap;    /* by wake_ns */
    struct weft_flight **tickets; /* chains, by the low bits of the ticket */
    size_t ticket_mask;
    size_t capacity;
    size_t n;
    uint32_t free; /* index + 1 of the first free slot; 0: none */
};

void weft__flight_free(struct weft_flight *flight);

/* Errors: WEFT_ENOMEM. fini of a zeroed table is fine. */
int weft__flights_init(struct weft_flights *flights, size_t capacity);
void weft__flights_fini(struct weft_flights *flights);
/* Sets flight->correlation, and wake_ns to the deadline; false: the table is full. */
bool weft__flights_add(struct weft_flights *flights, struct weft_flight *flight);
void weft__flights_remove(struct weft_flights *flights, struct weft_flight *flight);
struct weft_flight *weft__flights_find(const struct weft_flights *flights, uint64_t correlation);
struct weft_flight *weft__flights_earliest(const struct weft_flights *flights); /* NULL: empty */
/* Sets when a flight of the table must be looked at. */
void weft__flights_wake(struct weft_flights *flights, struct weft_flight *flight, uint64_t wake_ns);
/* Tickets are found apart from the table: also while a flight waits to enter it. A flight without
 * one is fine. */
void weft__flights_add_ticket(struct weft_flights *flights, struct weft_flight *flight);
void weft__flights_remove_ticket(struct weft_flights *flights, struct weft_flight *flight);
struct weft_flight *weft__flights_find_ticket(const struct weft_flights *flights, uint64_t ticket);

#endif
