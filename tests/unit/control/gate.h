/* Handlers that do not return before the test says so. */
#ifndef TESTS_UNIT_CONTROL_GATE_H
#define TESTS_UNIT_CONTROL_GATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "control/server.h"

extern struct gate {
    _Atomic uint32_t inside; /* how many have come to it */
    _Atomic uint32_t is_open;
} gate;

/* Nobody has come, and it is closed. */
void gate_reset(void);
void gate_open(void);
/* Waits until it is open. */
void gate_pass(void);
/* A handler: passes, then answers with nothing. */
void run_gate(void *ctx, struct weft_call *call, const ProtobufCMessage *request);

#endif
