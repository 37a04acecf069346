/* Two real hosts in forked children, whose app processes are fakes (fake_app.c), and a client of
 * them. */
#ifndef TESTS_UNIT_HOST_DAEMONS_H
#define TESTS_UNIT_HOST_DAEMONS_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/client.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"

enum { DAEMONS = 2, DAEMON_SLOTS = 2, DAEMON_MS = 20000 };

struct daemons {
    pid_t pids[DAEMONS];
    char urls[DAEMONS][64]; /* of "a", which is the head and the home of all apps, and of "b" */
    char folder[64];        /* where fakes leave their orders */
    struct weft_client *client;
};

/* cmocka's setup and teardown; *state is the rig. The teardown fails if a host does not end well.
 */
int daemons_open(void **state);
int daemons_close(void **state);

/* One request to a host; returns its error. reply_out may be NULL. */
struct daemon_ask {
    unsigned host;
    uint16_t code;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *reply_type;
    uint32_t lost_ms; /* > 0: it may run more than once, as of struct weft_question */
};
int daemon_ask(struct daemons *rig, const struct daemon_ask *ask, ProtobufCMessage **reply_out);

/* The same without waiting. */
struct daemon_answer {
    _Atomic uint32_t over;
    int err;
    char text[300];
    uint64_t app; /* of a RunReply */
};
void daemon_start(struct daemons *rig, const struct daemon_ask *ask, struct daemon_answer *answer);
void daemon_await(struct daemon_answer *answer);

void daemon_nap(void); /* between two looks at something that is awaited */

/* A request to run ranks in fakes that behave in this way ("": well). */
struct daemon_run {
    Weft__Host__RunRequest request;
    char env[2][128];
    char *env_list[2];
};
void daemon_run_init(struct daemons *rig, struct daemon_run *run, uint32_t ranks, const char *way);
/* The app's token, from the orders of one of its processes, when that has them. */
uint64_t daemon_token(struct daemons *rig, uint32_t process);
/* Whether all slots of a host are free. */
int daemon_is_free(struct daemons *rig, unsigned host);
void daemon_await_free(struct daemons *rig);

#endif
