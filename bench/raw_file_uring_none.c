/* Where it is built without liburing. */
#include "raw_file.h"

static uint64_t none(const char *path, const struct weft_region *region)
{
    (void)path;
    (void)region;
    return 0;
}

const struct raw_file_way raw_file_uring = {.name = "none", .save = none, .load = none};
