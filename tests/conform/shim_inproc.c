#include "transport/inproc/inproc.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "shim+inproc", .transport = &weft__tp_inproc, .shim = true, .bind = "here"},
    {.name = NULL},
};
