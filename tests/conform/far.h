/* The far side in another process, on this machine or another one: what is asked of an endpoint
 * goes through a connection to an agent, which has the endpoint. */
#ifndef WEFT_TESTS_CONFORM_FAR_H
#define WEFT_TESTS_CONFORM_FAR_H

#include "tests/conform/conform.h"

/* A request, a reply or an event; len bytes follow. Both ends are the same program. */
struct far_head {
    enum {
        FAR_OPEN,
        FAR_ADDRESS,
        FAR_PEER_ADD,
        FAR_PEER_DROP,
        FAR_PROGRESS,
        FAR_SEND,
        FAR_REG,
        FAR_UNREG,
        FAR_CLOSE,
        FAR_DIE, /* at once, without an answer */
        FAR_MESSAGE,
        FAR_DONE,
        FAR_LOST,
        FAR_MEMORY, /* what a registered range holds now */
    } what;
    int err; /* of a reply */
    uint64_t id;
    uint64_t number; /* access, or the caller's operation */
    uint64_t len;
};

struct far_open {
    uint32_t families, sends_max;
    uint64_t msg_max_bytes;
    char bind[64], provider[64];
};

bool far_read(int fd, void *into, size_t len);
bool far_write(int fd, const struct far_head *head, const void *bytes);

/* Where agents are: CONFORM_FAR ("10.77.0.2:7000"), or one is started here. */
void far_start(void);
/* Opens an endpoint there. */
int far_open(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out);
/* The process that has the endpoint ends, as by SIGKILL. */
void far_kill(struct side *side);

/* far_agent.c: serves one connection after the other, each in a process of its own; never returns.
 */
_Noreturn void far_serve(int listen_fd, const struct weft_transport *transport);
int far_listen(const char *address, uint16_t port, uint16_t *port_out);

#endif
