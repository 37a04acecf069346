/* The rank's side of a fork: its memory, and the origin that hosts copy.
 *
 * The origin is the memory as it was at the start of the run. It does not change while threads run,
 * so hosts may pull from it at any time, what they and we changed can be compared with it, and a
 * run that fails is undone from it. What has changed since the last run is found by comparing the
 * two, touched pages only, at the speed of memory.
 * Rejected: a dirty tracker on the rank's memory between two runs. Where it is built on SIGSEGV,
 * every system call of the program that reads into that memory would fail; and the comparison is
 * needed at the join in any case, because the rank may write too.
 *
 * Each page has the version in which it last changed, so a host that has an older version of the
 * memory, or none, gets what it lacks, whichever runs it took part in.
 *
 * Bytes of the first and last page that are not shared never leave the rank, and are never written
 * here: they belong to others. */
#include <stdlib.h>
#include <string.h>

#include "exec/fork.h"
#include "exec/impl.h"
#include "snapshot/pages.h"
#include "weft/error.h"

/* The shared bytes of [offset, offset + len). */
static struct weft_extent clip(const struct weft_fork *fork, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len, shared_end = fork->skew + fork->shared_bytes;
    offset = offset > fork->skew ? offset : fork->skew;
    end = end < shared_end ? end : shared_end;
    return (struct weft_extent){.offset = offset, .len_bytes = end > offset ? end - offset : 0};
}

/* Adds to a set of pages those of the memory that are in a list of a region which begins as many
 * bytes before it. */
static void add_pages(const struct weft_fork *fork, struct weft_pages *pages,
                      const struct weft_extents *list, uint64_t before)
{
    for (size_t i = 0; i < list->n; i++) {
        uint64_t from = list->at[i].offset, to = from + list->at[i].len_bytes;
        from = from > before ? from - before : 0;
        to = to > before ? to - before : 0;
        to = to < fork->len_bytes ? to : fork->len_bytes;
        if (from < to)
            weft__pages_set(pages, from / WEFT_REGION_PAGE, (to - from) / WEFT_REGION_PAGE);
    }
}

/* Pages that were ever touched: in the memory or in the origin, and in the origin alone. */
static int touched(const struct weft_fork *fork, struct weft_extents *all_out,
                   struct weft_pages *origins_out)
{
    struct weft_extents mine = {0}, origins = {0};
    struct weft_pages pages;
    const struct weft_region *region = &fork->rank->region;
    int err = weft__pages_init(&pages, fork->len_bytes / WEFT_REGION_PAGE);
    if (err)
        return err;
    err = weft__region_touched(region, &mine);
    if (!err)
        err = weft__region_touched(weft__origin_region(fork->origin), &origins);
    if (!err) {
        add_pages(fork, &pages, &mine, (uint64_t)(fork->base - (char *)region->base));
        add_pages(fork, &pages, &origins, 0);
        add_pages(fork, origins_out, &origins, 0);
        err = weft__pages_take(&pages, all_out);
    }
    weft__extents_fini(&mine);
    weft__extents_fini(&origins);
    weft__pages_fini(&pages);
    return err;
}

/* A page that the origin does not have yet is zeros there; reading it would make it. */
static bool page_differs(const struct weft_fork *fork, const struct weft_pages *origins,
                         uint64_t page)
{
    static const char zeros[WEFT_REGION_PAGE];
    const char *origin = weft__origin_region(fork->origin)->base;
    struct weft_extent at = clip(fork, page, WEFT_REGION_PAGE);
    bool has = weft__pages_has(origins, page / WEFT_REGION_PAGE);
    return memcmp(fork->base + at.offset, has ? origin + at.offset : zeros, at.len_bytes) != 0;
}

static int compare(const struct weft_fork *fork, const struct weft_extents *list,
                   const struct weft_pages *origins, struct weft_extents *extents_out)
{
    int err = WEFT_OK;
    for (size_t i = 0; i < list->n; i++) {
        uint64_t end = list->at[i].offset + list->at[i].len_bytes;
        for (uint64_t page = list->at[i].offset; !err && page < end; page += WEFT_REGION_PAGE)
            if (page_differs(fork, origins, page))
                err = weft__extents_add(extents_out, page, WEFT_REGION_PAGE);
    }
    return err;
}

int weft__fork_changed(const struct weft_fork *fork, struct weft_extents *extents_out)
{
    struct weft_extents list = {0};
    struct weft_pages origins;
    weft__extents_clear(extents_out);
    int err = weft__pages_init(&origins, fork->len_bytes / WEFT_REGION_PAGE);
    if (err)
        return err;
    err = touched(fork, &list, &origins);
    if (!err)
        err = compare(fork, &list, &origins, extents_out);
    weft__extents_fini(&list);
    weft__pages_fini(&origins);
    return err;
}

static void stamp(struct weft_fork *fork, const struct weft_extents *list, uint32_t version)
{
    for (size_t i = 0; i < list->n; i++)
        for (uint64_t at = 0; at < list->at[i].len_bytes; at += WEFT_REGION_PAGE)
            fork->stamps[(list->at[i].offset + at) / WEFT_REGION_PAGE] = version;
}

int weft__fork_sync(struct weft_fork *fork)
{
    struct weft_extents list = {0};
    int err = weft__fork_changed(fork, &list);
    for (size_t i = 0; !err && i < list.n; i++) {
        struct weft_extent at = clip(fork, list.at[i].offset, list.at[i].len_bytes);
        err = weft__origin_write(fork->origin, at.offset, fork->base + at.offset,
                                 (size_t)at.len_bytes);
    }
    if (!err)
        err = weft__origin_updates(fork->origin, &list); /* and what joins have merged */
    if (!err)
        stamp(fork, &list, ++fork->version);
    weft__extents_fini(&list);
    return err;
}

/* ---- what members lack ---- */

static int pages_since(const struct weft_fork *fork, uint64_t version, struct weft_extents *list)
{
    struct weft_extents all = {0};
    int err = weft__region_touched(weft__origin_region(fork->origin), &all);
    weft__extents_clear(list);
    for (size_t i = 0; i < all.n; i++) {
        uint64_t end = all.at[i].offset + all.at[i].len_bytes;
        for (uint64_t page = all.at[i].offset; !err && page < end; page += WEFT_REGION_PAGE)
            if (fork->stamps[page / WEFT_REGION_PAGE] > version)
                err = weft__extents_add(list, page, WEFT_REGION_PAGE);
    }
    weft__extents_fini(&all);
    return err;
}

static int make_image(struct weft_fork *fork, struct weft__fork_member *member)
{
    struct weft_image_desc desc = {.region = weft__origin_region(fork->origin)};
    struct weft_extents list = {0};
    int err = pages_since(fork, member->version, &list);
    desc.extents = &list;
    if (!err && list.n > 0)
        err = weft__image_build(&desc, &member->image);
    if (!err && list.n > 0)
        err = weft__image_share(member->image, fork->rank->exec->lane);
    weft__extents_fini(&list);
    return err;
}

int weft__fork_share(struct weft_fork *fork)
{
    int err = WEFT_OK;
    for (size_t i = 0; !err && i < fork->members_n; i++) {
        struct weft__fork_member *member = &fork->members[i];
        size_t k = 0;
        if (member->process == fork->rank->exec->process)
            continue;
        while (k < i && (fork->members[k].process == fork->rank->exec->process ||
                         fork->members[k].version != member->version))
            k++;
        if (k < i)
            member->image = fork->members[k].image;
        else
            err = make_image(fork, member);
        if (!err && member->image)
            fork->counts.sent_bytes += member->image->total_bytes;
    }
    return err;
}

void weft__fork_unshare(struct weft_fork *fork)
{
    for (size_t i = 0; i < fork->members_n; i++) {
        struct weft_image *image = fork->members[i].image;
        for (size_t k = i; image && k < fork->members_n; k++)
            if (fork->members[k].image == image)
                fork->members[k].image = NULL;
        weft__image_free(image);
    }
}

/* ---- after a run ---- */

int weft__fork_diff(const struct weft_fork *fork, const struct weft_extents *changed,
                    struct weft_diffs *diffs_out)
{
    return weft__origin_diff(
        fork->origin,
        &(struct weft_diff_desc){.now = fork->base, .now_len = fork->len_bytes, .dirty = changed},
        diffs_out);
}

static void copy_back(struct weft_fork *fork, const struct weft_extents *list)
{
    const char *origin = weft__origin_region(fork->origin)->base;
    for (size_t i = 0; i < list->n; i++) {
        struct weft_extent at = clip(fork, list->at[i].offset, list->at[i].len_bytes);
        memcpy(fork->base + at.offset, origin + at.offset, at.len_bytes);
    }
}

/* Where there is no memory for a list. */
static void copy_all_back(struct weft_fork *fork)
{
    const char *origin = weft__origin_region(fork->origin)->base;
    memcpy(fork->base + fork->skew, origin + fork->skew, fork->shared_bytes);
}

void weft__fork_restore(struct weft_fork *fork)
{
    struct weft_extents changed = {0};
    if (weft__fork_changed(fork, &changed) == WEFT_OK)
        copy_back(fork, &changed);
    else
        copy_all_back(fork);
    weft__extents_fini(&changed);
}

/* Whether all lists fit. */
static int check_lists(const struct weft_fork *fork, const struct weft_diffs *lists, size_t n)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += lists[i].data_len + lists[i].n * sizeof(*lists[i].at);
        if (weft__diffs_end(&lists[i]) > fork->len_bytes)
            return weft_fail(WEFT_EPROTO, "a host has changed bytes behind the shared memory");
    }
    if (bytes <= WEFT_ORIGIN_QUEUE_BYTES_MAX)
        return WEFT_OK;
    return weft_fail(
        WEFT_EMSGSIZE, "the hosts have changed more than can be merged at a time: %llu of %llu MiB",
        (unsigned long long)(bytes >> 20), (unsigned long long)(WEFT_ORIGIN_QUEUE_BYTES_MAX >> 20));
}

/* Queues all or none, with room for them in the memory. */
static int queue_lists(struct weft_fork *fork, struct weft_diffs *lists, size_t n)
{
    const struct weft_region *memory = &fork->rank->region;
    uint64_t at = (uint64_t)(fork->base - (char *)memory->base);
    int err = check_lists(fork, lists, n);
    for (size_t i = 0; !err && i < n; i++)
        err = weft__origin_make_room(memory, at, &lists[i]);
    for (size_t i = 0; !err && i < n; i++)
        err = weft__origin_queue(fork->origin, &lists[i]);
    if (err)
        weft__origin_drop_queued(fork->origin);
    return err;
}

/* The pages of a list and of what has been merged. */
static int pages_of(struct weft_fork *fork, const struct weft_extents *changed,
                    struct weft_extents *list_out)
{
    struct weft_extents merged = {0};
    struct weft_pages pages;
    int err = weft__pages_init(&pages, fork->len_bytes / WEFT_REGION_PAGE);
    if (err)
        return err;
    err = weft__origin_updates(fork->origin, &merged);
    stamp(fork, &merged, fork->version + 1);
    add_pages(fork, &pages, changed, 0);
    add_pages(fork, &pages, &merged, 0);
    if (!err)
        err = weft__pages_take(&pages, list_out);
    weft__extents_fini(&merged);
    weft__pages_fini(&pages);
    return err;
}

int weft__fork_merge(struct weft_fork *fork, struct weft_diffs *lists, size_t n,
                     const struct weft_extents *changed)
{
    struct weft_extents list = {0};
    int err = queue_lists(fork, lists, n);
    if (!err)
        err = weft__origin_merge_all(fork->origin);
    if (err)
        return err;
    if (pages_of(fork, changed, &list) == WEFT_OK)
        copy_back(fork, &list);
    else
        copy_all_back(fork);
    weft__extents_fini(&list);
    return WEFT_OK;
}
