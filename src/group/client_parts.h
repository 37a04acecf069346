/* What the files of the member's side share. Private to src/group/client*.c. */
#ifndef WEFT_GROUP_CLIENT_PARTS_H
#define WEFT_GROUP_CLIENT_PARTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"
#include "weft/group.h"
#include "wire/group.pb-c.h"

struct weft_client;

struct weft_groups {
    struct weft_client *client;
    char url[WEFT_REGISTRY_URL_MAX], async_url[WEFT_REGISTRY_URL_MAX];
    uint64_t session;
    uint32_t dead_ms; /* for so long calls look for a host that cannot be reached */
    pthread_t thread; /* says that we live */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
    struct weft_group *open; /* its members */
};

/* One at a time goes through; the others wait at it, with a deadline. Under group->lock. */
struct group_gate {
    bool taken;
};

/* Messages of one other member, in one direction. */
struct group_pair {
    struct group_pair *next;
    uint32_t peer;
    struct group_gate gate;
    uint64_t number; /* SEND: of the newest; RECV: of the next to ask for */
    uint8_t *unsure; /* SEND: sent, and nobody knows what became of it */
    size_t unsure_len;
    bool is_unsure;
    Weft__Group__Messages *got; /* RECV: fetched; given out up to `given` */
    size_t given;
};

struct weft_group {
    struct weft_group *next; /* in groups->open */
    struct weft_groups *groups;
    uint64_t id;
    uint32_t member;
    Weft__Group__Known *known;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct group_gate locks, unlocks, barriers, notifies;
    uint64_t lock_number, lock_settled, unlock_number, barrier_number, notify_number;
    bool unlock_unsure; /* the next unlock was sent, and nobody knows what became of it */
    struct group_pair *to, *from;
};

/* ---- client.c ---- */
/* A request about this member with what the caller fills in further. */
Weft__Group__Call weft__group_request(const struct weft_group *group);
/* Calls the host, waiting at most request->wait_ms there. Owns: *reply_out, where reply_type is not
 * NULL: weft__message_free. */
int weft__group_ask(const struct weft_groups *groups, uint16_t code, Weft__Group__Call *request,
                    const ProtobufCMessageDescriptor *reply_type, ProtobufCMessage **reply_out);

/* ---- client_member.c ---- */
uint64_t weft__group_deadline(uint32_t timeout_ms);
/* Errors: WEFT_ETIMEDOUT. */
int weft__group_gate_enter(struct weft_group *group, struct group_gate *gate, uint64_t deadline_ns);
void weft__group_gate_leave(struct weft_group *group, struct group_gate *gate);

/* ---- client_mail.c ---- */
void weft__group_pairs_free(struct group_pair *pairs);

#endif
