/* Servers that send back what they get: weft's control server, and the plain ZeroMQ topology that
 * it is compared with. Both run in the process that starts them. */
#ifndef WEFT_BENCH_ECHO_SERVER_H
#define WEFT_BENCH_ECHO_SERVER_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_ECHO_CALL 1
#define BENCH_ECHO_INLINE UINT32_MAX /* as a number of workers: on the fan-in thread */

struct weft_server;
/* One service per number of workers; the ports come out. */
struct weft_server *bench_echo_start(const unsigned *workers, size_t n, uint16_t *ports_out);
void bench_echo_stop(struct weft_server *server);

struct bench_proxy;
/* A ROUTER over tcp, a DEALER over inproc, zmq_proxy between them, REP sockets as workers. */
struct bench_proxy *bench_proxy_start(unsigned workers, uint16_t *port_out);
void bench_proxy_stop(struct bench_proxy *proxy);

#endif
