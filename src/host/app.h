/* The state of one weft-app. Private to src/host/app*.c; everything here belongs to the owner
 * thread. */
#ifndef WEFT_HOST_APP_H
#define WEFT_HOST_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/events.h"
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
    uint8_t *round; /* source: descriptor of the newest round of copying */
    size_t round_len;
    uint8_t *descriptor; /* dest: what to pull */
    size_t descriptor_len;
    uint64_t pull_frozen_wall_us;
    struct weft_exec_pulled pulled;
    double pause_ms;
    uint64_t forwarded;
    uint64_t phase_ns; /* when the phase that is under way began */
};

/* What a call to a rank is cancelled by. */
struct weft_app_door {
    struct weft_process_app *app;
    int32_t rank;
};

struct weft_process_app {
    struct weft_asker asker;
    struct weft_server *server;
    struct weft_exec *exec;
    Weft__Host__LaunchRequest *orders;
    struct weft_registry_at registry_at;
    struct weft_move_params move_params;
    struct weft_app_freezer *freezer; /* NULL: nobody has wanted to freeze or load anything yet */
    struct weft_app_mover **movers;   /* by rank; NULL: it was never here and never asked to come */
    struct weft_telling *tellings;    /* news for the home, in order */
    size_t tellings_under_way;
    struct weft_timer tell_timer;
    struct weft_torture_wish *wishes; /* of its ranks to be moved */
    struct weft_input_wish *input_wishes;
    struct weft_timer traffic_timer;
    uint64_t traffic_told_ns;
    size_t traffic_under_way;    /* reports */
    struct weft_app_door *doors; /* by rank */
    struct weft_events events;
    uint64_t events_next;  /* what its host has not got yet begins here, */
    uint64_t events_asked; /* and ends here, in what is under way to it */
    uint64_t events_lost;
    bool events_under_way;
    struct weft_timer events_timer;
    struct weft_timer trace_timer;
    struct weft_watch lifeline;
    bool closing; /* the exec is gone */
};

/* app_move.c: the SOURCE and DEST machines of all ranks. */
void weft__app_movers_init(struct weft_process_app *app);
void weft__app_movers_fini(struct weft_process_app *app);
void weft__app_on_move(void *app, struct weft_call *call, const ProtobufCMessage *request);
/* Of the exec's callbacks; any thread. */
void weft__app_flushed(void *app, int32_t rank, uint32_t incarnation, uint64_t forwarded_packets);

/* A rank has come by another way than a move: it can be moved from here. */
void weft__app_mover_place(struct weft_process_app *app, uint32_t rank, uint64_t incarnation);

/* app_freeze.c: the MEMBER machine: freezing this process's ranks into a store, loading them. */
void weft__app_on_freeze_order(void *app, struct weft_call *call, const ProtobufCMessage *request);
/* Ends what is under way.  Blocks: until a snapshot that is on its way has come to its end. */
void weft__app_freezer_stop(struct weft_process_app *app);
void weft__app_freezer_free(struct weft_process_app *app);

/* app_call.c: calls of clients to ranks. */
void weft__app_doors_init(struct weft_process_app *app);
void weft__app_on_execute(void *app, struct weft_call *call,
                          const ProtobufCMessage *request); /* Thread: fan-in */
void weft__app_on_services(void *app, struct weft_call *call, const ProtobufCMessage *request);

/* app_tell.c: news for the home, told until it has them. */
struct weft_telling;
void weft__app_tell_init(struct weft_process_app *app);
void weft__app_tell_fini(struct weft_process_app *app);
/* A rank has ended, or (abort) the app has to.  Thread: owner. */
void weft__app_tell_exit(struct weft_process_app *app, const Weft__Host__RankExit *news);
/* Of the exec's callbacks; any thread. */
void weft__app_rank_exited(void *app, int32_t rank, uint32_t incarnation, int code,
                           const char *reason);
void weft__app_abort(void *app, int32_t rank, int code, const char *reason);
void weft__app_route_wanted(void *app, int32_t rank);

/* Packets that are remembered of each rank of an app that is run with --trace. */
#define WEFT_APP_TRACE_PACKETS 512
/* app_trace.c: something happens around which packets are of interest.  Thread: owner. */
void weft__app_trace_mark(struct weft_process_app *app);

/* app_events.c: what happens here, told to our host.  Thread: owner. */
void weft__app_events_init(struct weft_process_app *app);
void weft__app_events_start(struct weft_process_app *app);
/* Tells what is left, when the process ends.  Blocks: at most 500 ms. */
void weft__app_events_last(struct weft_process_app *app);
void weft__app_events_fini(struct weft_process_app *app);
void weft__app_event(struct weft_process_app *app, const struct weft_event_note *note);
void weft__app_event_add(struct weft_process_app *app, const struct weft_event *event);
/* After each step of a machine, with the state before it; after the rank has been resumed. */
void weft__app_source_stepped(struct weft_app_mover *mover, enum weft_move_source_state before);
void weft__app_dest_stepped(struct weft_app_mover *mover, enum weft_move_dest_state before);
void weft__app_resumed(struct weft_app_mover *mover);

/* app_torture.c: of the exec's callbacks; any thread. */
void weft__app_torture(void *app, int32_t rank, uint64_t draw);
void weft__app_torture_fini(struct weft_process_app *app); /* after the last answer has come */

/* app_input.c: of the exec's callbacks; any thread. */
bool weft__app_input(void *app, uint64_t offset, int fd);
void weft__app_input_fini(struct weft_process_app *app); /* after the last answer has come */

/* app_traffic.c: what its ranks exchange, told to the home every WEFT_TRAFFIC_MS. */
void weft__app_traffic_start(struct weft_process_app *app);

/* app.c: whether a call knows the app's token and there is still somebody to serve it; else it has
 * been failed. */
bool weft__app_serves(const struct weft_process_app *app, uint64_t token, struct weft_call *call);
/* What this process has counted. */
void weft__app_count(struct weft_process_app *app, Weft__Host__ExecStats *stats_out);

#endif
