/* Calls of the "host" service, their answers copied into plain structs. */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/client.h"
#include "host/calls.h"
#include "weft/error.h"
#include "wire/host.pb-c.h"
#include "wire/message.h"

enum { ASK_MS = 4000, MIGRATE_MS = 60000 };

#define COPY(to, from) snprintf(to, sizeof(to), "%s", from)

static void copy_move(struct ask_move *to, const Weft__Host__MoveInfo *from)
{
    *to = (struct ask_move){.rank = from->rank,
                            .bytes = from->bytes,
                            .touched = from->touched_bytes,
                            .copied = from->copied_bytes,
                            .forwarded = from->forwarded,
                            .from_pid = from->from_pid,
                            .to_pid = from->to_pid,
                            .detected_ms = from->detected_ms,
                            .committed_ms = from->committed_ms,
                            .done_ms = from->done_ms,
                            .pause_ms = from->pause_ms};
    COPY(to->from, from->from);
    COPY(to->to, from->to);
    COPY(to->outcome, from->outcome);
    COPY(to->cause, from->cause);
    COPY(to->reason, from->reason);
    COPY(to->transport, from->transport);
}

static void copy_app(struct ask_app *to, const Weft__Host__AppInfo *from)
{
    memset(to, 0, sizeof(*to));
    COPY(to->state, from->state);
    COPY(to->reason, from->reason);
    to->code = from->code;
    to->pending = from->pending;
    for (size_t i = 0; i < from->n_ranks && i < CLUSTER_RANKS_MAX; i++) {
        to->ranks_n++;
        COPY(to->ranks[i].host, from->ranks[i]->host);
        COPY(to->ranks[i].state, from->ranks[i]->state);
        to->ranks[i].pid = from->ranks[i]->pid;
        to->ranks[i].incarnation = from->ranks[i]->incarnation;
    }
    to->moves_n = (unsigned)from->n_moves;
    for (size_t i = 0; i < from->n_moves; i++) {
        copy_move(&to->last, from->moves[i]);
        to->moved += strcmp(to->last.outcome, "moved") == 0;
        to->forwarded += to->last.forwarded;
    }
}

bool ask_app(struct cluster *cluster, const struct cluster_app *app, struct ask_app *out)
{
    Weft__Host__AppsRequest request = WEFT__HOST__APPS_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    request.app = app->id;
    struct weft_client_call call = {.url = app->home->url,
                                    .code = WEFT_CALL_APPS,
                                    .request = &request.base,
                                    .reply_type = &weft__host__apps_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    if (weft__client_wait(cluster->client, &call, &message) != WEFT_OK)
        return false;
    const Weft__Host__AppsReply *reply = (const Weft__Host__AppsReply *)message;
    bool found = reply->n_apps == 1;
    if (found)
        copy_app(out, reply->apps[0]);
    weft__message_free(message);
    return found;
}

bool ask_state_is(struct cluster *cluster, const struct cluster_app *app, const char *state)
{
    struct ask_app now;
    return ask_app(cluster, app, &now) && strcmp(now.state, state) == 0;
}

bool ask_rank_is(struct cluster *cluster, const struct cluster_app *app, unsigned rank,
                 const char *host)
{
    struct ask_app now;
    return ask_app(cluster, app, &now) && strcmp(now.ranks[rank].host, host) == 0;
}

uint64_t ask_pid(struct cluster *cluster, const struct cluster_app *app, unsigned rank)
{
    struct ask_app now;
    return ask_app(cluster, app, &now) ? now.ranks[rank].pid : 0;
}

/* false: no answer. */
static bool ask_info(struct cluster *cluster, const struct cluster_host *host, int *used_out,
                     int *processes_out)
{
    ProtobufCMessage *message = NULL;
    struct weft_client_call call = {.url = host->url,
                                    .code = WEFT_CALL_INFO,
                                    .reply_type = &weft__host__info_reply__descriptor,
                                    .timeout_ms = ASK_MS};
    if (weft__client_wait(cluster->client, &call, &message) != WEFT_OK)
        return false;
    const Weft__Host__InfoReply *reply = (const Weft__Host__InfoReply *)message;
    *used_out = (int)reply->used;
    *processes_out = (int)reply->processes;
    weft__message_free(message);
    return true;
}

int ask_used(struct cluster *cluster, const struct cluster_host *host)
{
    int used, processes; /* a process that still ends is no free slot */
    return ask_info(cluster, host, &used, &processes) ? used + processes : -1;
}

int ask_leased(struct cluster *cluster, const struct cluster_host *host)
{
    int used, processes;
    return ask_info(cluster, host, &used, &processes) ? used : -1;
}

bool ask_all_free(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->hosts_n; i++)
        if (!child_over(cluster->hosts[i].weftd) && ask_used(cluster, &cluster->hosts[i]) != 0)
            return false;
    return true;
}

bool ask_alive(struct cluster *cluster, unsigned n)
{
    struct child *child =
        cluster_weft(cluster, "hosts", "--at", cluster->hosts[0].address, "--json", "-", NULL);
    char *text = child_read(child->out);
    unsigned alive = 0;
    for (const char *at = text; (at = strstr(at, "\"alive\": true")) != NULL; at++)
        alive++;
    free(text);
    return alive == n;
}

int ask_migrate(struct cluster *cluster, const struct cluster_app *app, int rank, const char *to,
                struct ask_move *move_out)
{
    Weft__Host__MigrateRequest request = WEFT__HOST__MIGRATE_REQUEST__INIT;
    ProtobufCMessage *message = NULL;
    request.app = app->id;
    request.rank = rank;
    request.host = (char *)(uintptr_t)to;
    struct weft_client_call call = {.url = app->home->url,
                                    .code = WEFT_CALL_MIGRATE,
                                    .request = &request.base,
                                    .reply_type = &weft__host__migrate_reply__descriptor,
                                    .timeout_ms = MIGRATE_MS};
    int err = weft__client_wait(cluster->client, &call, &message);
    const Weft__Host__MigrateReply *reply = (const Weft__Host__MigrateReply *)message;
    if (err == WEFT_OK && move_out != NULL && reply->n_moves == 1)
        copy_move(move_out, reply->moves[0]);
    weft__message_free(message);
    return err;
}

int ask_kill(struct cluster *cluster, const struct cluster_app *app)
{
    Weft__Host__KillRequest request = WEFT__HOST__KILL_REQUEST__INIT;
    request.app = app->id;
    struct weft_client_call call = {.url = app->home->url,
                                    .code = WEFT_CALL_KILL,
                                    .request = &request.base,
                                    .timeout_ms = ASK_MS};
    return weft__client_wait(cluster->client, &call, NULL);
}

bool ask_ping(struct cluster *cluster, const struct cluster_host *host)
{
    struct weft_client_call call = {.url = host->url, .code = WEFT_CALL_PING, .timeout_ms = ASK_MS};
    return weft__client_wait(cluster->client, &call, NULL) == WEFT_OK;
}
