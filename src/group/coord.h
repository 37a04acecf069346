/* One host's part in the coordination of groups: a state machine without I/O and clock.
 *
 * A weft_coord is the home of the groups that were made on its host, the agent of the members that
 * are placed on it, and one end of a stream to every other host of those groups. Calls of members,
 * frames of other hosts, news of hosts and times come in; answers to calls and frames go out
 * through two functions, called before the function that led to them returns.
 *
 * One thread at a time. Times are monotonic nanoseconds. Of everything that is told about hosts a
 * copy is kept. See include/weft/group.h for what members see.
 */
#ifndef WEFT_GROUP_COORD_H
#define WEFT_GROUP_COORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "registry/registry.h"

struct weft_coord;

/* One life of a host's weftd. */
struct weft_coord_peer {
    char name[WEFT_REGISTRY_NAME_MAX];
    char url[WEFT_REGISTRY_URL_MAX]; /* of its group service's async port */
    uint64_t incarnation;
};

/* Who is in a group, and where. Shared by reference. */
struct weft_coord_roster {
    unsigned refs;
    uint64_t id;
    uint32_t n;       /* members */
    uint32_t hosts_n; /* different hosts, the home included */
    uint32_t home;    /* index into hosts */
    struct weft_coord_peer *hosts;
    uint32_t *host_of; /* of each member: index into hosts */
};
/* NULL: no memory. hosts and host_of are zeroed. */
struct weft_coord_roster *weft__coord_roster_new(uint64_t id, uint32_t n, uint32_t hosts_n);
void weft__coord_roster_put(struct weft_coord_roster *roster); /* NULL is fine */

enum weft_coord_op {
    WEFT_COORD_CREATE = 1,
    WEFT_COORD_DELETE,
    WEFT_COORD_OPEN,
    WEFT_COORD_LEAVE,
    WEFT_COORD_CANCEL,
    WEFT_COORD_LOCK,
    WEFT_COORD_UNLOCK,
    WEFT_COORD_BARRIER,
    WEFT_COORD_NOTIFY,
    WEFT_COORD_SEND,
    WEFT_COORD_RECV
};

enum weft_coord_call_flag { WEFT_COORD_RECURSIVE = 1, WEFT_COORD_TRY = 2 };

/* What a member asks of its host. Repeating a call that is under way or was answered last is fine:
 * number names the member's n-th lock, unlock, barrier, notify, or message of a pair, from 1 on; an
 * answered one is answered again, one that waits gets the same answer in the end. A lock's number
 * may skip some. RECV with number n says that all before n have been received. */
struct weft_coord_call {
    enum weft_coord_op op;
    uint32_t flags;
    uint64_t token; /* the caller's name for the call; answered exactly once */
    uint64_t session, group;
    uint32_t member, peer; /* peer: SEND to, RECV from */
    uint64_t number;
    uint64_t settled;     /* LOCK: the newest of its locks whose answer the member has seen */
    uint64_t released;    /* LOCK: the newest unlock that was sent before; it may come later */
    uint64_t deadline_ns; /* when waiting ends */
    const uint8_t *bytes; /* SEND */
    size_t len_bytes;
    const char *const *hosts; /* CREATE: the hosts' names, */
    size_t hosts_n;
    const uint32_t *host_of; /* and for each member an index into them; NULL: all here */
    uint32_t members;
};

struct weft_coord_bytes {
    const uint8_t *bytes;
    size_t len_bytes;
};

struct weft_coord_answer {
    int err;
    const char *text;                        /* NULL: the error's own */
    uint32_t retry_ms;                       /* WEFT_EAGAIN */
    const struct weft_coord_roster *roster;  /* CREATE, OPEN */
    const struct weft_coord_bytes *messages; /* RECV: the messages number, number + 1, ... */
    size_t messages_n;
};

/* What hosts tell each other. */
enum weft_coord_kind {
    /* home to agent */
    WEFT_COORD_GROUP = 1, /* roster */
    WEFT_COORD_START,     /* everybody knows it */
    WEFT_COORD_RELEASE,   /* number: of the barrier */
    WEFT_COORD_GRANT,     /* member, number, err; peer: the dead owner before */
    WEFT_COORD_NOTIFIED,  /* number of rounds that are complete */
    WEFT_COORD_GONE,      /* member, err: why; number: of rounds that it has notified */
    WEFT_COORD_END,       /* err: why */
    /* agent to home */
    WEFT_COORD_READY,
    WEFT_COORD_OPENED,     /* member */
    WEFT_COORD_ARRIVE,     /* number: all members here have come to this barrier */
    WEFT_COORD_ASK,        /* member, number, flags: wants the lock */
    WEFT_COORD_FORGET,     /* member, number: does not want it any more, had it or not */
    WEFT_COORD_RELINQUISH, /* member: one unlock */
    WEFT_COORD_NOTIFIES,   /* number: rounds that all members here have notified */
    WEFT_COORD_LEFT,       /* as GONE */
    WEFT_COORD_ENDS,       /* delete */
    /* agent to agent */
    WEFT_COORD_LAST,     /* member, err: nothing comes from it any more */
    WEFT_COORD_MESSAGE,  /* member, peer, bytes */
    WEFT_COORD_CONSUMED, /* member has received number messages, size bytes from peer */
    WEFT_COORD_KINDS
};

struct weft_coord_item {
    uint8_t kind;
    uint8_t flags;
    int32_t err;
    uint32_t member, peer;
    uint64_t group, number, size;
    struct weft_coord_roster *roster; /* a reference; GROUP */
    uint8_t *bytes;                   /* malloc; MESSAGE */
    size_t len_bytes;
};
void weft__coord_item_fini(struct weft_coord_item *item);

/* Items of a stream between two hosts, numbered from 1; and how far the other direction has come.
 */
struct weft_coord_frame {
    struct weft_coord_peer from;
    uint64_t to_incarnation;
    uint64_t ack;   /* all up to here have arrived */
    uint64_t first; /* number of the first item */
    bool gap;       /* something between ack and what came is missing */
    struct weft_coord_item *items;
    size_t items_n;
};

struct weft_coord_desc {
    struct weft_coord_peer self;
    uint64_t dead_ns; /* silence after which a member is dead */
    uint64_t idle_ns; /* a group of a dead creator without open members ends after this */
    uint64_t
        resend_ns;   /* first repetition of what was not acknowledged; doubles up to 8 times it */
    uint64_t ack_ns; /* at the latest after this an acknowledgement goes out by itself */
    void *ctx;       /* of the two functions; they must not call back */
    /* Valid during the call only. */
    void (*answer)(void *ctx, uint64_t token, const struct weft_coord_answer *answer);
    void (*send)(void *ctx, const struct weft_coord_peer *to, const struct weft_coord_frame *frame);
};

struct weft_coord *weft__coord_new(const struct weft_coord_desc *desc);
/* Answers every call that waits with WEFT_ESHUTDOWN; NULL is fine. */
void weft__coord_free(struct weft_coord *coord);

void weft__coord_call(struct weft_coord *coord, const struct weft_coord_call *call,
                      uint64_t now_ns);
/* A sign of life of a member's process; a call is none. */
void weft__coord_beat(struct weft_coord *coord, uint64_t session, uint64_t now_ns);
/* The process has ended, as it says itself. */
void weft__coord_bye(struct weft_coord *coord, uint64_t session, uint64_t now_ns);
/* Takes over what the items hold, and clears them. */
void weft__coord_take(struct weft_coord *coord, struct weft_coord_frame *frame, uint64_t now_ns);
/* The hosts that live now. One that was listed, and is not any more, is dead. */
void weft__coord_hosts(struct weft_coord *coord, const struct weft_coord_peer *hosts, size_t n,
                       uint64_t now_ns);
/* Where this host is, and which life of it this is. A new one begins when it was declared dead: all
 * groups here fail. */
void weft__coord_self(struct weft_coord *coord, const struct weft_coord_peer *self,
                      uint64_t now_ns);
/* Call it when weft__coord_deadline() has come; earlier is fine. */
void weft__coord_tick(struct weft_coord *coord, uint64_t now_ns);
uint64_t weft__coord_deadline(const struct weft_coord *coord);

/* Of the stream to one host. */
struct weft_coord_traffic {
    char name[WEFT_REGISTRY_NAME_MAX];
    uint64_t frames; /* with new items, */
    uint64_t resent; /* with old ones, */
    uint64_t acks;   /* and with none */
    uint64_t items;
};
struct weft_coord_stats {
    uint32_t groups, homes, sessions, waiters;
    uint64_t mail_bytes;            /* of messages that are kept for members */
    uint64_t dropped;               /* frames that were not for us, and items that nobody wanted */
    struct weft_coord_traffic sent; /* to all hosts ever */
};
/* Writes up to max of the streams; returns how many there are. */
size_t weft__coord_traffic(const struct weft_coord *coord, struct weft_coord_traffic *out,
                           size_t max);
void weft__coord_stats(const struct weft_coord *coord, struct weft_coord_stats *stats_out);
/* NULL: the group is not known here. Valid until the next call. */
const struct weft_coord_roster *weft__coord_roster_of(const struct weft_coord *coord,
                                                      uint64_t group);

#endif
