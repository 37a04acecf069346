/* An app that has a lease or a process on this host, whatever its home. */
#ifndef WEFT_HOST_WEFTD_GUEST_H
#define WEFT_HOST_WEFTD_GUEST_H

#include <uthash.h>

#include "host/weftd.h"

struct weft_guest {
    UT_hash_handle hh;
    struct weft_host *host;
    uint64_t app;
    uint64_t token; /* whoever speaks for the app has to know it */
    char home_control[WEFT_URL_MAX];
    struct weft_process *process; /* NULL: only leases yet, or still */
    uint64_t home_answered_ns;
    uint32_t events_process; /* that told events last, */
    uint64_t events_next;    /* and what comes next of it */
    bool home_asked;         /* an answer is under way */
};

/* Begins to ask the homes of guests for signs of life. */
void weft__weftd_guests_init(struct weft_host *host);
/* Makes the app of a first lease known; a known one is left as it is.
 * Errors: WEFT_EACCES it is known by another token;
 * WEFT_EINVAL a home that is no url, or too long. */
int weft__weftd_guest_add(struct weft_host *host, const Weft__Host__LeaseRequest *request);
/* NULL: nothing of the app is here. */
struct weft_guest *weft__weftd_guest_find(struct weft_host *host, uint64_t app);
/* The same for somebody who speaks for the app; guest_out may be NULL.
 * Errors: WEFT_ENOENT nothing of the app is here; WEFT_EACCES the token is another one. */
int weft__weftd_guest_of(struct weft_host *host, uint64_t app, uint64_t token,
                         struct weft_guest **guest_out);
/* Forgets the app if it has nothing here any more. */
void weft__weftd_guest_check(struct weft_host *host, uint64_t app);
void weft__weftd_guests_fini(struct weft_host *host);

#endif
