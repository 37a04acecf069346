/* Where a rank may move to another host.
 *
 * Only memory of the rank's region moves (weft/memory.h, MPI's own state, posted receives whose
 * buffers lie there). Globals, the stack and malloc() memory do not: whatever the program needs
 * must be reachable from the argument.
 */
#ifndef WEFT_MIGRATE_H
#define WEFT_MIGRATE_H

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

/* If this rank is to move, moves it: entry(argument) is called on the destination with MPI
 * initialised, its return value is the rank's exit code, and this call does not return. Otherwise
 * returns 0 at once (one relaxed load). entry must be a function of the program; argument should
 * point into the region. Thread: rank.   Blocks: until the rank's state is copied, when it moves.
 * Returns 1 when a move was tried and given up: the rank goes on here; weft apps shows the reason.
 * Source: the migration point of faabric pull request 214. */
WEFT_API int weft_migration_point(int (*entry)(void *argument), void *argument);

#ifdef __cplusplus
}
#endif

#endif
