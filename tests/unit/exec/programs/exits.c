/* argv[1]: "exit" leaves by calls->exit from a deep frame, "abort" ends the app. */
#include "common.h"

static void dive(struct weft_cell *cell, int depth, const char *how)
{
    volatile char frame[64];
    frame[0] = (char)depth;
    if (strcmp(how, "return") == 0)
        return;
    if (depth > 0) {
        dive(cell, depth - 1, how);
        return;
    }
    if (strcmp(how, "abort") == 0)
        cell->calls->abort(cell, 5, "no more");
    cell->calls->exit(cell, 33 + frame[0]);
}

int main(int argc, char **argv)
{
    dive(weft_cell_self(), 10, argc > 1 ? argv[1] : "exit");
    return 1;
}
