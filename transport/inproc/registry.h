/* The inproc endpoints of this process: boxes by serial, ports by name and number, registered
 * ranges.  Thread: any. */
#ifndef WEFT_TRANSPORT_INPROC_REGISTRY_H
#define WEFT_TRANSPORT_INPROC_REGISTRY_H

#include "transport/inproc/box.h"

/* A registration of memory. */
struct weft_tp_region {
    struct weft_range range;
    atomic_uint pins; /* copies from or to it that are running */
    struct weft_inproc_box *box;
};

/* A port to be opened or looked for. */
struct weft_inproc_port {
    const char *name; /* the endpoint's bind */
    uint16_t first, last;
    enum weft_tp_port_mode mode;
    unsigned index; /* of the endpoint's ports */
};

/* Gives the box its serial and enters it. */
void weft__inproc_enter(struct weft_inproc_box *box);
/* Takes out the box, its ports and its ranges (frees them, when no copy runs any more); marks it
 * closed and wakes all others. */
void weft__inproc_leave(struct weft_inproc_box *box);
/* How many boxes have left: changes when somebody's peer may have gone. */
uint64_t weft__inproc_leaves(void);
/* With a reference for the caller; NULL: it has left. */
struct weft_inproc_box *weft__inproc_find(uint64_t serial);

/* Opens the first free port of first..last.  Errors: WEFT_EADDRINUSE; WEFT_ENOMEM. */
int weft__inproc_port_add(struct weft_inproc_box *box, const struct weft_inproc_port *port,
                          uint16_t *port_out);
/* Who has port->first with this name and mode, with a reference; its index goes to index_out. NULL:
 * nobody. */
struct weft_inproc_box *weft__inproc_port_find(const struct weft_inproc_port *port,
                                               unsigned *index_out);

int weft__inproc_range_add(struct weft_tp_region *region);
/* Returns when no copy uses the range any more: at most for the time of one slice. */
void weft__inproc_range_remove(struct weft_tp_region *region);
/* Pins the range that grants ask.  Errors: WEFT_EACCES; WEFT_EPEERDEAD the box has left. */
int weft__inproc_pin(struct weft_inproc_box *box, const struct weft_keys_ask *ask,
                     struct weft_tp_region **region_out);
void weft__inproc_unpin(struct weft_tp_region *region);

#endif
