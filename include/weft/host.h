/* A host of the cluster: what the program weftd runs. */
#ifndef WEFT_HOST_H
#define WEFT_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "weft/api.h"

struct weft_host_options {
    const char *name;    /* NULL: the machine's host name */
    const char *address; /* of the interface that this host uses; NULL: 127.0.0.1 */
    const char *head;    /* "address[:port]" of the head host; NULL: this host is the head and keeps
                            the registry */
    const char *state_dir;   /* where the head keeps the registry's log; NULL: a folder under TMPDIR
                                that is named by address and port, and removed when the head is the
                                last host to end */
    const char *app_program; /* path of weft-app; NULL: beside the running program */
    uint16_t port_first;     /* range of ports: the first is the host's own, apps take the rest; 0:
                                WEFT_PORTS */
    uint16_t port_last;
    uint32_t slots; /* ranks that may run here; UINT32_MAX: WEFT_SLOTS, or the usable cores */
    int ready_fd;   /* a line with the host's url is written here when it serves; -1: nowhere */
    bool temporary; /* no head follows this one: its folder under TMPDIR always goes with it */
};

/* Serves until SIGTERM or SIGINT; ends the apps that run or are at home here before it returns.
 * Thread: the process's first.   Blocks: until told to stop.
 * Errors: WEFT_EADDRINUSE, WEFT_EADDRNOTAVAIL, WEFT_EREGISTRY head not reached, WEFT_EEXIST a live
 * host has this name. */
WEFT_API int weft_host_run(const struct weft_host_options *options);

/* Runs one process of an app on behalf of the weftd that started it; what the program weft-app
 * does. lifeline_fd: the socket to that weftd; parent: its process id. Thread: the process's first.
 * Blocks: until the app ends. */
WEFT_API int weft_app_run(int lifeline_fd, int parent);

/* Tries all transports for data on an address of this machine and prints one line for each to
 * stdout: which one apps would use, and what is wrong with the others. to: the url of another host,
 * whose paths for data are tried and told too; NULL: none. Blocks: a few seconds.
 * Errors: WEFT_EINVAL WEFT_DATA names no transport. */
WEFT_API int weft_app_probe(const char *address, const char *to);

#endif
