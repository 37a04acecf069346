/* A process's way to the snapshot service of a host: its address, a client and a lane. */
#include <stdlib.h>

#include "control/client.h"
#include "host/service_url.h"
#include "host/transports.h"
#include "snapshot/client.h"
#include "weft/error.h"
#include "weft/snapshot.h"

enum { TIMEOUT_MS = 60000 };

struct weft_snapshot_host {
    struct weft_client *client;
    struct weft_snapshots *snapshots;
    char url[WEFT_REGISTRY_URL_MAX]; /* of the snapshot service's sync port */
    uint32_t timeout_ms;
};

int weft_snapshot_open(const struct weft_snapshot_options *options,
                       struct weft_snapshot_host **host_out)
{
    static const struct weft_snapshot_options defaults;
    struct weft_snapshot_host *host = calloc(1, sizeof(*host));
    if (options == NULL)
        options = &defaults;
    if (host == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for an access to snapshots");
    host->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : TIMEOUT_MS;
    int err = weft__service_url(options->host, WEFT_PORT_SNAPSHOT, host->url);
    if (err == WEFT_OK)
        err = weft__client_open(&(struct weft_client_desc){.pending_max = 0}, &host->client);
    if (err == WEFT_OK)
        err =
            weft__snapshots_open(&(struct weft_snapshots_desc){.client = host->client,
                                                               .transports = weft__transports,
                                                               .transports_n = weft__transports_n},
                                 &host->snapshots);
    if (err != WEFT_OK)
        weft_snapshot_close(host);
    else
        *host_out = host;
    return err;
}

void weft_snapshot_close(struct weft_snapshot_host *host)
{
    if (host == NULL)
        return;
    weft__snapshots_close(host->snapshots);
    weft__client_close(host->client);
    free(host);
}

static struct weft_snapshot_at at(const struct weft_snapshot_host *host, const char *key)
{
    return (struct weft_snapshot_at){
        .url = host->url, .key = key != NULL ? key : "", .timeout_ms = host->timeout_ms};
}

int weft_snapshot_push(struct weft_snapshot_host *host, const char *key, const void *bytes,
                       size_t len_bytes)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_push_bytes(host->snapshots, &where, bytes, len_bytes);
}

int weft_snapshot_pull(struct weft_snapshot_host *host, const char *key,
                       struct weft_snapshot_view *view_out)
{
    struct weft_snapshot_at where = at(host, key);
    struct weft_snapshot_copy copy;
    int err = weft__snapshot_pull(host->snapshots, &where, &copy);
    if (err == WEFT_OK)
        *view_out = (struct weft_snapshot_view){.bytes = copy.region.base,
                                                .len_bytes = copy.size_bytes,
                                                .version = copy.version,
                                                .map_bytes = copy.region.len_bytes,
                                                .fd = copy.region.fd};
    return err;
}

void weft_snapshot_release(struct weft_snapshot_view *view)
{
    struct weft_region region = {.base = view->bytes, .len_bytes = view->map_bytes, .fd = view->fd};
    if (view->bytes != NULL)
        weft__region_fini(&region);
    *view = (struct weft_snapshot_view){.fd = -1};
}

int weft_snapshot_delete(struct weft_snapshot_host *host, const char *key, bool *existed_out)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_delete(host->snapshots, &where, existed_out);
}

int weft_snapshot_delete_async(struct weft_snapshot_host *host, const char *key)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_delete_async(host->snapshots, &where);
}

int weft_snapshot_list(struct weft_snapshot_host *host, const char *prefix,
                       weft_snapshot_each *each, void *ctx)
{
    struct weft_snapshot_at where = at(host, prefix);
    struct weft_snapshot_info *infos;
    size_t n;
    int err = weft__snapshot_list(host->snapshots, &where, &infos, &n);
    if (err != WEFT_OK)
        return err;
    for (size_t i = 0; i < n; i++)
        each(ctx, &(struct weft_snapshot_entry){.key = infos[i].key,
                                                .size_bytes = infos[i].size_bytes,
                                                .held_bytes = infos[i].held_bytes,
                                                .version = infos[i].version,
                                                .pushed_wall_ms = infos[i].pushed_wall_ms});
    weft__snapshot_list_free(infos, n);
    return WEFT_OK;
}

int weft_snapshot_save(struct weft_snapshot_host *host, const char *key)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_save(host->snapshots, &where);
}

int weft_snapshot_verify(struct weft_snapshot_host *host, const char *key)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_verify(host->snapshots, &where);
}

int weft_snapshot_restore(struct weft_snapshot_host *host, const char *key, uint64_t *version_out)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_restore(host->snapshots, &where, version_out);
}

int weft_snapshot_discard(struct weft_snapshot_host *host, const char *key, bool *existed_out)
{
    struct weft_snapshot_at where = at(host, key);
    return weft__snapshot_discard(host->snapshots, &where, existed_out);
}

int weft_snapshot_stored(struct weft_snapshot_host *host, const char *prefix,
                         weft_snapshot_each_file *each, void *ctx)
{
    struct weft_snapshot_at where = at(host, prefix);
    struct weft_snapshot_file *files;
    size_t n;
    int err = weft__snapshot_stored(host->snapshots, &where, &files, &n);
    if (err != WEFT_OK)
        return err;
    for (size_t i = 0; i < n; i++)
        each(ctx, &(struct weft_snapshot_file_entry){.key = files[i].key,
                                                     .size_bytes = files[i].size_bytes,
                                                     .file_bytes = files[i].file_bytes,
                                                     .saved_wall_ms = files[i].saved_wall_ms,
                                                     .err = files[i].err});
    weft__snapshot_stored_free(files, n);
    return WEFT_OK;
}
