/* The registry lists the hosts, each host lists its apps: in brief, because the details of many
 * apps do not fit into one message; who wants them asks for one app at a time. */
#include "cli/app_home.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/calls.h"
#include "wire/message.h"

enum { ASK_MS = 3000 };

struct urls {
    char (*url)[WEFT_REGISTRY_URL_MAX];
    size_t n;
};

static void copy_urls(void *ctx, const struct weft_registry_host *hosts, size_t n)
{
    struct urls *urls = ctx;
    urls->url = calloc(n + 1, sizeof(*urls->url));
    if (urls->url == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        if (hosts[i].alive)
            memcpy(urls->url[urls->n++], hosts[i].control, WEFT_REGISTRY_URL_MAX);
}

/* Asks one host; false: stop. */
static bool search_host(struct cli *cli, const char *url, const struct cli_search *search)
{
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    bool go_on = true;
    request.app = search->app;
    request.brief = true;
    struct weft_client_call call = {.url = url,
                                    .code = WEFT_CALL_APPS,
                                    .request = &request.base,
                                    .reply_type = &weft__host__apps_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    int err = weft__client_wait(cli->client, &call, &message);
    if (err == WEFT_ENOENT)
        return true;
    if (err != WEFT_OK) {
        fprintf(stderr, "weft: host at %s: %s\n", url, weft_fail_text(err));
        return true;
    }
    const Weft__Host__AppsReply *reply = (const Weft__Host__AppsReply *)message;
    for (size_t i = 0; i < reply->n_apps && go_on; i++)
        go_on = search->each(search->ctx, url, reply->apps[i]);
    weft__message_free(message);
    return go_on;
}

int cli_each_app(struct cli *cli, const struct cli_search *search)
{
    struct urls urls = {0};
    int code = cli_hosts(cli, copy_urls, &urls);
    for (size_t i = 0; code == CLI_OK && i < urls.n; i++)
        if (!search_host(cli, urls.url[i], search))
            break;
    free(urls.url);
    return code;
}

static bool is_it(void *home_out, const char *home, const Weft__Host__AppInfo *app)
{
    (void)app;
    snprintf(home_out, WEFT_REGISTRY_URL_MAX, "%s", home);
    return false;
}

int cli_find_home(struct cli *cli, uint64_t app, char home_out[WEFT_REGISTRY_URL_MAX])
{
    home_out[0] = '\0';
    struct cli_search search = {.app = app, .each = is_it, .ctx = home_out};
    if (!search_host(cli, cli->url, &search)) /* needs no registry */
        return CLI_OK;
    int code = cli_each_app(cli, &search);
    if (code == CLI_OK && home_out[0] == '\0') {
        fprintf(stderr, "weft: no host knows app %" PRIx64 "; weft apps lists them\n", app);
        return CLI_REFUSED;
    }
    return code;
}

int cli_app(struct cli *cli, const char *home, uint64_t app, bool fresh,
            ProtobufCMessage **message_out)
{
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    request.app = app;
    request.fresh = fresh;
    struct weft_client_call call = {.url = home,
                                    .code = WEFT_CALL_APPS,
                                    .request = &request.base,
                                    .reply_type = &weft__host__apps_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    int code = cli_ask(cli, "show the app", &call, &message);
    if (code != CLI_OK)
        return code;
    if (((const Weft__Host__AppsReply *)message)->n_apps != 1) {
        fprintf(stderr, "weft: the host at %s does not tell about app %" PRIx64 "\n", home, app);
        weft__message_free(message);
        return CLI_NETWORK;
    }
    *message_out = message;
    return CLI_OK;
}

bool cli_parse_app(const char *text, uint64_t *app_out)
{
    char *end;
    unsigned long long id = strtoull(text, &end, 16);
    if (end == text || *end != '\0' || id == 0 || text[0] == '-')
        return false;
    *app_out = id;
    return true;
}
