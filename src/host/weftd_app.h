/* The apps at home on this host: one record each, from the request to a while after the end.
 *
 * Private to src/host/weftd_*.c; the owner thread's. A record lives until it has ended and is too
 * old (weftd_app.c), so whatever is under way finds it again by its id, never by pointer; and as
 * the record may have gone on to other things by then, answers count only within the step in which
 * they were asked for (weftd_app_ask.c).
 */
#ifndef WEFT_HOST_WEFTD_APP_H
#define WEFT_HOST_WEFTD_APP_H

#include <uthash.h>

#include "host/calls.h"
#include "host/weftd.h"
#include "plan/decide.h"
#include "plan/detect.h"
#include "plan/move.h"
#include "plan/traffic.h"
#include "plan/worth.h"

enum weft_app_state {
    WEFT_APP_STARTING,
    WEFT_APP_RUNNING,
    WEFT_APP_FROZEN,  /* it is in the store alone */
    WEFT_APP_THAWING, /* and about to run again */
    WEFT_APP_ENDING,
    WEFT_APP_ENDED
};

/* Of a rank that can neither be moved nor frozen. */
#define WEFT_APP_APART "runs as a process of its own: not movable"

/* One weft-app of the app. Numbers count from 1 and are never used again. */
struct weft_app_process {
    uint32_t number;
    bool launching;     /* its host is asked to start it */
    bool launched;      /* it has greeted */
    bool ending;        /* its host has been asked to end it, and has not answered */
    bool dead;          /* it, or its host, has died, or it could not be launched */
    bool routes_missed; /* something that it was told of the others may not have reached it */
    bool output_lost;   /* its host could not hand over all that it printed, */
    bool output_cut;    /* or died when that may have been so */
    bool left;          /* a rank has moved away, what it printed here may be on its way */
    bool host_dead;     /* it died with its host */
    unsigned idle;      /* beats in a row, since a rank ended there or left, that told of no output
                           on its way */
    uint32_t ranks;     /* that are there and have not ended */
    uint64_t heard_ns;  /* when its host last asked whether the app lives */
    char host[WEFT_HOST_NAME_MAX];
    char host_control[WEFT_URL_MAX];
    char control[WEFT_URL_MAX];
    char lane[2048]; /* of all lanes: WEFT_LANES_ADDRESS_MAX */
    char transport[64];
    uint64_t pid;
    uint64_t piece;              /* of output, the last one that came */
    char why[160];               /* it is dead */
    Weft__Host__ExecStats stats; /* plain numbers: nothing to free */
};

struct weft_app_rank {
    uint32_t process; /* number; 0: not placed yet */
    uint32_t incarnation;
    uint64_t lease;
    uint64_t touched_bytes; /* of its range, as of its last report of traffic */
    bool ended;
    bool key; /* the registry has a key for it, or may have */
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
    int err; /* why it was given up */
    char reason[WEFT_MOVE_TEXT_MAX];
    char transport[64];
    uint64_t bytes, touched_bytes, forwarded;
    uint64_t copied_bytes; /* before it stopped, in so many passes over its memory */
    uint32_t passes;
    double opportunity_ms, detected_ms, committed_ms, done_ms, pause_ms;
};

/* A rank that a plan wants elsewhere. */
struct weft_app_step {
    int32_t rank;
    char to[WEFT_HOST_NAME_MAX];
};

struct weft_app;
/* err: WEFT_EBUSY it has not become its turn in time; text says why. */
typedef void weft_turn_taken(struct weft_app *app, int err, const char *text);

/* A rank that waits for its turn to move, or has it. */
struct weft_app_turn {
    int32_t rank;
    uint32_t source, dest; /* process numbers */
    uint64_t lease;        /* at the destination */
    uint64_t since_ns;
    bool waits;
    weft_turn_taken *taken;
};

/* The plan that is carried out, move by move; at most one per app. */
struct weft_app_plan {
    struct weft_app_step *steps;
    size_t steps_n, next;
    const char *cause;
    double opportunity_ms, detected_ms;
    struct weft_call *asked;   /* weft migrate waits for the outcome */
    size_t first_move;         /* index of its first record */
    struct weft_app_turn turn; /* of the present step */
    bool moving;
    struct weft_move_home machine;
    uint64_t copy_began_ns;
    struct weft_move_message prepare; /* for the destination, which may have to be launched first */
    struct weft_timer timer;
    struct weft_app *app;
    uint32_t from, to; /* process numbers */
    size_t record;     /* index in moves */
    uint8_t *descriptor;
    size_t descriptor_len;
    uint64_t frozen_wall_us;
    uint8_t *round; /* descriptor of the round of copying that is under way */
    size_t round_len;
    bool output_asked, output_is_here;     /* what the rank has printed at the source */
    bool ends;                             /* as soon as that is answered */
    bool applied;                          /* the rank's record says where it is now */
    bool registry_asked, registry_answers; /* it has to, before a rank is frozen */
    struct weft_move_message freeze;       /* what waits for its answer */
    uint64_t move_began_ns;
};

/* What the last check has come to. */
struct weft_app_thought {
    enum weft_verdict verdict;
    size_t moves_n; /* of the better placement; 0: there was none */
    uint64_t gain_ns, cost_ns;
    struct weft_plan_score now, then;
    uint64_t at_ns; /* 0: nobody has looked yet */
    const char *cause;
    bool full; /* of a move by hand: there is no free slot where it is to go */
};

enum { WEFT_APP_TRAFFIC_PLANS = 4 };
/* For so long a move is not undone for traffic. */
#define WEFT_APP_TRAFFIC_MEMORY_NS (60 * WEFT_NS_PER_S)

struct weft_app_fork;   /* weftd_fork.c */
struct weft_app_output; /* weftd_output.c */
struct weft_app_input;  /* weftd_input.c */
struct weft_gathering;  /* weftd_show.c */
struct weft_app_freeze; /* weftd_freeze.h */

struct weft_app {
    UT_hash_handle hh;
    struct weft_host *host;
    uint64_t id;
    uint64_t token;        /* known to its processes and to the hosts that have something of it */
    uint64_t call_token;   /* known to its processes and to those who call its ranks */
    uint64_t registry_log; /* that the registry had at its start */
    uint64_t stride;
    uint64_t cpu; /* what its hosts had in common when it started: its ranks use no more; 0: not
                     known */
    bool cells;   /* its ranks are moved whole */
    Weft__Host__RunRequest *request;
    enum weft_hint hint;
    enum weft_policy policy;
    enum weft_app_state state;
    struct weft_app_rank *ranks;
    uint32_t size;
    uint32_t ranks_ended;
    struct weft_app_process *processes;
    size_t processes_n;
    struct weft_app_move *moves; /* the newest ones */
    size_t moves_n;
    struct weft_app_fork *forks;    /* that are open, or being opened */
    struct weft_app_plan *plan;     /* NULL: none */
    struct weft_app_freeze *freeze; /* NULL: it was never to be frozen */
    uint64_t home_id;               /* this host, as the app's key in the registry names it, */
    uint64_t first_home;            /* and who it is where there is no key */
    bool app_key;                   /* the registry may have one */
    size_t first_process;           /* of the start or thaw: earlier ones are of an earlier life */
    struct weft_traffic traffic;    /* zeroed: its ranks have told of none */
    uint64_t traffic_plan_ns[WEFT_APP_TRAFFIC_PLANS]; /* the last plans for the traffic alone,
                                                         newest first */
    uint64_t move_count, moved, aborted;
    uint64_t plan_ended_ns;
    uint32_t plan_failures;
    struct weft_app_thought thought;
    struct weft_timer check_timer;
    bool checking;
    unsigned start_tries;
    uint64_t step;  /* counts the steps of its start, its moves and its end */
    size_t awaited; /* answers of the current step of start or end */
    int step_err;
    char step_text[256];
    struct weft_timer step_timer; /* its host joins again, or: will tell why a process was lost */
    uint64_t listed_by_ns;        /* its host has joined again, or it is not started */
    struct weft_app_output *output;
    struct weft_app_input *input;
    struct weft_gathering *gathering; /* of counters; NULL: none */
    uint64_t started_ns, ended_ns;
    uint64_t started_wall_ms;
    int err;
    int code;
    char reason[256];
    struct weft_call *run_call; /* answered when its processes are up, or cannot be */
};

/* A record for an app with an id of its own, or (0) a new one.  NULL: no memory for so many ranks.
 * Owns: takes nothing over. */
struct weft_app *weft__weftd_app_new(struct weft_host *host, const Weft__Host__RunRequest *request,
                                     uint64_t id);

/* weftd_app.c: the records, and what ranks and hosts tell about them. */
void weft__weftd_on_run(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_kill(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_beat(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_rank_exit(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_process_exit(void *host, struct weft_call *call,
                                 const ProtobufCMessage *request);
void weft__weftd_apps_host_dead(struct weft_host *host, const char *name);
/* Gives up processes on hosts that have not been heard for too long. silence_ns: for how long
 * nobody could be heard, by our own fault. */
void weft__weftd_apps_check_heard(struct weft_host *host, uint64_t now, uint64_t silence_ns);
void weft__weftd_apps_fini(struct weft_host *host);
/* NULL: not at home here (any more). */
struct weft_app *weft__weftd_app_find(struct weft_host *host, uint64_t id);
/* The same for somebody who speaks for the app; NULL: the call has been failed, because there is no
 * such app or the token is another one. */
struct weft_app *weft__weftd_app_of(struct weft_host *host, uint64_t id, uint64_t token,
                                    struct weft_call *call);
/* NULL: no process has this number. */
struct weft_app_process *weft__weftd_app_process(struct weft_app *app, uint32_t number);
/* The app's live process on a host; NULL: none. */
struct weft_app_process *weft__weftd_app_process_on(struct weft_app *app, const char *host);
/* A process is gone: with a rank on it the app ends, unless that rank is just moving: then the
 * move's outcome decides. */
void weft__weftd_app_process_dead(struct weft_app *app, struct weft_app_process *process, int err,
                                  const char *why);
/* How old it became, where it has ended. */
double weft__weftd_app_age_ms(const struct weft_app *app);
/* Gives the slot of a lease back to a process's host, unless that is dead. */
void weft__weftd_app_lease_end(struct weft_app *app, uint32_t process, uint64_t lease);

/* weftd_fork.c: slots for ranks that fork. */
void weft__weftd_on_fork_open(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_fork_close(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_fork_why(void *host, struct weft_call *call, const ProtobufCMessage *request);
/* A process has been launched, or could not be. */
void weft__weftd_forks_launched(struct weft_app *app, uint32_t process, int err, const char *text);
/* Its forks are closed. */
void weft__weftd_forks_rank_ended(struct weft_app *app, int32_t rank);
/* The app has ended, and with it its leases. */
void weft__weftd_forks_free(struct weft_app *app, const char *reason);

/* weftd_app_ask.c: questions on behalf of an app. */
struct weft_app_answer {
    int err;
    const char *text;
    const ProtobufCMessage *reply; /* valid during the call */
};
/* Only while the app exists and its step is the one in which the question was asked. */
typedef void weft_app_answered(struct weft_app *app, struct weft_app_process *process,
                               const struct weft_app_answer *answer);
struct weft_app_question {
    uint32_t process; /* number */
    bool to_host;     /* asked of its host's weftd, not of the process itself */
    bool whenever;    /* the answer counts in a later step too */
    uint16_t code;
    uint32_t timeout_ms, lost_ms; /* as of struct weft_question */
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *reply_type; /* NULL: nobody looks at the reply */
    weft_app_answered *answered;                  /* NULL: nobody waits */
};
void weft__weftd_app_ask(struct weft_app *app, const struct weft_app_question *question);
/* Begins another step: answers to what was asked before do not count any more. */
void weft__weftd_app_next_step(struct weft_app *app);

/* weftd_routes.c: who is where, told to the app's processes. */
/* The whole table to one process. */
void weft__weftd_routes_all(struct weft_app *app, const struct weft_app_process *to);
/* The same to those that may have missed something. */
void weft__weftd_routes_again(struct weft_app *app);
/* A new process: it gets the whole table, the others its entry. */
void weft__weftd_routes_joined(struct weft_app *app, uint32_t number);
/* A rank that is elsewhere now, to all processes. */
void weft__weftd_routes_moved(struct weft_app *app, uint32_t rank);
/* A dead process, to all others. */
void weft__weftd_routes_dead(struct weft_app *app, uint32_t number);
void weft__weftd_on_route_wanted(void *host, struct weft_call *call,
                                 const ProtobufCMessage *request);

void weft__weftd_on_find_rank(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_show.c: what people see. */
void weft__weftd_on_apps(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_move_info(const struct weft_app_move *move, Weft__Host__MoveInfo *info_out);
/* Answers who waits for counters with those that there are. */
void weft__weftd_gathering_end(struct weft_app *app);

/* weftd_traffic.c: what the app's ranks exchange. */
void weft__weftd_on_traffic(void *host, struct weft_call *call, const ProtobufCMessage *request);
/* For planning: zeroed where nothing is known.  Owns: weft__graph_fini().  Errors: WEFT_ENOMEM. */
struct weft_placement;
int weft__weftd_traffic_graph(const struct weft_app *app, const struct weft_placement *placement,
                              struct weft_graph *graph_out);
/* The heaviest pairs, at most max.  Owns: info_out->traffic, weft__weftd_traffic_info_fini(). */
void weft__weftd_traffic_info(const struct weft_app *app, size_t max, Weft__Host__AppInfo *info);
void weft__weftd_traffic_info_fini(Weft__Host__AppInfo *info);

/* weftd_start.c: from the request to running ranks. */
void weft__weftd_app_start(struct weft_app *app);
/* Adds a process on the host; it is still to be launched. */
struct weft_app_process *weft__weftd_app_process_add(struct weft_app *app,
                                                     const struct weft_member *member);
/* Launches it. What comes of it: in a start the start goes on; later the other processes are told,
 * and weft__weftd_plan_launched is called. */
void weft__weftd_app_launch(struct weft_app *app, struct weft_app_process *process);

/* The same for an app that is thawed, whose processes are those from first_process on: slots and
 * processes, no ranks yet. Then weft__weftd_freeze_placed. */
void weft__weftd_app_place(struct weft_app *app, size_t first_process);
/* Whether it could be placed now, as the list of hosts says. */
bool weft__weftd_app_has_room(const struct weft_app *app);

/* weftd_freeze.c: into the store and out of it. */
struct weft_freeze_wish {
    struct weft_call *asked; /* answered with the outcome; NULL: nobody waits */
    const char *cause;
    bool thaws_itself; /* as soon as there is room */
};
/* Errors: why it cannot begin; nobody has been answered. */
int weft__weftd_freeze_begin(struct weft_app *app, const struct weft_freeze_wish *wish);
bool weft__weftd_freeze_busy(const struct weft_app *app);
/* Whether this host has a store. */
bool weft__weftd_freeze_is_set_up(const struct weft_host *host);
/* Whether a freeze that nobody has asked for may be tried (again). */
bool weft__weftd_freeze_is_due(const struct weft_app *app);
/* Whether the death is the freeze's business alone. */
bool weft__weftd_freeze_process_dead(struct weft_app *app, const struct weft_app_process *process,
                                     int err, const char *why);
void weft__weftd_freeze_placed(struct weft_app *app, int err, const char *text);
/* There may be room for what is frozen: slots have come free. */
void weft__weftd_freeze_room(struct weft_host *host);
/* The app ends; what the store has of it goes, unless it is to be thawed elsewhere. */
void weft__weftd_freeze_free(struct weft_app *app, const char *reason);
void weft__weftd_on_freeze_answer(void *host, struct weft_call *call,
                                  const ProtobufCMessage *request);

/* weftd_frozen.c: apps in the store, as people see them. */
void weft__weftd_on_freeze_app(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_thaw_app(void *host, struct weft_call *call, const ProtobufCMessage *request);
/* "freezing", "frozen", "thawing"; NULL: none of these. */
const char *weft__weftd_frozen_state(const struct weft_app *app);
/* Where it lies and why, for who waits for the app; "": it is not frozen. */
void weft__weftd_frozen_tell(const struct weft_app *app, char *text, size_t room);
/* Fills in the reply; texts are good until the next such call. */
void weft__weftd_frozen_info(const struct weft_app *app, Weft__Host__AppInfo *info);
/* Frozen apps stay in the store when their home ends; the others are ended. */
void weft__weftd_frozen_leave(struct weft_app *app);
/* Takes over what an earlier weftd of this name has left in the store, and removes its waste. */
void weft__weftd_frozen_recover(struct weft_host *host);
void weft__weftd_frozen_fini(struct weft_host *host);

/* Tells as events where its ranks are. */
void weft__weftd_tell_placed(struct weft_app *app);

/* weftd_end.c */
/* Ends the app for whatever reason (err 0: well); the first one counts. */
void weft__weftd_app_end(struct weft_app *app, int err, int code, const char *fmt, ...)
    WEFT_PRINTF(4, 5);
/* Ends what the app may have on the host of a process that could not be launched. */
void weft__weftd_app_end_stray(struct weft_app *app, const struct weft_app_process *process);
/* The process is on a host that has been declared dead: its end is not waited for any longer. */
void weft__weftd_end_host_dead(struct weft_app *app, struct weft_app_process *process,
                               const char *why);

/* weftd_output.c */
struct weft_app_output *weft__weftd_output_new(struct weft_app *app);
void weft__weftd_output_free(struct weft_app_output *output); /* answers who waits */
/* Answers who waits: something has happened that is told with output. */
void weft__weftd_output_news(struct weft_app *app);
/* Whether a client that was answered just now has not heard of the end, and is about to ask. */
bool weft__weftd_output_end_awaited(const struct weft_app *app);
void weft__weftd_output_ended(struct weft_app *app); /* nothing more comes: answers who waits */
void weft__weftd_on_output(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_wait(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_input.c */
/* lost: the app lay in the store, and its client knows another home. */
struct weft_app_input *weft__weftd_input_new(struct weft_app *app, bool lost);
void weft__weftd_input_free(struct weft_app_input *input); /* answers who waits */
/* Perhaps nobody reads it any more: tells the client. */
void weft__weftd_input_closed(struct weft_app *app);
void weft__weftd_on_input(void *host, struct weft_call *call, const ProtobufCMessage *request);
void weft__weftd_on_input_take(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_detect.c: looks for better plans. */
void weft__weftd_check_start(struct weft_app *app);
void weft__weftd_check_stop(struct weft_app *app);
/* Now, for the apps with ranks on hosts that are being drained. */
void weft__weftd_check_leaving(struct weft_host *host);
void weft__weftd_on_migrate(void *host, struct weft_call *call, const ProtobufCMessage *request);

/* weftd_thought.c: what the planner thinks of the app's placement. */
/* Whether the moves are worth it now. */
/* What is known of the app when its plans are weighed. */
struct weft_worth_app weft__weftd_known(const struct weft_app *app);
struct weft_worth weft__weftd_weigh(const struct weft_app *app, const struct weft_plan *found,
                                    size_t ranks);
struct weft_app_thought weft__weftd_thought(const struct weft_plan *found,
                                            const struct weft_worth *worth, const char *cause);
/* Keeps it as what was thought last; tells it where that is news. */
void weft__weftd_think(struct weft_app *app, const struct weft_app_thought *thought);
/* For people; info points into the thought and to constant texts. */
void weft__weftd_thought_info(const struct weft_app_thought *thought,
                              Weft__Host__PlanInfo *info_out);

/* weftd_turn.c: for a rank of the app's plan; taken runs later. */
void weft__weftd_turn_take(struct weft_app *app, int32_t rank, uint32_t dest,
                           weft_turn_taken *taken);
/* The rank has not moved: its host need not count it any more. */
void weft__weftd_turn_stays(struct weft_app *app);

/* weftd_left.c: what the rank that moves has printed at the source. */
/* It is frozen there. */
void weft__weftd_left_ask(struct weft_app *app);
/* It is elsewhere now. */
void weft__weftd_left_moved(struct weft_app *app);

/* weftd_move.c: carries a plan out. */
/* The plan's move is over; the plan may be, too. */
void weft__weftd_move_ended(struct weft_app *app);
void weft__weftd_plan_start(struct weft_app *app, struct weft_app_plan *plan); /* owns plan */
/* The process that was to be a destination runs, or (err) will not. */
void weft__weftd_plan_launched(struct weft_app *app, const struct weft_app_process *process,
                               int err, const char *text);
void weft__weftd_plan_process_dead(struct weft_app *app, uint32_t number);
/* Gives the plan up; reason: what is told to who asked for it. */
void weft__weftd_plan_free(struct weft_app *app, const char *reason);
void weft__weftd_on_move(void *host, struct weft_call *call, const ProtobufCMessage *request);

#endif
