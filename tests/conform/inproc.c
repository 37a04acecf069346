#include "transport/inproc/inproc.h"

#include "tests/conform/conform.h"

const struct conform_subject conform_subjects[] = {
    {.name = "inproc",
     .transport = &weft__tp_inproc,
     .bind = "here",
     .crowded = true,
     .url_format = "%s:%u"},
    {.name = NULL},
};
