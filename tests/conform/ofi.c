#include "transport/ofi/ofi.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "net", .transport = &weft__tp_ofi, .bind = "127.0.0.1", .provider = "net"},
    {.name = "rxm", .transport = &weft__tp_ofi, .bind = "127.0.0.1", .provider = "tcp;ofi_rxm"},
    {.name = NULL},
};
