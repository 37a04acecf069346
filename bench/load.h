/* Clients that cost little: one thread that drives many connections to one ZeroMQ port, each with
 * at most one request under way, as a REQ socket has. Either each asks again as soon as it is
 * answered, or requests are due at fixed times, whoever is free then: that is the way to compare
 * waiting, because a slow server is not asked less often. */
#ifndef WEFT_BENCH_LOAD_H
#define WEFT_BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

struct load_desc {
    uint16_t port; /* of 127.0.0.1: a ROUTER or REP */
    unsigned clients;
    const uint8_t *request; /* one part */
    size_t request_len;
    const uint8_t *rare; /* NULL: none; instead of every rare_every-th request, of all clients */
    size_t rare_len;
    unsigned rare_every;
    unsigned per_s; /* requests due in a second; 0: as fast as answers come */
};

struct load_result {
    uint64_t answered; /* all, also those of the last moment */
    double per_s;
    double p50_us, p99_us; /* nearest rank, from when a request was due; not of the rare ones */
    double p99_all_us;     /* of all */
};

struct load;
/* Connects all clients; ends the program where that fails. desc and its requests must outlive it.
 */
struct load *load_open(const struct load_desc *desc);
/* Asks for so long, then waits for the answers that are missing. */
void load_run(struct load *load, uint64_t budget_ns, struct load_result *result_out);
void load_close(struct load *load);

#endif
