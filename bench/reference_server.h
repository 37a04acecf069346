/* The plain ZeroMQ server that control servers are compared with: ROUTER and DEALER, PULL and PUSH,
 * each pair joined by zmq_proxy_steerable, workers with REP and PULL sockets over inproc. It runs
 * in the process that starts it. */
#ifndef WEFT_BENCH_REFERENCE_SERVER_H
#define WEFT_BENCH_REFERENCE_SERVER_H

#include <stddef.h>
#include <stdint.h>

/* Answers one request: a buffer for free(). Runs on a worker; it cannot fail. */
typedef void reference_answer(const void *request, size_t len, uint8_t **answer_out,
                              size_t *len_out);

struct reference_server;
/* workers: for requests; pushes have as many of their own. They reach the same function, whose
 * answer is thrown away. */
struct reference_server *reference_server_start(unsigned workers, reference_answer *answer,
                                                uint16_t *sync_port_out, uint16_t *async_port_out);
void reference_server_stop(struct reference_server *server);

#endif
