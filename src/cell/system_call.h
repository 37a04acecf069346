/* Between the files that carry out system calls: system.c looks a call up and calls one of the
 * functions below, which sets the result, or says that the call waits; then it is called again
 * later, with the same arguments. */
#ifndef WEFT_CELL_SYSTEM_CALL_H
#define WEFT_CELL_SYSTEM_CALL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "cell/system.h"

#define WEFT__SYSTEM_RESTART 512 /* as an error: interrupted, to be made again if nobody minds */
#define WEFT__SYSTEM_TICK_NS UINT64_C(1000000) /* between two looks at a descriptor */

typedef void weft__system_function(struct weft__system *system, struct weft__trap_call *call);

struct weft__system_entry {
    weft__system_function *what; /* NULL: refused */
    uint8_t pointers;            /* bits: arguments that point into the program, or are NULL */
    uint8_t span; /* argument + 1 that points to as many bytes as the next one says */
};

/* system_table.c */
extern const struct weft__system_entry weft__system_entries[512];
const char *weft__system_name(int64_t number); /* NULL: it has none */

/* To the kernel, with these arguments. */
int64_t weft__system_raw(int64_t number, const uint64_t args[6]);
weft__system_function weft__system_go_through;
/* An error, and a line in the log; `why` may be NULL. */
void weft__system_refuse(struct weft__system *system, struct weft__trap_call *call, int error,
                         const char *why);
/* The call waits, until then at most. Interrupted by a signal it fails with `error`. */
void weft__system_wait(struct weft__system *system, struct weft__trap_call *call, uint64_t until_ns,
                       int error);
/* The call waits for the rank's descriptors, until then at most. */
struct weft__system_wish {
    const struct pollfd *fds;
    size_t n;
    uint64_t until_ns;
    int error;
};
void weft__system_wait_for(struct weft__system *system, struct weft__trap_call *call,
                           const struct weft__system_wish *wish);
/* For one of them, without limit. */
void weft__system_wait_for_one(struct weft__system *system, struct weft__trap_call *call,
                               short events, int error);
/* What has been watched is not any more. */
void weft__system_wait_over(struct weft__system *system);
uint64_t weft__system_now(const struct weft__system *system);

/* system_input.c: the app's standard input. */
int weft__system_input_open(struct weft__system *system);
void weft__system_input_close(struct weft__system *system);
/* Whether the file is the input. */
bool weft__system_is_input(const struct weft__system *system, const struct weft__fds_file *file);
/* The program has looked whether there is some, or is going to wait: asks for more, unless it is
 * there, or on its way. Returns whether that is so, or somebody has taken the wish. */
bool weft__system_input_ask(struct weft__system *system);

/* system_files.c: descriptors. */
weft__system_function weft__system_on_open, weft__system_on_close, weft__system_on_dup,
    weft__system_on_dup_to, weft__system_on_fcntl, weft__system_on_file, weft__system_on_two_files,
    weft__system_on_vector, weft__system_on_ioctl, weft__system_on_flock, weft__system_on_mmap,
    weft__system_on_close_range;
/* system_paths.c: names. */
weft__system_function weft__system_on_path, weft__system_on_two_paths, weft__system_on_truncate,
    weft__system_on_statfs, weft__system_on_chdir, weft__system_on_getcwd, weft__system_on_umask,
    weft__system_on_mkdir, weft__system_on_readlink;
/* The descriptor of the host for the folder that a path begins in: of `fd`, or AT_FDCWD.
 * Errors: -EBADF. */
int weft__system_folder(const struct weft__system *system, int fd);
/* Opens for the host, with the rank's mask.  Errors: negative errno. */
int weft__system_open(const struct weft__system *system, int folder, const uint64_t args[3]);
/* system_channels.c: pipes, sockets and what waits for them. */
weft__system_function weft__system_on_pipe, weft__system_on_socket, weft__system_on_socketpair,
    weft__system_on_accept, weft__system_on_connect, weft__system_on_eventfd,
    weft__system_on_epoll_create, weft__system_on_epoll_ctl, weft__system_on_epoll_wait,
    weft__system_on_memfd, weft__system_on_poll, weft__system_on_select, weft__system_on_message;
/* system_signals.c: signals and time. */
weft__system_function weft__system_on_signal_action, weft__system_on_signal_mask,
    weft__system_on_signal_stack, weft__system_on_signal_return, weft__system_on_signal_pending,
    weft__system_on_signal_suspend, weft__system_on_signal_wait, weft__system_on_pause,
    weft__system_on_kill, weft__system_on_alarm, weft__system_on_timer, weft__system_on_timer_get,
    weft__system_on_clock, weft__system_on_sleep, weft__system_on_yield, weft__system_on_futex;
/* system.c: what there is of a process. */
weft__system_function weft__system_on_memory, weft__system_on_thread, weft__system_on_exit,
    weft__system_on_nothing, weft__system_on_affinity, weft__system_on_getcpu,
    weft__system_on_limits, weft__system_on_threads_asked;

/* The mask of ppoll() and its like, until the call is over: a pointer to the set, and its length.
 * Errors: -EFAULT, -EINVAL. */
int weft__system_mask_for_now(struct weft__system *system, uint64_t set, uint64_t len_bytes);
/* When a time from now on is over, which is kept from the first look on. struct timespec at the
 * address; 0: never.  Errors: -EFAULT, -EINVAL. */
int weft__system_timeout(struct weft__system *system, uint64_t address, uint64_t *deadline_out);

#endif
