/* Calls about files.
 *
 * Disks take their time, so no worker of the service waits for one: a call gets a thread, and is
 * answered by it. What it asks is copied first. A job stands in a list while it may be cancelled,
 * by its client or by the end of the service, and in another until its thread is joined, by
 * whoever comes next. A snapshot that is saved is held like by a reader; one that is restored gets
 * its key when all of it is there.
 */
#include "snapshot/jobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "snapshot/file_io.h"
#include "snapshot/files.h"
#include "snapshot/service.h"
#include "snapshot/store.h"
#include "weft/error.h"
#include "wire/snapshot.pb-c.h"

enum { AGAIN_MS = 100 };

struct job {
    struct job *prev, *next;
    struct weft_jobs *jobs;
    struct weft_call *call;
    int (*run)(struct job *job); /* answers, or says why not */
    pthread_t thread;
    atomic_bool stop;
    char key[WEFT_SNAPSHOT_KEY_MAX + 1]; /* or the prefix of a list, */
    char after[WEFT_SNAPSHOT_KEY_MAX + 1];
    size_t max; /* of it */
};

struct weft_jobs {
    struct weft_store *store;
    struct weft_files *files; /* NULL: none */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    struct job *running, *over;
    unsigned running_n;
    bool stopped;
};

/* ---- what is done ---- */

static void answer_file(struct weft_call *call, const struct weft_file_head *head, uint64_t version)
{
    Weft__Snapshot__FileReply reply = WEFT__SNAPSHOT__FILE_REPLY__INIT;
    Weft__Snapshot__FileInfo info = WEFT__SNAPSHOT__FILE_INFO__INIT;
    info.key = (char *)(uintptr_t)head->key;
    info.size_bytes = head->size_bytes;
    info.file_bytes = weft__file_bytes(head);
    info.saved_wall_ms = head->saved_wall_ms;
    reply.file = &info;
    reply.version = version;
    weft__call_reply(call, &reply.base);
}

static int save_snapshot(struct job *job, const struct weft_snapshot *snapshot,
                         struct weft_file_head *head_out)
{
    struct weft_extents extents = {0};
    uint64_t page = WEFT_REGION_PAGE;
    int err = snapshot->bytes != NULL
                  ? weft__extents_add(&extents, 0, (snapshot->size_bytes + page - 1) / page * page)
                  : weft__region_touched(&snapshot->region, &extents);
    if (err == WEFT_OK)
        err = weft__file_save(job->jobs->files,
                              &(struct weft_file_source){.key = job->key,
                                                         .bytes = snapshot->bytes != NULL
                                                                      ? snapshot->bytes
                                                                      : snapshot->region.base,
                                                         .size_bytes = snapshot->size_bytes,
                                                         .extents = &extents,
                                                         .stop = &job->stop},
                              head_out);
    weft__extents_fini(&extents);
    return err;
}

static int save(struct job *job)
{
    struct weft_snapshot *snapshot = weft__store_get(job->jobs->store, job->key);
    struct weft_file_head head;
    if (snapshot == NULL)
        return weft_fail(WEFT_ENOENT, "there is no snapshot \"%s\" in memory", job->key);
    int err = save_snapshot(job, snapshot, &head);
    uint64_t version = snapshot->version;
    weft__snapshot_put(snapshot);
    if (err == WEFT_OK)
        answer_file(job->call, &head, version);
    return err;
}

static int into_snapshot(void *ctx, uint64_t offset, const void *bytes, size_t len)
{
    struct weft_snapshot *snapshot = ctx;
    if (snapshot->bytes == NULL)
        return weft__region_write(&snapshot->region, offset, bytes, len);
    memcpy(snapshot->bytes + offset, bytes, len);
    return WEFT_OK;
}

static int load_snapshot(struct job *job, struct weft_file *file, uint64_t *version_out)
{
    const struct weft_file_head *head = weft__file_head(file);
    struct weft_snapshot *snapshot;
    int err = weft__snapshot_new(job->jobs->store, head->size_bytes,
                                 head->data_bytes + WEFT_SNAPSHOT_OVERHEAD_BYTES, &snapshot);
    if (err != WEFT_OK)
        return err;
    if (snapshot->bytes != NULL)
        memset(snapshot->bytes, 0, snapshot->size_bytes);
    err = weft__file_load(file, into_snapshot, snapshot, &job->stop);
    if (err == WEFT_OK)
        err = weft__store_set(job->jobs->store, job->key, snapshot);
    if (err == WEFT_OK)
        *version_out = snapshot->version;
    weft__snapshot_put(snapshot);
    return err;
}

static int restore(struct job *job)
{
    struct weft_file *file;
    uint64_t version = 0;
    int err = weft__file_open(job->jobs->files, job->key, &file);
    if (err != WEFT_OK)
        return err;
    err = load_snapshot(job, file, &version);
    if (err == WEFT_OK)
        answer_file(job->call, weft__file_head(file), version);
    weft__file_close(file);
    return err;
}

static int verify(struct job *job)
{
    struct weft_file *file;
    int err = weft__file_open(job->jobs->files, job->key, &file);
    if (err != WEFT_OK)
        return err;
    err = weft__file_load(file, NULL, NULL, &job->stop);
    if (err == WEFT_OK)
        answer_file(job->call, weft__file_head(file), 0);
    weft__file_close(file);
    return err;
}

static int discard(struct job *job)
{
    Weft__Snapshot__DeleteReply reply = WEFT__SNAPSHOT__DELETE_REPLY__INIT;
    bool existed;
    int err = weft__file_delete(job->jobs->files, job->key, &existed);
    if (err != WEFT_OK)
        return err;
    reply.existed = existed;
    weft__call_reply(job->call, &reply.base);
    return WEFT_OK;
}

static int answer_list(struct job *job, const struct weft_file_entry *entries, size_t n, bool more)
{
    Weft__Snapshot__StoredReply reply = WEFT__SNAPSHOT__STORED_REPLY__INIT;
    Weft__Snapshot__FileInfo *infos = calloc(n + 1, sizeof(*infos));
    reply.files = calloc(n + 1, sizeof(Weft__Snapshot__FileInfo *));
    bool fits = infos != NULL && reply.files != NULL;
    for (size_t i = 0; fits && i < n; i++) {
        const struct weft_file_head *head = &entries[i].head;
        weft__snapshot__file_info__init(&infos[i]);
        infos[i].key = (char *)(uintptr_t)head->key;
        infos[i].err = entries[i].err;
        if (entries[i].err == WEFT_OK) {
            infos[i].size_bytes = head->size_bytes;
            infos[i].file_bytes = weft__file_bytes(head);
            infos[i].saved_wall_ms = head->saved_wall_ms;
        }
        reply.files[i] = &infos[i];
    }
    reply.n_files = n;
    reply.more = more;
    if (fits)
        weft__call_reply(job->call, &reply.base);
    free(reply.files);
    free(infos);
    return fits ? WEFT_OK : weft_fail(WEFT_ENOMEM, "no memory for a list of snapshots");
}

static int stored(struct job *job)
{
    struct weft_file_entry *entries;
    size_t n, max = job->max;
    if (max == 0 || max > WEFT_SNAPSHOT_LIST_MAX)
        max = WEFT_SNAPSHOT_LIST_MAX;
    int err = weft__files_list(job->jobs->files, job->key, job->after, max + 1, &entries, &n);
    if (err != WEFT_OK)
        return err;
    err = answer_list(job, entries, n > max ? max : n, n > max);
    free(entries);
    return err;
}

/* ---- threads ---- */

/* Thread: the fan-in's. */
static void cancelled(void *ctx, struct weft_call *call)
{
    struct weft_jobs *jobs = ctx;
    struct job *job;
    pthread_mutex_lock(&jobs->lock);
    DL_FOREACH(jobs->running, job)
    if (job->call == call)
        atomic_store(&job->stop, true);
    pthread_mutex_unlock(&jobs->lock);
}

static void fail_call(struct weft_call *call, int err)
{
    if (err == WEFT_EAGAIN)
        weft__call_fail_again(call, AGAIN_MS, weft_fail_text(err));
    else
        weft__call_fail(call, err, weft_fail_text(err));
}

static void *job_main(void *arg)
{
    struct job *job = arg;
    struct weft_jobs *jobs = job->jobs;
    int err = job->run(job); /* a call that is answered is matched by nobody any more */
    pthread_mutex_lock(&jobs->lock);
    if (err == WEFT_ECANCELED && jobs->stopped)
        err = weft_fail(WEFT_ESHUTDOWN, "the host is shutting down");
    pthread_mutex_unlock(&jobs->lock);
    if (err != WEFT_OK)
        fail_call(job->call, err);
    pthread_mutex_lock(&jobs->lock);
    DL_DELETE(jobs->running, job);
    DL_APPEND(jobs->over, job);
    jobs->running_n--;
    pthread_cond_broadcast(&jobs->ended);
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

/* Joins those that are over. */
static void reap(struct weft_jobs *jobs)
{
    struct job *over, *job, *next;
    pthread_mutex_lock(&jobs->lock);
    over = jobs->over;
    jobs->over = NULL;
    pthread_mutex_unlock(&jobs->lock);
    DL_FOREACH_SAFE(over, job, next)
    {
        pthread_join(job->thread, NULL);
        free(job);
    }
}

static int copy_key(char to[WEFT_SNAPSHOT_KEY_MAX + 1], const char *key, size_t least)
{
    size_t len = strlen(key);
    if (len < least || len > WEFT_SNAPSHOT_KEY_MAX)
        return weft_fail(WEFT_EINVAL, "the key of a snapshot has 1 to %u bytes, not %zu",
                         WEFT_SNAPSHOT_KEY_MAX, len);
    memcpy(to, key, len + 1);
    return WEFT_OK;
}

static int fill(struct job *job, const ProtobufCMessage *request)
{
    const Weft__Snapshot__ListRequest *list = (const Weft__Snapshot__ListRequest *)request;
    switch (weft__call_code(job->call)) {
    case WEFT_SNAPSHOT_STORED:
        job->run = stored;
        job->max = list->max;
        int err = copy_key(job->key, list->prefix, 0);
        return err == WEFT_OK ? copy_key(job->after, list->after, 0) : err;
    case WEFT_SNAPSHOT_DISCARD:
        job->run = discard;
        return copy_key(job->key, ((const Weft__Snapshot__DeleteRequest *)request)->key, 1);
    case WEFT_SNAPSHOT_SAVE:
        job->run = save;
        break;
    case WEFT_SNAPSHOT_RESTORE:
        job->run = restore;
        break;
    default:
        job->run = verify;
    }
    return copy_key(job->key, ((const Weft__Snapshot__FileRequest *)request)->key, 1);
}

/* The thread may be over, and the job freed, when this returns. */
static int run(struct weft_jobs *jobs, struct job *job)
{
    int err = WEFT_OK;
    pthread_mutex_lock(&jobs->lock);
    weft__call_on_cancel(job->call, cancelled, jobs); /* which waits for the lock */
    if (jobs->stopped)
        err = weft_fail(WEFT_ESHUTDOWN, "the host is shutting down");
    else if (jobs->running_n >= WEFT_SNAPSHOT_JOBS_MAX)
        err = weft_fail(WEFT_EAGAIN, "%u calls about files are under way already",
                        WEFT_SNAPSHOT_JOBS_MAX);
    else
        err = -pthread_create(&job->thread, NULL, job_main, job); /* which waits for the lock */
    if (err == WEFT_OK) {
        DL_APPEND(jobs->running, job);
        jobs->running_n++;
    }
    pthread_mutex_unlock(&jobs->lock);
    return err;
}

void weft__jobs_start(struct weft_jobs *jobs, struct weft_call *call,
                      const ProtobufCMessage *request)
{
    struct job *job = NULL;
    int err = WEFT_OK;
    if (jobs->files == NULL)
        err = weft_fail(WEFT_ENOTSUP, "this host stores no snapshots in files; start it with "
                                      "WEFT_SNAPSHOT_DIR set to a folder");
    reap(jobs);
    if (err == WEFT_OK && (job = calloc(1, sizeof(*job))) == NULL)
        err = weft_fail(WEFT_ENOMEM, "no memory for a call about a file");
    if (err == WEFT_OK) {
        job->jobs = jobs;
        job->call = call;
        err = fill(job, request);
    }
    if (err == WEFT_OK)
        err = run(jobs, job);
    if (err == WEFT_OK)
        return;
    free(job);
    fail_call(call, err);
}

/* ---- open and close ---- */

static int open_files(struct weft_jobs *jobs, const struct weft_jobs_desc *desc)
{
    struct weft_files_desc files = {.folder = desc->folder};
    if (desc->folder == NULL || desc->folder[0] == '\0')
        return WEFT_OK;
    if (desc->io != NULL && strcmp(desc->io, weft__file_io_uring.name) == 0)
        files.io = &weft__file_io_uring;
    else if (desc->io != NULL && strcmp(desc->io, weft__file_io_threads.name) == 0)
        files.io = &weft__file_io_threads;
    return weft__files_open(&files, &jobs->files);
}

int weft__jobs_open(const struct weft_jobs_desc *desc, struct weft_jobs **jobs_out)
{
    struct weft_jobs *jobs = calloc(1, sizeof(*jobs));
    if (jobs == NULL)
        return weft_fail(WEFT_ENOMEM, "no memory for calls about files");
    jobs->store = desc->store;
    int err = open_files(jobs, desc);
    if (err != WEFT_OK) {
        free(jobs);
        return err;
    }
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->ended, NULL);
    *jobs_out = jobs;
    return WEFT_OK;
}

void weft__jobs_stop(struct weft_jobs *jobs)
{
    struct job *job;
    pthread_mutex_lock(&jobs->lock);
    jobs->stopped = true;
    DL_FOREACH(jobs->running, job)
    atomic_store(&job->stop, true);
    while (jobs->running_n > 0)
        pthread_cond_wait(&jobs->ended, &jobs->lock);
    pthread_mutex_unlock(&jobs->lock);
    reap(jobs);
}

void weft__jobs_close(struct weft_jobs *jobs)
{
    if (jobs == NULL)
        return;
    reap(jobs);
    weft__files_close(jobs->files);
    pthread_cond_destroy(&jobs->ended);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}
