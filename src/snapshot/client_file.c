/* What a client asks about the files of a host. Everything happens there: a call and its answer,
 * which comes when the disk has done it. */
#include <stdlib.h>
#include <string.h>

#include "snapshot/client_own.h"
#include "snapshot/service.h"
#include "weft/error.h"
#include "wire/message.h"
#include "wire/snapshot.pb-c.h"

static int ask_file(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                    enum weft_snapshot_call code, uint64_t *version_out)
{
    Weft__Snapshot__FileRequest request = WEFT__SNAPSHOT__FILE_REQUEST__INIT;
    ProtobufCMessage *message;
    int err = weft__snapshot_check(at);
    request.key = weft__message_text(at->key);
    if (err == WEFT_OK)
        err = weft__snapshot_ask(
            snapshots, at,
            (struct weft_client_call){.code = (uint16_t)code,
                                      .request = &request.base,
                                      .reply_type = &weft__snapshot__file_reply__descriptor},
            weft__snapshot_deadline(at), &message);
    if (err != WEFT_OK)
        return err;
    if (version_out != NULL)
        *version_out = ((const Weft__Snapshot__FileReply *)message)->version;
    weft__message_free(message);
    return WEFT_OK;
}

int weft__snapshot_save(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at)
{
    return ask_file(snapshots, at, WEFT_SNAPSHOT_SAVE, NULL);
}

int weft__snapshot_verify(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at)
{
    return ask_file(snapshots, at, WEFT_SNAPSHOT_VERIFY, NULL);
}

int weft__snapshot_restore(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                           uint64_t *version_out)
{
    return ask_file(snapshots, at, WEFT_SNAPSHOT_RESTORE, version_out);
}

int weft__snapshot_discard(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                           bool *existed_out)
{
    return weft__snapshot_ask_delete(snapshots, at, WEFT_SNAPSHOT_DISCARD, existed_out);
}

void weft__snapshot_stored_free(struct weft_snapshot_file *files, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(files[i].key);
    free(files);
}

/* What has come so far. */
struct gathered {
    struct weft_snapshot_file *files;
    size_t n;
};

static int gather(void *ctx, const ProtobufCMessage *page, const char **after_out)
{
    const Weft__Snapshot__StoredReply *reply = (const Weft__Snapshot__StoredReply *)page;
    struct gathered *all = ctx;
    struct weft_snapshot_file *more =
        realloc(all->files, (all->n + reply->n_files + 1) * sizeof(*more));
    if (more == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
    all->files = more;
    for (size_t i = 0; i < reply->n_files; i++) {
        const Weft__Snapshot__FileInfo *info = reply->files[i];
        char *key = strdup(info->key);
        if (key == NULL)
            return weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
        all->files[all->n++] = (struct weft_snapshot_file){.key = key,
                                                           .size_bytes = info->size_bytes,
                                                           .file_bytes = info->file_bytes,
                                                           .saved_wall_ms = info->saved_wall_ms,
                                                           .err = info->err};
    }
    *after_out = reply->more && reply->n_files > 0 ? all->files[all->n - 1].key : NULL;
    return WEFT_OK;
}

int weft__snapshot_stored(struct weft_snapshots *snapshots, const struct weft_snapshot_at *at,
                          struct weft_snapshot_file **files_out, size_t *n_out)
{
    struct gathered all = {.n = 0};
    const struct weft_snapshot_listing listing = {.code = WEFT_SNAPSHOT_STORED,
                                                  .reply_type =
                                                      &weft__snapshot__stored_reply__descriptor,
                                                  .gather = gather,
                                                  .all = &all};
    int err = weft__snapshot_ask_list(snapshots, at, &listing);
    if (err != WEFT_OK) {
        weft__snapshot_stored_free(all.files, all.n);
        return err;
    }
    *files_out = all.files;
    *n_out = all.n;
    return WEFT_OK;
}
