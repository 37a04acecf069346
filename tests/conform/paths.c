/* Two and three paths as one endpoint keep the promises of an endpoint. */
#include "link/paths.h"
#include "transport/inproc/inproc.h"
#include "transport/shim/shim.h"
#include "transport/tcp/tcp.h"

#include <stdio.h>

#include "tests/conform/conform.h"
#include "weft/error.h"

static int open_shim(struct weft_paths *paths, const struct weft_transport *transport,
                     const struct weft_tp_open *desc)
{
    struct weft_tp_open open = *desc;
    struct weft_tp_ep *ep;
    weft__paths_hooks(paths, &open);
    open.families = WEFT_TP_MSG | WEFT_TP_RMA;
    int err = weft__shim_open(transport, &open, &ep);
    return err == WEFT_OK ? weft__paths_take(paths, ep) : err;
}

static int open_inproc(struct weft_paths *paths, const struct weft_tp_open *desc)
{
    struct weft_tp_open open = *desc;
    struct weft_tp_ep *ep;
    weft__paths_hooks(paths, &open);
    open.bind = "first";
    int err = weft__tp_inproc.core->open(&open, &ep);
    if (err == WEFT_OK)
        err = weft__paths_take(paths, ep);
    if (err == WEFT_OK)
        weft__paths_prefer_last(paths);
    return err;
}

static int open_paths(const struct weft_tp_open *desc, bool inproc, struct weft_tp_ep **ep_out)
{
    struct weft_paths *paths;
    if (desc->families & WEFT_TP_CTL)
        return weft_fail(WEFT_ENOTSUP, "paths have no control messages");
    int err = weft__paths_new(desc, 4711, &paths);
    if (err != WEFT_OK)
        return err;
    for (unsigned i = 0; i < 2 && err == WEFT_OK; i++)
        err = open_shim(paths, &weft__tp_tcp, desc);
    if (err == WEFT_OK && inproc)
        err = open_inproc(paths, desc);
    if (err == WEFT_OK)
        err = weft__paths_start(paths, ep_out);
    if (err != WEFT_OK)
        weft__paths_free(paths);
    return err;
}

static int open_two(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    return open_paths(desc, false, ep_out);
}

static int open_three(const struct weft_tp_open *desc, struct weft_tp_ep **ep_out)
{
    return open_paths(desc, true, ep_out);
}

/* The suite uses the tables of an open endpoint; of these only open, and which families there are.
 */
static struct weft_tp_core_ops two_core, three_core;
static struct weft_transport two = {.scheme = "two", .core = &two_core};
static struct weft_transport three = {.scheme = "three", .core = &three_core};

__attribute__((constructor)) static void make_tables(void)
{
    two_core = three_core = *weft__tp_inproc.core;
    two_core.open = open_two;
    three_core.open = open_three;
    two.msg = three.msg = weft__tp_inproc.msg;
    two.rma = three.rma = weft__tp_inproc.rma;
}

const struct conform_subject conform_subjects[] = {
    {.name = "tcp and tcp", .transport = &two, .bind = "127.0.0.1"},
    {.name = "inproc, tcp and tcp", .transport = &three, .bind = "127.0.0.1"},
    {.name = NULL},
};
