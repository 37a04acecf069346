#include "gate.h"

#include "base/clock.h"
#include "base/wake.h"

struct gate gate;

void gate_reset(void)
{
    atomic_store(&gate.inside, 0);
    atomic_store(&gate.is_open, 0);
}

void gate_open(void)
{
    atomic_store(&gate.is_open, 1);
    weft__futex_wake(&gate.is_open);
}

void gate_pass(void)
{
    atomic_fetch_add(&gate.inside, 1);
    while (atomic_load(&gate.is_open) == 0)
        weft__futex_wait(&gate.is_open, 0, WEFT_NEVER);
}

void run_gate(void *ctx, struct weft_call *call, const ProtobufCMessage *request)
{
    (void)ctx;
    (void)request;
    gate_pass();
    weft__call_reply(call, NULL);
}
