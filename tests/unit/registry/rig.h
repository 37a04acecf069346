/* A registry behind a real control server, and a client of it; and answers that can be waited for.
 */
#ifndef TESTS_UNIT_REGISTRY_RIG_H
#define TESTS_UNIT_REGISTRY_RIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/client.h"
#include "control/server.h"
#include "registry/client.h"
#include "registry/service.h"

#define RIG_HOSTS 16

struct rig {
    char folder[64];
    char log[80];
    char url[64];
    uint16_t port; /* stays the same over restarts */
    uint32_t beat_ms, dead_ms;
    struct weft_registry *registry;
    struct weft_server *server;
    struct weft_client *client;
    struct weft_registry_at at;
};

/* setup and teardown of a test; *state is the rig. */
int rig_open(void **state);
int rig_close(void **state);
/* The head ends and comes back. */
void rig_head_stop(struct rig *rig);
void rig_head_start(struct rig *rig);

struct weft_registry_host rig_host(const char *name, uint64_t incarnation);

/* The answer of one asynchronous call. */
struct rig_answer {
    _Atomic uint32_t over;
    int err;
    struct weft_registry_reply reply; /* hosts and value point to the copies below */
    struct weft_registry_host hosts[RIG_HOSTS];
    uint8_t value[WEFT_REGISTRY_VALUE_MAX];
};
void rig_answered(void *ctx, int err, const char *text, const struct weft_registry_reply *reply);
/* Waits for it; returns its error. */
int rig_await(struct rig_answer *answer);
/* NULL: not in the list. */
const struct weft_registry_host *rig_find(const struct rig_answer *answer, const char *name);

#endif
