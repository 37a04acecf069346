/* A handler that sends back what it gets, behind weft's control server and behind the plain ZeroMQ
 * topology that it is compared with. Both run in the process that starts them. */
#ifndef WEFT_BENCH_ECHO_SERVER_H
#define WEFT_BENCH_ECHO_SERVER_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_ECHO_CALL 1
#define BENCH_ECHO_INLINE UINT32_MAX /* as a number of workers: on the fan-in thread */

/* A request of data_bytes; the answer has the same length. sleep_us: what its handler waits. The
 * frame is for free(). */
void bench_echo_frame(size_t data_bytes, uint32_t sleep_us, uint8_t **bytes_out, size_t *len_out);

struct weft_server;
/* One service per number of workers; the ports come out. */
struct weft_server *bench_echo_start(const unsigned *workers, size_t n, uint16_t *ports_out);
void bench_echo_stop(struct weft_server *server);

struct reference_server;
/* The same handler, decoding and packing the same frames, on the workers of the reference. */
struct reference_server *bench_echo_reference_start(unsigned workers, uint16_t *port_out);

#endif
