/* What the two ends of the state service share: call codes and limits. */
#ifndef WEFT_STATE_STATE_H
#define WEFT_STATE_STATE_H

#include "weft/state.h"

/* The bodies are in wire/state.proto. */
enum weft_state_call {
    WEFT_STATE_RESOLVE = 0x0400, /* ResolveRequest -> ResolveReply */
    WEFT_STATE_DROP,             /* DropRequest -> empty */
    WEFT_STATE_HOSTS,            /* HostsRequest -> HostsReply */
    WEFT_STATE_LIST,             /* ListRequest -> ListReply */
    WEFT_STATE_OPEN = 0x0410,    /* OpenRequest -> OpenReply */
    WEFT_STATE_PULL,             /* PullRequest -> PullReply */
    WEFT_STATE_PART,             /* PartRequest -> PartReply */
    WEFT_STATE_UNPIN,            /* UnpinRequest -> UnpinReply */
    WEFT_STATE_PUSH,             /* PushRequest -> ChangeReply; also a push */
    WEFT_STATE_STAGE,            /* StageRequest -> empty */
    WEFT_STATE_RESIZE,           /* ResizeRequest -> ChangeReply */
    WEFT_STATE_APPEND,           /* AppendRequest -> ChangeReply; also a push */
    WEFT_STATE_CLEAR,            /* ClearRequest -> ChangeReply */
    WEFT_STATE_ITEMS,            /* ItemsRequest -> ItemsReply */
    WEFT_STATE_DELETE            /* DeleteRequest -> empty */
};

#define WEFT_STATE_KEYS_MAX 65536        /* of one host */
#define WEFT_STATE_RANGES_MAX 16384      /* of one request */
#define WEFT_STATE_INLINE_MAX (1u << 20) /* bytes of a value in one message */
#define WEFT_STATE_BODY_MAX (2u << 20)   /* of a request */
#define WEFT_STATE_ITEMS_MAX (1u << 20)
#define WEFT_STATE_SESSIONS_MAX 64 /* of one value: the last changes that are known again */
#define WEFT_STATE_PINS_MAX 1024   /* of one host */
#define WEFT_STATE_PIN_MAX_MS 60000
#define WEFT_STATE_URL_MAX 128

/* How a change ended at the main. */
enum weft_state_result { WEFT_STATE_MADE, WEFT_STATE_OTHER_VERSION, WEFT_STATE_NO_SESSION };

#endif
