/* What the group service's two ends share: call codes and where its ports are. The bodies are in
 * wire/group.proto. */
#ifndef WEFT_GROUP_GROUP_H
#define WEFT_GROUP_GROUP_H

enum weft_group_call {
    WEFT_GROUP_BEAT = 0x0500, /* Beat -> BeatReply */
    WEFT_GROUP_CREATE,        /* Create -> Known */
    WEFT_GROUP_OPEN,          /* Call -> Known; the others: Call -> empty */
    WEFT_GROUP_LEAVE,
    WEFT_GROUP_CANCEL,
    WEFT_GROUP_LOCK,
    WEFT_GROUP_UNLOCK, /* also pushed */
    WEFT_GROUP_BARRIER,
    WEFT_GROUP_NOTIFY, /* also pushed, by those who do not wait */
    WEFT_GROUP_SEND,
    WEFT_GROUP_RECV, /* Call -> Messages */
    WEFT_GROUP_DELETE,
    WEFT_GROUP_KNOWN, /* Call (group alone) -> Known: who is in it, as this host knows it */
    WEFT_GROUP_STATS, /* empty -> Stats */
    WEFT_GROUP_FRAME  /* Frame, pushed, between hosts */
};

/* A host's group ports, counted from its first port. */
enum { WEFT_GROUP_PORT_AT = 8, WEFT_GROUP_ASYNC_PORT_AT = 9 };

#endif
