#include "transport/tcp/tcp.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "tcp", .transport = &weft__tp_tcp, .bind = "127.0.0.1"},
    {.name = "tcp on IPv6", .transport = &weft__tp_tcp, .bind = "::1"},
    {.name = "shim+tcp", .transport = &weft__tp_tcp, .shim = true, .bind = "127.0.0.1"},
    {.name = "fault+tcp", .transport = &weft__tp_tcp, .fault = "", .bind = "127.0.0.1"},
    {.name = "tcp to another process",
     .transport = &weft__tp_tcp,
     .far = true,
     .bind = "127.0.0.1"},
    {.name = NULL},
};
