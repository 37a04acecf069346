/* Two ends that are measured against each other: a lane, or a TCP connection, in this process and
 * its counterpart in another one (or in another thread, where the transport knows no processes). */
#ifndef WEFT_BENCH_LANE_SIDE_H
#define WEFT_BENCH_LANE_SIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "bench.h"

#define BENCH_SHARED_BYTES ((size_t)16 << 20) /* what the other side lets be pulled */

struct bench_side;

/* scheme as for weft__lane_open; "inproc" makes the other side a thread. */
struct bench_side *bench_side_open(const char *scheme);
void bench_side_close(struct bench_side *side);
/* Connects. false: there is no such transport here; stderr says why. */
bool bench_side_exists(struct bench_side *side);
/* Both sides drive their lanes without sleeping (true); or this one sleeps on its lane, as a rank
 * that waits does, and the other one leaves its lane to the progress thread, as a rank that
 * computes. */
void bench_side_spin(struct bench_side *side, bool spin);
/* One message of len_bytes there and back. */
void bench_side_echo(struct bench_side *side, size_t len_bytes);
/* One get into memory that is there already. */
void bench_side_get(struct bench_side *side, size_t len_bytes);

struct bench_tcp;
/* Plain blocking sockets, without delay. */
struct bench_tcp *bench_tcp_open(void);
void bench_tcp_close(struct bench_tcp *tcp);
/* 8 bytes there, len_bytes back. */
void bench_tcp_ask(struct bench_tcp *tcp, size_t len_bytes);

#endif
