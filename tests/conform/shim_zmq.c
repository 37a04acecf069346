#include "transport/zmq/zmq.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "shim+zmq", .transport = &weft__tp_zmq, .shim = true, .bind = "127.0.0.1"},
    {.name = NULL},
};
