/* Where weft is built without liburing. */
#include <stddef.h>

#include "snapshot/file_io.h"
#include "weft/error.h"

static int uring_supported(void)
{
    return weft_fail(WEFT_ENOTSUP, "this weft was built without liburing; install liburing-dev "
                                   "and build again");
}

const struct weft_file_io weft__file_io_uring = {.name = "io_uring", .supported = uring_supported};
