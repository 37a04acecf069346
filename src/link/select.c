/* Which transport a lane uses, and on which of the machine's addresses.
 *
 * Candidates are tried in a fixed order: kernel bypass first, then weft's own TCP, which is ahead
 * of libfabric's in everything that is measured (transport/tcp/endpoint.c), then that, then ZeroMQ,
 * which can encrypt; each on every address that may be used, in the user's order. The first that
 * passes the probe is taken, and every other one keeps its reason, so that "why not verbs" has an
 * answer. A transport that was asked for by its full name is opened without a probe where there is
 * no other: its own error says more.
 *
 * Of the others some are opened too, behind the shim, as further paths (paths.c): those that need
 * not break when the first one does. A second TCP between the same two addresses is none of them:
 * it would cost every process a port for nothing.
 *
 * Rejected: measuring every candidate and taking the fastest. It would make two hosts of one app
 * choose differently.
 */
#include "link/select.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "link/net.h"
#include "link/paths.h"
#include "link/probe.h"
#include "transport/fault/fault.h"
#include "transport/shim/shim.h"
#include "weft/error.h"

#define PROBE_NS (5 * WEFT_NS_PER_S)
#define SHIM "+shim"
#define SHIM_LEN (sizeof(SHIM) - 1)
#define MAY_BE                                                                                     \
    "auto, or ofi, ofi:PROVIDER, tcp, zmq, inproc, or several of these with commas between"
#define FURTHER "chosen, for when the first one breaks"

enum { NAMES = 8, NAME_MAX_LEN = 256, CANDIDATES = NAMES * WEFT_NET_ADDRESSES };

/* What an entry of want, or of the automatic order, stands for. */
struct name {
    char text[NAME_MAX_LEN];
    char inner[64];       /* scheme and provider, divided */
    const char *scheme;   /* in inner */
    const char *provider; /* in inner; NULL: chosen by the transport */
    bool shim;            /* behind the shim, also where it has rma of its own */
    struct weft_fault_scheme fault;
};

static const char *const automatic[] = {
    "ofi:verbs;ofi_rxm", "ofi:efa", "tcp", "ofi:net", "ofi:tcp", "zmq",
};

/* A transport on an address. */
struct candidate {
    const struct name *name;
    const char *bind;
    char *why; /* what became of it */
    bool works;
};

struct plan {
    const struct weft__select *select;
    enum { AUTOMATIC, LISTED } how;
    struct name names[NAMES];
    unsigned names_n;
    struct weft__net net;
    struct candidate candidates[CANDIDATES];
    unsigned n;
    FILE *report;
    char *text;
    size_t text_len;
};

/* ---- candidates ---- */

static const struct weft_transport *find(const struct weft__select *select, const char *scheme)
{
    for (size_t i = 0; i < select->transports_n; i++)
        if (strcmp(select->transports[i]->scheme, scheme) == 0)
            return select->transports[i];
    return NULL;
}

static int parse_name(const char *text, size_t len, struct name *name)
{
    if (len == 0)
        return weft_fail(WEFT_EINVAL, "a name in WEFT_DATA is empty; it may be " MAY_BE);
    if (len >= sizeof(name->text))
        return weft_fail(WEFT_EINVAL, "no transport is called \"%.*s\"", (int)len, text);
    *name = (struct name){.text = ""};
    memcpy(name->text, text, len);
    int err = weft__fault_scheme(name->text, &name->fault);
    if (err != WEFT_OK)
        return err;
    size_t inner_len = strlen(name->fault.inner);
    name->shim =
        inner_len > SHIM_LEN && strcmp(name->fault.inner + inner_len - SHIM_LEN, SHIM) == 0;
    inner_len -= name->shim ? SHIM_LEN : 0;
    if (inner_len >= sizeof(name->inner))
        return weft_fail(WEFT_EINVAL, "no transport is called %s", name->text);
    memcpy(name->inner, name->fault.inner, inner_len);
    name->scheme = name->inner;
    char *colon = strchr(name->inner, ':');
    if (colon) {
        *colon = '\0';
        name->provider = colon + 1;
    }
    return WEFT_OK;
}

static int add_name(struct plan *plan, const char *text, size_t len)
{
    if (plan->names_n == NAMES)
        return weft_fail(WEFT_EINVAL, "more than %d transports", NAMES);
    struct name *name = &plan->names[plan->names_n];
    int err = parse_name(text, len, name);
    if (err == WEFT_OK && plan->how == LISTED && !find(plan->select, name->scheme))
        err = weft_fail(WEFT_EINVAL, "no transport is called %s; WEFT_DATA may be " MAY_BE,
                        name->text);
    else if (err == WEFT_OK && name->provider && !*name->provider)
        err = weft_fail(WEFT_EINVAL, "%s needs the name of a provider, like ofi:net", name->text);
    plan->names_n += err == WEFT_OK;
    return err;
}

/* The length of the first name of a list: commas in parentheses are its own. */
static size_t name_len(const char *text)
{
    int depth = 0;
    size_t len = 0;
    for (; text[len] && (depth > 0 || text[len] != ','); len++)
        depth += (text[len] == '(') - (text[len] == ')');
    return len;
}

static int add_names(struct plan *plan, const char *want)
{
    bool all = strcmp(want, "auto") == 0, ofi = strcmp(want, "ofi") == 0;
    int err = WEFT_OK;
    plan->how = all || ofi ? AUTOMATIC : LISTED;
    for (size_t i = 0; (all || ofi) && i < sizeof(automatic) / sizeof(automatic[0]); i++)
        if (all || strncmp(automatic[i], "ofi:", 4) == 0)
            err = add_name(plan, automatic[i], strlen(automatic[i]));
    while (err == WEFT_OK && plan->how == LISTED) {
        size_t len = name_len(want);
        err = add_name(plan, want, len);
        if (!want[len])
            break;
        want += len + 1;
    }
    return err;
}

static int plan_init(struct plan *plan, const struct weft__select *select)
{
    memset(plan, 0, sizeof(*plan));
    plan->select = select;
    plan->report = open_memstream(&plan->text, &plan->text_len);
    if (!plan->report)
        return weft_fail(WEFT_ENOMEM, "no memory for a report");
    int err = add_names(plan, select->want);
    if (err == WEFT_OK)
        err = weft__net_choose(select->net ? select->net : "", select->open.bind, plan->report,
                               &plan->net);
    for (unsigned i = 0; err == WEFT_OK && i < plan->names_n; i++)
        for (unsigned a = 0; a < plan->net.n; a++)
            plan->candidates[plan->n++] =
                (struct candidate){.name = &plan->names[i],
                                   .bind = plan->net.address[(select->lane + a) % plan->net.n]};
    return err;
}

static void plan_fini(struct plan *plan)
{
    for (unsigned i = 0; i < plan->n; i++)
        free(plan->candidates[i].why);
    if (plan->report)
        fclose(plan->report);
    free(plan->text);
}

static void note(struct candidate *c, const char *why)
{
    free(c->why);
    c->why = strdup(why);
}

/* Takes the lines out of the plan: one for each candidate, and those about addresses. */
static char *report(struct plan *plan)
{
    char *addresses = NULL, *text;
    fclose(plan->report);
    addresses = plan->text;
    plan->text = NULL;
    plan->report = open_memstream(&plan->text, &plan->text_len);
    for (unsigned i = 0; i < plan->n && plan->report; i++) {
        const struct candidate *c = &plan->candidates[i];
        bool several = plan->net.n > 1;
        fprintf(plan->report, "%s%s%s: %s\n", c->name->text, several ? " on " : "",
                several ? c->bind : "", c->why ? c->why : "not needed");
    }
    if (plan->report) {
        fputs(addresses ? addresses : "", plan->report);
        fclose(plan->report);
    }
    free(addresses);
    text = plan->text;
    plan->text = NULL;
    plan->report = NULL;
    return text;
}

/* ---- opening ---- */

static void open_desc(const struct plan *plan, const struct candidate *c, struct weft_tp_open *open)
{
    *open = plan->select->open;
    open->provider = c->name->provider;
    open->bind = plan->select->open.bind ? c->bind : NULL;
    /* Of each interface; together they keep what one would. */
    if (plan->select->lanes > 1)
        open->registered_max_bytes /=
            plan->net.n < plan->select->lanes ? plan->net.n : plan->select->lanes;
}

static int probe(const struct plan *plan, const struct candidate *c)
{
    const struct weft_transport *transport = find(plan->select, c->name->scheme);
    struct weft_tp_open open;
    if (!transport)
        return weft_fail(WEFT_ENOTSUP, "not built in");
    open_desc(plan, c, &open);
    return weft__probe(transport, &open, PROBE_NS);
}

/* The first path of a lane. paths: with its hooks; NULL: it is the only one. */
static int open_first(const struct plan *plan, const struct candidate *c, struct weft_paths *paths,
                      struct weft_tp_ep **ep_out)
{
    const struct weft_transport *transport = find(plan->select, c->name->scheme);
    struct weft_fault_desc fault = {.inner = transport,
                                    .spec = c->name->fault.spec,
                                    .open = c->name->shim ? weft__shim_open : weft__probe_open};
    struct weft_tp_open open;
    if (!transport)
        return weft_fail(WEFT_ENOTSUP, "not built in");
    open_desc(plan, c, &open);
    if (paths)
        weft__paths_hooks(paths, &open);
    return c->name->fault.faulty ? weft__fault_open(&fault, &open, ep_out)
                                 : fault.open(transport, &open, ep_out);
}

static int open_further(const struct plan *plan, const struct candidate *c,
                        struct weft_paths *paths, struct weft_tp_ep **ep_out)
{
    struct weft_tp_open open;
    open_desc(plan, c, &open);
    open.families = WEFT_TP_MSG | WEFT_TP_RMA;
    open.group = NULL; /* behind the shim nothing is registered with a card */
    weft__paths_hooks(paths, &open);
    return weft__shim_open(find(plan->select, c->name->scheme), &open, ep_out);
}

/* Adds what was opened to what peers are told. */
static int tell(const struct plan *plan, const struct candidate *c, bool further,
                struct weft_tp_ep *ep, struct weft__selected *selected)
{
    struct weft__address_path *path = &selected->address.paths[selected->address.n++];
    const struct weft_transport *transport = find(plan->select, c->name->scheme);
    bool shim = further || c->name->shim || !transport->rma;
    size_t at = strlen(selected->name);
    int n = snprintf(path->name, sizeof(path->name), "%s%s%s%s", c->name->scheme,
                     c->name->provider ? ":" : "", c->name->provider ? c->name->provider : "",
                     shim ? "+shim" : "");
    if (n < 0 || (size_t)n >= sizeof(path->name))
        return weft_fail(WEFT_EINVAL, "no transport has so long a name: %s", c->name->text);
    snprintf(path->bind, sizeof(path->bind), "%s", c->bind);
    snprintf(selected->name + at, sizeof(selected->name) - at, "%s%s%s", at ? ", " : "",
             c->name->fault.faulty ? "fault+" : "", path->name);
    return ep->transport->core->address(ep, &path->addr);
}

static bool is_rdma(const struct name *name)
{
    return name->provider &&
           (strncmp(name->provider, "verbs", 5) == 0 || strncmp(name->provider, "efa", 3) == 0);
}

/* Whether a candidate may work when those that were taken do not. taken[0] is the first path. */
static bool is_further(const struct plan *plan, struct candidate *const *taken, unsigned n,
                       const struct candidate *c)
{
    bool own_address = true, beside_rdma = is_rdma(taken[0]->name);
    if (c->name->fault.faulty || n == WEFT_ADDRESS_PATHS)
        return false;
    for (unsigned i = 0; i < n; i++) {
        bool same = strcmp(taken[i]->bind, c->bind) == 0;
        own_address = own_address && !same;
        beside_rdma = beside_rdma && !(same && i > 0);
    }
    if (plan->how == LISTED)
        return true;
    bool sockets = strcmp(c->name->scheme, "tcp") == 0 || strcmp(c->name->scheme, "zmq") == 0;
    return sockets && (own_address || (beside_rdma && strcmp(taken[0]->bind, c->bind) == 0));
}

/* Whether there is to be a second endpoint on the address of the first one: for hosts that have
 * not the same interfaces, whose second path may be the only one that leads here. */
static bool is_second(const struct plan *plan, struct candidate *const *taken, unsigned n)
{
    const char *net = plan->select->net;
    if (!net || !net[0] || !plan->select->open.bind || taken[0]->name->fault.faulty ||
        taken[0]->name->shim || strcmp(taken[0]->name->scheme, "inproc") == 0 ||
        (plan->net.n > 1 && plan->select->lanes < 2))
        return false;
    for (unsigned i = 1; i < n; i++)
        if (strcmp(taken[i]->bind, taken[0]->bind) == 0)
            return false;
    return true;
}

/* The further paths beside taken[0], which stands at number first; how many there are with it. */
static unsigned choose_further(struct plan *plan, unsigned first, struct candidate **taken)
{
    unsigned n = 1;
    for (unsigned i = first + 1; i < plan->n; i++) {
        struct candidate *c = &plan->candidates[i];
        if (!is_further(plan, taken, n, c))
            continue;
        int err = probe(plan, c);
        if (err != WEFT_OK)
            note(c, weft_fail_text(err));
        else
            taken[n++] = c;
    }
    if (n < WEFT_ADDRESS_PATHS && is_second(plan, taken, n))
        taken[n++] = taken[0];
    return n;
}

static int open_alone(struct plan *plan, struct candidate *c, struct weft__selected *selected)
{
    int err = open_first(plan, c, NULL, &selected->ep);
    if (err != WEFT_OK)
        return err;
    selected->transport = selected->ep->transport;
    err = tell(plan, c, false, selected->ep, selected);
    if (err != WEFT_OK) {
        selected->transport->core->close(selected->ep);
        *selected = (struct weft__selected){.report = NULL};
    }
    return err;
}

/* The further ones first, as they may be refused: then the first one is alone. Takes back those
 * that cannot be opened. */
static unsigned open_all_further(struct plan *plan, struct candidate **taken, unsigned n,
                                 struct weft_paths *paths)
{
    unsigned kept = 1;
    for (unsigned i = 1; i < n; i++) {
        struct weft_tp_ep *ep;
        int err = open_further(plan, taken[i], paths, &ep);
        if (err == WEFT_OK)
            err = weft__paths_take(paths, ep);
        if (err != WEFT_OK)
            note(taken[i], weft_fail_text(err));
        else
            taken[kept++] = taken[i];
    }
    return kept;
}

/* Puts the first path in front of the others and starts them. */
static int join(struct plan *plan, struct candidate **taken, unsigned n, struct weft_paths *paths,
                struct weft__selected *selected)
{
    struct weft_tp_ep *ep;
    int err = open_first(plan, taken[0], paths, &ep);
    if (err == WEFT_OK)
        err = weft__paths_take(paths, ep);
    if (err != WEFT_OK)
        return err;
    weft__paths_prefer_last(paths);
    for (unsigned i = 0; i < n && err == WEFT_OK; i++)
        err = tell(plan, taken[i], i > 0, weft__paths_ep(paths, i), selected);
    if (err == WEFT_OK)
        err = weft__paths_start(paths, &selected->ep);
    return err;
}

static int open_taken(struct plan *plan, struct candidate **taken, unsigned n,
                      struct weft__selected *selected)
{
    struct weft_paths *paths;
    if (n == 1)
        return open_alone(plan, taken[0], selected);
    int err = weft__paths_new(&plan->select->open, plan->select->salt, &paths);
    if (err != WEFT_OK)
        return err;
    n = open_all_further(plan, taken, n, paths);
    if (n > 1)
        err = join(plan, taken, n, paths, selected);
    if (n == 1 || err != WEFT_OK) {
        weft__paths_free(paths);
        *selected = (struct weft__selected){.report = NULL};
        return err != WEFT_OK ? err : open_alone(plan, taken[0], selected);
    }
    for (unsigned i = 1; i < n; i++)
        note(taken[i], FURTHER);
    selected->paths = paths;
    selected->transport = selected->ep->transport;
    return WEFT_OK;
}

/* Which of those that work a lane would have as further paths. */
static void tell_further(struct plan *plan)
{
    struct candidate *taken[WEFT_ADDRESS_PATHS];
    unsigned n = 0;
    for (unsigned i = 0; i < plan->n; i++) {
        struct candidate *c = &plan->candidates[i];
        if (!c->works || (n > 0 && !is_further(plan, taken, n, c)))
            continue;
        if (n > 0)
            note(c, FURTHER);
        taken[n++] = c;
    }
}

/* The first candidate that works, with its further paths. Without selected: all of them are probed
 * and none is opened. */
static int try_all(struct plan *plan, struct weft__selected *selected)
{
    bool probes = plan->how == AUTOMATIC || plan->n > 1 || !selected, chosen = false;
    int err = WEFT_ENOTSUP;
    for (unsigned i = 0; i < plan->n && !(chosen && selected); i++) {
        struct candidate *taken[WEFT_ADDRESS_PATHS] = {&plan->candidates[i]};
        err = probes ? probe(plan, taken[0]) : WEFT_OK;
        if (err == WEFT_OK && selected)
            err = open_taken(plan, taken, choose_further(plan, i, taken), selected);
        if (err == WEFT_OK)
            note(taken[0], chosen ? "works" : plan->how == LISTED ? "chosen by name" : "chosen");
        else
            note(taken[0], weft_fail_text(err));
        taken[0]->works = err == WEFT_OK;
        chosen = chosen || err == WEFT_OK;
    }
    if (!selected)
        tell_further(plan);
    if (chosen)
        return WEFT_OK;
    return probes && selected ? WEFT_ENOTSUP : err;
}

/* ---- what is said of it ---- */

static void one_line(char *text)
{
    size_t len = strlen(text);
    while (len && text[len - 1] == '\n')
        text[--len] = '\0';
    for (char *at = text; (at = strchr(at, '\n'));)
        *at = '|';
}

static void log_lines(const char *bind, const char *text)
{
    for (size_t len; *text; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        weft__debug("lane on %s: %.*s", bind ? bind : "(no address)", (int)len, text);
    }
}

int weft__select(const struct weft__select *select, struct weft__selected *selected_out)
{
    struct plan plan;
    struct weft__selected selected = {.report = NULL};
    const char *bind = select->open.bind;
    int err = plan_init(&plan, select);
    if (err != WEFT_OK) {
        plan_fini(&plan);
        return err;
    }
    bool several = plan.how == AUTOMATIC || plan.n > 1;
    err = try_all(&plan, &selected);
    selected.report = report(&plan);
    plan_fini(&plan);
    if (!selected.report)
        err = err == WEFT_OK ? weft_fail(WEFT_ENOMEM, "no memory for a report") : err;
    if (err == WEFT_OK) {
        log_lines(bind, selected.report);
        selected.address.machine = weft__net_machine();
        *selected_out = selected;
        return WEFT_OK;
    }
    if (selected.ep)
        selected.transport->core->close(selected.ep);
    if (several && selected.report) {
        one_line(selected.report);
        err = weft_fail(WEFT_ENOTSUP, "no transport for data works on %s: %s",
                        bind ? bind : "(no address)", selected.report);
    }
    free(selected.report);
    return err;
}

int weft__select_report(const struct weft__select *select, char **report_out)
{
    struct plan plan;
    int err = plan_init(&plan, select);
    if (err == WEFT_OK) {
        (void)try_all(&plan, NULL); /* that none works is what the report says */
        *report_out = report(&plan);
        if (!*report_out)
            err = weft_fail(WEFT_ENOMEM, "no memory for a report");
    }
    plan_fini(&plan);
    return err;
}
