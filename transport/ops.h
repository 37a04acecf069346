/* Lists of operations in the callers' memory: FIFO order, linked through the first bytes of the
 * operation's private part. A transport puts struct weft_op_node first in whatever it keeps there.
 */
#ifndef WEFT_TRANSPORT_OPS_H
#define WEFT_TRANSPORT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/spi.h"
#include "weft/error.h"

struct weft_op_node {
    struct weft_tp_op *next;
    int err; /* what done will be told */
};

struct weft_op_list {
    struct weft_tp_op *first;
    struct weft_tp_op *last;
};

static inline struct weft_op_node *weft__op_node(struct weft_tp_op *op)
{
    return (struct weft_op_node *)(void *)op->priv;
}

static inline void weft__op_append(struct weft_op_list *list, struct weft_tp_op *op)
{
    weft__op_node(op)->next = NULL;
    if (list->last)
        weft__op_node(list->last)->next = op;
    else
        list->first = op;
    list->last = op;
}

static inline struct weft_tp_op *weft__op_pop(struct weft_op_list *list)
{
    struct weft_tp_op *op = list->first;
    if (op) {
        list->first = weft__op_node(op)->next;
        if (!list->first)
            list->last = NULL;
    }
    return op;
}

/* Ends those that are in the list now: done runs with their error, or WEFT_ECANCELED where the
 * endpoint closes, and may submit more. Returns how many there were. */
static inline int weft__ops_finish(struct weft_op_list *finished, uint32_t *in_flight, bool closing)
{
    struct weft_op_list list = *finished;
    struct weft_tp_op *op;
    int n = 0;
    *finished = (struct weft_op_list){NULL, NULL};
    while ((op = weft__op_pop(&list))) {
        --*in_flight;
        op->done(op, closing ? WEFT_ECANCELED : weft__op_node(op)->err);
        n++;
    }
    return n;
}

/* Whether op was in the list; it is not any more. */
static inline bool weft__op_remove(struct weft_op_list *list, struct weft_tp_op *op)
{
    struct weft_tp_op *before = NULL;
    for (struct weft_tp_op *at = list->first; at; before = at, at = weft__op_node(at)->next) {
        if (at != op)
            continue;
        if (before)
            weft__op_node(before)->next = weft__op_node(at)->next;
        else
            list->first = weft__op_node(at)->next;
        if (list->last == at)
            list->last = before;
        return true;
    }
    return false;
}

#endif
