/* The decorator without faults is what it decorates. */
#include "transport/inproc/inproc.h"
#include "transport/zmq/zmq.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "fault+inproc",
     .transport = &weft__tp_inproc,
     .fault = "",
     .bind = "here",
     .url_format = "%s:%u"},
    {.name = "fault+zmq",
     .transport = &weft__tp_zmq,
     .fault = "",
     .bind = "127.0.0.1",
     .bind_foreign = "192.0.2.1",
     .url_format = "tcp://%s:%u"},
    {.name = "fault+shim+zmq",
     .transport = &weft__tp_zmq,
     .shim = true,
     .fault = "",
     .bind = "127.0.0.1"},
    {.name = NULL},
};
