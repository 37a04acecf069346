/* Numbers, sizes and port ranges that people write. Every error names the text and what would be
 * right; outputs are written on success only.  Thread: any.  Blocks: no. */
#ifndef WEFT_BASE_PARSE_H
#define WEFT_BASE_PARSE_H

#include <stdint.h>

#define WEFT_PARSE_TENANT_MAX 31

/* A decimal number without sign, min <= number <= max.  Errors: WEFT_EINVAL no number; WEFT_ERANGE
 * outside. */
int weft__parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *number_out);
/* A size in bytes with an optional K, M, G or T (1024 each; "16G", "16GiB", "16g").  Errors: as
 * weft__parse_u64. */
int weft__parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *bytes_out);
/* "8100-8199" or "8100"; 1..65535, first <= last.  Errors: as weft__parse_u64. */
int weft__parse_ports(const char *text, uint16_t *first_out, uint16_t *last_out);
/* The name of a tenant: text on one line, at most WEFT_PARSE_TENANT_MAX bytes; "" is nobody's.
 * Errors: WEFT_EINVAL. */
int weft__parse_tenant(const char *text);

#endif
