/* Memory of a program as the runtime touches it on the program's behalf: a pointer that a program
 * gives to a system call is looked up in the books of its range first, since a fault of the runtime
 * would end the host and all its ranks. */
#ifndef WEFT_CELL_USER_H
#define WEFT_CELL_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cell/space.h"

/* Whether all of [address, address + len) is the program's and may be used so; prot: PROT_READ,
 * PROT_WRITE or both. No bytes are held everywhere. */
bool weft__user_holds(const struct weft__space_host *host, uint64_t address, uint64_t len_bytes,
                      int prot);
/* Whether the kernel may be given it as a buffer: it begins in memory of the program and ends in
 * the rank's range. It may be said to be longer than it is, as long as nobody fills it. */
bool weft__user_buffer(const struct weft__space_host *host, uint64_t address, uint64_t len_bytes);

/* Errors: -EFAULT, for all of these. */
int weft__user_read(const struct weft__space_host *host, void *into, uint64_t address, size_t len);
int weft__user_write(const struct weft__space_host *host, uint64_t address, const void *from,
                     size_t len);
/* A text with its NUL.  Errors: -ENAMETOOLONG, too. */
int weft__user_text(const struct weft__space_host *host, char *into, uint64_t address, size_t room);

#endif
