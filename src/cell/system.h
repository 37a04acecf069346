/* The kernel as a program in a cell sees it: what each of its system calls does.
 *
 * Memory is the range's (space.h), descriptors and the working folder are the rank's own (fds.h),
 * signals are its own affair (signals.h), and a call that waits lets others run meanwhile (wait.h).
 * A program has one thread and never another. Calls on files, time and such go through to the
 * kernel, with descriptors and relative paths translated. What would tie a rank to its host, or
 * make something that cannot move, is refused with an error that the program knows, and a line in
 * the log that names the call. */
#ifndef WEFT_CELL_SYSTEM_H
#define WEFT_CELL_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "cell/clock.h"
#include "cell/fds.h"
#include "cell/signals.h"
#include "cell/space.h"
#include "cell/trap.h"
#include "cell/wait.h"

/* Of the rank; lies in its range. All zeros at the beginning. */
struct weft__system_state {
    struct weft__signals signals;
    struct weft__wait wait;
    struct weft__clock clock;
    struct weft__fds files;
    uint64_t input_offset; /* bytes that it has read of the app's standard input */
};

struct weft__system {
    struct weft__space_host space;
    struct weft__fds_host files;
    struct weft__system_state *state;
    struct weft_cell *cell; /* over which it waits, and whose clock it has; NULL: it blocks, and has
                               the machine's */
    int32_t rank;
    struct {
        bool wanted;       /* the call that is looked at waits */
        bool again;        /* it has waited already */
        uint64_t until_ns; /* when to look at it again, on the rank's clock */
        uint32_t seen;     /* the bell, before the call was looked at */
        bool armed;        /* its descriptors are watched, */
        int set;           /* as this set */
        unsigned hasty;    /* times that they were ready, and the call waited all the same */
    } wait;
    struct weft__watch *watch; /* NULL: it looks at descriptors now and then */
    /* The app's standard input, if the rank reads it: its descriptor 0 is one end of a socket. */
    struct {
        /* See struct weft_exec_callbacks.  NULL: it reads nothing. */
        bool (*ask)(void *ctx, uint64_t offset, int fd);
        void *ctx;
        bool is_open;
        int fd, peer;   /* the rank's end, and the other */
        uint64_t asked; /* offset + 1 that has been asked for; 0: none */
    } input;
    uint64_t told[512 / 64]; /* of refused calls: once is enough */
    /* The program has ended by a signal of its own, such as abort().  NULL: nobody asks. */
    void (*killed)(void *ctx, int signal);
    void *ctx;
};

/* Gives a fresh program its descriptors; the space is there.  Errors: as weft__fds_init. */
int weft__system_begin(struct weft__system *system, struct weft__system_state *state);
/* Opens what a program that has arrived had open.  Errors: as weft__fds_arrive. */
int weft__system_arrive(struct weft__system *system, struct weft__system_state *state);
/* Gives back what the host has open for it; fine when there is nothing. */
void weft__system_fini(struct weft__system *system);

/* A function for struct weft__trap_desc.call; ctx is the system. */
void weft__system_call(void *ctx, struct weft__trap_call *call);
/* A call of the runtime is about to return to the program, whose registers gate.S has kept at sp:
 * if its timer is due, its handler runs first. */
void weft__system_returns(struct weft__system *system, uint64_t sp);
/* When a wait of the program has to end at the latest, because of its timer. */
uint64_t weft__system_deadline(const struct weft__system *system, uint64_t deadline_ns);

#endif
