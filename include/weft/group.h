/* Groups: locks, barriers, notify and ordered messages between members on several hosts.
 *
 * A group has members 0 to n-1, each placed on a host when the group is made; the host where it is
 * made is its home. A member is whoever opens its number, on its host, in any process (a rank, a
 * function, a program of its own). Members talk to their own host only; hosts talk to each other,
 * with one message there and one back per barrier and host, however many members a host has.
 * Nothing waits in a host: a call that has to wait is kept and answered later.
 *
 * Every call that waits has a time after which it ends with WEFT_ETIMEDOUT; 0 does not wait.
 * When a member leaves, or dies, or its host does, every waiter whom that concerns gets
 * WEFT_EPEERDEAD with a text that names it: barriers from then on; messages from it, once those
 * that it sent have been received; messages to it; notify, if it has not notified yet; everything,
 * when the home dies. A member whose process has been silent for longer than WEFT_DEAD_MS counts as
 * dead and gets WEFT_ESTALE itself.
 *
 * Calls of one member from several threads are fine; those of a kind are done one after the other.
 * Errors of every call: WEFT_ESTALE this member is no longer one; WEFT_ENOENT the group has ended;
 * WEFT_ECANCELED it was ended, or weft_group_cancel(); WEFT_EPEERDEAD, also where this host's weftd
 * has ended or could not be reached for WEFT_DEAD_MS; WEFT_ETIMEDOUT; WEFT_EACCES as in
 * weft/client.h. The text is weft_fail_text().
 * Thread: any.  Blocks: until done, or timeout_ms.
 */
#ifndef WEFT_GROUP_H
#define WEFT_GROUP_H

#include <stddef.h>
#include <stdint.h>

#include "weft/api.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_GROUP_MEMBERS_MAX 4096u
#define WEFT_GROUP_MESSAGE_MAX (1u << 20) /* bytes; more belongs into a snapshot or state */

/* A process's connection to its host's weftd. */
struct weft_groups;
/* One member. */
struct weft_group;

/* host: "address[:port]" of the weftd, or its url; NULL: WEFT_HOST.  Errors: WEFT_EINVAL. Starts a
 * thread, which says every WEFT_HEARTBEAT_MS that this process lives. */
WEFT_API int weft_groups_open(const char *host, struct weft_groups **groups_out);
/* After all its members have been closed.  NULL is fine. */
WEFT_API void weft_groups_close(struct weft_groups *groups);

struct weft_group_desc {
    uint64_t id;              /* 0: chosen; else a random number that was never used before */
    uint32_t members;         /* 1 to WEFT_GROUP_MEMBERS_MAX */
    const char *const *hosts; /* the name of each member's host; NULL: all on this one */
    uint32_t timeout_ms;
};
/* Makes a group whose home is this host. All its hosts know it when this returns. It ends by
 * weft_group_delete(), when its last member leaves or dies, or, when this process dies, as soon as
 * it has no open member for 10 s.  Errors: WEFT_ETIMEDOUT, WEFT_EPEERDEAD naming the host;
 * WEFT_EHOSTUNREACH no such host in the cluster; WEFT_EEXIST the id. */
WEFT_API int weft_group_create(struct weft_groups *groups, const struct weft_group_desc *desc,
                               uint64_t *id_out);
/* Ends a group that has its home, or a member, on this host; whoever waits in it gets
 * WEFT_ECANCELED. */
WEFT_API int weft_group_delete(struct weft_groups *groups, uint64_t id, uint32_t timeout_ms);

/* Becomes a member; waits for the group to be made.  Errors: WEFT_EBUSY somebody is it already;
 * WEFT_EINVAL it is placed on another host, or there is no such number; WEFT_ESTALE it has left or
 * died. */
WEFT_API int weft_group_open(struct weft_groups *groups, uint64_t id, uint32_t member,
                             uint32_t timeout_ms, struct weft_group **group_out);
/* Stops being a member (a lock that it holds goes on as that of a dead one) and frees. After all
 * its calls have returned.  NULL is fine. */
WEFT_API void weft_group_leave(struct weft_group *group);
WEFT_API uint64_t weft_group_id(const struct weft_group *group);
WEFT_API uint32_t weft_group_member(const struct weft_group *group);
WEFT_API uint32_t weft_group_size(const struct weft_group *group);
/* The name of a member's host; NULL: no such member. */
WEFT_API const char *weft_group_host_of(const struct weft_group *group, uint32_t member);
/* Ends every call that waits for this member now with WEFT_ECANCELED. */
WEFT_API int weft_group_cancel(struct weft_group *group);

/* The group's lock; it belongs to the member, not to a thread. First come, first served. When an
 * owner dies, the next one gets WEFT_EOWNERDEAD, once, naming it: it has the lock and should
 * check what the lock protects.  Errors: WEFT_EBUSY this member has it already, and one of the
 * two is not recursive. */
WEFT_API int weft_group_lock(struct weft_group *group, uint32_t timeout_ms);
/* May be taken again by its owner; as many unlocks end it. */
WEFT_API int weft_group_lock_recursive(struct weft_group *group, uint32_t timeout_ms);
/* Does not wait for an owner.  Errors: WEFT_EBUSY there is one. */
WEFT_API int weft_group_trylock(struct weft_group *group);
/* Errors: WEFT_EPERM this member does not hold the lock. */
WEFT_API int weft_group_unlock(struct weft_group *group);
/* The same, not waiting for an answer. */
WEFT_API int weft_group_unlock_async(struct weft_group *group);

/* Returns when all members have come. After WEFT_ETIMEDOUT or WEFT_ECANCELED the member still
 * counts as having come, and may call again to go on waiting for the others. */
WEFT_API int weft_group_barrier(struct weft_group *group, uint32_t timeout_ms);
/* A one-way barrier: the n-th call of member 0 returns when all others have made their n-th; those
 * return at once. */
WEFT_API int weft_group_notify(struct weft_group *group, uint32_t timeout_ms);

/* Messages of a pair arrive once and in order. A pair has room for 256 of them and 1 MiB that have
 * not been received. A message whose send ended with another error than these may still arrive, in
 * its place.  Errors: WEFT_EAGAIN no room within timeout_ms, with a hint (weft_fail_retry_ms());
 * WEFT_EMSGSIZE; WEFT_EINVAL no such member. */
WEFT_API int weft_group_send(struct weft_group *group, uint32_t to, const void *data,
                             size_t len_bytes, uint32_t timeout_ms);
/* The next message of a member.  Owns: *data_out is the caller's, free(). */
WEFT_API int weft_group_recv(struct weft_group *group, uint32_t from, uint32_t timeout_ms,
                             void **data_out, size_t *len_bytes_out);

#ifdef __cplusplus
}
#endif

#endif
