/* What the registry's two ends share: call codes, limits, and a host as both see it. */
#ifndef WEFT_REGISTRY_REGISTRY_H
#define WEFT_REGISTRY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

enum weft_registry_call {
    WEFT_REGISTRY_JOIN = 0x0200, /* JoinRequest -> JoinReply */
    WEFT_REGISTRY_LEAVE,         /* LeaveRequest -> empty */
    WEFT_REGISTRY_BEAT,          /* BeatRequest -> BeatReply */
    WEFT_REGISTRY_LIST,          /* ListRequest -> ListReply */
    WEFT_REGISTRY_WATCH,         /* WatchRequest -> ListReply, late */
    WEFT_REGISTRY_GET,           /* GetRequest -> GetReply */
    WEFT_REGISTRY_CAS            /* CasRequest -> CasReply, once it is on disk */
};

#define WEFT_REGISTRY_HOSTS_MAX 65536
#define WEFT_REGISTRY_KEYS_MAX 1000000
#define WEFT_REGISTRY_KEY_MAX 256    /* bytes, without a NUL */
#define WEFT_REGISTRY_VALUE_MAX 4096 /* bytes */

#define WEFT_REGISTRY_WATCH_MAX_MS 60000

#define WEFT_REGISTRY_NAME_MAX 64 /* with the NUL, as the next two */
#define WEFT_REGISTRY_ADDRESS_MAX 64
#define WEFT_REGISTRY_URL_MAX 128
#define WEFT_REGISTRY_TENANT_MAX 32

/* A host of the list.
 * alive false: declared dead (no beat for dead_ms); it stays in the list until its name joins again
 * or leaves. Absent: it left, or the registry has started anew (the epoch changed) and it has not
 * joined again yet. */
struct weft_registry_host {
    char name[WEFT_REGISTRY_NAME_MAX];
    char address[WEFT_REGISTRY_ADDRESS_MAX];
    char control[WEFT_REGISTRY_URL_MAX];
    uint32_t slots;
    uint32_t used;        /* as of its newest beat: a hint, the host alone decides */
    uint64_t incarnation; /* new at every start of the host's weftd */
    uint64_t pid;
    bool alive;
    bool leaving; /* its ranks are to leave it, and no new ones come */
    /* Whose ranks it has, a hint like `used`: "" nobody's, unless `shared`: several tenants'. */
    char tenant[WEFT_REGISTRY_TENANT_MAX];
    bool occupied, shared;
    bool apart;   /* one of them wants no other tenant beside it */
    uint64_t cpu; /* features of its processor, as of base/cpu.h; 0: not known */
};

#endif
