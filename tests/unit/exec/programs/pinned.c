/* A rank that cannot move: argv[1] "pins", "foreign" (it exposes its stack) or "entry" (its entry
 * is no function of it). Returns 1 when the try was refused. */
#include "common.h"

#include <stdlib.h>

static int never(void *argument)
{
    (void)argument;
    return 2;
}

int main(int argc, char **argv)
{
    struct weft_cell *cell = weft_cell_self();
    const char *how = argc > 1 ? argv[1] : "pins";
    weft_entry *entry = never;
    char bytes[16] = {0};
    uint64_t id = 0;
    if (strcmp(how, "pins") == 0) {
        cell->pins = 1;
        strcpy(cell->pin_reason, "a socket is open");
    } else if (strcmp(how, "foreign") == 0) {
        cell->calls->expose(cell, bytes, sizeof(bytes), &id);
    } else {
        *(void **)&entry = (void *)(uintptr_t)&abs;
    }
    int result;
    while ((result = weft_migration_point(entry, NULL)) == 0)
        cell->calls->wait(cell, atomic_load(&cell->bell), cell->calls->now(cell) + 1000000);
    return result;
}
