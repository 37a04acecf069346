/* The state of one weft-app. Private to src/host/app*.c; everything here belongs to the owner
 * thread. */
#ifndef WEFT_HOST_APP_H
#define WEFT_HOST_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/exec.h"
#include "host/ask.h"
#include "host/loop.h"
#include "plan/move.h"
#include "registry/client.h"
#include "wire/host.pb-c.h"

struct weft_server;
struct weft_client;
struct weft_process_app;

/* What this process knows about the moves of one rank. */
struct weft_app_mover {
    struct weft_process_app *app;
    int32_t rank;
    struct weft_move_source source;
    struct weft_move_dest dest;
    struct weft_timer source_timer, dest_timer;
    uint8_t *frozen; /* source: descriptor of the frozen state */
    size_t frozen_len;
    uint64_t frozen_wall_us;
    uint8_t *descriptor; /* dest: what to pull */
    size_t descriptor_len;
    uint64_t pull_frozen_wall_us;
    struct weft_exec_pulled pulled;
    double pause_ms;
    uint64_t forwarded;
};

struct weft_process_app {
    struct weft_asker asker;
    struct weft_server *server;
    struct weft_exec *exec;
    Weft__Host__LaunchRequest *orders;
    struct weft_registry_at registry_at;
    struct weft_move_params move_params;
    struct weft_app_mover *movers; /* one per rank of the world */
    struct weft_watch lifeline;
    bool closing; /* the exec is gone */
};

/* app_move.c: the SOURCE and DEST machines of all ranks. */
int weft__app_movers_init(struct weft_process_app *app);
void weft__app_movers_fini(struct weft_process_app *app);
void weft__app_on_move(void *app, struct weft_call *call, const ProtobufCMessage *request);
/* Of the exec's callbacks; any thread. */
void weft__app_flushed(void *app, int32_t rank, uint32_t incarnation, uint64_t forwarded_packets);

/* app.c: tells the home that a rank has ended, or (abort) that the app has to. */
void weft__app_tell_exit(struct weft_process_app *app, const Weft__Host__RankExit *news);

#endif
