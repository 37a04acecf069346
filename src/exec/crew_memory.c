/* The memory of a fork's threads, where the rank is in another process.
 *
 * The copy is a region of this process, pulled from the rank's side: the whole of it once, then
 * what has changed. Threads see it through a view at the address that it has in the rank, so each
 * run begins with the copy and leaves it as it was; that is why the rank knows what we have. What
 * they wrote is found by the tracker and compared with the copy byte by byte.
 *
 * A pull that fails may have landed in part: the copy is not believed then, and the next run brings
 * all of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "exec/crew.h"
#include "exec/impl.h"
#include "weft/error.h"

#define DIFFS_INLINE_MAX (256u << 10)

static uint64_t memory_max(void)
{
    uint64_t max = weft__config_u64("WEFT_FORK_MEMORY");
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return max ? max : (uint64_t)pages * (uint64_t)page / 4;
}

/* Sets memory apart for as many more bytes of the copy. */
static int hold(struct weft__crew *crew, uint64_t more)
{
    uint64_t max = memory_max(), most = crew->copy.len_bytes - crew->held_bytes;
    if (more > most)
        more = most; /* pages that are there already come again */
    uint64_t held = atomic_load(&crew->exec->crews_held);
    do {
        if (more > max || held > max - more)
            return weft_fail(
                WEFT_ENOSPC,
                "host %s has no room for %llu MiB that rank %d forks: %llu of %llu MiB "
                "are taken; set WEFT_FORK_MEMORY to more, or share less",
                crew->exec->host, (unsigned long long)(more >> 20), (int)crew->request->rank,
                (unsigned long long)(held >> 20), (unsigned long long)(max >> 20));
    } while (!atomic_compare_exchange_weak(&crew->exec->crews_held, &held, held + more));
    crew->held_bytes += more;
    return WEFT_OK;
}

void weft__crew_forget_copy(struct weft__crew *crew)
{
    weft__region_fini(&crew->copy);
    weft__merge_fini(&crew->merge);
    atomic_fetch_sub(&crew->exec->crews_held, crew->held_bytes);
    crew->copy = (struct weft_region){.fd = -1};
    crew->held_bytes = 0;
    crew->version = 0;
}

void weft__crew_forget_results(struct weft__crew *crew)
{
    weft__image_free(crew->results_image);
    crew->results_image = NULL;
    weft__region_fini(&crew->results);
    crew->results = (struct weft_region){.fd = -1};
}

static int take_merge(struct weft__crew *crew)
{
    const Weft__Host__ForkRunRequest *request = crew->request;
    int err = WEFT_OK;
    weft__merge_clear(&crew->merge);
    crew->merge.limit_bytes = request->len_bytes;
    for (size_t i = 0; !err && i < request->n_regions; i++)
        err = weft__merge_add(&crew->merge, &(struct weft_merge_region){
                                                .offset = request->regions[i]->offset,
                                                .len_bytes = request->regions[i]->len_bytes,
                                                .type = request->regions[i]->type,
                                                .op = request->regions[i]->op,
                                            });
    return err;
}

/* A copy of the length and version that the image changes. */
static int prepare_copy(struct weft__crew *crew)
{
    const Weft__Host__ForkRunRequest *request = crew->request;
    char name[64];
    if (request->base_version == 0) {
        weft__crew_forget_copy(crew);
        snprintf(name, sizeof(name), "weft-fork-of-%d", (int)request->rank);
        return weft__region_init(&crew->copy, name, NULL, request->len_bytes);
    }
    if (crew->version != request->base_version || crew->copy.len_bytes != request->len_bytes)
        return weft_fail(WEFT_ESTALE, "host %s has version %llu of the memory, not %llu",
                         crew->exec->host, (unsigned long long)crew->version,
                         (unsigned long long)request->base_version);
    return WEFT_OK;
}

static void pulled(struct weft_pull *pull, int err, const char *text, void *user)
{
    struct weft__crew *crew = user;
    pthread_mutex_lock(&crew->exec->crews_lock);
    crew->pull = NULL;
    pthread_mutex_unlock(&crew->exec->crews_lock);
    weft__pull_free(pull);
    weft__image_free(crew->image);
    crew->image = NULL;
    if (err) {
        weft__crew_fail(crew, err, text);
        return;
    }
    crew->version = crew->request->version;
    weft__crew_start(crew);
}

static int start_pull(struct weft__crew *crew)
{
    struct weft_exec *exec = crew->exec;
    const struct weft__process *process = weft__process_find(exec, crew->request->process);
    struct weft_pull_desc desc = {.lane = exec->lane,
                                  .peer = process->peer,
                                  .image = crew->image,
                                  .into = &crew->copy,
                                  .done = pulled,
                                  .user = crew};
    pthread_mutex_lock(&exec->crews_lock);
    int err = atomic_load(&crew->cancelled) ? weft_fail(WEFT_ECANCELED, "the fork has ended")
                                            : weft__pull_start(&desc, &crew->pull);
    pthread_mutex_unlock(&exec->crews_lock);
    return err;
}

int weft__crew_fetch(struct weft__crew *crew)
{
    const Weft__Host__ForkRunRequest *request = crew->request;
    int err = prepare_copy(crew);
    if (!err)
        err = take_merge(crew);
    if (err)
        return err;
    if (request->image.len == 0) {
        crew->version = request->version;
        weft__crew_start(crew);
        return WEFT_OK;
    }
    crew->version = 0; /* until all has landed */
    err = weft__image_decode(request->image.data, request->image.len, &crew->image);
    if (!err && crew->image->region_len_bytes != request->len_bytes)
        err = weft_fail(WEFT_EPROTO, "an image of 0x%llx bytes for memory of 0x%llx",
                        (unsigned long long)crew->image->region_len_bytes,
                        (unsigned long long)request->len_bytes);
    if (!err)
        err = hold(crew, crew->image->total_bytes);
    if (!err)
        err = start_pull(crew);
    if (err) {
        weft__image_free(crew->image);
        crew->image = NULL;
    }
    return err;
}

int weft__crew_map(struct weft__crew *crew)
{
    int err = weft__view_init(&crew->view, &crew->copy, (void *)(uintptr_t)crew->request->address,
                              crew->copy.len_bytes);
    if (err)
        return err;
    struct weft_track_desc desc = {
        .base = crew->view.base, .len_bytes = crew->view.len_bytes, .fd = crew->copy.fd};
    err = weft__track_start(&desc, &crew->track);
    if (err == WEFT_OK)
        return WEFT_OK;
    desc.tracker = "none"; /* finds what a private mapping has of its own: works everywhere */
    return weft__track_start(&desc, &crew->track);
}

void weft__crew_unmap(struct weft__crew *crew)
{
    weft__track_stop(crew->track);
    crew->track = NULL;
    weft__view_fini(&crew->view);
}

/* The differences' bytes as a region that the rank's process can pull. */
static int share_results(struct weft__crew *crew, const uint8_t *bytes, size_t len,
                         Weft__Host__ForkRunReply *reply)
{
    struct weft_image_desc desc = {.region = &crew->results};
    size_t pages = (len + WEFT_REGION_PAGE - 1) / WEFT_REGION_PAGE * WEFT_REGION_PAGE;
    int err = weft__region_init(&crew->results, "weft-fork-results", NULL, pages);
    if (!err)
        err = weft__region_write(&crew->results, 0, bytes, len);
    if (!err)
        err = weft__image_build(&desc, &crew->results_image);
    if (!err)
        err = weft__image_share(crew->results_image, crew->exec->lane);
    if (!err)
        err = weft__image_encode(crew->results_image, &reply->image.data, &reply->image.len);
    if (!err)
        reply->diffs_len = len;
    return err;
}

int weft__crew_diff(struct weft__crew *crew, Weft__Host__ForkRunReply *reply)
{
    struct weft_extents dirty = {0};
    struct weft_diffs diffs = {0};
    uint8_t *bytes = NULL;
    size_t len = 0;
    int err = weft__track_collect(crew->track, &dirty);
    if (!err)
        err = weft__diffs_make(&(struct weft_diff_desc){.base = crew->copy.base,
                                                        .base_len = crew->copy.len_bytes,
                                                        .now = crew->view.base,
                                                        .now_len = crew->view.len_bytes,
                                                        .dirty = &dirty,
                                                        .merge = &crew->merge},
                               &diffs);
    if (!err)
        err = weft__diffs_encode(&diffs, &bytes, &len);
    weft__diffs_fini(&diffs);
    weft__extents_fini(&dirty);
    if (!err && len > DIFFS_INLINE_MAX) {
        err = share_results(crew, bytes, len, reply);
    } else if (!err) {
        reply->diffs = (ProtobufCBinaryData){.data = bytes, .len = len};
        return WEFT_OK;
    }
    free(bytes);
    return err;
}
