/* Which transport a lane uses.
 *
 * Candidates are tried in a fixed order: kernel bypass first, then TCP by libfabric's net, which
 * has one-sided operations of its own, then weft's own TCP, then ZeroMQ, which can encrypt. The
 * first that passes the probe is taken, and every other one keeps its reason, so that "why not
 * verbs" has an answer. A transport that was asked for by its full name is opened without a probe:
 * its own error says more.
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
#include "link/probe.h"
#include "transport/fault/fault.h"
#include "weft/error.h"

#define PROBE_NS (5 * WEFT_NS_PER_S)

struct candidate {
    const char *scheme;
    const char *provider;
    const char *fault; /* NULL: as it is; else what the decorator does to it */
};

static const struct candidate automatic[] = {
    {"ofi", "verbs;ofi_rxm", NULL}, {"ofi", "efa", NULL}, {"ofi", "net", NULL}, {"tcp", NULL, NULL},
    {"ofi", "tcp", NULL},           {"zmq", NULL, NULL},
};
#define AUTOMATIC (sizeof(automatic) / sizeof(automatic[0]))

/* The lines of a report. */
struct lines {
    FILE *out;
    char *text;
    size_t len;
};

static const struct weft_transport *find(const struct weft__select *select, const char *scheme)
{
    for (size_t i = 0; i < select->transports_n; i++)
        if (strcmp(select->transports[i]->scheme, scheme) == 0)
            return select->transports[i];
    return NULL;
}

static void name_of(const struct candidate *c, bool shim, char *name_out, size_t size)
{
    snprintf(name_out, size, "%s%s%s%s%s", c->fault ? "fault+" : "", c->scheme,
             c->provider ? ":" : "", c->provider ? c->provider : "", shim ? "+shim" : "");
}

static int open_endpoint(const struct weft_transport *transport, const struct candidate *c,
                         const struct weft_tp_open *open, struct weft_tp_ep **ep_out)
{
    struct weft_fault_desc fault = {.inner = transport, .spec = c->fault, .open = weft__probe_open};
    return c->fault ? weft__fault_open(&fault, open, ep_out)
                    : weft__probe_open(transport, open, ep_out);
}

/* Opens an endpoint of one candidate. */
static int open_one(const struct weft__select *select, const struct candidate *c, bool probe,
                    struct weft__selected *selected)
{
    const struct weft_transport *transport = find(select, c->scheme);
    if (!transport)
        return weft_fail(WEFT_ENOTSUP, "not built in");
    struct weft_tp_open open = select->open;
    open.provider = c->provider;
    int err = probe ? weft__probe(transport, &open, PROBE_NS) : WEFT_OK;
    if (err != WEFT_OK || !selected)
        return err;
    err = open_endpoint(transport, c, &open, &selected->ep);
    if (err != WEFT_OK)
        return err;
    selected->transport = selected->ep->transport;
    snprintf(selected->scheme, sizeof(selected->scheme), "%s", c->scheme);
    name_of(c, !transport->rma, selected->name, sizeof(selected->name));
    return WEFT_OK;
}

/* Goes through the candidates of one scheme, or of all (scheme NULL). Without selected, all are
 * probed and none is left open. */
static int try_all(const struct weft__select *select, const char *scheme, struct lines *lines,
                   struct weft__selected *selected)
{
    bool chosen = false;
    for (size_t i = 0; i < AUTOMATIC; i++) {
        const struct candidate *c = &automatic[i];
        if (scheme && strcmp(scheme, c->scheme) != 0)
            continue;
        char name[64];
        name_of(c, false, name, sizeof(name));
        if (chosen && selected) {
            fprintf(lines->out, "%s: not needed\n", name);
            continue;
        }
        int err = open_one(select, c, true, selected);
        if (err != WEFT_OK)
            fprintf(lines->out, "%s: %s\n", name, weft_fail_text(err));
        else
            fprintf(lines->out, "%s: %s\n", name, chosen ? "works" : "chosen");
        chosen = chosen || err == WEFT_OK;
    }
    return chosen ? WEFT_OK : WEFT_ENOTSUP;
}

/* A transport by its full name. */
static int named(const struct weft__select *select, struct lines *lines,
                 struct weft__selected *selected)
{
    char scheme[16];
    struct weft_fault_scheme parts;
    int err = weft__fault_scheme(select->want, &parts);
    if (err != WEFT_OK)
        return err;
    const char *colon = strchr(parts.inner, ':');
    size_t len = colon ? (size_t)(colon - parts.inner) : strlen(parts.inner);
    if (len >= sizeof(scheme))
        return weft_fail(WEFT_EINVAL, "no transport is called %s", select->want);
    memcpy(scheme, parts.inner, len);
    scheme[len] = '\0';
    if (!find(select, scheme))
        return weft_fail(WEFT_EINVAL,
                         "no transport is called %s; WEFT_DATA may be auto, ofi, ofi:PROVIDER, "
                         "tcp, zmq or inproc",
                         scheme);
    struct candidate c = {scheme, colon ? colon + 1 : NULL, parts.faulty ? parts.spec : NULL};
    err = open_one(select, &c, !selected, selected);
    fprintf(lines->out, "%s: %s\n", select->want,
            err == WEFT_OK ? "chosen by name" : weft_fail_text(err));
    return err;
}

static int choose(const struct weft__select *select, struct lines *lines,
                  struct weft__selected *selected)
{
    if (strcmp(select->want, "auto") == 0)
        return try_all(select, NULL, lines, selected);
    if (strcmp(select->want, "ofi") == 0)
        return try_all(select, "ofi", lines, selected);
    return named(select, lines, selected);
}

static int lines_open(struct lines *lines)
{
    *lines = (struct lines){0};
    lines->out = open_memstream(&lines->text, &lines->len);
    return lines->out ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory for a report");
}

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
    struct lines lines;
    int err = lines_open(&lines);
    if (err != WEFT_OK)
        return err;
    struct weft__selected selected = {0};
    bool automatically = strcmp(select->want, "auto") == 0 || strcmp(select->want, "ofi") == 0;
    err = choose(select, &lines, &selected);
    fclose(lines.out);
    if (err == WEFT_OK) {
        log_lines(select->open.bind, lines.text);
        selected.report = lines.text;
        *selected_out = selected;
        return WEFT_OK;
    }
    if (automatically) {
        one_line(lines.text);
        err = weft_fail(WEFT_ENOTSUP, "no transport for data works on %s: %s",
                        select->open.bind ? select->open.bind : "(no address)", lines.text);
    }
    free(lines.text);
    return err;
}

int weft__select_report(const struct weft__select *select, char **report_out)
{
    struct lines lines;
    int err = lines_open(&lines);
    if (err != WEFT_OK)
        return err;
    err = choose(select, &lines, NULL);
    fclose(lines.out);
    if (err == WEFT_OK || err == WEFT_ENOTSUP) {
        *report_out = lines.text;
        return WEFT_OK;
    }
    free(lines.text);
    return err;
}
