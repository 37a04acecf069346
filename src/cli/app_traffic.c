/* The pairs of ranks of an app that exchange most, as its home knows them: one line per direction,
 * heaviest first. */
#include "cli/app_traffic.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/app_home.h"
#include "host/calls.h"
#include "wire/message.h"

enum { PAIRS = 64, ASK_MS = 5000 };

static int ask(struct cli *cli, uint64_t app, bool all, ProtobufCMessage **message_out)
{
    char home[WEFT_REGISTRY_URL_MAX];
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    int code = cli_find_home(cli, app, home);
    if (code != CLI_OK)
        return code;
    request.app = app;
    request.brief = true;
    request.traffic = all ? UINT32_MAX : PAIRS;
    struct weft_client_call call = {.url = home,
                                    .code = WEFT_CALL_APPS,
                                    .request = &request.base,
                                    .reply_type = &weft__host__apps_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    code = cli_ask(cli, "show what the ranks exchange", &call, &message);
    if (code == CLI_OK && ((const Weft__Host__AppsReply *)message)->n_apps != 1) {
        fprintf(stderr, "weft: the host at %s does not tell about app %" PRIx64 "\n", home, app);
        weft__message_free(message);
        return CLI_NETWORK;
    }
    *message_out = message;
    return code;
}

static void print_pairs(const Weft__Host__AppInfo *app)
{
    printf("app %" PRIx64 "  %s  %s, %u ranks\n", app->app, app->program, app->state, app->size);
    if (app->n_traffic == 0)
        printf("nothing that its ranks exchange has been counted lately\n");
    else
        printf("%8s %8s %14s %12s  %s\n", "from", "to", "bytes/s", "messages/s", "host");
    for (size_t i = 0; i < app->n_traffic; i++) {
        const Weft__Host__TrafficPair *pair = app->traffic[i];
        printf("%8u %8u %14.0f %12.1f  %s\n", pair->source, pair->dest, pair->bytes, pair->messages,
               pair->same_host ? "same" : "different");
    }
}

static json_t *pairs_json(const Weft__Host__AppInfo *app)
{
    char id[20];
    json_t *list = json_array();
    for (size_t i = 0; i < app->n_traffic; i++) {
        const Weft__Host__TrafficPair *pair = app->traffic[i];
        json_array_append_new(list, json_pack("{s:i, s:i, s:f, s:f, s:b}", "from",
                                              (int)pair->source, "to", (int)pair->dest,
                                              "bytes_per_s", pair->bytes, "messages_per_s",
                                              pair->messages, "same_host", (int)pair->same_host));
    }
    snprintf(id, sizeof(id), "%" PRIx64, app->app);
    return json_pack("{s:s, s:o}", "app", id, "traffic", list);
}

int cli_app_traffic(struct cli *cli, uint64_t app, const char *json)
{
    ProtobufCMessage *message = NULL;
    int code = ask(cli, app, json != NULL, &message);
    if (code != CLI_OK)
        return code;
    const Weft__Host__AppInfo *info = ((const Weft__Host__AppsReply *)message)->apps[0];
    if (json != NULL)
        code = cli_write_json(json, pairs_json(info));
    else
        print_pairs(info);
    weft__message_free(message);
    return code;
}
