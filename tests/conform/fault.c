/* The decorator without faults is what it decorates. */
#include "transport/inproc/inproc.h"
#include "transport/zmq/zmq.h"

#include "tests/conform/conform.h"
#include "tests/loopback.h"

static char own[OWN_LOOPBACK_MAX];

__attribute__((constructor)) static void make_address(void)
{
    own_loopback(own);
}

const struct conform_subject conform_subjects[] = {
    {.name = "fault+inproc",
     .transport = &weft__tp_inproc,
     .fault = "",
     .bind = "here",
     .url_format = "%s:%u"},
    {.name = "fault+zmq",
     .transport = &weft__tp_zmq,
     .fault = "",
     .bind = own,
     .bind_foreign = "192.0.2.1",
     .url_format = "tcp://%s:%u"},
    {.name = "fault+shim+zmq", .transport = &weft__tp_zmq, .shim = true, .fault = "", .bind = own},
    {.name = NULL},
};
