/* Places for ranks as people write them: HOST[:N], separated by commas or spaces; or @FILE, which
 * has the same, on any number of lines, with comments from # to the end of the line. */
#ifndef WEFT_CLI_PLACES_H
#define WEFT_CLI_PLACES_H

#include <stddef.h>
#include <stdint.h>

#include "wire/host.pb-c.h"

struct cli_places {
    Weft__Host__Place **items;
    size_t n;
    uint64_t ranks; /* of all */
    char *text;     /* that the names lie in */
};

/* Reads them.  Owns: its memory is the caller's, until the process ends.  Errors: -errno of the
 * file; WEFT_EINVAL and WEFT_ERANGE, naming what is wrong; WEFT_ENOMEM. */
int cli_places_read(const char *text, struct cli_places *places_out);

#endif
