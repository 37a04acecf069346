/* Wake-ups between threads: an eventfd that can be polled beside sockets, and a futex word for one
 * sleeping thread. */
#ifndef WEFT_BASE_WAKE_H
#define WEFT_BASE_WAKE_H

#include <stdatomic.h>
#include <stdint.h>

/* A pollable wake-up. set() is safe from any thread and coalesces; drain() before looking at the
 * queue. */
struct weft_wakefd {
    int fd;
    atomic_int pending;
};

int weft__wakefd_open(struct weft_wakefd *wake);
void weft__wakefd_close(struct weft_wakefd *wake); /* fine on a zeroed or closed one */
void weft__wakefd_set(struct weft_wakefd *wake);
void weft__wakefd_drain(struct weft_wakefd *wake);
/* For an owner that polls the descriptor edge-triggered and never reads it: while it is awake,
 * set() costs no system call. unlisten() when it wakes; listen() before it sleeps, and then a last
 * look at the queue. */
void weft__wakefd_listen(struct weft_wakefd *wake);
void weft__wakefd_unlisten(struct weft_wakefd *wake);

/* Sleeps while *word == seen, at most until deadline_ns of the monotonic clock (WEFT_NEVER: no
 * limit). Errors: WEFT_ETIMEDOUT. Spurious returns are possible. */
int weft__futex_wait(const _Atomic uint32_t *word, uint32_t seen, uint64_t deadline_ns);
/* Wakes every thread that sleeps on word. */
void weft__futex_wake(const _Atomic uint32_t *word);

#endif
