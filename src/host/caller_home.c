/* Nobody keeps a list of all apps: each home knows its own. So the host that we know is asked
 * first, and then, one after the other, those that the registry lists. That is done once per app.
 */
#include "host/caller_home.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wake.h"
#include "control/client.h"
#include "host/calls.h"
#include "registry/client.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { ASK_MS = 2000 };

static uint32_t patience_ms(uint64_t deadline_ns)
{
    uint64_t now_ns = weft__now_ns();
    uint64_t left = now_ns < deadline_ns ? (deadline_ns - now_ns) / WEFT_NS_PER_MS + 1 : 1;
    return left < ASK_MS ? (uint32_t)left : ASK_MS;
}

/* WEFT_OK: it is at home there. */
static int ask_host(struct weft_client *client, const char *url, uint64_t app, uint64_t deadline_ns)
{
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    request.app = app;
    request.brief = true;
    return weft__client_wait(client,
                             &(struct weft_client_call){.url = url,
                                                        .code = WEFT_CALL_APPS,
                                                        .request = &request.base,
                                                        .timeout_ms = patience_ms(deadline_ns),
                                                        .flags = WEFT_CLIENT_IDEMPOTENT},
                             NULL);
}

struct listing {
    _Atomic uint32_t over;
    int err;
    char text[256];
    char (*urls)[WEFT_REGISTRY_URL_MAX];
    size_t n;
};

static void listed(void *ctx, int err, const char *text, const struct weft_registry_reply *reply)
{
    struct listing *listing = ctx;
    listing->err = err;
    snprintf(listing->text, sizeof(listing->text), "%s", text != NULL ? text : "");
    if (err == WEFT_OK)
        listing->urls = calloc(reply->hosts_n + 1, sizeof(*listing->urls));
    for (size_t i = 0; listing->urls != NULL && i < reply->hosts_n; i++)
        if (reply->hosts[i].alive)
            memcpy(listing->urls[listing->n++], reply->hosts[i].control, WEFT_REGISTRY_URL_MAX);
    atomic_store(&listing->over, 1);
    weft__futex_wake(&listing->over);
}

static int list_hosts(struct weft_client *client, const char *url, uint64_t deadline_ns,
                      struct listing *listing)
{
    ProtobufCMessage *info;
    int err = weft__client_wait(
        client,
        &(struct weft_client_call){.url = url,
                                   .code = WEFT_CALL_INFO,
                                   .reply_type = &weft__host__info_reply__descriptor,
                                   .timeout_ms = patience_ms(deadline_ns),
                                   .flags = WEFT_CLIENT_IDEMPOTENT},
        &info);
    if (err != WEFT_OK)
        return err;
    struct weft_registry_at at = {.client = client,
                                  .url = ((const Weft__Host__InfoReply *)info)->registry,
                                  .timeout_ms = patience_ms(deadline_ns)};
    err = weft__registry_list(&at, listed, listing);
    while (err == WEFT_OK && atomic_load(&listing->over) == 0)
        (void)weft__futex_wait(&listing->over, 0, WEFT_NEVER); /* the call has a deadline */
    weft__message_free(info);
    if (err == WEFT_OK && listing->err != WEFT_OK)
        err = weft_fail(listing->err, "%s", listing->text);
    return err;
}

int weft__caller_home(struct weft_client *client, const char *url, uint64_t app,
                      uint64_t deadline_ns, char home_out[WEFT_REGISTRY_URL_MAX])
{
    struct listing listing = {.n = 0};
    const char *home = url;
    int err = ask_host(client, url, app, deadline_ns);
    if (err == WEFT_ENOENT) {
        home = NULL;
        err = list_hosts(client, url, deadline_ns, &listing);
    }
    for (size_t i = 0; err == WEFT_OK && home == NULL && i < listing.n; i++)
        if (ask_host(client, listing.urls[i], app, deadline_ns) == WEFT_OK)
            home = listing.urls[i];
    if (err == WEFT_OK && home == NULL)
        err = weft_fail(WEFT_ENOENT, "no host knows app %" PRIx64 "; weft apps lists them", app);
    if (err == WEFT_OK)
        snprintf(home_out, WEFT_REGISTRY_URL_MAX, "%s", home);
    free(listing.urls);
    return err;
}
