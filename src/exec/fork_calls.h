/* The call codes of forks; their bodies are in wire/host.proto. The other codes of the services
 * "function" and "app" are in host/calls.h. */
#ifndef WEFT_EXEC_FORK_CALLS_H
#define WEFT_EXEC_FORK_CALLS_H

enum weft_fork_call {
    /* from a rank's process to the app's home: service "function" */
    WEFT_CALL_FORK_OPEN = 0x01c0,
    WEFT_CALL_FORK_CLOSE,
    WEFT_CALL_FORK_WHY,
    /* from a rank's process to those that run the threads: service "app" */
    WEFT_CALL_FORK_RUN,
    WEFT_CALL_FORK_END
};

#define WEFT_FORK_THREADS_MAX 4096u /* of one fork */
#define WEFT_FORK_ARGUMENT_MAX (64u << 10)

#endif
