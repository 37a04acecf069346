#include "transport/zmq/zmq.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "zmq",
     .transport = &weft__tp_zmq,
     .bind = "127.0.0.1",
     .bind_foreign = "192.0.2.1",
     .url_format = "tcp://%s:%u"},
    {.name = NULL},
};
