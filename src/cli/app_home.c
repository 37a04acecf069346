/* The registry lists the hosts, each host lists its apps. A host that does not answer is named, and
 * does not stop the others. */
#include "cli/app_home.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/calls.h"
#include "wire/message.h"

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

static bool apps_of(struct cli *cli, const char *url,
                    bool (*each)(void *ctx, const char *home, const Weft__Host__AppInfo *app),
                    void *ctx)
{
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    bool go_on = true;
    struct weft_client_call call = {.url = url,
                                    .code = WEFT_CALL_APPS,
                                    .request = &request.base,
                                    .reply_type = &weft__host__apps_reply__descriptor,
                                    .timeout_ms = 3000};
    int err = weft__client_wait(cli->client, &call, &message);
    if (err != WEFT_OK) {
        fprintf(stderr, "weft: host at %s: %s\n", url, weft_fail_text(err));
        return true;
    }
    const Weft__Host__AppsReply *reply = (const Weft__Host__AppsReply *)message;
    for (size_t i = 0; i < reply->n_apps && go_on; i++)
        go_on = each(ctx, url, reply->apps[i]);
    weft__message_free(message);
    return go_on;
}

int cli_each_app(struct cli *cli,
                 bool (*each)(void *ctx, const char *home, const Weft__Host__AppInfo *app),
                 void *ctx)
{
    struct urls urls = {0};
    int code = cli_hosts(cli, copy_urls, &urls);
    for (size_t i = 0; code == CLI_OK && i < urls.n; i++)
        if (!apps_of(cli, urls.url[i], each, ctx))
            break;
    free(urls.url);
    return code;
}

struct search {
    uint64_t app;
    char *home_out;
    bool found;
};

static bool is_it(void *ctx, const char *home, const Weft__Host__AppInfo *app)
{
    struct search *search = ctx;
    if (app->app != search->app)
        return true;
    search->found = true;
    snprintf(search->home_out, WEFT_REGISTRY_URL_MAX, "%s", home);
    return false;
}

int cli_find_home(struct cli *cli, uint64_t app, char home_out[WEFT_REGISTRY_URL_MAX])
{
    struct search search = {.app = app, .home_out = home_out};
    int code = cli_each_app(cli, is_it, &search);
    if (code == CLI_OK && !search.found) {
        fprintf(stderr, "weft: no host knows app %" PRIx64 "; weft apps lists them\n", app);
        return CLI_USAGE;
    }
    return code;
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
