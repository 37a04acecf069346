/* A thread that asks this host's own snapshot service, because disks take their time.
 *
 * The manifest of a frozen app goes the same way as its ranks: into the memory of the service, from
 * there into a file, which appears when it is whole and on the disk. One thread and one queue:
 * what has been asked for first is done first, so that nothing is written that an earlier order
 * still has to erase. */
#include "host/weftd_store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/must.h"
#include "host/calls.h"
#include "host/transports.h"
#include "snapshot/client.h"
#include "weft/error.h"

enum { CALL_MS = 60000 };

struct weft_store_job {
    struct weft_store_job *prev, *next;
    struct weft_task task;
    struct weft_host *host;
    struct weft_store_desc desc;
    int err;
    char text[256];
    struct weft_snapshot_copy copy; /* READ */
    uint8_t *list;                  /* LIST */
    size_t list_len;
};

struct weft_host_store {
    struct weft_host *host;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct weft_store_job *jobs;
    bool stopping;
    char url[WEFT_URL_MAX];
};

static struct weft_snapshot_at at(const struct weft_host_store *store, const char *key)
{
    return (struct weft_snapshot_at){.url = store->url, .key = key, .timeout_ms = CALL_MS};
}

static int write_job(const struct weft_host_store *store, struct weft_snapshots *snapshots,
                     struct weft_store_job *job)
{
    struct weft_snapshot_at where = at(store, job->desc.key);
    int err = weft__snapshot_push_bytes(snapshots, &where, job->desc.bytes, job->desc.len_bytes);
    if (err == WEFT_OK)
        err = weft__snapshot_save(snapshots, &where);
    snprintf(job->text, sizeof(job->text), "%s", weft_fail_text(err));
    (void)weft__snapshot_delete(snapshots, &where, NULL);
    return err;
}

static int read_job(const struct weft_host_store *store, struct weft_snapshots *snapshots,
                    struct weft_store_job *job)
{
    struct weft_snapshot_at where = at(store, job->desc.key);
    int err = weft__snapshot_restore(snapshots, &where, NULL);
    if (err == WEFT_OK)
        err = weft__snapshot_pull(snapshots, &where, &job->copy);
    snprintf(job->text, sizeof(job->text), "%s", weft_fail_text(err));
    (void)weft__snapshot_delete(snapshots, &where, NULL);
    return err;
}

static int list_job(const struct weft_host_store *store, struct weft_snapshots *snapshots,
                    struct weft_store_job *job)
{
    struct weft_snapshot_at where = at(store, job->desc.key);
    struct weft_snapshot_file *files = NULL;
    size_t n = 0;
    int err = weft__snapshot_stored(snapshots, &where, &files, &n);
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(files[i].key) + 1;
        job->list = weft__must_grow(job->list, job->list_len + len, 1);
        memcpy(job->list + job->list_len, files[i].key, len);
        job->list_len += len;
    }
    weft__snapshot_stored_free(files, n);
    snprintf(job->text, sizeof(job->text), "%s", weft_fail_text(err));
    return err;
}

static int erase_job(const struct weft_host_store *store, struct weft_snapshots *snapshots,
                     struct weft_store_job *job)
{
    struct weft_snapshot_at where = at(store, job->desc.key);
    struct weft_snapshot_info *infos = NULL;
    struct weft_snapshot_file *files = NULL;
    size_t infos_n = 0, files_n = 0;
    int err = weft__snapshot_list(snapshots, &where, &infos, &infos_n);
    for (size_t i = 0; i < infos_n; i++) {
        struct weft_snapshot_at one = at(store, infos[i].key);
        (void)weft__snapshot_delete(snapshots, &one, NULL);
    }
    weft__snapshot_list_free(infos, infos_n);
    if (err == WEFT_OK)
        err = weft__snapshot_stored(snapshots, &where, &files, &files_n);
    for (size_t i = 0; i < files_n; i++) {
        struct weft_snapshot_at one = at(store, files[i].key);
        int one_err = weft__snapshot_discard(snapshots, &one, NULL);
        err = err == WEFT_OK ? one_err : err;
    }
    weft__snapshot_stored_free(files, files_n);
    snprintf(job->text, sizeof(job->text), "%s", weft_fail_text(err));
    return err;
}

static void job_free(struct weft_store_job *job)
{
    if (job->copy.region.base != NULL)
        weft__region_fini(&job->copy.region);
    free(job->desc.bytes);
    free(job->list);
    free(job);
}

static void job_over(struct weft_task *task)
{
    struct weft_store_job *job = weft__loop_owner(task, struct weft_store_job, task);
    ProtobufCBinaryData bytes = {.len = job->copy.size_bytes, .data = job->copy.region.base};
    if (job->desc.what == WEFT_STORE_LIST)
        bytes = (ProtobufCBinaryData){.len = job->list_len, .data = job->list};
    if (job->desc.done != NULL && job->host->asker.client != NULL)
        job->desc.done(job->host, job->desc.app, job->err, job->text, &bytes);
    job_free(job);
}

static int run_job(const struct weft_host_store *store, struct weft_snapshots *snapshots,
                   struct weft_store_job *job)
{
    switch (job->desc.what) {
    case WEFT_STORE_WRITE:
        return write_job(store, snapshots, job);
    case WEFT_STORE_READ:
        return read_job(store, snapshots, job);
    case WEFT_STORE_LIST:
        return list_job(store, snapshots, job);
    default:
        return erase_job(store, snapshots, job);
    }
}

/* The next job; NULL: the thread ends, and none is left. */
static struct weft_store_job *next_job(struct weft_host_store *store)
{
    pthread_mutex_lock(&store->lock);
    while (store->jobs == NULL && !store->stopping)
        pthread_cond_wait(&store->more, &store->lock);
    struct weft_store_job *job = store->jobs;
    if (job != NULL)
        DL_DELETE(store->jobs, job);
    pthread_mutex_unlock(&store->lock);
    return job;
}

static void *run(void *arg)
{
    struct weft_host_store *store = arg;
    struct weft_store_job *job;
    struct weft_snapshots *snapshots = NULL;
    int open_err =
        weft__snapshots_open(&(struct weft_snapshots_desc){.client = store->host->asker.client,
                                                           .transports = weft__transports,
                                                           .transports_n = weft__transports_n},
                             &snapshots);
    while ((job = next_job(store)) != NULL) {
        job->err = open_err;
        if (open_err == WEFT_OK)
            job->err = run_job(store, snapshots, job);
        weft__loop_must_post(store->host->asker.loop, &job->task);
    }
    weft__snapshots_close(snapshots);
    return NULL;
}

/* The url of the service beside that of the function service. */
static void service_url(const struct weft_host *host, char url_out[WEFT_URL_MAX])
{
    snprintf(url_out, WEFT_URL_MAX, "tcp://%s:%u", host->address,
             host->port_first + WEFT_PORT_SNAPSHOT);
}

static int store_open(struct weft_host *host)
{
    struct weft_host_store *store = weft__must_alloc(1, sizeof(*store));
    store->host = host;
    service_url(host, store->url);
    pthread_mutex_init(&store->lock, NULL);
    pthread_cond_init(&store->more, NULL);
    if (pthread_create(&store->thread, NULL, run, store) != 0) {
        pthread_cond_destroy(&store->more);
        pthread_mutex_destroy(&store->lock);
        free(store);
        return WEFT_EAGAIN;
    }
    host->store = store;
    return WEFT_OK;
}

void weft__weftd_store_do(struct weft_host *host, const struct weft_store_desc *desc)
{
    struct weft_store_job *job = weft__must_alloc(1, sizeof(*job));
    job->task.run = job_over;
    job->host = host;
    job->desc = *desc;
    int err = host->stopping && host->store == NULL ? WEFT_ESHUTDOWN : WEFT_OK;
    if (err == WEFT_OK && host->store == NULL)
        err = store_open(host);
    if (err != WEFT_OK) {
        job->err = err;
        snprintf(job->text, sizeof(job->text), "%s", weft_error_text(err));
        weft__loop_must_post(host->asker.loop, &job->task);
        return;
    }
    pthread_mutex_lock(&host->store->lock);
    DL_APPEND(host->store->jobs, job);
    pthread_cond_signal(&host->store->more);
    pthread_mutex_unlock(&host->store->lock);
}

void weft__weftd_store_stop(struct weft_host *host)
{
    struct weft_host_store *store = host->store;
    if (store == NULL)
        return;
    pthread_mutex_lock(&store->lock);
    store->stopping = true;
    pthread_cond_signal(&store->more);
    pthread_mutex_unlock(&store->lock);
    (void)pthread_join(store->thread, NULL);
    pthread_cond_destroy(&store->more);
    pthread_mutex_destroy(&store->lock);
    free(store);
    host->store = NULL;
}
