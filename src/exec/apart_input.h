/* The app's standard input for a rank that is a process of its own. */
#ifndef WEFT_EXEC_APART_INPUT_H
#define WEFT_EXEC_APART_INPUT_H

#include "exec/impl.h"

struct weft__apart_input; /* NULL: the rank does not read it */

/* Errors: no descriptors, no memory. *input_out is NULL where another rank reads it, or nobody. */
int weft__apart_input_start(const struct weft__rank *rank, struct weft__apart_input **input_out);
/* What the process has as its descriptor 0; -1: it is not for it. */
int weft__apart_input_fd(const struct weft__apart_input *input);
/* The process has it, or does not come. */
void weft__apart_input_given(struct weft__apart_input *input);
/* Blocks: until its thread has ended, which takes no longer than a system call. */
void weft__apart_input_stop(struct weft__apart_input *input);

#endif
