/* Ranks that are processes of their own: weft/line.h. */
#ifndef WEFT_EXEC_APART_H
#define WEFT_EXEC_APART_H

#include "exec/executor.h"

#define WEFT__APART_WHY "it runs as a process of its own"

extern const struct weft__executor weft__executor_apart;

#endif
