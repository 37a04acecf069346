/* The folder of the head's registry log, and other paths around the program. */
#ifndef WEFT_HOST_STATE_DIR_H
#define WEFT_HOST_STATE_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* path: the wanted folder, made where it is missing; empty: one of our own under TMPDIR, the same
 * for every head at this address and port, its path written back, *ours_out true. Those of our own
 * that nobody has used for 30 days are removed on the way.
 * Errors: what mkdir(2) says, with the path; WEFT_EACCES somebody else has a file of that name. */
int weft__state_dir_open(char *path, size_t len_bytes, const char *address, uint16_t port,
                         bool *ours_out);
/* Removes a folder of our own with the files in it. */
void weft__state_dir_remove(const char *path);

/* The path of a program in the folder of the running one. */
int weft__beside_us(const char *program, char *path_out, size_t len_bytes);

/* "address", "address:port" or a whole url to the url of a host's sync port. Errors: WEFT_EINVAL.
 */
int weft__host_url(const char *text, uint16_t default_port, char *url_out, size_t len_bytes);

#endif
