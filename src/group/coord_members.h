/* What a group's agent has of its members; shared by coord_agent.c (what they call) and
 * coord_inbox.c (what hosts say). Private to these and coord_members.c. */
#ifndef WEFT_GROUP_COORD_MEMBERS_H
#define WEFT_GROUP_COORD_MEMBERS_H

#include "group/coord_parts.h"

/* NULL: it is not placed here. */
struct coord_member *weft__coord_member(const struct coord_group *group, uint32_t index);
/* Drops its messages. */
void weft__coord_member_fini(struct weft_coord *coord, struct coord_member *member);
/* Found, or made. Valid until the next of them is made. */
struct weft_coord_box *weft__coord_box(struct coord_member *member, uint32_t from);
struct weft_coord_credit *weft__coord_credit(struct coord_member *member, uint32_t to);
/* A message for a member here. Owns: its bytes. */
void weft__coord_deliver(struct weft_coord *coord, struct coord_group *group,
                         struct coord_member *to, uint32_t from, struct weft_coord_bytes message);
/* The member has received all before number: tells the sender now and then. */
void weft__coord_received(struct weft_coord *coord, struct coord_group *group,
                          const struct coord_member *member, struct weft_coord_box *box,
                          uint64_t number);
void weft__coord_answer_box(struct weft_coord *coord, uint64_t token,
                            const struct weft_coord_box *box);
/* A member that is gone without having notified this round; WEFT_COORD_NOBODY: none. */
uint32_t weft__coord_not_notified(const struct coord_group *group, uint64_t number);
/* The member's ask that waits is over: with err, and nothing of it is left at the home. */
void weft__coord_want_ends(struct weft_coord *coord, struct coord_group *group,
                           struct coord_member *member, int err);
/* Fills in the group. */
void weft__coord_tell_home(struct weft_coord *coord, const struct coord_group *group,
                           struct weft_coord_item item);

#endif
