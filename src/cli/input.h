/* The standard input of weft run, forwarded to the rank that reads it. */
#ifndef WEFT_CLI_INPUT_H
#define WEFT_CLI_INPUT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct cli;

struct cli_input {
    const struct cli *cli;
    uint64_t app;
    uint64_t offset; /* bytes that the app's home has taken */
    int stop;        /* an eventfd */
    bool runs;
    pthread_t thread;
};

/* Reads in a thread of its own, no further ahead than the app's home has room. Says so where it
 * cannot. */
void cli_input_start(struct cli_input *input, const struct cli *cli, uint64_t app);
/* Fine where it has not been started.  Blocks: until a call that is under way is over. */
void cli_input_stop(struct cli_input *input);

#endif
