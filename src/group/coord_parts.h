/* What the files of the machine share: the records of a host, of a group here, of its home.
 * Private to src/group/coord_*.c. */
#ifndef WEFT_GROUP_COORD_PARTS_H
#define WEFT_GROUP_COORD_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>
#include <utlist.h>

#include "base/clock.h"
#include "group/coord.h"
#include "group/coord_link.h"
#include "group/coord_lock.h"
#include "group/coord_mail.h"

enum {
    WEFT_COORD_LINKS_MAX = 65536,
    WEFT_COORD_GROUPS_MAX = 65536,
    WEFT_COORD_SESSIONS_MAX = 65536,
    WEFT_COORD_WAITERS_MAX = 65536,
    WEFT_COORD_TEXT_MAX = 256
};

/* A call that waits. */
struct coord_waiter {
    struct coord_waiter *prev, *next;
    uint8_t op;
    uint32_t member, peer;
    uint64_t token, number, deadline_ns, session;
};

/* A process whose members (or whose groups' home) are here. */
struct coord_session {
    UT_hash_handle hh;
    uint64_t id;
    uint64_t silent_ns;
};

/* What a group's agent knows of every member. */
struct coord_seat {
    int gone; /* as the home says: 0, or why */
    int last; /* as its host says: nothing comes from it any more */
    uint64_t notified;
};

enum coord_open { COORD_NEVER_OPEN, COORD_OPEN, COORD_CLOSED };
enum coord_want { COORD_NOTHING, COORD_WAITS, COORD_GRANTED, COORD_REFUSED };

/* A member that is placed here. */
struct coord_member {
    uint32_t index;
    enum coord_open open;
    uint64_t session;
    uint64_t arrived;     /* its newest barrier */
    uint64_t notified;    /* rounds */
    uint64_t asked;       /* number of its newest ask for the lock, */
    enum coord_want want; /* what became of it, */
    int want_err;         /* and how that was answered */
    uint32_t want_dead;
    uint32_t depth; /* how often it has the lock */
    bool recursive;
    uint64_t unlocked;            /* number of its newest unlock, */
    int unlocked_err;             /* and the answer */
    struct weft_coord_box *boxes; /* by sender, in order of appearance */
    size_t boxes_n;
    struct weft_coord_credit *credits; /* by receiver */
    size_t credits_n;
};

enum { COORD_CREATES_MAX = 4 };

/* A group's home; only on the host where it was made. */
struct coord_home {
    uint64_t creator;                    /* session */
    uint64_t creates[COORD_CREATES_MAX]; /* calls that wait for it to be made, all the same one */
    uint32_t creates_n;
    uint64_t create_by_ns;  /* WEFT_NEVER: it is made */
    uint64_t idle_since_ns; /* WEFT_NEVER: it has an open member, or a creator that lives */
    bool creator_gone;
    uint32_t open_n, gone_n; /* members */
    uint64_t released;       /* barriers */
    uint64_t notified;       /* rounds */
    struct weft_coord_lock lock;
    struct coord_home_host {
        bool ready, dead;
        uint32_t members, others; /* others: without member 0 */
        uint64_t arrived, notified;
    } * hosts;
    struct coord_home_member {
        bool open;
        int gone;
    } * members;
};

struct coord_group {
    UT_hash_handle hh;
    uint64_t id;
    struct weft_coord_roster *roster;
    uint32_t self; /* this host's index in the roster */
    struct coord_home *home;
    bool started;
    int failed; /* 0, or why nothing works any more; `why` says it in words */
    char why[WEFT_COORD_TEXT_MAX];
    struct coord_seat *seats;
    uint32_t first_gone;          /* WEFT_COORD_NOBODY: no one */
    struct coord_member *members; /* here, by index */
    uint32_t members_n, open_n;
    uint64_t released, arrived;  /* barriers: complete; arrived here, and the home was told */
    uint64_t notified, notifies; /* rounds: complete; of all here, and the home was told */
    struct coord_waiter *waiters;
};

/* A stream, and what the list of hosts says of its other end. */
struct coord_peer {
    struct weft_coord_link link;
    bool listed;            /* it was in the list */
    uint64_t suspect_since; /* WEFT_NEVER: it is in the list */
};

/* An item from this host to itself. */
struct coord_note {
    struct coord_note *next;
    struct weft_coord_item item;
};

enum { COORD_BURIED = 64 };

struct weft_coord {
    struct weft_coord_desc desc;
    struct coord_group *groups;
    struct coord_session *sessions;
    struct coord_peer **peers;
    size_t peers_n, peers_max;
    struct weft_coord_peer *hosts; /* that live */
    size_t hosts_n;
    struct coord_waiter *opens; /* OPEN: the group is not known or not made yet; peer: unused */
    struct coord_note *notes;
    uint64_t buried[COORD_BURIED]; /* incarnations of dead hosts, the newest of them */
    size_t buried_n;
    size_t waiters_n;
    size_t mail_bytes; /* of messages that are kept for members here */
    bool sweep;        /* there are groups to free */
    uint64_t now_ns, ticked_ns, next_ns;
    uint64_t dropped;
    struct weft_coord_traffic past; /* to hosts that are dead */
};

/* ---- coord_host.c ---- */
void weft__coord_answer(struct weft_coord *coord, uint64_t token, int err, const char *text);
/* Sends an item to a host of the group's roster; owns it. */
void weft__coord_post(struct weft_coord *coord, const struct weft_coord_roster *roster,
                      uint32_t host, struct weft_coord_item item);
void weft__coord_post_all(struct weft_coord *coord, const struct coord_group *group,
                          struct weft_coord_item item, bool self_too);
/* From now on the host's death is noticed; false: it is dead. */
bool weft__coord_watch(struct weft_coord *coord, const struct weft_coord_peer *peer);
/* Makes sure that tick() is called by then. */
void weft__coord_by(struct weft_coord *coord, uint64_t at_ns);
struct coord_group *weft__coord_group(const struct weft_coord *coord, uint64_t id);

/* ---- coord_agent.c: the members' side of a group ---- */
/* Enters the group; takes a reference to the roster.  NULL: no memory. */
struct coord_group *weft__coord_group_new(struct weft_coord *coord,
                                          struct weft_coord_roster *roster);
/* Answers whoever waits with err and text, and frees. */
void weft__coord_group_free(struct weft_coord *coord, struct coord_group *group, int err,
                            const char *text);
void weft__coord_agent_call(struct weft_coord *coord, const struct weft_coord_call *call);
/* An item of the home or of another agent, from a host of the roster; frees nothing of it but what
 * it takes over. */
void weft__coord_agent_item(struct weft_coord *coord, struct coord_group *group, uint32_t host,
                            struct weft_coord_item *item);
/* The host is dead; where it is the home, the group is. */
void weft__coord_agent_host_dead(struct weft_coord *coord, struct coord_group *group,
                                 uint32_t host);
/* Fails the group: err and text for all that wait and all that come. */
void weft__coord_group_fail(struct weft_coord *coord, struct coord_group *group, int err,
                            const char *text);
/* The member has left (WEFT_ESHUTDOWN) or died (WEFT_EPEERDEAD). */
void weft__coord_member_gone(struct weft_coord *coord, struct coord_group *group,
                             struct coord_member *member, int why);
void weft__coord_agent_tick(struct weft_coord *coord, struct coord_group *group);
/* The opens that wait for this group. */
void weft__coord_opens_run(struct weft_coord *coord, const struct coord_group *group);

/* ---- coord_wait.c: calls that wait ---- */
struct coord_waiter *weft__coord_wait(struct weft_coord *coord, struct coord_waiter **list,
                                      const struct weft_coord_call *call);
/* Takes it out, answers and frees. */
void weft__coord_wake(struct weft_coord *coord, struct coord_waiter **list,
                      struct coord_waiter *waiter, int err, const char *text);

const char *weft__coord_why_gone(const struct coord_group *group, uint32_t member, int why,
                                 char text_out[WEFT_COORD_TEXT_MAX]);

/* ---- coord_home.c ---- */
void weft__coord_create(struct weft_coord *coord, const struct weft_coord_call *call);
void weft__coord_home_item(struct weft_coord *coord, struct coord_group *group, uint32_t host,
                           const struct weft_coord_item *item);
void weft__coord_home_host_dead(struct weft_coord *coord, struct coord_group *group, uint32_t host);
void weft__coord_home_tick(struct weft_coord *coord, struct coord_group *group);
void weft__coord_home_session_gone(struct weft_coord *coord, struct coord_group *group,
                                   uint64_t session);
void weft__coord_home_free(struct coord_home *home);
/* Answers those who wait for the group to be made. */
void weft__coord_creates_answer(struct weft_coord *coord, struct coord_home *home,
                                const struct weft_coord_answer *answer);

#endif
