/* The apps at home on this host: one record each, from the request to a while after the end.
 *
 * Private to src/host/weftd_*.c; the owner thread's. A record is freed only by
 * weft__weftd_app_forget and at the very end, so answers that are under way find it through its id
 * (weft__weftd_app_find), never by pointer.
 */
#ifndef WEFT_HOST_WEFTD_APP_H
#define WEFT_HOST_WEFTD_APP_H

#include "host/weftd.h"
#include "plan/decide.h"
#include "plan/detect.h"
#include "plan/move.h"

enum weft_app_state { WEFT_APP_STARTING, WEFT_APP_RUNNING, WEFT_APP_ENDING, WEFT_APP_ENDED };

/* One weft-app of the app. Numbers count from 1 and are never used again. */
struct weft_app_process {
    uint32_t number;
    bool launched; /* it has greeted */
    bool dead;     /* it, or its host, has died */
    bool ended;    /* its host has confirmed its end */
    char host[WEFT_HOST_NAME_MAX];
    char host_control[WEFT_URL_MAX];
    char control[WEFT_URL_MAX];
    char lane[1024];
    uint64_t pid;
};

struct weft_app_rank {
    uint32_t process; /* number */
    uint32_t incarnation;
    uint64_t lease;
    bool ended;
    bool key; /* the registry has a key for it */
    int code;
    char first_host[WEFT_HOST_NAME_MAX];
    uint64_t first_pid;
};

/* A move of the past or under way, as people see it. Times: milliseconds since the app's start. */
struct weft_app_move {
    int32_t rank;
    char from[WEFT_HOST_NAME_MAX], to[WEFT_HOST_NAME_MAX];
    uint64_t from_pid, to_pid;
    const char *cause;
    enum weft_move_outcome outcome;
    bool over;
    char reason[WEFT_MOVE_TEXT_MAX];
    char transport[64];
    uint64_t bytes, touched_bytes, forwarded;
    double opportunity_ms, detected_ms, committed_ms, done_ms, pause_ms;
};

/* A rank that a plan wants elsewhere. */
struct weft_app_step {
    int32_t rank;
    char to[WEFT_HOST_NAME_MAX];
};

/* The plan that is carried out, move by move; at most one per app. */
struct weft_app_plan {
    struct weft_app_step *steps;
    size_t steps_n, next;
    const char *cause;
    double opportunity_ms, detected_ms;
    struct weft_call *asked; /* weft migrate waits for the outcome */
    size_t first_move;       /* index of its first record */
    bool moving;
    struct weft_move_home machine;
    struct weft_timer timer;
    struct weft_app *app;
    uint32_t from, to; /* process numbers */
    size_t record;     /* index in moves */
    uint8_t *descriptor;
    size_t descriptor_len;
    uint64_t frozen_wall_us;
    bool launching; /* the destination's process is being started */
    bool applied;   /* the rank's record says where it is now */
};

struct weft_output; /* weftd_output.c */

struct weft_app {
    struct weft_app *prev, *next;
    struct weft_host *host;
    uint64_t id;
    uint64_t token;
    uint64_t stride;
    Weft__Host__RunRequest *request;
    enum weft_hint hint;
    enum weft_app_state state;
    struct weft_app_rank *ranks;
    uint32_t size;
    uint32_t ranks_ended;
    struct weft_app_process *processes;
    size_t processes_n;
    struct weft_app_move *moves;
    size_t moves_n;
    struct weft_app_plan *plan; /* NULL: none */
    uint64_t move_count;
    uint64_t plan_ended_ns;
    uint32_t plan_failures;
    struct weft_timer check_timer;
    bool checking;
    unsigned start_tries;
    size_t awaited; /* answers of the current step of start or end */
    int step_err;
    char step_text[256];
    struct weft_timer step_timer; /* a lost process: its host will tell why */
    struct weft_output *output;
    uint64_t started_ns, ended_ns;
    uint64_t started_wall_ms;
    int err;
    int code;
    char reason[256];
    struct weft_call *run_call; /* answered when its processes are up, or cannot be */
};

/* weftd_app.c */
void weft__weftd_on_run(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_kill(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_apps(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_beat(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_rank_exit(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_process_exit(void *host, struct weft_call *call,
                                 const ProtobufCMessage *request);
void weft__weftd_on_route_wanted(void *host, struct weft_call *call,
                                 const ProtobufCMessage *request);
void weft__weftd_apps_host_dead(struct weft_host *host, const char *name);
void weft__weftd_apps_fini(struct weft_host *host);
struct weft_app *weft__weftd_app_find(struct weft_host *host, uint64_t id);
struct weft_app_process *weft__weftd_app_process(struct weft_app *app, uint32_t number);
/* The app's live process on a host; NULL: none. */
struct weft_app_process *weft__weftd_app_process_on(struct weft_app *app, const char *host);
double weft__weftd_app_age_ms(const struct weft_app *app);
/* Sends the table of processes, and the routes of all ranks, to one process (number) or to all (0).
 */
void weft__weftd_app_routes(struct weft_app *app, uint32_t number);
void weft__weftd_move_info(const struct weft_app_move *move, Weft__Host__MoveInfo *info_out);

/* weftd_start.c: from the request to running ranks. */
void weft__weftd_app_start(struct weft_app *app);
/* Adds a process on the host; it must be launched yet.  NULL: out of memory. */
struct weft_app_process *weft__weftd_app_process_add(struct weft_app *app,
                                                     const struct weft_member *member);
/* Launches it; done runs with what it came to. */
void weft__weftd_app_launch(struct weft_app *app, struct weft_app_process *process,
                            weft_answered *done, void *ctx);

/* weftd_end.c: ends the app for whatever reason; the first one counts. */
void weft__weftd_app_end(struct weft_app *app, int err, int code, const char *fmt, ...)
    WEFT_PRINTF(4, 5);

/* weftd_output.c */
struct weft_output *weft__output_new(void);
void weft__output_free(struct weft_output *output); /* answers who waits */
void weft__output_ended(struct weft_app *app);      /* nothing more comes: answers who waits */
void weft__weftd_on_output(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_wait(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_detect.c: looks for better plans. */
void weft__weftd_check_start(struct weft_app *app);
void weft__weftd_check_stop(struct weft_app *app);
void weft__weftd_on_migrate(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_move.c: carries a plan out. */
void weft__weftd_plan_start(struct weft_app *app, struct weft_app_plan *plan); /* owns plan */
void weft__weftd_plan_process_dead(struct weft_app *app, uint32_t number);
void weft__weftd_plan_free(struct weft_app *app, const char *reason);
void weft__weftd_on_move(void *host, struct weft_call *call, const ProtobufCMessage *request);

#endif
