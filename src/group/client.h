/* What a weft_groups is made from; weft_groups_open() of the host layer finds it out by itself. */
#ifndef WEFT_GROUP_CLIENT_H
#define WEFT_GROUP_CLIENT_H

#include <stdint.h>

#include "weft/group.h"

struct weft_groups_desc {
    const char *url;       /* of the sync port of the host's group service */
    const char *async_url; /* and of the other */
    const char *scheme;    /* NULL: "zmq" */
};

int weft__groups_open(const struct weft_groups_desc *desc, struct weft_groups **groups_out);

#endif
