/* An app process on this host, as the files that start, watch and end it share it. Private to
 * src/host/weftd_process*.c. */
#ifndef WEFT_HOST_WEFTD_PROCESS_H
#define WEFT_HOST_WEFTD_PROCESS_H

#include "host/output.h"
#include "host/weftd_guest.h"

#define WEFT_LIFELINE_FD 3 /* in the process */

struct weft_process_stream {
    struct weft_watch watch; /* fd -1: over */
    struct weft_process *process;
    bool watched;
    size_t owed; /* bytes that have to be handed over before who asked for that is answered */
    size_t rest_len;
    uint8_t rest[WEFT_OUTPUT_PIECE]; /* a line that has begun */
};

struct weft_process {
    struct weft_process *prev, *next;
    struct weft_host *host;
    struct weft_guest *guest; /* lives longer */
    uint64_t app;
    uint32_t number;
    pid_t pid;
    struct weft_watch exited; /* pidfd */
    struct weft_watch lifeline;
    struct weft_process_stream out, err;
    struct weft_timer end_timer;
    struct weft_call *launch; /* waits for the greeting */
    struct weft_call *end;    /* waits for the end */
    uint8_t *orders;          /* what is still to be written to the lifeline */
    size_t orders_len, orders_done;
    uint8_t greeting[8192]; /* its length (u32), a LaunchReply */
    size_t greeting_len;
    Weft__Host__LaunchReply *ready; /* the greeting; NULL: not yet */
    uint8_t *piece;                 /* of output, on its way to the home; NULL: none */
    size_t piece_out_len, piece_err_len;
    uint64_t piece_number; /* of the last one that was made */
    unsigned piece_tries;  /* since the process was given up */
    bool output_lost;      /* a piece of it never came to the home */
    struct weft_timer piece_timer, line_timer;
    struct weft_call *hand_over; /* waits for what is owed */
    bool reaped;
    bool killed;   /* by us */
    bool given_up; /* the same, or it would have been: nobody waits for its output for long */
    int status;
    unsigned tell_tries;
    char reason[256];
};

/* weftd_process.c */
/* Its output has been handed over: tells its home, and then it is no more. The process may be gone
 * when this returns. */
void weft__weftd_process_over(struct weft_process *process);

/* weftd_process_lifeline.c */
void weft__weftd_lifeline_init(struct weft_process *process);
/* Sets what the process is told first.  Errors: WEFT_ENOMEM. */
int weft__weftd_lifeline_orders(struct weft_process *process,
                                const Weft__Host__LaunchRequest *request);
/* Takes fd over. */
int weft__weftd_lifeline_open(struct weft_process *process, int fd);
/* Reads what the process may have said last, then closes. */
void weft__weftd_lifeline_close(struct weft_process *process);

/* weftd_process_output.c */
void weft__weftd_streams_init(struct weft_process *process);
/* Takes both over. */
void weft__weftd_streams_open(struct weft_process *process, int out, int err);
/* Moves output on; when the process has been reaped and all is handed over, calls
 * weft__weftd_process_over. The process may be gone when this returns. */
void weft__weftd_streams_go_on(struct weft_process *process);
/* Answers when what has been printed until now is handed over, unfinished lines too; who asked
 * before is refused. */
void weft__weftd_streams_hand_over(struct weft_process *process, struct weft_call *call);
/* Whether nothing that the process has printed so far is still on its way. */
bool weft__weftd_streams_idle(const struct weft_process *process);
void weft__weftd_streams_close(struct weft_process *process);

#endif
