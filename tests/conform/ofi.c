#include "transport/ofi/ofi.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "net", .transport = &weft__tp_ofi, .bind = "127.0.0.1", .provider = "net"},
    {.name = "rxm", .transport = &weft__tp_ofi, .bind = "127.0.0.1", .provider = "tcp;ofi_rxm"},
    /* The two devices of tests/rdma/machine. */
    {.name = "verbs",
     .transport = &weft__tp_ofi,
     .bind = "10.77.0.1",
     .bind_far = "10.77.0.2",
     .provider = "verbs;ofi_rxm",
     .cut = "for i in 0 1; do tc qdisc add dev veth$i root netem loss 100% || exit 1; done",
     .mend = "for i in 0 1; do tc qdisc del dev veth$i root || exit 1; done"},
    /* One of two machines, and the other one's agent (CONFORM_FAR). */
    {.name = "verbs-far",
     .transport = &weft__tp_ofi,
     .far = true,
     .bind = "10.77.0.1",
     .bind_far = "10.77.0.2",
     .provider = "verbs;ofi_rxm"},
    {.name = "net-far",
     .transport = &weft__tp_ofi,
     .far = true,
     .bind = "127.0.0.1",
     .provider = "net"},
    {.name = NULL},
};
